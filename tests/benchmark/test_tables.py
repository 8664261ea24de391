from __future__ import annotations

from unmask.benchmark.evaluation import Evaluation
from unmask.benchmark.tables import markdown_table, show, table
from unmask.records import Interval

TEXTS = {"given": 9, "cut": 1, "with_unknown": 2, "empty": 3}
COST = {"forward_passes_per_vector": 8.0, "encoder_calls_per_vector": 0.0, "vectors_per_second": 12.3}


def evaluation(name: str, **metrics: Interval) -> Evaluation:
    return Evaluation(name, 5, metrics, TEXTS, COST, {"model": "m", "language_model": "lm"}, rows=({}, {}))


def test_a_value_is_shown_with_its_interval() -> None:
    assert show(Interval(0.4567, 0.4, 0.5), 100, 1) == "45.7 [40.0, 50.0]"


def test_columns_are_those_that_someone_has_and_gaps_are_marked() -> None:
    accuracy, perplexity = Interval(0.5, 0.4, 0.6), Interval(100, 90, 110)
    more = {"token_accuracy": accuracy, "perplexity": perplexity}
    headings, rows = table([evaluation("one", token_accuracy=accuracy), evaluation("two", **more)])
    assert headings == ["attack", "tokens right, %", "perplexity", "passes per vector", "vectors/s"]
    assert rows == [
        ["one", "50.0 [40.0, 60.0]", "–", "8.0", "12"],
        ["two", "50.0 [40.0, 60.0]", "100 [90, 110]", "8.0", "12"],
    ]


def test_markdown_has_a_cell_for_each_heading_and_says_how_it_was_made() -> None:
    true_text = Interval(50, 40, 60)
    page = markdown_table([evaluation("one", bleu=Interval(45, 44, 46), perplexity_of_true_text=true_text)])
    lines = [line for line in page.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert "| one | 45.0 [44.0, 46.0] |" in page
    assert "2 held-out texts of 9, seed 5" in page
    assert "Perplexity under lm; of the true texts 50 [40, 60]." in page
