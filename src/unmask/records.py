"""The frozen records that travel between rooms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class TokenBatch:
    """Token ids of several texts, padded to one length."""

    ids: torch.Tensor  # (batch, length) int64; pad_id after the end of each text
    lengths: torch.Tensor  # (batch,) int64; tokens before the first pad


@dataclass(frozen=True)
class VectorBatch:
    """Vectors of one kind with a stable id each."""

    values: np.ndarray  # (batch, dimension) float32
    ids: tuple[str, ...]  # what the user calls each vector: a row number or an id of theirs
    first_row: int = 0  # position of the first vector in its source, the key of its random stream
    texts: tuple[str | None, ...] | None = None  # what each was made of, where the source says so

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int] | np.ndarray) -> VectorBatch:
        """These rows, in this order."""
        texts = None if self.texts is None else tuple(self.texts[row] for row in rows)
        return VectorBatch(self.values[rows], tuple(self.ids[row] for row in rows), self.first_row, texts)


@dataclass(frozen=True)
class DecodeStep:
    """What a decoder knows after one step, for a batch."""

    step: int  # 1 for the first
    total_steps: int  # how many there will be at most
    tokens: torch.Tensor  # (batch, length) int64; mask_id where nothing is decided yet
    is_new: torch.Tensor  # (batch, length) bool; set by this step
    confidence: torch.Tensor  # (batch, length) float; probability of each token when it was set, 0 where masked
    forward_passes: torch.Tensor  # (batch,) int64; network passes spent on each row so far
    # Of decoders that compare texts with their vectors:
    encoder_calls: torch.Tensor | None = None  # (batch,) int64; spent on each row so far
    cosine: torch.Tensor | None = None  # (batch,) float; of each row's text with its vector
    is_verified: torch.Tensor | None = None  # (batch,) bool; the text's vector is the given one, but for noise
    compared_texts: torch.Tensor | None = None  # (batch,) int64; encoder calls, or what a surrogate compared instead

    def compared(self) -> list[tuple[int, float | None, bool | None]]:
        """Of each row: encoder calls, cosine and whether it is verified; None where nobody compared."""
        if self.encoder_calls is None or self.cosine is None or self.is_verified is None:
            return [(0, None, None)] * len(self.tokens)
        cosines = [None if value != value else value for value in self.cosine.tolist()]
        return list(zip(self.encoder_calls.tolist(), cosines, self.is_verified.tolist(), strict=True))


@dataclass(frozen=True)
class Cost:
    """What one reconstruction took."""

    forward_passes: int = 0
    encoder_calls: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Reconstruction:
    """One vector read back."""

    id: str
    text: str
    token_ids: tuple[int, ...]
    tokens: tuple[str, ...]
    confidence: tuple[float, ...]  # per token, same order as `tokens`
    cost: Cost = field(default_factory=Cost)
    cosine: float | None = None  # with the given vector, if an encoder was at hand
    verified: bool | None = None  # whether the text's vector is the given one, but for noise; None if nobody looked


@dataclass(frozen=True)
class Interval:
    """A measured value with its bootstrap interval."""

    value: float
    low: float
    high: float
