"""How close the recovered tokens and texts are to the true ones, row by row.

Tokens are given without padding. Values lie in 0 ... 1, more is better, except the length error, which counts tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from unmask.errors import InputError

TokenRows = Sequence[Sequence[int]]

# Two fillers that are no token ids and differ, so that the space after one text never matches the space after another.
_AFTER_TRUE, _AFTER_FOUND = -1, -2


def token_accuracy(true_ids: TokenRows, found_ids: TokenRows) -> np.ndarray:
    """Positions that hold the right token ÷ true tokens."""
    true, found, true_lengths, found_lengths = _as_matrices(true_ids, found_ids)
    return _share((true == found).sum(axis=1), true_lengths, both_empty=(true_lengths + found_lengths) == 0)


def token_f1(true_ids: TokenRows, found_ids: TokenRows) -> np.ndarray:
    """F1 over the sets of tokens: order and repetition do not count."""
    _same_count(true_ids, found_ids)
    true, found = _distinct(true_ids), _distinct(found_ids)
    rows = len(true_ids)
    pairs, times = np.unique(np.concatenate([true, found]), axis=0, return_counts=True)
    common = np.bincount(pairs[times == 2, 0], minlength=rows)
    sizes = np.bincount(true[:, 0], minlength=rows) + np.bincount(found[:, 0], minlength=rows)
    return _share(2 * common, sizes, both_empty=sizes == 0)


def exact_match(true_ids: TokenRows, found_ids: TokenRows) -> np.ndarray:
    """1 where every token is right and none is too many, else 0."""
    _same_count(true_ids, found_ids)
    return np.array([float(list(a) == list(b)) for a, b in zip(true_ids, found_ids, strict=True)])


def rouge_l(true_ids: TokenRows, found_ids: TokenRows) -> np.ndarray:
    """F over the longest common subsequence of tokens: 2 × its length ÷ (true tokens + found tokens)."""
    true, found, true_lengths, found_lengths = _as_matrices(true_ids, found_ids)
    lengths = true_lengths + found_lengths
    return _share(2 * _longest_common_subsequence(true, found), lengths, both_empty=lengths == 0)


def length_error(true_ids: TokenRows, found_ids: TokenRows) -> np.ndarray:
    """|tokens found − tokens true|; its mean over the texts is what is reported."""
    _same_count(true_ids, found_ids)
    return np.abs(_lengths(found_ids) - _lengths(true_ids)).astype(np.float64)


def score_rows(true_ids: TokenRows, found_ids: TokenRows) -> dict[str, np.ndarray]:
    """Every token metric, a value per row under the metric's name."""
    return {metric.__name__: metric(true_ids, found_ids) for metric in TOKEN_METRICS}


TOKEN_METRICS = (token_accuracy, token_f1, exact_match, rouge_l, length_error)


def _longest_common_subsequence(true: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Length per row, all rows at once; the inner loop of the usual recurrence is a running maximum."""
    best = np.zeros((len(true), found.shape[1] + 1), dtype=np.int32)  # (rows, found + 1)
    for column in true.T:
        extended = best[:, :-1] + (found == column[:, None])
        np.maximum(best[:, 1:], extended, out=best[:, 1:])
        np.maximum.accumulate(best, axis=1, out=best)
    return best[:, -1]


def _as_matrices(true_ids: TokenRows, found_ids: TokenRows) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Both sides as (rows, width) with fillers that match nothing, and the two lengths of each row."""
    _same_count(true_ids, found_ids)
    true_lengths, found_lengths = _lengths(true_ids), _lengths(found_ids)
    width = int(max(true_lengths.max(initial=0), found_lengths.max(initial=0)))
    true = _matrix(true_ids, true_lengths, width, _AFTER_TRUE)
    return true, _matrix(found_ids, found_lengths, width, _AFTER_FOUND), true_lengths, found_lengths


def _matrix(rows: TokenRows, lengths: np.ndarray, width: int, filler: int) -> np.ndarray:
    matrix = np.full((len(rows), width), filler, dtype=np.int64)
    matrix[np.arange(width) < lengths[:, None]] = _flat(rows, lengths)
    return matrix


def _distinct(rows: TokenRows) -> np.ndarray:
    """(n, 2) pairs of row and token, each once."""
    lengths = _lengths(rows)
    pairs = np.stack([np.repeat(np.arange(len(rows)), lengths), _flat(rows, lengths)], axis=1)
    return np.unique(pairs, axis=0)


def _flat(rows: TokenRows, lengths: np.ndarray) -> np.ndarray:
    return np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=int(lengths.sum()))


def _lengths(rows: TokenRows) -> np.ndarray:
    return np.fromiter((len(row) for row in rows), dtype=np.int64, count=len(rows))


def _share(part: np.ndarray, whole: np.ndarray, both_empty: np.ndarray) -> np.ndarray:
    """part ÷ whole; nothing recovered of nothing is right, anything recovered of nothing is wrong."""
    return np.where(both_empty, 1.0, part / np.maximum(whole, 1))


def _same_count(true: Sequence[object], found: Sequence[object]) -> None:
    if len(true) != len(found):
        raise InputError(f"{len(found)} recovered rows for {len(true)} true ones; give one for each, in the same order")
