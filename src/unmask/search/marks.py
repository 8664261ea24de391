"""What a text is made of, in few numbers: its words and which stands beside which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from unmask.search.hypotheses import Row

# With 1,024 texts are told apart hardly better, with 256 a little worse.
BUCKETS = 512
# Odd, and large: they spread words and pairs over all of 64 bits.
_WORD, _LEFT, _RIGHT, _MIX = (
    np.uint64(n) for n in (0xD6E8FEB86659FD93, 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xBF58476D1CE4E5B9)
)


def marks_of(rows: Sequence[Row]) -> np.ndarray:
    """(rows, buckets) float32: each word of a text, and each pair of neighbours with the text's ends among them, adds 1
    or -1 to a bucket. The squared distance of two texts is then about how many of these they do not share."""
    longest = max(map(len, rows), default=0)
    ids = np.zeros((len(rows), longest + 2), dtype=np.uint64)  # 0 at and beyond both ends
    for number, row in enumerate(rows):
        ids[number, 1 : len(row) + 1] = _numbered(row)
    words, left, right = ids[:, 1:-1], ids[:, :-1], ids[:, 1:]
    hashes = np.concatenate([words * _WORD, left * _LEFT + right * _RIGHT], axis=1)  # (rows, words + pairs)
    is_there = np.concatenate([words > 0, (left > 0) | (right > 0)], axis=1)
    buckets, signs = _placed(hashes)
    buckets += BUCKETS * np.arange(len(rows))[:, None]
    found = np.bincount(buckets.ravel(), weights=(signs * is_there).ravel(), minlength=len(rows) * BUCKETS)
    return found.reshape(len(rows), BUCKETS).astype(np.float32)


def marks_of_pairs(row: Row) -> tuple[np.ndarray, np.ndarray]:
    """The bucket of every two of a text's words as neighbours, the first on the left, and what they add to it: both
    (1 + words, 1 + words), where 0 is the text's end."""
    ids = np.concatenate([np.zeros(1, dtype=np.uint64), _numbered(row)])
    return _placed(ids[:, None] * _LEFT + ids * _RIGHT)


def _numbered(row: Row) -> np.ndarray:
    return np.array(row, dtype=np.uint64) + np.uint64(1)


def _placed(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bucket of each, and the sign that it adds with."""
    hashes = (hashes ^ (hashes >> np.uint64(29))) * _MIX
    hashes ^= hashes >> np.uint64(32)
    return (hashes % np.uint64(BUCKETS)).astype(np.int64), np.where(hashes >> np.uint64(63), 1.0, -1.0)
