"""The paper's own transformer, of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from unmask.denoiser.attention import attend, join_heads, split_heads
from unmask.denoiser.backbone import INITIAL_SPREAD, Backbone, MemoryLook
from unmask.denoiser.conditioning import modulate, slices_of

if TYPE_CHECKING:
    from unmask.recipe import ScratchBackbone


class Block(nn.Module):
    """Attention and feed-forward, each normalised before, modulated and gated by the condition."""

    def __init__(self, section: ScratchBackbone, dropout: float) -> None:
        super().__init__()
        self.heads = section.heads
        self.attention_norm = nn.LayerNorm(section.hidden)
        self.query_key_value = nn.Linear(section.hidden, 3 * section.hidden)
        self.attention_output = nn.Linear(section.hidden, section.hidden)
        self.forward_norm = nn.LayerNorm(section.hidden)
        self.forward_inner = nn.Linear(section.hidden, section.feed_forward)
        self.forward_output = nn.Linear(section.feed_forward, section.hidden)
        self.dropout = nn.Dropout(dropout)

    def attention(self, states: torch.Tensor, seen: torch.Tensor | None) -> torch.Tensor:
        queries, keys, values = (split_heads(p, self.heads) for p in self.query_key_value(states).chunk(3, dim=-1))
        return self.dropout(self.attention_output(join_heads(attend(queries, keys, values, seen))))  # type: ignore[no-any-return]

    def feed_forward(self, states: torch.Tensor) -> torch.Tensor:
        inner = nn.functional.gelu(self.forward_inner(states))  # (batch, length, feed_forward)
        return self.dropout(self.forward_output(inner))  # type: ignore[no-any-return]

    def forward(
        self, states: torch.Tensor, modulation: tuple[torch.Tensor, ...] | None, seen: torch.Tensor | None
    ) -> torch.Tensor:
        if modulation is None:
            states = states + self.attention(self.attention_norm(states), seen)
            return states + self.feed_forward(self.forward_norm(states))
        scale, shift, gate, forward_scale, forward_shift, forward_gate = modulation  # each (batch, hidden)
        attended = self.attention(modulate(self.attention_norm(states), scale, shift), seen)
        states = torch.addcmul(states, gate[:, None].to(attended.dtype), attended)
        fed = self.feed_forward(modulate(self.forward_norm(states), forward_scale, forward_shift))
        return torch.addcmul(states, forward_gate[:, None].to(fed.dtype), fed)


class ScratchTransformer(Backbone):
    def __init__(self, section: ScratchBackbone, vocabulary_size: int, length: int, dropout: float) -> None:
        super().__init__()
        self.hidden, self.heads, self.block_count = section.hidden, section.heads, section.layers
        self.tokens = nn.Embedding(vocabulary_size, section.hidden)
        self.places = nn.Embedding(length, section.hidden)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(section, dropout) for _ in range(section.layers))
        self.final_norm = nn.LayerNorm(section.hidden)
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=INITIAL_SPREAD)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    @property
    def table(self) -> torch.Tensor:
        return self.tokens.weight

    @property
    def output_bias(self) -> torch.Tensor:
        return self.bias

    def forward(
        self,
        ids: torch.Tensor,
        modulation: torch.Tensor | None,
        look: MemoryLook | None,
        seen: torch.Tensor | None = None,
        draft: torch.Tensor | None = None,
    ) -> torch.Tensor:
        states = self.dropout(self.tokens(ids) + self.places.weight[: ids.shape[1]])  # (batch, length, hidden)
        states = states if draft is None else states + draft
        slices = None if modulation is None else slices_of(modulation)
        for number, block in enumerate(self.blocks):
            states = block(states, None if slices is None else slices[number], seen)
            if look is not None:
                states = look(number, states)
        return states

    def head(self, states: torch.Tensor) -> torch.Tensor:
        normed: torch.Tensor = self.final_norm(states)
        return normed
