"""Defences that keep the vectors comparable: noise, fewer bits, fewer dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unmask.errors import InputError
from unmask.metrics.vectors import unit
from unmask.registry import nearest_name
from unmask.runtime import stream_for

PRECISIONS = ("fp32", "fp16", "int8", "binary")
MOST_NOISE = 100.0
_LARGEST_INT8 = 127


@dataclass(frozen=True)
class Blur:
    """What is done to each vector, in this order: dimensions, noise, precision."""

    noise: float = 0.0  # length of the Gaussian noise, as a share of the vector's own
    precision: str = "fp32"
    dimensions: int | None = None  # the first so many are kept, the others become 0; None: all
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.noise <= MOST_NOISE:
            raise InputError(f"noise is {self.noise}, expected a number from 0 to {MOST_NOISE:g}")
        if self.precision not in PRECISIONS:
            guess = nearest_name(self.precision, list(PRECISIONS))
            hint = f"; did you mean '{guess}'?" if guess else ""
            raise InputError(f"precision is '{self.precision}', expected one of {', '.join(PRECISIONS)}{hint}")
        if self.dimensions is not None and self.dimensions < 1:
            raise InputError(f"dimensions is {self.dimensions}, expected at least 1; leave it out to keep all")


def blurred(vectors: np.ndarray, blur: Blur, first_row: int = 0) -> np.ndarray:
    """Vectors (rows, dimension) as somebody would find them, each as long as it was; float32.

    A row's noise depends on the seed and its number alone.
    """
    vectors = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)  # (rows, 1)
    kept = vectors.shape[1] if blur.dimensions is None else blur.dimensions
    if kept > vectors.shape[1]:
        raise InputError(
            f"dimensions is {kept}, but the vectors have {vectors.shape[1]}; give that many at most, or leave it out"
        )
    found = vectors.copy()
    found[:, kept:] = 0
    if blur.noise:
        found[:, :kept] += np.stack([_noise(row, kept, blur) for row in range(first_row, first_row + len(found))]) * (
            lengths * np.float32(blur.noise / np.sqrt(kept))
        )
    return unit(_stored(found, blur.precision)) * lengths


def _noise(row: int, kept: int, blur: Blur) -> np.ndarray:
    return stream_for(blur.seed, 12, row).normal(size=kept).astype(np.float32)


def _stored(vectors: np.ndarray, precision: str) -> np.ndarray:
    """As they come back from such numbers."""
    if precision == "fp16":
        return vectors.astype(np.float16).astype(np.float32)
    if precision == "int8":
        largest = np.maximum(np.abs(vectors).max(axis=1, keepdims=True), np.finfo(np.float32).tiny)  # (rows, 1)
        return (np.round(vectors / largest * _LARGEST_INT8) / _LARGEST_INT8 * largest).astype(np.float32)
    if precision == "binary":
        return np.sign(vectors)
    return vectors
