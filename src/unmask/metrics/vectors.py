"""How close two vectors are, and rows of unit length."""

from __future__ import annotations

import numpy as np

from unmask.errors import VectorError


def cosine(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Cosine of each row of one with the same row of the other; 0 where either is the zero vector."""
    left, right = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 2:
        raise VectorError(
            f"vectors of shape {left.shape} and {right.shape}, expected two arrays of the same (rows, dimension); "
            "embed both sides with the same encoder"
        )
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    products = np.einsum("ij,ij->i", left, right)
    return np.clip(np.divide(products, lengths, out=np.zeros(len(left)), where=lengths > 0), -1.0, 1.0)


def unit(values: np.ndarray) -> np.ndarray:
    """Rows (..., dimension) of length 1; zero vectors stay what they are."""
    norms = np.linalg.norm(values, axis=-1, keepdims=True)
    return values / np.where(norms == 0, 1, norms)
