"""Logits of all tokens, or of a few, other ones for each row: which column stands for which token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch


class Offered:
    """Of rows with a vocabulary (rows, few), in rising order and without PAD, which comes first; None: of all."""

    def __init__(self, vocabulary: torch.Tensor | None, pad_id: int) -> None:
        self._vocabulary = vocabulary
        self.few = None if vocabulary is None else torch.nn.functional.pad(vocabulary, (1, 0), value=pad_id)
        self.pad_column = pad_id if vocabulary is None else 0

    def columns(self, tokens: torch.Tensor) -> torch.Tensor:
        """The column of each of tokens (rows, length); PAD's for those that a row's vocabulary has not."""
        if self._vocabulary is None:
            return tokens
        places = torch.searchsorted(self._vocabulary, tokens).clamp(max=self._vocabulary.shape[1] - 1)  # (rows, length)
        return torch.where(self._vocabulary.gather(1, places) == tokens, places + 1, self.pad_column)

    def tokens(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """What a column of each of the rows stands for; both (any,)."""
        return columns if self.few is None else self.few[rows, columns]


def whole_rows(counts: Sequence[int], most: int) -> Iterator[tuple[slice, slice]]:
    """Rows of so many positions each in pieces of `most` positions or fewer, no row in two of them: which rows, and
    which positions. A row that has more than that is a piece of its own."""
    first, start, end = 0, 0, 0
    for row, count in enumerate(counts):
        if end > start and end - start + count > most:
            yield slice(first, row), slice(start, end)
            first, start = row, end
        end += count
    if end > start:
        yield slice(first, len(counts)), slice(start, end)
