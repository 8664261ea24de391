"""What an encoder would say of a text that a surrogate has read: the surrogate's word, mended by how wrong it was of
texts like it."""

from __future__ import annotations

import numpy as np

# Texts that are remembered, the last ones. With 128 foresight is hardly worse, with 512 no better.
KEPT = 256
# How far apart two texts are, by the surrogate, that it is wrong of in about the same way, as one word in ten changes
# a text; and how much of its error is each text's own. Of .15 to .8 and .003 to .1 these did best.
REACH, OWN = 0.25, 0.02


class _Known:
    """What the encoder has said of some texts."""

    def __init__(self, read: np.ndarray, wrong: np.ndarray) -> None:
        self.read, self.wrong = read, wrong  # (texts, dimension) by the surrogate, and what the encoder's differ by
        self._usual = wrong.mean(axis=0)
        alike = _likeness(read, read) + OWN * np.eye(len(read), dtype=np.float32)
        self._added = np.linalg.solve(alike, wrong - self._usual)  # (texts, dimension) by each to texts like it

    def mended(self, read: np.ndarray) -> np.ndarray:
        return np.asarray(read + self._usual + _likeness(read, self.read) @ self._added)


class Foresight:
    """Of one vector that is searched for: a Gaussian process over the difference of the two vectors of a text."""

    def __init__(self) -> None:
        self._known: _Known | None = None

    def learn(self, read: np.ndarray, told: np.ndarray) -> None:
        """Vectors (texts, dimension) that the surrogate and the encoder gave the same texts."""
        wrong = told - read
        if self._known is not None:
            read, wrong = np.concatenate([self._known.read, read]), np.concatenate([self._known.wrong, wrong])
        self._known = _Known(read[-KEPT:], wrong[-KEPT:])

    def vectors(self, read: np.ndarray) -> np.ndarray:
        """About the encoder's vectors, of unit length, of texts that the surrogate has read (texts, dimension)."""
        found = read if self._known is None else self._known.mended(read)
        return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6))


def _likeness(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(first, second), 1 for the same."""
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * first @ second.T
    return np.exp(-np.maximum(squares, 0) / (2 * REACH**2)).astype(np.float32)
