"""The lexical head: from the vector, which tokens occur."""

from __future__ import annotations

import torch
from torch import nn


class LexicalHead(nn.Module):
    """A small MLP whose output, multiplied with the token table, scores every token of the vocabulary."""

    def __init__(self, dimension: int, inner: int, hidden: int, vocabulary_size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dimension, inner), nn.GELU(), nn.Linear(inner, hidden))
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))

    def forward(self, standard: torch.Tensor) -> torch.Tensor:
        summary: torch.Tensor = self.layers(standard)  # (batch, hidden)
        return summary

    def scores(self, summary: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(summary, table, self.bias.to(summary.dtype))  # (batch, vocabulary)


class CandidateEmbedding(nn.Module):
    """The head's best tokens as memory: what each is, how sure the head is, and whether the text has used it."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.score = nn.Linear(1, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.spent = nn.Parameter(torch.zeros(hidden))

    def forward(self, embedded: torch.Tensor, log_scores: torch.Tensor) -> torch.Tensor:
        return self.norm(embedded + self.score(log_scores[..., None]))  # (batch, candidates, hidden)


def spent_candidates(ids: torch.Tensor, candidate_ids: torch.Tensor) -> torch.Tensor:
    """Which candidates stand in the visible text already; (batch, candidates) bool."""
    return (ids[:, :, None] == candidate_ids[:, None, :]).any(dim=1)
