"""What the denoiser asks of a stack of transformer blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

# Of fresh token rows and matrices, as BERT has it.
INITIAL_SPREAD = 0.02
# (block number, states) -> states after a look at the memory
MemoryLook = Callable[[int, torch.Tensor], torch.Tensor]


class Backbone(nn.Module, ABC):
    """Tokens in, hidden states out, with a condition acting on every block."""

    hidden: int
    heads: int
    block_count: int

    @property
    @abstractmethod
    def table(self) -> torch.Tensor:
        """Token embeddings, tied to the output; (vocabulary, hidden)."""

    @property
    @abstractmethod
    def output_bias(self) -> torch.Tensor:
        """(vocabulary,)"""

    @property
    def stock_config(self) -> dict[str, Any] | None:
        """The stock model's configuration, kept in the checkpoint so that loading needs no hub."""
        return None

    @abstractmethod
    def forward(
        self,
        ids: torch.Tensor,
        modulation: torch.Tensor | None,
        look: MemoryLook | None,
        seen: torch.Tensor | None = None,
        draft: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Final hidden states (batch, length, hidden) of ids (batch, length); `draft` of that shape is added at first.

        Positions that are not `seen`, (batch, length) bool, are nothing to the others: a text comes out the same
        however much padding follows it.
        """

    @abstractmethod
    def head(self, states: torch.Tensor) -> torch.Tensor:
        """What the table is multiplied with, for any selection of hidden states."""
