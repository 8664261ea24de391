"""The search, as curves: how much comes back after so many compared texts, and what each kind of edits is worth."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import torch

from unmask.benchmark.held_out import embed
from unmask.benchmark.provenance import provenance
from unmask.benchmark.publishing.markdown import NONE, headings_of, lay_out, metric_cells, notes, number, present
from unmask.benchmark.publishing.results import Result
from unmask.benchmark.publishing.setting import Opened, Setting, Table
from unmask.benchmark.tables import COLUMNS, show
from unmask.decoding import DEFAULT_DECODER
from unmask.errors import InputError
from unmask.files import atomic_writer, make_folder, sha256_of_json
from unmask.metrics.bootstrap import intervals_of_means
from unmask.metrics.text import score_rows
from unmask.metrics.vectors import cosine
from unmask.runtime import stream_for
from unmask.search import SearchOptions
from unmask.search.options import EDITS, FEEDBACK, KINDS, SURROGATE, WORDS
from unmask.search.stream import TOGETHER
from unmask.search.surrogate import finished_surrogate, surrogate_manifest

if TYPE_CHECKING:
    from unmask.records import DecodeStep
    from unmask.search.hypotheses import Row

SEARCH, ABLATION, ORDER = "search", "search-ablation", "search-order"
KEPT = "parts"  # beside the tables: what was measured of one that is not done
# Texts shorter than this say too little to be told from others.
SHORTEST = 6
EMBEDDED_TOGETHER = 256
LENGTHS = ((6, 12), (13, 20), (21, 32))
# Texts that a search of nothing but listening drafts is shown for, which takes longest and is only for comparison.
LISTENED = 64
# The second: all drafts of a search, and two calls that verify one of them; the first: of one that only chooses.
MARKS = (18, 34, 64, 160, 320, 640, 1000, 1500, 2500, 5000)
METRICS = ("token_accuracy", "token_f1", "exact_match", "rouge_l", "cosine")
# What is lost without a kind of edits, and gained over another strategy, text by text; columns of percent.
LOSSES = {"token_f1_lost": "token_f1", "rouge_l_lost": "rouge_l"}
GAINS = {"token_f1_gained": "token_f1", "exact_gained": "exact_match", "rouge_l_gained": "rouge_l"}
BLIND = f"{DEFAULT_DECODER}, no scorer"

Columns = dict[str, np.ndarray]  # of a metric: (texts,)


@dataclass(frozen=True)
class Strategy:
    label: str
    options: SearchOptions
    most_texts: int | None = None  # that it is measured on; None: all
    beside: str = BLIND  # what it is compared with, text by text


def strategies(budget: int) -> list[Strategy]:
    whole = SearchOptions(budget=budget)
    # Drafts, others, and again others: what an encoder is worth to somebody who only chooses, and to one who listens.
    heard = replace(whole, without=EDITS, restarts=budget, rounds=2 * budget)
    drafts = replace(heard, drafts=16, without=(*EDITS, FEEDBACK))
    search = Strategy("search, encoder", whole)
    return [
        search,
        Strategy("search, surrogate", replace(whole, scorer=SURROGATE)),
        Strategy("best of N drafts, encoder", drafts, beside=search.label),
        Strategy("best of N drafts with feedback, encoder", heard, LISTENED, search.label),
    ]


@dataclass(frozen=True)
class Texts:
    """The held-out texts that are searched for."""

    ids: list[list[int]]
    vectors: np.ndarray  # (texts, dimension)
    counts: dict[str, int]

    def spread(self, most: int | None) -> np.ndarray:
        """The places of no more than so many, from all over the texts."""
        count = len(self.ids)
        return np.linspace(0, count - 1, count if most is None else min(most, count)).round().astype(int)

    def at(self, places: np.ndarray) -> Texts:
        return Texts([self.ids[place] for place in places], self.vectors[places], self.counts)


def long_enough(opened: Opened) -> Texts:
    held_out = opened.held_out
    kept = [place for place, ids in enumerate(held_out.ids) if len(ids) >= SHORTEST]
    if not kept:
        raise InputError(f"no text has {SHORTEST} tokens or more, expected at least one; give other --texts")
    counts = {
        "given": held_out.given, "cut": held_out.cut, "with_unknown": held_out.with_unknown, "empty": held_out.empty,
        "too_short": len(held_out.ids) - len(kept),
    }  # fmt: skip
    return Texts([list(held_out.ids[place]) for place in kept], held_out.vectors[kept], counts)


@dataclass
class Curve:
    """What was held of every text after so many comparisons, and when."""

    marks: tuple[int, ...]
    found: np.ndarray  # (marks, texts, length) token ids
    seconds: np.ndarray  # (marks, texts)
    calls: np.ndarray  # (texts,) at the end
    verified: np.ndarray  # (texts,) bool


def marks_of(budget: int) -> tuple[int, ...]:
    return (*(mark for mark in MARKS if mark < budget), budget)


def trace(
    opened: Opened, texts: Texts, table: str, strategy: Strategy, beginnings: Sequence[Row] | None = None
) -> Curve:
    """Search for all texts, as many together as the search takes, and note every mark that is passed.

    What was measured before an interruption is kept, a table may take hours; but not what another commit measured.
    """
    options, count = strategy.options, len(texts.ids)
    marks = marks_of(options.budget)
    surrogate = finished_surrogate(opened.inverter.folder)
    told = {
        **_details(opened, texts, strategy, table, strategy.label), "options": asdict(opened.setting.options),
        "surrogate": None if surrogate is None else surrogate_manifest(surrogate), "made_with": provenance(),
    }  # fmt: skip
    folder = make_folder(opened.setting.out / KEPT)
    opened.setting.on_progress(strategy.label, 0, count)
    curves = []
    for start in range(0, count, TOGETHER):
        part = slice(start, min(start + TOGETHER, count))
        file = folder / f"{table}-{sha256_of_json([told, start, texts.ids[part]])[:16]}.npz"
        curve = _kept(file)
        if curve is None:
            curve = _traced(opened, texts, options, marks, part, None if beginnings is None else beginnings[part])
            with atomic_writer(file) as handle:
                np.savez(handle, **asdict(curve))  # type: ignore[arg-type]
        curves.append(curve)
        opened.setting.on_progress(strategy.label, part.stop, count)
    of_texts = [np.concatenate([getattr(curve, name) for curve in curves], axis=1) for name in ("found", "seconds")]
    ends = [np.concatenate([getattr(curve, name) for curve in curves]) for name in ("calls", "verified")]
    return Curve(marks, *of_texts, *ends)


def _kept(file: Path) -> Curve | None:
    """What was measured of some texts before; None where that is missing or damaged."""
    try:
        with np.load(file, allow_pickle=False) as held:
            curve = Curve(**held)
    except (OSError, ValueError, TypeError, BadZipFile):
        return None
    return replace(curve, marks=tuple(np.array(curve.marks).tolist()))


def _traced(
    opened: Opened, texts: Texts, options: SearchOptions, marks: tuple[int, ...], part: slice,
    beginnings: Sequence[Row] | None,
) -> Curve:  # fmt: skip
    inverter, rows = opened.inverter, range(part.start, part.stop)
    count, length = len(rows), inverter.denoiser.length
    curve = Curve(
        marks, np.full((len(marks), count, length), inverter.tokenizer.pad_id), np.zeros((len(marks), count)),
        np.zeros(count, dtype=np.int64), np.zeros(count, dtype=bool),
    )  # fmt: skip
    began = time.perf_counter()
    for step in inverter.search(
        torch.from_numpy(texts.vectors[part]), rows, opened.setting.options, options, beginnings=beginnings
    ):
        _note(curve, step, (time.perf_counter() - began) / count)
    return curve


def _note(curve: Curve, step: DecodeStep, seconds: float) -> None:
    """A text counts at every mark that its comparisons have not yet passed."""
    assert step.compared_texts is not None and step.is_verified is not None
    compared = step.compared_texts.numpy()
    grew = compared > curve.calls
    for place, mark in enumerate(curve.marks):
        within = compared <= mark
        curve.found[place][within] = step.tokens.numpy()[within]
        curve.seconds[place][within & grew] = seconds
    curve.calls, curve.verified = compared, step.is_verified.numpy()


def scored(opened: Opened, texts: Texts, found: np.ndarray) -> Columns:
    """The metrics of every text, its cosine by the encoder whatever the search was told."""
    tokenizer = opened.inverter.tokenizer
    rows = [[token for token in row if token != tokenizer.pad_id] for row in found.tolist()]
    columns = score_rows(texts.ids, rows)
    vectors = embed(opened.inverter.encoder(), tokenizer.decode_all(rows), EMBEDDED_TOGETHER)
    return {name: columns[name] for name in METRICS if name in columns} | {"cosine": cosine(texts.vectors, vectors)}


def measure_curves(setting: Setting) -> Iterator[Result]:
    opened = setting.open()
    texts = long_enough(opened)
    blind, result = _without_scorer(setting, opened, texts)
    yield result
    held = {BLIND: [blind] * len(marks_of(setting.budget))}  # of each strategy, at every mark
    for strategy in strategies(setting.budget):
        if strategy.options.scorer == SURROGATE and not finished_surrogate(opened.inverter.folder):
            continue  # this model has none
        chosen = texts.spread(strategy.most_texts)
        others = [{name: column[chosen] for name, column in columns.items()} for columns in held[strategy.beside]]
        held[strategy.label] = yield from _measure_curve(opened, texts.at(chosen), strategy, others)


def _measure_curve(
    opened: Opened, texts: Texts, strategy: Strategy, others: list[Columns]
) -> Generator[Result, None, list[Columns]]:
    """A line for every mark, beside what it is compared with there, and one for every range of lengths."""
    setting, curve = opened.setting, trace(opened, texts, SEARCH, strategy)
    held = []
    for place, (mark, other) in enumerate(zip(curve.marks, others, strict=True)):
        details = _details(opened, texts, strategy, "compared", mark) | {"beside": strategy.beside}
        columns = scored(opened, texts, curve.found[place])
        held.append(columns)
        if not most_have_something(curve.found[place], opened.inverter.tokenizer.pad_id):
            continue  # drafts that are compared at once are not a point of a curve before they are
        gains = {name: columns[metric] - other[metric] for name, metric in GAINS.items()}
        numbers = {
            "compared": float(np.minimum(curve.calls, mark).mean()), "most": mark,
            "seconds_per_vector": float(curve.seconds[place].mean()),
        }  # fmt: skip
        yield _result(setting, SEARCH, strategy.label, columns | gains, numbers, details)
    final = held[-1] | {"verified": curve.verified.astype(float)}
    yield from _by_length(setting, opened, texts, strategy, final)
    return held


def most_have_something(found: np.ndarray, pad_id: int) -> bool:  # found: (texts, length)
    return bool((found != pad_id).any(axis=1).mean() > 0.5)


def _without_scorer(setting: Setting, opened: Opened, texts: Texts) -> tuple[Columns, Result]:
    """What the usual decoder gives, which compares nothing."""
    began = time.perf_counter()
    answers = opened.inverter.invert(texts.vectors, options=setting.options)
    seconds = (time.perf_counter() - began) / len(texts.ids)
    length, pad_id = opened.inverter.denoiser.length, opened.inverter.tokenizer.pad_id
    found = np.array([[*row.token_ids, *[pad_id] * (length - len(row.token_ids))] for row in answers])
    details = {**opened.details, "texts": texts.counts, "group": "compared", "steps": setting.options.steps}
    numbers = {"compared": 0.0, "most": 0, "seconds_per_vector": seconds}
    columns = scored(opened, texts, found)
    return columns, _result(setting, SEARCH, BLIND, columns, numbers, details)


def _by_length(
    setting: Setting, opened: Opened, texts: Texts, strategy: Strategy, columns: Columns
) -> Iterator[Result]:
    for name, chosen in _of_lengths(texts, LENGTHS):
        details = _details(opened, texts, strategy, "length", name)
        yield _result(setting, SEARCH, strategy.label, {k: v[chosen] for k, v in columns.items()}, {}, details)


def _of_lengths(texts: Texts, bounds: Sequence[tuple[int, int]]) -> Iterator[tuple[str, np.ndarray]]:
    """What each range of lengths is called, and which texts lie in it, where any do; (texts,) bool."""
    sizes = np.array([len(ids) for ids in texts.ids])
    for least, most in bounds:
        chosen = (sizes >= least) & (sizes <= most)
        if chosen.any():
            yield f"{least} to {most}", chosen


def measure_ablation(setting: Setting) -> Iterator[Result]:
    """The search without one kind of edits after the other, and what is lost on the same texts."""
    opened, whole = setting.open(), Columns()
    texts = long_enough(opened)
    for without in ((), *((kind,) for kind in KINDS if kind != WORDS)):  # by its words no encoder's text is judged
        options = SearchOptions(budget=setting.budget, without=without)
        strategy = Strategy(f"without {without[0]}" if without else "everything", options)
        curve = trace(opened, texts, ABLATION, strategy)
        columns = scored(opened, texts, curve.found[-1])
        whole = whole or columns
        if without:
            columns |= {name: whole[metric] - columns[metric] for name, metric in LOSSES.items()}
        numbers = {"compared": float(curve.calls.mean()), "seconds_per_vector": float(curve.seconds[-1].mean())}
        details = _details(opened, texts, strategy, "ablation", strategy.label)
        yield _result(setting, ABLATION, strategy.label, columns, numbers, details)


def measure_order(setting: Setting) -> Iterator[Result]:
    """From the right words in any order: how often do the rounds bring back the text?"""
    opened = setting.open()
    texts = long_enough(opened)
    beginnings = [
        tuple(stream_for(setting.seed, 9, row).permutation(ids).tolist()) for row, ids in enumerate(texts.ids)
    ]
    options = SearchOptions(budget=setting.budget, restarts=0, patience=SearchOptions().rounds)
    strategy = Strategy("right words, scrambled", options)
    curve = trace(opened, texts, ORDER, strategy, beginnings)
    columns = scored(opened, texts, curve.found[-1])
    whole = (SHORTEST, max(map(len, texts.ids)))
    for name, chosen in _of_lengths(texts, (whole, *LENGTHS)):
        details = _details(opened, texts, strategy, "length", name)
        numbers = {"compared": float(curve.calls[chosen].mean())}
        part = {metric: values[chosen] for metric, values in columns.items()}
        yield _result(setting, ORDER, f"{name} tokens", part, numbers, details)


def _details(opened: Opened, texts: Texts, strategy: Strategy, group: str, name: Any) -> dict[str, Any]:
    return {
        **opened.details, "texts": texts.counts, "search": asdict(strategy.options), "group": group, "name": name,
        "steps": opened.setting.options.steps,
    }  # fmt: skip


def _result(
    setting: Setting, table: str, label: str, columns: Columns, numbers: dict[str, float],
    details: dict[str, Any],
) -> Result:  # fmt: skip
    n = len(next(iter(columns.values())))
    return Result(table, label, n, setting.seed, intervals_of_means(columns, setting.seed), numbers, details)


def curves_page(results: Sequence[Result]) -> str:
    curves = [result for result in results if result.details["group"] == "compared"]
    names = present(curves, METRICS)
    rows = [
        [result.label, f"{result.n:,}", f"{result.numbers['most']:,}", *metric_cells(result, names),
         number(result.numbers["seconds_per_vector"], 2)]
        for result in curves
    ]  # fmt: skip
    page = lay_out(["strategy", "n", "compared texts", *headings_of(names), "seconds per vector"], rows, 1)
    lengths = [result for result in results if result.details["group"] == "length"]
    rows = [[result.label, result.details["name"], f"{result.n:,}", *metric_cells(result, names)] for result in lengths]
    by_length = lay_out(["strategy", "tokens", "n", *headings_of(names)], rows, 2)
    rows = [
        [result.label, result.details["beside"], f"{result.n:,}", f"{result.numbers['most']:,}",
         *(_difference(result, name, metric) for name, metric in GAINS.items())]
        for result in curves if "beside" in result.details
    ]  # fmt: skip
    gained = _headings_of_differences(GAINS, "gained")
    gains = lay_out(["strategy", "text by text against", "n", "compared texts", *gained], rows, 2)
    return "\n\n".join([page, by_length, gains, notes(results)])


def lines_page(results: Sequence[Result]) -> str:
    names, losses = present(results, METRICS), present(results, tuple(LOSSES))
    rows = [
        [result.label, f"{result.n:,}", *metric_cells(result, names),
         *(_difference(result, name, LOSSES[name]) for name in losses), number(result.numbers["compared"], 0)]
        for result in results
    ]  # fmt: skip
    lost = _headings_of_differences({name: LOSSES[name] for name in losses}, "lost")
    return "\n\n".join([lay_out(["", "n", *headings_of(names), *lost, "encoder calls"], rows), notes(results)])


def _headings_of_differences(differences: Mapping[str, str], word: str) -> list[str]:
    return [f"{heading.removesuffix(', %')} {word}, %" for heading in headings_of([*differences.values()])]


def _difference(result: Result, name: str, metric: str) -> str:
    return show(result.metrics[name], *COLUMNS[metric][1:]) if name in result.metrics else NONE


CURVES = Table(measure_curves, curves_page)
PARTS = Table(measure_ablation, lines_page)
ORDERS = Table(measure_order, lines_page)
