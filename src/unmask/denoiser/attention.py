"""Attention: over the text itself, and over the memory that is made from the vector."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def attention_implementation(device: torch.device) -> str:
    """The name Hugging Face models know our choice by."""
    # On a CPU the fused kernel's backward pass takes a third of a training step at 32 tokens; plain products do not.
    return "sdpa" if device.type == "cuda" else "eager"


def attend(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, seen: torch.Tensor | None = None
) -> torch.Tensor:
    """softmax(q k' / √d) v for (batch, heads, length, head_size), over the keys that are `seen`, (batch, length)."""
    mask = None if seen is None else seen[:, None, None]  # (batch, 1, 1, length)
    if attention_implementation(queries.device) == "sdpa":
        return functional.scaled_dot_product_attention(queries, keys, values, mask)
    scores = torch.matmul(queries * queries.shape[-1] ** -0.5, keys.transpose(2, 3))
    scores = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
    return torch.matmul(scores.softmax(dim=-1).to(values.dtype), values)


def split_heads(states: torch.Tensor, heads: int) -> torch.Tensor:
    batch, length, hidden = states.shape
    return states.view(batch, length, heads, hidden // heads).transpose(1, 2)  # (batch, heads, length, head_size)


def join_heads(states: torch.Tensor) -> torch.Tensor:
    batch, heads, length, head_size = states.shape
    return states.transpose(1, 2).reshape(batch, length, heads * head_size)  # (batch, length, hidden)


class MemoryReader(nn.Module):
    """One block's look at the memory; a zero gate keeps it silent at step 0.

    Memory positions are only ever keys and values: as positions of the text they would double the cost of the network.
    """

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(hidden)
        self.query = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, hidden)
        self.gate = nn.Parameter(torch.zeros(hidden))

    def forward(self, states: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        queries = split_heads(self.query(self.norm(states)), self.heads)  # (batch, heads, length, head_size)
        found = self.output(join_heads(attend(queries, keys, values)))  # (batch, length, hidden)
        return torch.addcmul(states, self.gate.to(found.dtype), found)
