"""The lexical head: from the vector, which tokens occur."""

from __future__ import annotations

import torch
from torch import nn

from unmask.products import steady_linear

# Brings a mean of token rows to about the size of the other inputs.
MEAN_SCALE = 8.0
# What is believed of a word before it is counted: so often it comes again, as if seen in so many texts.
USUAL_AGAIN, SEEN_AS = 0.06, 20
DEAREST = 4.0  # logits that a word's coming again may cost at most


class LexicalHead(nn.Module):
    """A small MLP whose output, multiplied with the token table, scores every token of the vocabulary.

    It may look again, some times: at what a text of its scores would be made of, beside the vector. What one word
    explains need then not be explained by another.
    """

    def __init__(self, dimension: int, inner: int, hidden: int, vocabulary_size: int, looks: int = 0) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dimension, inner), nn.GELU(), nn.Linear(inner, hidden))
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))
        self.looks = nn.ModuleList(SecondLook(dimension, inner // 2, hidden) for _ in range(looks))
        self.is_looking = True  # training begins without, for speed

    def forward(self, standard: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        summary: torch.Tensor = self.layers(standard)  # (batch, hidden)
        if not self.is_looking or not self.looks:
            return summary
        # A table that is in this type already stays itself, which is what a steady weight is known by.
        rows, bias = table if table.dtype == summary.dtype else table.detach().to(summary.dtype), self.bias
        for look in self.looks:
            summary = look(standard, summary, mean_row(summary, rows, bias))
        return summary

    def scores(self, summary: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return steady_linear(summary, table, self.bias.to(summary.dtype))  # (batch, vocabulary)


@torch.no_grad()
def mean_row(summary: torch.Tensor, table: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """The token table's rows, each by the share of the text that the scores give it; (batch, hidden) fp32.

    Without a gradient: it would be two more products of the table's size, and the summary has its own way back.
    """
    shares = steady_linear(summary, table, bias.to(summary.dtype))  # (batch, vocabulary)
    shares.sub_(shares.amax(dim=1, keepdim=True)).exp_()
    return steady_linear(shares, table, back=True).float() / shares.sum(dim=1, keepdim=True, dtype=torch.float32)


class SecondLook(nn.Module):
    def __init__(self, dimension: int, inner: int, hidden: int) -> None:
        super().__init__()
        leave = nn.Linear(inner, hidden)
        nn.init.zeros_(leave.weight)
        nn.init.zeros_(leave.bias)
        self.layers = nn.Sequential(nn.Linear(dimension + 2 * hidden, inner), nn.GELU(), leave)

    def forward(self, standard: torch.Tensor, summary: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
        seen = torch.cat([standard, summary.to(standard.dtype), MEAN_SCALE * mean.to(standard.dtype)], dim=1)
        changed: torch.Tensor = summary + self.layers(seen)
        return changed


def with_summary(standard: torch.Tensor, summary: torch.Tensor | None) -> torch.Tensor:
    """What other heads read: the vector and, where there is one, the lexical head's summary, which stays its own."""
    return standard if summary is None else torch.cat([standard, summary.detach().to(standard.dtype)], dim=1)


def repeat_costs(occurrences: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """What each word's coming again should cost: -log of how often a text that has it has it once more; (vocabulary,).

    occurrences: how often each word stands in the training texts; texts: in how many of them it stands.
    """
    again = (occurrences - texts + USUAL_AGAIN * SEEN_AS) / (texts + SEEN_AS)
    return -again.float().log().clamp(min=-DEAREST, max=0.0)


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
