"""How well common and rare tokens come back; how common one is, the training text says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from unmask.metrics.bootstrap import interval_of_sums
from unmask.records import Interval

if TYPE_CHECKING:
    from unmask.pairs.dataset import PairsDataset
    from unmask.text.tokens import TextTokenizer

ROWS = 200_000  # training rows that tokens are counted on
_ROWS_AT_ONCE = 16_384
# Occurrences in a million from which a bucket begins.
EDGES = ((10_000, "10,000 and more"), (1_000, "1,000 to 10,000"), (100, "100 to 1,000"), (10, "10 to 100"), (0, "< 10"))


def per_million(pairs: PairsDataset, tokenizer: TextTokenizer) -> np.ndarray:
    """(vocabulary,) occurrences in a million tokens of the training part, or of an even part of it."""
    count = pairs.count("train")
    wanted = min(count, ROWS)
    rows = np.arange(wanted) * count // max(wanted, 1)
    seen = np.zeros(tokenizer.vocabulary_size)
    for start in range(0, wanted, _ROWS_AT_ONCE):
        ids, _ = pairs.rows("train", rows[start : start + _ROWS_AT_ONCE])  # (rows, length)
        seen += np.bincount(ids[ids != tokenizer.pad_id], minlength=len(seen))
    return 1e6 * seen / max(seen.sum(), 1)


def by_frequency(
    true: Sequence[Sequence[int]], found: Sequence[Sequence[int]], rates: np.ndarray, seed: int
) -> Iterator[tuple[str, dict[str, Interval], int]]:
    """Label, shares of the true tokens that came back in place and anywhere, and how many true tokens there are.

    A token that occurs twice in the text comes back twice only if it was found twice.
    """
    highest = float("inf")
    for lowest, label in EDGES:
        chosen = (rates >= lowest) & (rates < highest)
        highest = lowest
        counts = np.array([_counts(a, b, chosen) for a, b in zip(true, found, strict=True)], dtype=np.float64)
        if not counts[:, 2].sum():
            continue
        shares = {
            "in_place": interval_of_sums(counts[:, [0, 2]], _share, seed),
            "in_text": interval_of_sums(counts[:, [1, 2]], _share, seed),
        }
        yield label, shares, int(counts[:, 2].sum())


def _counts(true: Sequence[int], found: Sequence[int], chosen: np.ndarray) -> tuple[int, int, int]:
    """Of the chosen tokens of one text: found in place, found anywhere, all."""
    in_place = sum(bool(chosen[a]) for a, b in zip(true, found, strict=False) if a == b)
    of_true, of_found = Counter(token for token in true if chosen[token]), Counter(found)
    return in_place, sum((of_true & of_found).values()), sum(of_true.values())


def _share(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0] / np.maximum(sums[:, 1], 1)
