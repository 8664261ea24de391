"""Where it goes well and where not: by length, by domain, by word frequency; and what the confidence is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unmask.benchmark.evaluation import METRICS, Evaluation
from unmask.benchmark.publishing import calibration, frequency
from unmask.benchmark.publishing.markdown import NONE, escape, headings_of, lay_out, metric_cells, notes, number
from unmask.benchmark.publishing.results import Result
from unmask.benchmark.publishing.setting import Opened, Setting, Table
from unmask.benchmark.tables import show
from unmask.metrics.bleu import bleu_of_sums, bleu_rows
from unmask.metrics.bootstrap import interval_of_sums, intervals_of_means

if TYPE_CHECKING:
    from unmask.attacks.base import Attack
    from unmask.pairs.dataset import PairsDataset
    from unmask.records import Reconstruction, VectorBatch

NAME = "breakdown"
BUCKETS = 8  # of lengths
OF_ROWS = tuple(name for name in METRICS if name != "bleu")


class Recorder:
    """An attack that keeps what it answered: the tokens themselves and their confidence."""

    def __init__(self, attack: Attack) -> None:
        self.name, self._attack = attack.name, attack
        self.found: list[Reconstruction] = []

    def fit(self, pairs: PairsDataset) -> None:
        self._attack.fit(pairs)

    def invert(self, vectors: VectorBatch, budget: int | None = None) -> list[Reconstruction]:
        answers = self._attack.invert(vectors, budget)
        self.found += answers
        return answers


def measure_groups(setting: Setting) -> Iterator[Result]:
    decoder = setting.decoder
    opened = setting.open()
    recorder = Recorder(opened.attack(decoder))
    evaluation = opened.evaluate(recorder)
    details = {**evaluation.details, "texts": evaluation.texts}
    lengths = [_bucket(len(ids), opened.inverter.denoiser.length) for ids in opened.held_out.ids]
    yield Result(NAME, "all", evaluation.n, setting.seed, evaluation.metrics, details={**details, "group": "all"})
    yield from _groups(evaluation, "length", lengths, details)
    yield from _groups(evaluation, "domain", opened.domains(), details)
    true = [list(ids) for ids in opened.held_out.ids]
    found = [list(row.token_ids) for row in recorder.found]
    if setting.pairs is not None:
        rates = frequency.per_million(setting.pairs, opened.inverter.tokenizer)
        for label, metrics, tokens in frequency.by_frequency(true, found, rates, setting.seed):
            group = {**details, "group": "frequency"}
            yield Result(NAME, label, evaluation.n, setting.seed, metrics, {"tokens": tokens}, group)
    yield from _calibration(opened, recorder, true, found, details)


def _calibration(
    opened: Opened, recorder: Recorder, true: list[list[int]], found: list[list[int]], details: dict[str, Any]
) -> Iterator[Result]:
    confidence = [list(row.confidence) for row in recorder.found]
    seed, n = opened.setting.seed, len(true)
    bins, errors = calibration.reliability(true, found, confidence, seed)
    for line in bins:
        group = {**details, "group": "calibration", "low": line.low, "high": line.high}
        numbers = {"confidence": line.confidence, "tokens": line.tokens}
        yield Result(NAME, f"{line.low:.1f} to {line.high:.1f}", n, seed, line.right, numbers, group)
    if errors:
        yield Result(NAME, "calibration error", n, seed, errors, details={**details, "group": "calibration error"})


def _bucket(size: int, length: int) -> str:
    width = max(1, length // BUCKETS)
    first = (size - 1) // width * width + 1
    last = min(first + width - 1, length)
    return f"{first} to {last}" if last > first else f"{first}"


def _groups(evaluation: Evaluation, group: str, labels: Sequence[str], details: dict[str, Any]) -> Iterator[Result]:
    """The metrics of the texts under each label; lengths come in their order, domains by name."""
    ordered = sorted(Counter(labels), key=lambda label: int(label.split()[0]) if group == "length" else label)
    for label in ordered:
        rows = [row for row, of_row in zip(evaluation.rows, labels, strict=True) if of_row == label]
        columns = {name: np.array([row[name] for row in rows]) for name in OF_ROWS}
        metrics = intervals_of_means(columns, evaluation.seed)
        _, counts = bleu_rows([row["text"] for row in rows], [row["found"] for row in rows])
        metrics["bleu"] = interval_of_sums(counts, bleu_of_sums, evaluation.seed)
        yield Result(NAME, label, len(rows), evaluation.seed, metrics, details={**details, "group": group})


def in_group(results: Sequence[Result], group: str) -> list[Result]:
    return [result for result in results if result.details["group"] == group]


def markdown(results: Sequence[Result]) -> str:
    everything = in_group(results, "all")
    parts = []
    for group, heading in (("length", "tokens of the text"), ("domain", "domain")):
        rows = [
            [escape(result.label), f"{result.n:,}", *metric_cells(result, METRICS)]
            for result in [*in_group(results, group), *everything]
        ]
        parts.append(lay_out([heading, "texts", *headings_of(METRICS)], rows))
    parts.append(_frequency_table(in_group(results, "frequency")))
    parts.append(_calibration_table(results))
    decoder = f"Decoder {everything[0].details['decoder']}."
    return "\n\n".join([*parts, f"{notes(everything)} {decoder}"])


def _frequency_table(results: Sequence[Result]) -> str:
    if not results:
        return (
            "Word frequency is counted on the training text; without --pairs there is none, and this part is left out."
        )
    rows = [
        [
            result.label,
            number(result.numbers["tokens"], 0),
            *(show(result.metrics[name], 100, 1) for name in ("in_place", "in_text")),
        ]
        for result in results
    ]
    headings = ["how often in a million training tokens", "true tokens", "found in place, %", "found anywhere, %"]
    return lay_out(headings, rows)


def _calibration_table(results: Sequence[Result]) -> str:
    rows = []
    for result in in_group(results, "calibration"):
        shares = [show(result.metrics[name], 100, 1) for name in ("in_place", "in_text")]
        numbers = result.numbers
        rows.append([result.label, number(numbers["tokens"], 0), number(100 * numbers["confidence"]), *shares])
    for result in in_group(results, "calibration error"):
        errors = [show(result.metrics[name], 1, 3) for name in ("in_place", "in_text")]
        rows.append(["expected calibration error", NONE, NONE, *errors])
    headings = ["confidence of a token", "tokens found", "confidence, mean, %", "right in place, %", "in the text, %"]
    return lay_out(headings, rows)


TABLE = Table(measure_groups, markdown)
