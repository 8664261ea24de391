"""What an encoder would say of a text that a surrogate has read: the surrogate's word, mended by how wrong it was of
texts like it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from unmask.metrics.vectors import unit
from unmask.search.marks import marks_of

if TYPE_CHECKING:
    from unmask.search.hypotheses import Row

# Texts that are remembered, the last ones.
KEPT = 256
# How far apart two texts are, by the surrogate, that it is wrong of in about the same way, and how many words and
# neighbours they may differ by (its square root); how much of its error is each text's own.
REACH, APART, OWN = 0.25, 5.0, 0.01


class Process:
    """A Gaussian process: from vectors of some things to those of others."""

    def __init__(self, likeness: np.ndarray, vectors: np.ndarray) -> None:
        """likeness: (things, things), 1 for the same; vectors: (things, dimension)."""
        self._usual = vectors.mean(axis=0)
        alike = likeness + OWN * np.eye(len(likeness), dtype=np.float32)
        self.added = np.linalg.solve(alike, vectors - self._usual)  # (things, dimension) by each to those like it

    def foresee(self, likeness: np.ndarray) -> np.ndarray:
        """likeness: (others, things)."""
        return np.asarray(self._usual + likeness @ self.added)


class _Known:
    """What the encoder has said of some texts."""

    def __init__(self, read: np.ndarray, marks: np.ndarray, wrong: np.ndarray) -> None:
        # (texts, dimension) by the surrogate, (texts, buckets), and what the encoder's vectors differ by
        self.read, self.marks, self.wrong = read, marks, wrong
        self._process = Process(self._likeness(read, marks), wrong)

    def mended(self, read: np.ndarray, marks: np.ndarray) -> np.ndarray:
        return np.asarray(read + self._process.foresee(self._likeness(read, marks)))

    def _likeness(self, read: np.ndarray, marks: np.ndarray) -> np.ndarray:
        """Of texts to those that are known, (texts, known), 1 for the same: by what the surrogate makes of them and by
        what they are made of, for it feels words more than their order."""
        return (near(read, self.read, REACH) + near(marks, self.marks, APART)) / 2


class Foresight:
    """Of one vector that is searched for: a Gaussian process over the difference of the two vectors of a text."""

    def __init__(self) -> None:
        self._known: _Known | None = None

    def learn(self, rows: Sequence[Row], read: np.ndarray, told: np.ndarray) -> None:
        """Texts, and the vectors (texts, dimension) that the surrogate and the encoder gave them."""
        parts, known = [read, marks_of(rows), told - read], self._known
        if known is not None:
            held = known.read, known.marks, known.wrong
            parts = [np.concatenate(both) for both in zip(held, parts, strict=True)]
        self._known = _Known(*(part[-KEPT:] for part in parts))

    def vectors(self, rows: Sequence[Row], read: np.ndarray) -> np.ndarray:
        """About the encoder's vectors, of unit length, of texts whose vectors (texts, dimension) the surrogate has."""
        found = read if self._known is None else self._known.mended(read, marks_of(rows))
        return unit(found)


def near(first: np.ndarray, second: np.ndarray, reach: float) -> np.ndarray:
    """(first, second), 1 for the same."""
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * first @ second.T
    return np.exp(-np.maximum(squares, 0) / (2 * reach**2)).astype(np.float32)
