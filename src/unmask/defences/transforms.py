"""Defences with something learned or secret behind them: product quantisation, rotation, scale-and-perturb."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unmask.errors import InputError
from unmask.runtime import stream_for

CODES = 256
ROUNDS = 12  # of k-means
SCALE = 1.7  # any secret number does: a cosine does not see it


@dataclass(frozen=True)
class Codebook:
    """Product quantisation: of each part of a vector only the number of the nearest centre is kept."""

    centres: tuple[np.ndarray, ...]  # one (codes, width) for each part

    @classmethod
    def learn(cls, vectors: np.ndarray, parts: int, seed: int = 0) -> Codebook:
        rows, dimension = vectors.shape
        if not 1 <= parts <= dimension:
            raise InputError(
                f"{parts} parts for vectors of {dimension} numbers, expected 1 to {dimension}; change them"
            )
        pieces = np.array_split(np.asarray(vectors, dtype=np.float32), parts, axis=1)
        return cls(tuple(_centres(piece, min(CODES, rows), seed, number) for number, piece in enumerate(pieces)))

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (rows, dimension) as they come back from their codes."""
        ends = np.cumsum([centres.shape[1] for centres in self.centres])[:-1]
        pieces = np.split(np.asarray(vectors, dtype=np.float32), ends, axis=1)
        found = [c[_nearest(piece, c)] for piece, c in zip(pieces, self.centres, strict=True)]
        return np.concatenate(found, axis=1)


def _centres(piece: np.ndarray, codes: int, seed: int, number: int) -> np.ndarray:
    """k-means, begun at vectors that were drawn."""
    draw = stream_for(seed, 13, number)
    centres = piece[draw.choice(len(piece), codes, replace=False)].copy()
    for _ in range(ROUNDS):
        nearest = _nearest(piece, centres)
        counts = np.bincount(nearest, minlength=codes)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, piece)
        centres[counts > 0] = sums[counts > 0] / counts[counts > 0, None]
    return centres


def _nearest(piece: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return ((centres**2).sum(axis=1) - 2 * piece @ centres.T).argmin(axis=1)


def rotated(vectors: np.ndarray, secret: int) -> np.ndarray:
    """By an orthogonal matrix that the secret decides: every angle between two vectors stays."""
    dimension = vectors.shape[1]
    drawn, corner = np.linalg.qr(stream_for(secret, 14).standard_normal((dimension, dimension)))
    # With the signs of the diagonal every rotation is as likely as any other.
    return (np.asarray(vectors, dtype=np.float64) @ (drawn * np.sign(np.diag(corner)))).astype(np.float32)


def scaled_and_perturbed(vectors: np.ndarray, strength: float, secret: int, first_row: int = 0) -> np.ndarray:
    """Times a secret number, plus a point drawn evenly from a ball of `strength` times the vector's length."""
    if not 0 <= strength < np.inf:
        raise InputError(f"the strength is {strength}, expected a number from 0; change it")
    vectors = np.asarray(vectors, dtype=np.float64)
    dimension = vectors.shape[1]
    moved = []
    for row, vector in enumerate(vectors, start=first_row):
        draw = stream_for(secret, 15, row)
        direction = draw.standard_normal(dimension)
        radius = strength * np.linalg.norm(vector) * draw.random() ** (1 / dimension)
        moved.append(SCALE * (vector + direction / np.linalg.norm(direction) * radius))
    return np.array(moved, dtype=np.float32).reshape(vectors.shape)


@dataclass(frozen=True)
class Undoing:
    """What an attacker fits who has some vectors both as they were and as they are now."""

    matrix: np.ndarray  # (dimension, dimension)
    offset: np.ndarray  # (dimension,)

    @classmethod
    def fit(cls, defended: np.ndarray, original: np.ndarray, ridge: float = 1e-3) -> Undoing:
        """Least squares from the one to the other, held to small weights where the pairs do not decide."""
        given, wanted = np.asarray(defended, dtype=np.float64), np.asarray(original, dtype=np.float64)
        if given.shape != wanted.shape or len(given) < 2:
            raise InputError(
                f"{given.shape} defended vectors and {wanted.shape} original ones, expected pairs, at least 2"
            )
        centre, goal = given.mean(axis=0), wanted.mean(axis=0)
        given = given - centre
        weight = ridge * np.square(given).sum() / given.shape[1]
        inner = given.T @ given + weight * np.eye(given.shape[1])
        matrix = np.linalg.solve(inner, given.T @ (wanted - goal))
        return cls(matrix, goal - centre @ matrix)

    def apply(self, defended: np.ndarray) -> np.ndarray:
        return (np.asarray(defended, dtype=np.float64) @ self.matrix + self.offset).astype(np.float32)
