"""The neighbour head: from the words beside a masked position, the vector and the place, which word stands there."""

from __future__ import annotations

import torch
from torch import nn

from unmask.denoiser.lexical import MEAN_SCALE, with_summary


class NeighbourHead(nn.Module):
    """A small MLP over the few words to either side of a position; it is silent at step 0.

    Attention has to find out first which positions are near; here nearness is given, and a few minutes teach what words
    follow one another. Beside them it sees the vector, what the lexical head made of it, and the mean of all visible
    words, from which it can tell what is still to be said.
    """

    def __init__(self, inputs: int, hidden: int, inner: int, reach: int, length: int) -> None:
        super().__init__()
        self.reach = reach
        self.near = nn.Linear(2 * reach * hidden, inner)
        self.vector = nn.Linear(inputs, inner, bias=False)
        self.visible = nn.Linear(hidden, inner, bias=False)
        self.before = nn.Embedding(length, inner)  # how many positions stand before
        self.after = nn.Embedding(length + 1, inner)  # and how many from here to the end
        self.leave = nn.Linear(inner, hidden)
        for start in (self.before.weight, self.after.weight, self.leave.weight, self.leave.bias):
            nn.init.zeros_(start)

    def of_vector(self, standard: torch.Tensor, summary: torch.Tensor | None) -> torch.Tensor:
        """What does not change from step to step; (batch, inner)."""
        projected: torch.Tensor = self.vector(with_summary(standard, summary))
        return projected

    def forward(
        self,
        ids: torch.Tensor,  # (batch, length)
        positions: torch.Tensor,  # (batch, length) bool
        of_vector: torch.Tensor,  # (batch, inner)
        table: torch.Tensor,  # (vocabulary, hidden)
        mask_id: int,
        pad_id: int,
    ) -> torch.Tensor:
        """In the space of the token table, for the chosen positions only; (positions, hidden)."""
        rows, places = positions.nonzero(as_tuple=True)  # (positions,) each
        is_text = ids != pad_id  # (batch, length)
        to_end = is_text.sum(dim=1)[rows] - places  # (positions,)
        of_row = of_vector + self.visible(mean_of(ids, is_text & (ids != mask_id), table))  # (batch, inner)
        near_ids = self._near_ids(ids, rows, places, pad_id)  # (positions, 2 * reach)
        near = nn.functional.embedding(near_ids, table).flatten(1)  # (positions, 2 * reach * hidden)
        inner = self.near(MEAN_SCALE * near) + of_row[rows]  # (positions, inner)
        inner = inner + (self.before(places) + self.after(to_end.clamp(min=0))).to(inner.dtype)
        left: torch.Tensor = self.leave(nn.functional.gelu(inner))
        return left

    def _near_ids(self, ids: torch.Tensor, rows: torch.Tensor, places: torch.Tensor, pad_id: int) -> torch.Tensor:
        reach = self.reach
        padded = nn.functional.pad(ids, (reach, reach), value=pad_id)  # (batch, length + 2 * reach)
        offsets = [offset for offset in range(2 * reach + 1) if offset != reach]
        return torch.stack([padded[rows, places + offset] for offset in offsets], dim=1)  # (positions, 2 * reach)


def mean_of(ids: torch.Tensor, chosen: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """The mean of the table's rows of the chosen tokens, brought to the size of other inputs; (batch, hidden)."""
    rows = nn.functional.embedding(ids, table)  # (batch, length, hidden)
    total = torch.bmm(chosen[:, None].to(rows.dtype), rows)[:, 0]  # (batch, hidden)
    return MEAN_SCALE * total / chosen.sum(dim=1, keepdim=True).clamp(min=1)
