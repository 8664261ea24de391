"""A backbone without blocks: the token table alone, for a denoiser whose heads say everything."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from unmask.denoiser.backbone import INITIAL_SPREAD, Backbone, MemoryLook


class TokenTable(Backbone):
    """Token rows, and a bias for the output that is tied to them."""

    heads, block_count = 1, 0

    def __init__(self, hidden: int, rows: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.tokens = nn.Embedding(rows, hidden)
        nn.init.normal_(self.tokens.weight, std=INITIAL_SPREAD)
        self.bias = nn.Parameter(torch.zeros(rows))
        self.kept_config: dict[str, Any] | None = None

    @classmethod
    def like(cls, config: dict[str, Any], vocabulary_size: int) -> TokenTable:
        """An empty table as large as that of a stock model, and as the vocabulary."""
        table = cls(int(config["hidden_size"]), max(int(config["vocab_size"]), vocabulary_size))
        table.kept_config = {name: config[name] for name in ("model_type", "hidden_size", "vocab_size")}
        return table

    @torch.no_grad()
    def take(self, rows: torch.Tensor) -> None:
        """A stock model's rows; tokens that it has not begin as the mean of those that it has."""
        self.tokens.weight[: len(rows)] = rows
        self.tokens.weight[len(rows) :] = rows.mean(dim=0)

    @property
    def table(self) -> torch.Tensor:
        return self.tokens.weight

    @property
    def output_bias(self) -> torch.Tensor:
        return self.bias

    @property
    def stock_config(self) -> dict[str, Any] | None:
        return self.kept_config

    def forward(
        self,
        ids: torch.Tensor,
        modulation: torch.Tensor | None,
        look: MemoryLook | None,
        seen: torch.Tensor | None = None,
        draft: torch.Tensor | None = None,
    ) -> torch.Tensor:
        states: torch.Tensor = self.tokens(ids)  # (batch, length, hidden)
        return states if draft is None else states + draft

    def head(self, states: torch.Tensor) -> torch.Tensor:
        return states
