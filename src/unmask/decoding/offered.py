"""Logits of a few tokens only, other ones for each row: which column stands for which token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

PAD_COLUMN = 0


def with_pad(vocabulary: torch.Tensor, pad_id: int) -> torch.Tensor:
    """Which token each column stands for; (rows, 1 + few)."""
    return torch.nn.functional.pad(vocabulary, (1, 0), value=pad_id)


def columns_of(vocabulary: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """The column of each of tokens (rows, length); PAD's for those that a row's vocabulary has not."""
    places = torch.searchsorted(vocabulary, tokens).clamp(max=vocabulary.shape[1] - 1)  # (rows, length)
    return torch.where(vocabulary.gather(1, places) == tokens, places + PAD_COLUMN + 1, PAD_COLUMN)


def whole_rows(counts: Sequence[int], most: int) -> Iterator[tuple[slice, slice]]:
    """Rows of so many positions each in pieces of about `most` positions, no row in two of them: which rows, and which
    positions."""
    first, start, end = 0, 0, 0
    for row, count in enumerate(counts):
        end += count
        if end - start >= most or (row == len(counts) - 1 and end > start):
            yield slice(first, row + 1), slice(start, end)
            first, start = row + 1, end
