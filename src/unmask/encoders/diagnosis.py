"""Do these vectors belong to these texts and this encoder, and if not, which difference explains it?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from unmask.encoders import relations
from unmask.encoders.base import Encoder
from unmask.encoders.relations import AGREES, are_ones, cosines, length_ratios
from unmask.encoders.variants import Variant, variants_of
from unmask.errors import EncoderError, InputError

Kind = Literal[
    "match",
    "normalisation",
    "dimension",
    "order",
    "precision",
    "prompt",
    "pooling",
    "task",
    "truncation",
    "text",
    "some rows",
    "rotation",
    "linear map",
    "another model",
]
LIMIT = 256  # rows that are embedded again unless more are asked for
PROBE = 32  # rows on which a variant is tried
EXPLAINED = 0.9  # share of the probed rows that an explanation must reach


@dataclass(frozen=True)
class Attempt:
    """One variant that was tried."""

    kind: str
    what: str
    cosine: float  # mean over the probed rows
    share: float  # of the probed rows that agree


@dataclass(frozen=True)
class Diagnosis:
    """What is the matter, in one sentence each: what was found and what to do."""

    kind: Kind
    summary: str
    advice: str
    rows: int  # rows compared
    agreeing: int  # of these, rows with the direction that the encoder gives
    cosine: float  # mean over the compared rows
    median_cosine: float
    given_dimension: int
    encoder_dimension: int
    notes: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()

    @property
    def matches(self) -> bool:
        return self.kind == "match"


@dataclass(frozen=True)
class Evidence:
    """The user's rows beside what the encoder makes of the same texts."""

    encoder: Encoder
    texts: list[str]  # of the compared rows
    given: np.ndarray  # (rows, given dimension)
    made: np.ndarray  # (rows, encoder dimension)
    everything: np.ndarray  # (all rows, given dimension)
    cosine: np.ndarray  # (rows,)

    @property
    def failing(self) -> np.ndarray:
        """Numbers of the compared rows that disagree."""
        return np.flatnonzero(self.cosine < AGREES)

    def conclude(self, kind: Kind, summary: str, advice: str, notes: tuple[str, ...] = ()) -> Diagnosis:
        return Diagnosis(
            kind=kind,
            summary=summary,
            advice=advice,
            rows=len(self.given),
            agreeing=len(self.given) - len(self.failing),
            cosine=float(self.cosine.mean()),
            median_cosine=float(np.median(self.cosine)),
            given_dimension=self.given.shape[1],
            encoder_dimension=self.encoder.dimension,
            notes=notes,
        )


def diagnose(encoder: Encoder, texts: Sequence[str], vectors: np.ndarray, limit: int = LIMIT) -> Diagnosis:
    """Embed the first `limit` texts again and explain how the vectors given for them differ, if they do."""
    if len(texts) != len(vectors):
        raise InputError(
            f"there are {len(texts)} texts and {len(vectors)} vectors, expected one vector for each text in the same "
            "order; check whether empty lines were left out when the texts were embedded"
        )
    rows = list(texts[:limit])
    made = encoder.encode(rows)
    given = np.asarray(vectors[: len(rows)], dtype=np.float32)
    evidence = Evidence(encoder, rows, given, made, np.asarray(vectors), cosines(given, made))
    checks: tuple[Callable[[Evidence], Diagnosis | None], ...] = (
        compare_directly,
        compare_order,
        compare_numbers,
        compare_variants,
        compare_geometry,
    )
    return next(found for check in checks if (found := check(evidence)) is not None)


