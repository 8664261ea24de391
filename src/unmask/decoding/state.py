"""What a running decode knows of each row; rows are independent, so they can join and leave between steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from unmask.runtime import stream_for

# Names a row's random stream; a pair is the row and the number of its draft.
RowKey = int | tuple[int, int]


class RowStream:
    """One row's own random numbers, made on first use since most decoders need none."""

    def __init__(self, seed: int, row_key: RowKey) -> None:
        self._keys = (seed, *((row_key,) if isinstance(row_key, int) else row_key))
        self._generator: np.random.Generator | None = None

    def draw(self, count: int) -> np.ndarray:
        """`count` uniform numbers in [0, 1)."""
        if self._generator is None:
            self._generator = stream_for(*self._keys)
        return self._generator.random(count, dtype=np.float32)


@dataclass
class DecodeState:
    """One entry per row in every field."""

    tokens: torch.Tensor  # (rows, length) int64; mask_id where nothing is decided
    confidence: torch.Tensor  # (rows, length) float32; 0 where masked
    step: torch.Tensor  # (rows,) int64; steps that the row has taken
    total: torch.Tensor  # (rows,) int64; steps that it will take at most
    passes: torch.Tensor  # (rows,) int64; network passes spent on it
    masked_at_start: torch.Tensor  # (rows,) int64
    stage: torch.Tensor  # (rows,) int64; for decoders that work in stages
    stage_start: torch.Tensor  # (rows,) int64; the step at which the stage began
    finished: torch.Tensor  # (rows,) bool
    streams: list[RowStream]

    @classmethod
    def fresh(cls, tokens: torch.Tensor, mask_id: int, seeds: Sequence[int], row_keys: Sequence[RowKey]) -> DecodeState:
        """Rows that have taken no step; what `tokens` shows already stays and counts as certain."""
        visible = tokens != mask_id  # (rows, length)
        none = torch.zeros(len(tokens), dtype=torch.int64, device=tokens.device)
        return cls(
            tokens=tokens.clone(),
            confidence=visible.float(),
            step=none.clone(),
            total=none.clone(),
            passes=none.clone(),
            masked_at_start=(~visible).sum(1),
            stage=none.clone(),
            stage_start=none.clone(),
            finished=visible.all(1),
            streams=[RowStream(seed, key) for seed, key in zip(seeds, row_keys, strict=True)],
        )

    def __len__(self) -> int:
        return len(self.tokens)

    def select(self, rows: torch.Tensor) -> DecodeState:
        """A copy of some rows; `rows` is an index tensor."""
        chosen: dict[str, Any] = {name: getattr(self, name)[rows] for name in _TENSORS}
        return DecodeState(**chosen, streams=[self.streams[row] for row in rows.tolist()])

    def write(self, rows: torch.Tensor, changed: DecodeState) -> None:
        """Put back what `select(rows)` gave out."""
        for name in _TENSORS:
            getattr(self, name)[rows] = getattr(changed, name)

    def extend(self, other: DecodeState) -> DecodeState:
        """These rows, then those of `other`."""
        joined: dict[str, Any] = {name: torch.cat([getattr(self, name), getattr(other, name)]) for name in _TENSORS}
        return DecodeState(**joined, streams=self.streams + other.streams)

    def draw(self, count: int) -> torch.Tensor:
        """Uniform numbers (rows, count), each row's from its own stream."""
        if not self.streams:
            return torch.zeros((0, count), device=self.tokens.device)
        return torch.from_numpy(np.stack([stream.draw(count) for stream in self.streams])).to(self.tokens.device)


_TENSORS = tuple(item.name for item in fields(DecodeState) if item.name != "streams")
