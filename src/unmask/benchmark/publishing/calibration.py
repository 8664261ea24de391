"""Whether a token's confidence is the share of such tokens that are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unmask.metrics.bootstrap import interval_of_sums
from unmask.records import Interval

BINS = 10
KINDS = ("in_place", "in_text")  # the right token at its position; a token that the text has anywhere


@dataclass(frozen=True)
class Bin:
    low: float
    high: float
    tokens: int
    confidence: float  # mean
    right: dict[str, Interval]  # share, of each kind


def reliability(
    true: Sequence[Sequence[int]], found: Sequence[Sequence[int]], confidence: Sequence[Sequence[float]], seed: int
) -> tuple[list[Bin], dict[str, Interval]]:
    """The bins that hold any token, and the expected calibration error of each kind; texts are resampled whole."""
    sums = np.array([_of_row(*row) for row in zip(true, found, confidence, strict=True)])  # (texts, BINS, 4)
    totals = sums.sum(axis=0)  # (BINS, 4): tokens, confidence, right of each kind
    if not totals[:, 0].sum():
        return [], {}
    bins = []
    for place in np.flatnonzero(totals[:, 0]).tolist():
        tokens, sure = totals[place, :2]
        right = {
            kind: interval_of_sums(sums[:, place, [2 + number, 0]], _share, seed) for number, kind in enumerate(KINDS)
        }
        bins.append(Bin(place / BINS, (place + 1) / BINS, int(tokens), float(sure / tokens), right))
    errors = {}
    for number, kind in enumerate(KINDS):
        flat = sums[:, :, [0, 1, 2 + number]].reshape(len(sums), -1)  # (texts, 3 BINS)
        errors[kind] = interval_of_sums(flat, _error, seed)
    return bins, errors


def _of_row(true: Sequence[int], found: Sequence[int], confidence: Sequence[float]) -> np.ndarray:
    counts = np.zeros((BINS, 4))
    known = set(true)
    for place, (token, sure) in enumerate(zip(found, confidence, strict=True)):
        counts[min(int(sure * BINS), BINS - 1)] += (
            1,
            sure,
            place < len(true) and true[place] == token,
            token in known,
        )
    return counts


def _share(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0] / np.maximum(sums[:, 1], 1)


def _error(sums: np.ndarray) -> np.ndarray:
    """Σ over bins of |right − confidence| ÷ tokens; (m,) for (m, 3 BINS) sums."""
    of_bin = sums.reshape(len(sums), BINS, 3)
    return np.abs(of_bin[:, :, 2] - of_bin[:, :, 1]).sum(axis=1) / np.maximum(of_bin[:, :, 0].sum(axis=1), 1)
