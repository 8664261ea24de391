"""The length head: from the vector, how many tokens the text has."""

from __future__ import annotations

import torch
from torch import nn

from unmask.denoiser.lexical import with_summary


class LengthHead(nn.Module):
    """A small MLP that gives every length a score; where texts end is then no longer the denoiser's to say."""

    def __init__(self, inputs: int, inner: int, longest: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, inner), nn.GELU(), nn.Linear(inner, longest + 1))

    def forward(self, standard: torch.Tensor, summary: torch.Tensor | None) -> torch.Tensor:
        """Scores (batch, longest + 1) of 0, 1, 2, … tokens; what the lexical head expects helps."""
        scores: torch.Tensor = self.layers(with_summary(standard, summary))
        return scores


def median_length(scores: torch.Tensor) -> torch.Tensor:
    """The length that half of the probability lies below, which is least far off on average; (batch,)."""
    below = scores.float().softmax(dim=1).cumsum(dim=1) < 0.5  # (batch, longest + 1)
    return below.sum(dim=1).clamp(min=1, max=scores.shape[1] - 1)
