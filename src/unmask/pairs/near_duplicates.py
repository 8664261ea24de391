"""Which training texts are nearly the same as a held-out one: MinHash over word pairs, banded, then checked."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unmask.runtime import stream_for

SIMILAR = 0.6  # Jaccard overlap of two texts' word pairs from which they count as nearly the same
# 24 bands of 3: of pairs at the threshold 0.3 % are missed, and few that are far from it need to be checked.
BANDS, ROWS_PER_BAND = 24, 3
_PAIRS_AT_ONCE = 4096
_CANDIDATES_AT_ONCE = 1 << 22
_SEED = 20_240


@dataclass(frozen=True)
class WordRows:
    """The words of many texts as numbers, one text after the other."""

    hashes: np.ndarray  # (words,) uint32
    counts: np.ndarray  # (texts,) int64

    def __len__(self) -> int:
        return len(self.counts)

    def select(self, chosen: np.ndarray) -> WordRows:
        """The texts where `chosen` is true."""
        return WordRows(self.hashes[np.repeat(chosen, self.counts)], self.counts[chosen])


def hash_words(texts: Sequence[Sequence[str]]) -> WordRows:
    hashes = np.fromiter((zlib.crc32(word.encode("utf-8", "replace")) for words in texts for word in words), np.uint32)
    return WordRows(hashes, np.array([len(words) for words in texts], dtype=np.int64))


def join_rows(parts: Sequence[WordRows]) -> WordRows:
    if not parts:
        return WordRows(np.empty(0, np.uint32), np.empty(0, np.int64))
    return WordRows(np.concatenate([part.hashes for part in parts]), np.concatenate([part.counts for part in parts]))


class HeldOutIndex:
    """The held-out texts, so arranged that near-duplicates of them are found without comparing with each."""

    def __init__(self, held_out: WordRows) -> None:
        self._shingles = _shingles(held_out)
        keys = _band_keys(*self._shingles)  # (texts, bands)
        self._order = np.argsort(keys, axis=0, kind="stable")
        self._sorted = np.take_along_axis(keys, self._order, axis=0)

    def near(self, texts: WordRows) -> np.ndarray:
        """(texts,) bool: which of them are nearly the same as some held-out text."""
        found = np.zeros(len(texts), dtype=bool)
        if not len(texts) or not len(self._order):
            return found
        shingles = _shingles(texts)
        first, counts = self._ranges(_band_keys(*shingles))
        # Texts made from one template agree with each other by the million: only so many pairs are held at a time.
        stretches = np.cumsum(counts.sum(axis=1)) // _CANDIDATES_AT_ONCE
        for stretch in np.unique(stretches):
            chosen = np.flatnonzero(stretches == stretch)
            rows, others = self._candidates(first[chosen], counts[chosen])
            for start in range(0, len(rows), _PAIRS_AT_ONCE):
                some = slice(start, start + _PAIRS_AT_ONCE)
                overlaps = _jaccard(shingles, chosen[rows[some]], self._shingles, others[some])
                found[chosen[rows[some]][overlaps >= SIMILAR]] = True
        return found

    def _ranges(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(texts, bands): where the held-out texts with the same key begin in each band, and how many there are."""
        columns = list(zip(self._sorted.T, keys.T, strict=True))
        first = np.stack([np.searchsorted(held, wanted, side="left") for held, wanted in columns], axis=1)
        after = np.stack([np.searchsorted(held, wanted, side="right") for held, wanted in columns], axis=1)
        return first, after - first

    def _candidates(self, first: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (text, held-out text) that agree in at least one band."""
        size = len(self._order)
        pairs = []
        for band in range(BANDS):
            rows = np.repeat(np.arange(len(first)), counts[:, band])
            inside = np.arange(len(rows)) - np.repeat(np.cumsum(counts[:, band]) - counts[:, band], counts[:, band])
            pairs.append(rows * size + self._order[first[rows, band] + inside, band])
        unique = np.unique(np.concatenate(pairs))
        return unique // size, unique % size


def _shingles(texts: WordRows) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of each text's word pairs, and how many each text has; a lone word pairs with nothing."""
    counts = np.maximum(texts.counts - 1, 1)
    starts = np.cumsum(texts.counts) - texts.counts
    padded = np.concatenate([texts.hashes, np.zeros(2, np.uint32)]).astype(np.uint64)
    inside = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    first = np.minimum(np.repeat(starts, counts) + inside, len(texts.hashes))
    left = np.where(np.repeat(texts.counts, counts) > 0, padded[first], np.uint64(0))
    right = np.where(np.repeat(texts.counts, counts) > 1, padded[first + 1], np.uint64(0))
    return _mix(left << np.uint64(32) | right), counts


def _mix(values: np.ndarray) -> np.ndarray:
    """Spread the bits of 64-bit integers."""
    values = (values ^ (values >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(29))) * np.uint64(0xD6E8FEB86659FD93)
    return values ^ (values >> np.uint64(32))


def _band_keys(shingles: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(texts, bands) uint64: equal where the smallest hashes of a band's functions are equal."""
    if not len(counts):
        return np.empty((0, BANDS), np.uint64)
    multipliers = stream_for(_SEED).integers(0, 2**64, (BANDS, ROWS_PER_BAND), dtype=np.uint64) | np.uint64(1)
    starts = np.cumsum(counts) - counts
    keys = np.zeros((len(counts), BANDS), np.uint64)
    for band in range(BANDS):
        for multiplier in multipliers[band]:
            smallest = np.minimum.reduceat((shingles * multiplier) >> np.uint64(32), starts)
            keys[:, band] = _mix(keys[:, band] ^ smallest)
    return keys


def _jaccard(
    left: tuple[np.ndarray, np.ndarray], rows: np.ndarray, right: tuple[np.ndarray, np.ndarray], others: np.ndarray
) -> np.ndarray:
    """(pairs,) shared word pairs ÷ all word pairs of both texts."""
    first, first_real = _padded(*left, rows)  # (pairs, most)
    second, second_real = _padded(*right, others)
    equal = (first[:, :, None] == second[:, None, :]) & second_real[:, None, :]  # (pairs, most, most)
    shared = (equal.any(axis=2) & first_real).sum(axis=1)
    return shared / (first_real.sum(axis=1) + second_real.sum(axis=1) - shared)


def _padded(shingles: np.ndarray, counts: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The shingles of some texts as a table, and which of its places hold one that did not stand earlier in its row."""
    starts = np.cumsum(counts) - counts
    places = np.arange(counts[rows].max())
    real = places < counts[rows, None]
    table = shingles[np.where(real, starts[rows, None] + places, 0)]
    table = np.sort(np.where(real, table, np.uint64(2**64 - 1)), axis=1)
    repeated = np.zeros_like(real)
    repeated[:, 1:] = table[:, 1:] == table[:, :-1]
    return table, real & ~repeated