def compare_directly(evidence: Evidence) -> Diagnosis | None:
    """The same directions: at most the length or the number of dimensions differs."""
    if len(evidence.failing):
        return None
    rows, given, made = len(evidence.given), evidence.given, evidence.made
    ratios = length_ratios(given, made)
    if given.shape[1] < made.shape[1]:
        kept = "the length that the cut left them" if are_ones(ratios) else "lengths of their own"
        if are_ones(np.linalg.norm(given, axis=1)):
            kept = "length 1 again"
        return evidence.conclude(
            "dimension",
            f"the vectors are the first {given.shape[1]} of the encoder's {made.shape[1]} dimensions, with {kept}",
            f"use the encoder with --truncate-dim {given.shape[1]}",
        )
    if not are_ones(ratios):
        return evidence.conclude(
            "normalisation",
            f"the directions match in all {rows} rows but the lengths do not: {_lengths(given)}, "
            f"the encoder's {_lengths(made)}",
            "bring the vectors to the encoder's length (divide each by its norm if that is 1) before you invert them",
        )
    return evidence.conclude(
        "match",
        f"the vectors match: {rows} of {rows} rows, lowest cosine {evidence.cosine.min():.5f}",
        "nothing to mend",
        _storage(given),
    )


def compare_order(evidence: Evidence) -> Diagnosis | None:
    """The right vectors in other rows."""
    if evidence.given.shape[1] > evidence.made.shape[1]:
        return None
    failing = evidence.failing
    elsewhere = relations.rows_elsewhere(evidence.made[failing], evidence.everything, failing)
    found = elsewhere >= 0
    if found.mean() < 0.5:
        return None
    shifts, counts = np.unique((elsewhere - failing)[found], return_counts=True)
    if counts.max() > 0.8 * found.sum():
        shift = int(shifts[counts.argmax()])
        what = f"from row {failing[found][0]} on the vectors stand {abs(shift)} {_rows(shift)} too {_side(shift)}"
    else:
        what = f"the rows are shuffled: the vector of text {failing[found][0]} stands in row {elsewhere[found][0]}"
    return evidence.conclude(
        "order",
        f"{what}; {found.sum()} of {len(failing)} disagreeing texts have their vector in another row",
        "write texts and vectors in the same order, without leaving rows out",
    )


def compare_numbers(evidence: Evidence) -> Diagnosis | None:
    """Numbers that were made coarser, scaled dimension by dimension, or rotated."""
    given, made = evidence.given, evidence.made
    if len(evidence.failing) < 0.5 * len(given):
        return None
    embed_anew = "use the vectors as they were before that, or embed the texts anew and keep float16 or float32"
    if relations.is_binary(given, made):
        return evidence.conclude("precision", "only the signs are left: the vectors were made binary", embed_anew)
    if relations.is_scaled_by_column(given, made):
        return evidence.conclude(
            "precision",
            "each dimension has a scale and an offset of its own, as int8 with calibration or standardising leaves it",
            "undo it with the ranges (or mean and spread) it was made with, or embed the texts anew",
        )
    if relations.is_on_grid(given) and np.median(evidence.cosine) > 0.9:
        what = f"about {relations.levels(given)} different numbers stand in a row"
        return evidence.conclude("precision", f"the vectors were quantised coarsely: {what}", embed_anew)
    if relations.is_rotated(given, made):
        return evidence.conclude(
            "rotation",
            "all angles between the vectors are the encoder's, but the axes are not: they were rotated or reordered",
            "undo that rotation before you invert the vectors",
        )
    return None


def compare_variants(evidence: Evidence) -> Diagnosis | None:
    """The same model with another prompt, pooling, cut, adapter or form of the texts."""
    failing = evidence.failing
    probe = failing[np.unique(np.linspace(0, len(failing) - 1, PROBE).astype(int))]
    texts, given = [evidence.texts[row] for row in probe], evidence.given[probe]
    attempts: list[Attempt] = []
    notes: list[str] = []
    best: tuple[Variant, Attempt, np.ndarray] | None = None
    for variant in variants_of(evidence.encoder, texts):
        try:
            made = variant.embed(texts)
        except EncoderError as error:  # an API's budget or patience may end here
            notes.append(f"not everything could be tried: {error}")
            break
        cosine = cosines(given, made)
        attempt = Attempt(variant.kind, variant.what, float(cosine.mean()), float((cosine >= AGREES).mean()))
        attempts.append(attempt)
        if attempt.share >= EXPLAINED and (best is None or attempt.cosine > best[1].cosine):
            best = variant, attempt, made
    if best is None:
        return replace(compare_geometry(evidence), attempts=tuple(attempts), notes=tuple(notes))
    found = _explain(evidence, probe, *best)
    return replace(found, attempts=tuple(attempts), notes=(*found.notes, *notes))


