"""How two sets of vectors for the same texts relate, by numbers alone."""

from __future__ import annotations

import numpy as np

from unmask.metrics.vectors import unit

AGREES = 0.998  # cosine from which two vectors count as the same: other hardware, fp16 and int8 all stay above
SAME_LENGTH = 0.02  # relative difference of norms that counts as rounding
GRID_DIMENSION = 64  # below this too few numbers stand in a row to see the steps of a quantised one


def cosines(given: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Row by row over the dimensions that `given` has; zeros where it has more than `made`. (rows,)"""
    if given.shape[1] > made.shape[1]:
        return np.zeros(len(given), dtype=np.float32)
    return (unit(given) * unit(made[:, : given.shape[1]])).sum(axis=1)


def length_ratios(given: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Norm of each given vector over that of its counterpart in the same dimensions. (rows,)"""
    return np.linalg.norm(given, axis=1) / np.linalg.norm(made[:, : given.shape[1]], axis=1)


def are_ones(ratios: np.ndarray) -> bool:
    return bool((np.abs(ratios - 1) < SAME_LENGTH).all())


def rows_elsewhere(made: np.ndarray, everything: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """For each text, of which `rows` says the own row, the other row that holds its vector; -1 if none does. (rows,)"""
    similarity = unit(made[:, : everything.shape[1]]) @ unit(everything).T  # (texts, vectors)
    similarity[np.arange(len(rows)), rows] = -1
    best = similarity.argmax(axis=1)
    return np.where(similarity[np.arange(len(rows)), best] >= AGREES, best, -1)


def levels(values: np.ndarray) -> int:
    """How many different numbers stand in a row, in the median."""
    return int(np.median([len(np.unique(row)) for row in values]))


def is_on_grid(values: np.ndarray) -> bool:
    """Whether so few different numbers stand in a row that they were quantised."""
    return values.shape[1] >= GRID_DIMENSION and levels(values) <= values.shape[1] // 2


def is_binary(given: np.ndarray, made: np.ndarray) -> bool:
    """Whether only the signs are left."""
    if given.shape[1] > made.shape[1] or levels(given) > 2:
        return False
    own = made[:, : given.shape[1]]
    return bool(np.mean((given > 0) == (own > 0)) > 0.98)


def is_scaled_by_column(given: np.ndarray, made: np.ndarray) -> bool:
    """Whether each dimension has a scale and an offset of its own: int8 with calibration, or standardising."""
    if given.shape[1] > made.shape[1] or len(given) < 8:
        return False
    a, b = (values - values.mean(axis=0) for values in (given, made[:, : given.shape[1]]))
    spread = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)  # (dimension,)
    correlation = (a * b).sum(axis=0) / np.where(spread == 0, 1, spread)
    return bool(np.median(correlation) > 0.99)


def similarities(values: np.ndarray) -> np.ndarray:
    """The cosine of every pair of rows, once each."""
    directions = unit(values)
    return (directions @ directions.T)[np.triu_indices(len(values), 1)]


def is_rotated(given: np.ndarray, made: np.ndarray) -> bool:
    """Whether all angles are kept, as by a rotation or another order of the dimensions."""
    if len(given) < 4:
        return False
    return bool(np.quantile(np.abs(similarities(given) - similarities(made)), 0.99) < 0.01)


def structure(given: np.ndarray, made: np.ndarray) -> float:
    """Correlation of the two sets of pairwise similarities: 1 for the same geometry, 0 for unrelated vectors."""
    if len(given) < 4:
        return float("nan")
    of_given, of_made = similarities(given), similarities(made)
    if not (of_given.std() and of_made.std()):  # all texts are the same, say
        return float("nan")
    return float(np.corrcoef(of_given, of_made)[0, 1])


def linear_fit(given: np.ndarray, made: np.ndarray) -> float | None:
    """Mean cosine that a linear map reaches on rows it was not fitted to; None where there are too few to say."""
    fitted = 3 * len(given) // 4
    if fitted < 1.5 * made.shape[1]:
        return None
    matrix, *_ = np.linalg.lstsq(made[:fitted], given[:fitted], rcond=None)
    return float(cosines(given[fitted:], made[fitted:] @ matrix).mean())
