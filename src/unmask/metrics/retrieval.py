"""What a change to the vectors costs a search among them, against the ranking that the unchanged ones give."""

from __future__ import annotations

import numpy as np

from unmask.errors import VectorError
from unmask.metrics.vectors import unit

ROWS_AT_ONCE = 512


def ranking_kept(original: np.ndarray, changed: np.ndarray, nearest: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Recall and nDCG at `nearest` for every row as a query among the others, (rows,) each.

    The `nearest` neighbours by the original vectors are what is right, the first worth `nearest` and the last 1.
    """
    if len(original) != len(changed) or len(original) < nearest + 2:
        raise VectorError(
            f"{len(original)} vectors and {len(changed)} changed ones, expected as many of both and at least "
            f"{nearest + 2}; take a larger sample"
        )
    right, found = _neighbours(original, nearest), _neighbours(changed, nearest)  # (rows, nearest) each
    is_same = found[:, :, None] == right[:, None, :]  # (rows, nearest found, nearest right)
    worth = np.arange(nearest, 0, -1)  # of the right ones, in their order
    discount = 1 / np.log2(np.arange(nearest) + 2)
    gained = (is_same * worth).sum(axis=2) @ discount  # (rows,)
    return is_same.any(axis=2).mean(axis=1), gained / (worth @ discount)


def _neighbours(vectors: np.ndarray, nearest: int) -> np.ndarray:
    """By cosine, the nearest first, never the row itself; (rows, nearest)."""
    rows = unit(np.asarray(vectors, dtype=np.float32))
    found = []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        likeness = rows[start : start + ROWS_AT_ONCE] @ rows.T  # (part, rows)
        part = np.arange(len(likeness))
        likeness[part, start + part] = -np.inf
        # Stable, so that ties fall alike in both rankings.
        found.append(np.argsort(-likeness, axis=1, kind="stable")[:, :nearest])
    return np.concatenate(found)