def _explain(evidence: Evidence, probe: np.ndarray, variant: Variant, attempt: Attempt, made: np.ndarray) -> Diagnosis:
    given, failing = evidence.given[probe], evidence.failing
    where = "" if len(failing) == len(evidence.given) else f" in {len(failing)} of {len(evidence.given)} rows"
    notes = []
    if given.shape[1] < made.shape[1]:
        notes.append(f"and they are the first {given.shape[1]} of {made.shape[1]} dimensions")
    shared = made[:, : given.shape[1]]
    if not are_ones(length_ratios(given, shared)) and not are_ones(np.linalg.norm(given, axis=1)):
        notes.append(f"and their lengths differ: {_lengths(given)}, the encoder's {_lengths(shared)}")
    return evidence.conclude(
        _kind(variant.kind),
        f"the vectors were made {variant.what}{where} (cosine {attempt.cosine:.4f} so, "
        f"{evidence.cosine[probe].mean():.4f} as given)",
        variant.advice,
        tuple(notes),
    )


def compare_geometry(evidence: Evidence) -> Diagnosis:
    """What is left: some wrong rows, a linear map, or another model."""
    given, made, failing = evidence.given, evidence.made, evidence.failing
    if len(failing) < 0.5 * len(given):
        return evidence.conclude(
            "some rows",
            f"{len(failing)} of {len(given)} rows do not belong to their texts, the first is row {failing[0]} "
            f"({evidence.texts[failing[0]]!r:.60})",
            "embed those texts anew, or check whether they were edited since",
        )
    fit = relations.linear_fit(given, made)
    if fit is not None and fit > 0.95:
        return evidence.conclude(
            "linear map",
            f"a linear map leads from the encoder's vectors to these (cosine {fit:.3f} on rows it was not fitted to)",
            "undo that map (a projection, whitening or an adapter) before you invert the vectors",
        )
    alike = relations.structure(given, made)
    related = f"their pairwise similarities correlate at {alike:.2f} with the encoder's"
    if given.shape[1] > made.shape[1]:
        summary = f"the vectors have {given.shape[1]} dimensions and the encoder only {made.shape[1]}; {related}"
    else:
        summary = f"nothing that this encoder can do gives these vectors (mean cosine {evidence.cosine.mean():.3f})"
        summary = f"{summary}; {related}"
    advice = "they come from another model: find its name and give it with --encoder"
    if fit is None:
        needed = 2 * made.shape[1]
        advice += f" (whether a linear map connects the two can be tested with --limit {needed} and as many rows)"
    return evidence.conclude("another model", summary, advice)


def _kind(name: str) -> Kind:
    known: dict[str, Kind] = {
        "prompt": "prompt",
        "pooling": "pooling",
        "task": "task",
        "truncation": "truncation",
        "dimension": "dimension",
    }
    return known.get(name, "text")


def _storage(given: np.ndarray) -> tuple[str, ...]:
    if relations.is_on_grid(given):
        return (f"they were quantised (about {relations.levels(given)} different numbers in a row), finely enough",)
    return ()


def _lengths(values: np.ndarray) -> str:
    low, high = np.linalg.norm(values, axis=1).min(), np.linalg.norm(values, axis=1).max()
    return f"{low:.3f}" if high - low < 0.01 * high else f"{low:.3f} to {high:.3f}"


def _rows(shift: int) -> str:
    return "row" if abs(shift) == 1 else "rows"


def _side(shift: int) -> str:
    return "late" if shift > 0 else "early"
