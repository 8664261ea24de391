"""95 % intervals by resampling the rows: seeded, percentile, everything at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from unmask.errors import InputError
from unmask.records import Interval
from unmask.runtime import stream_for

RESAMPLES = 1_000
LEVEL = 0.95
_CELLS_AT_ONCE = 4_000_000  # drawn row numbers held in memory together


def interval_of_sums(
    counts: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """The interval of a statistic of sums over the rows, such as corpus BLEU.

    `counts` is (rows, k); `statistic` maps (m, k) sums to m values.
    """
    counts = np.asarray(counts, dtype=np.float64)
    value = float(statistic(counts.sum(axis=0, keepdims=True))[0])
    return _interval(value, statistic(_resampled_sums(counts, seed, resamples)))


def intervals_of_means(
    columns: Mapping[str, np.ndarray], seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Interval]:
    """The mean of each column with its interval; all columns see the same resamples."""
    matrix = np.stack([np.asarray(column, dtype=np.float64) for column in columns.values()], axis=1)  # (rows, columns)
    means = _resampled_sums(matrix, seed, resamples) / len(matrix)  # (resamples, columns)
    values = matrix.mean(axis=0)
    return {name: _interval(float(values[i]), means[:, i]) for i, name in enumerate(columns)}


def _resampled_sums(counts: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    rows = len(counts)
    if not rows:
        raise InputError("0 rows to take an interval of, expected at least 1; give some texts")
    if not np.isfinite(counts).all():
        raise InputError(
            "a value is NaN or infinite, expected finite values only; leave such rows out before resampling"
        )
    random = stream_for(seed)
    sums = np.empty((resamples, counts.shape[1]))
    at_once = max(1, _CELLS_AT_ONCE // rows)
    for start in range(0, resamples, at_once):
        some = min(at_once, resamples - start)
        drawn = random.integers(rows, size=(some, rows))
        cells = drawn + np.arange(some)[:, None] * rows
        times = np.bincount(cells.ravel(), minlength=some * rows).reshape(some, rows)  # how often each row was drawn
        sums[start : start + some] = times @ counts
    return sums


def _interval(value: float, resampled: np.ndarray) -> Interval:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    # A percentile interval of a skewed statistic may miss its own value by a hair; nobody should have to read that.
    return Interval(value, min(float(low), value), max(float(high), value))
