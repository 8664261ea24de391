"""Evaluations side by side: one line per attack, each value with its interval."""

from __future__ import annotations

from collections.abc import Sequence

from unmask.benchmark.evaluation import Evaluation
from unmask.records import Interval

# Heading, factor to the unit that is shown, decimals.
COLUMNS = {
    "token_accuracy": ("tokens right, %", 100, 1),
    "token_f1": ("token F1, %", 100, 1),
    "exact_match": ("exact, %", 100, 1),
    "bleu": ("BLEU", 1, 1),
    "rouge_l": ("ROUGE-L, %", 100, 1),
    "cosine": ("cosine", 1, 3),
    "length_error": ("length error, tokens", 1, 2),
    "perplexity": ("perplexity", 1, 0),
}


def table(evaluations: Sequence[Evaluation]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells; a metric that no attack has gets no column."""
    names = [name for name in COLUMNS if any(name in evaluation.metrics for evaluation in evaluations)]
    headings = ["attack", *(COLUMNS[name][0] for name in names), "passes per vector", "vectors/s"]
    return headings, [_cells(evaluation, names) for evaluation in evaluations]


def markdown_table(evaluations: Sequence[Evaluation]) -> str:
    """The table for a page, and under it what is needed to make it again."""
    headings, rows = table(evaluations)
    ruler = ["---", *["---:"] * (len(headings) - 1)]
    lines = [f"| {' | '.join(cells)} |" for cells in (headings, ruler, *rows)]
    return "\n".join([*lines, "", *(f"{note}" for note in notes(evaluations))])


def notes(evaluations: Sequence[Evaluation]) -> list[str]:
    """What all lines have in common, in sentences."""
    if not evaluations:
        return []
    first = evaluations[0]
    texts, details = first.texts, first.details
    named = [name for name in ("model", "encoder", "version", "commit") if details.get(name)]
    made_with = ", ".join(f"{name} {details[name]}" for name in named)
    counted = (
        f"{first.n} held-out texts of {texts['given']}, seed {first.seed}; {texts['cut']} were cut to the model's "
        f"length, {texts['with_unknown']} hold a token that the tokenizer does not know, {texts['empty']} were empty."
    )
    sentences = [counted, "Values with bootstrap 95 % intervals; decoding from a full mask, the length unknown."]
    if "perplexity_of_true_text" in first.metrics:
        true = first.metrics["perplexity_of_true_text"]
        sentences.append(f"Perplexity under {details.get('language_model')}; of the true texts {show(true, 1, 0)}.")
    return [*sentences, *([f"Made with {made_with}."] if made_with else [])]


def show(interval: Interval, factor: float = 1, decimals: int = 2) -> str:
    value, low, high = (f"{factor * number:.{decimals}f}" for number in (interval.value, interval.low, interval.high))
    return f"{value} [{low}, {high}]"


def _cells(evaluation: Evaluation, names: Sequence[str]) -> list[str]:
    shown = [
        show(evaluation.metrics[name], *COLUMNS[name][1:]) if name in evaluation.metrics else "–" for name in names
    ]
    cost = evaluation.cost
    return [evaluation.attack, *shown, f"{cost['forward_passes_per_vector']:.1f}", f"{cost['vectors_per_second']:.0f}"]
