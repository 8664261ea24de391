"""How the vector enters the network: AdaLN modulation per block, and memory positions to attend to."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import nn

# Per block: scale, shift and gate for attention, then the same for the feed-forward part.
PARTS = 6


@dataclass(frozen=True)
class Condition:
    """Everything the network needs to know about a batch of vectors; made once, used at every step."""

    modulation: torch.Tensor | None  # (batch, layers, PARTS, hidden)
    keys: torch.Tensor | None  # (batch, heads, memory, head_size)
    values: torch.Tensor | None  # (batch, heads, memory, head_size)
    candidate_ids: torch.Tensor | None  # (batch, candidates)
    summary: torch.Tensor | None  # (batch, hidden), the lexical head's; its product with the table scores each token
    lengths: torch.Tensor | None  # (batch,); how many tokens the text has, where the network does not say so
    near: torch.Tensor | None  # (batch, inner); what the neighbour head makes of the vector
    # (batch, few), in rising order and without PAD: tokens that a text may be made of; None: any
    vocabulary: torch.Tensor | None = None

    @property
    def batch_size(self) -> int:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None:
                return len(value)
        raise AssertionError("a condition without any part")

    def select(self, rows: torch.Tensor) -> Condition:
        """The condition of some of the rows; `rows` is an index tensor."""
        return self._each(lambda value: value[rows])

    def of_any_words(self) -> Condition:
        return replace(self, vocabulary=None)

    def _each(self, change: Any) -> Condition:
        found = {item.name: getattr(self, item.name) for item in fields(self)}
        return replace(self, **{name: None if value is None else change(value) for name, value in found.items()})

    @staticmethod
    def concatenate(parts: list[Condition]) -> Condition:
        """One batch out of several: rows join a running batch this way."""
        names = [item.name for item in fields(parts[0])]
        columns = {name: [getattr(part, name) for part in parts] for name in names}
        assert all(len({value is None for value in column}) == 1 for column in columns.values()), "parts of two kinds"
        return Condition(**{n: None if column[0] is None else torch.cat(column) for n, column in columns.items()})


# A dimension whose spread is less than this share of the median one says nothing: some encoders have such.
CONSTANT = 1e-3


class VectorProjection(nn.Module):
    """c = W2 · GELU(W1 · e + b1) + b2 on the standardised vector; a learned vector stands for "no vector"."""

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self, dimension: int, inner: int, hidden: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("spread", torch.ones(dimension))
        self.null_vector = nn.Parameter(torch.zeros(dimension))
        if inner:  # there are blocks to be told of it
            self.layers = nn.Sequential(nn.Linear(dimension, inner), nn.GELU(), nn.Linear(inner, hidden))

    def standardise(self, vectors: torch.Tensor, is_null: torch.Tensor | None) -> torch.Tensor:
        standard = (vectors - self.mean) / self.spread  # (batch, dimension)
        # Divided by the spread of a number that never varied, the least noise in it would drown all the others.
        never_varied = self.spread < CONSTANT * self.spread.median()  # (dimension,)
        standard = standard.masked_fill(never_varied & (standard.abs() > 1), 0.0)
        if is_null is not None:
            standard = torch.where(is_null[:, None], self.null_vector, standard)
        return standard

    def forward(self, standard: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = self.layers(standard)  # (batch, hidden)
        return projected


class Modulator(nn.Module):
    """Scale, shift and gate of every block from a condition; zero at the start."""

    def __init__(self, condition_size: int, layers: int, hidden: int) -> None:
        super().__init__()
        self.shape = (layers, PARTS, hidden)
        self.linear = nn.Linear(condition_size, layers * PARTS * hidden)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, condition: torch.Tensor) -> torch.Tensor:
        flat: torch.Tensor = self.linear(nn.functional.silu(condition))
        return flat.view(-1, *self.shape)  # (batch, layers, PARTS, hidden)


class TimeFeatures(nn.Module):
    """Sines and cosines of t, as every diffusion network has them."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.frequencies = max(size // 2, 1)

    def forward(self, time: torch.Tensor) -> torch.Tensor:
        steps = torch.arange(self.frequencies, device=time.device) / self.frequencies
        angles = 1000.0 * time[:, None].float() * torch.exp(-math.log(10_000.0) * steps)  # (batch, frequencies)
        return torch.cat([angles.sin(), angles.cos()], dim=1)  # (batch, 2 * frequencies)


Slices = list[tuple[torch.Tensor, ...]]


def slices_of(modulation: torch.Tensor) -> Slices:
    """Modulation (batch, layers, PARTS, hidden) as [layer][part], each (batch, hidden).

    Taken apart at once: the gradient of a single slice would be a tensor of the whole size that is zero elsewhere.
    """
    parts = modulation.flatten(1, 2).unbind(dim=1)
    return [parts[start : start + PARTS] for start in range(0, len(parts), PARTS)]


def modulate(states: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """(1 + scale) · x + shift, broadcast over the positions of (batch, length, hidden)."""
    return torch.addcmul(shift[:, None], states, 1 + scale[:, None])
