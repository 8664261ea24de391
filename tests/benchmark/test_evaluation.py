"""Figures for attacks of known skill."""

from __future__ import annotations

import json
import stat

import numpy as np
import pytest

from unmask.benchmark.evaluation import METRICS, evaluate, write_results
from unmask.benchmark.held_out import hold_out
from unmask.errors import OutputError
from unmask.metrics.ngrams import NgramModel

TEXTS = ["the cat sat on the mat.", "a dog ran under it", "it slept today", "then the dog sat on a rug", "a cat, a dog"]
FOREIGN = ["שלום", "你", "好", "שלום 你", "好 שלום"]
LENGTH = 8


@pytest.fixture
def held_out(tokenizer, encoder):
    return hold_out(TEXTS, tokenizer, encoder, LENGTH)


def measure(answers, held_out, tokenizer, encoder, scripted, **options):
    return evaluate(scripted(answers), held_out, tokenizer, encoder, **options)


def test_perfect_recovery_scores_full_marks_with_no_width(held_out, tokenizer, encoder, scripted) -> None:
    result = measure(held_out.texts, held_out, tokenizer, encoder, scripted)
    assert list(result.metrics)[: len(METRICS)] == list(METRICS)
    for name, interval in result.metrics.items():
        full = {"bleu": 100, "sentence_bleu": 100, "length_error": 0}.get(name, 1)
        assert (interval.low, interval.value, interval.high) == pytest.approx((full, full, full), abs=1e-6)


def test_foreign_text_scores_nothing(held_out, tokenizer, encoder, scripted) -> None:
    metrics = measure(FOREIGN, held_out, tokenizer, encoder, scripted).metrics
    assert all(metrics[name].value == 0 for name in ("token_accuracy", "token_f1", "exact_match", "bleu", "rouge_l"))
    assert metrics["cosine"].high < 0.9
    assert metrics["length_error"].value > 0


def test_empty_recovery_has_no_cosine_and_is_never_sent(held_out, tokenizer, encoder, scripted) -> None:
    result = measure(["", " ", *TEXTS[2:]], held_out, tokenizer, encoder, scripted)
    assert [row["cosine"] for row in result.rows] == pytest.approx([0, 0, 1, 1, 1], abs=1e-6)
    assert result.metrics["exact_match"].value == pytest.approx(0.6)


def test_the_same_text_in_other_pieces_counts_as_found(tokenizer, encoder, scripted) -> None:
    held_out = hold_out(["the cats"], tokenizer, encoder, LENGTH)
    attack = scripted(["the cats"])
    exact = attack.invert(next(held_out.batches(1)))[0]
    in_pieces = exact.__class__(**{**exact.__dict__, "token_ids": (*exact.token_ids, 99)})
    attack.invert = lambda vectors, budget=None: [in_pieces]
    assert evaluate(attack, held_out, tokenizer, encoder).metrics["exact_match"].value == 1


def test_a_text_with_an_unknown_token_cannot_be_found_whole(tokenizer, encoder, scripted) -> None:
    held_out = hold_out(["the cat 🐈 sat"], tokenizer, encoder, LENGTH)
    result = measure(["the cat sat"], held_out, tokenizer, encoder, scripted)
    assert result.metrics["exact_match"].value == 0
    assert result.metrics["token_accuracy"].value == pytest.approx(0.5)
    assert result.texts["with_unknown"] == 1


def test_batches_and_seed(held_out, tokenizer, encoder, scripted) -> None:
    answers = [text.replace("the", "a") for text in TEXTS]
    first = measure(answers, held_out, tokenizer, encoder, scripted, batch_size=2, seed=1)
    again = measure(answers, held_out, tokenizer, encoder, scripted, batch_size=100, seed=1)
    other = measure(answers, held_out, tokenizer, encoder, scripted, batch_size=100, seed=2)
    assert first.metrics == again.metrics != other.metrics
    assert {name: i.value for name, i in first.metrics.items()} == {name: i.value for name, i in other.metrics.items()}


def test_the_object_for_programs_tells_everything_but_the_texts(held_out, tokenizer, encoder, scripted) -> None:
    seen = []
    options = {"details": {"model": "m"}, "on_progress": lambda *step: seen.append(step)}
    result = measure(TEXTS, held_out, tokenizer, encoder, scripted, **options)
    tree = json.loads(json.dumps(result.to_json()))
    assert (tree["model"], tree["n"], tree["seed"]) == ("m", len(TEXTS), 0)
    assert all(set(tree["metrics"][name]) == {"value", "low", "high"} for name in METRICS)
    assert tree["cost"]["forward_passes_per_vector"] == 8
    assert tree["cost"]["vectors_per_second"] > 0
    assert not any(text in json.dumps(tree) for text in held_out.texts)
    assert seen[-1] == ("embedding what was found", len(TEXTS), len(TEXTS))


def test_equal_answers_are_embedded_once(held_out, tokenizer, encoder, scripted) -> None:
    before = encoder.queries
    result = measure(["a dog ran under it"] * 5, held_out, tokenizer, encoder, scripted)
    assert encoder.queries - before == 1
    assert [row["cosine"] > 0.999 for row in result.rows] == [False, True, False, False, False]


def test_rows_carry_what_is_needed_to_look_at_them(held_out, tokenizer, encoder, scripted) -> None:
    result = measure(FOREIGN, held_out, tokenizer, encoder, scripted)
    row = result.rows[1]
    assert (row["id"], row["text"], row["found"]) == ("1", TEXTS[1], FOREIGN[1])
    means = {name: np.mean([row[name] for row in result.rows]) for name in ("token_accuracy", "cosine", "rouge_l")}
    assert all(result.metrics[name].value == pytest.approx(mean) for name, mean in means.items())


def test_perplexity_is_told_beside_that_of_the_true_text(held_out, tokenizer, encoder, scripted) -> None:
    model = NgramModel.train(tokenizer.encode(TEXTS), tokenizer.vocabulary_size, "these texts")
    shuffled = [" ".join(reversed(text.split())) for text in held_out.texts]
    metrics = measure(shuffled, held_out, tokenizer, encoder, scripted, language_model=model).metrics
    assert metrics["perplexity"].value > metrics["perplexity_of_true_text"].value
    nothing = measure([""] * 5, held_out, tokenizer, encoder, scripted, language_model=model).metrics
    assert "perplexity" not in nothing


def test_results_are_for_the_user_alone_and_whole_or_not_there(
    tmp_path, held_out, tokenizer, encoder, scripted
) -> None:
    result = measure(FOREIGN, held_out, tokenizer, encoder, scripted)
    path = tmp_path / "results.jsonl"
    write_results(path, [result, result])
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [line["found"] for line in lines] == FOREIGN * 2
    assert lines[0]["attack"] == "scripted"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(OutputError, match="does not exist"):
        write_results(tmp_path / "nowhere" / "results.jsonl", [result])
