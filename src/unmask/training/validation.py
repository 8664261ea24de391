"""Held-out figures while training: loss and tokens right, both from full mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from unmask.denoiser.network import Denoiser
from unmask.diffusion.masking import mask_everything
from unmask.diffusion.schedules import Schedule
from unmask.runtime import autocast
from unmask.training.data import load_rows
from unmask.training.step import cross_entropy_at

if TYPE_CHECKING:
    from unmask.pairs.dataset import PairsDataset
    from unmask.recipe import TrainingSection

DECODER = "confidence"
DECODING_STEPS = 8


@dataclass(frozen=True)
class Validation:
    """A fixed part of the held-out rows, loaded once."""

    ids: torch.Tensor  # (rows, length)
    vectors: torch.Tensor  # (rows, dimension)
    decode_rows: int
    batch_size: int
    schedule: Schedule
    dtype: torch.dtype

    @classmethod
    def from_pairs(
        cls, pairs: PairsDataset, section: TrainingSection, schedule: Schedule, dtype: torch.dtype
    ) -> Validation | None:
        """None where the pairs have no held-out part."""
        available = min(section.validation_rows, pairs.count("validation"))
        if not available:
            return None
        ids, vectors = load_rows(pairs, "validation", np.arange(available))
        decoded = min(section.validation_decode_rows, available)
        return cls(ids, vectors, decoded, section.batch_size, schedule, dtype)

    @torch.no_grad()
    def measure(self, denoiser: Denoiser) -> dict[str, float]:
        """Loss per token and text metrics of a denoiser in evaluation mode."""
        denoiser.eval()
        figures = {"validation_loss": self._loss(denoiser)}
        if self.decode_rows:
            figures |= self._decode(denoiser)
        return figures

    def _loss(self, denoiser: Denoiser) -> float:
        total = 0.0
        for start in range(0, len(self.ids), self.batch_size):
            ids = self.ids[start : start + self.batch_size].to(denoiser.device)
            vectors = self.vectors[start : start + self.batch_size].to(denoiser.device)
            masked = mask_everything(ids, denoiser.mask_id, ids != denoiser.pad_id if denoiser.ends_are_given else None)
            with autocast(denoiser.device, self.dtype):
                features = denoiser.features(
                    masked.ids,
                    masked.positions,
                    denoiser.condition(vectors),
                    masked.time if denoiser.uses_time else None,
                )
            total += float(cross_entropy_at(denoiser, features, ids, masked, self.dtype)) * len(ids)
        return total / len(self.ids)

    def _decode(self, denoiser: Denoiser) -> dict[str, float]:
        from unmask.decoding import DecodeOptions, decode
        from unmask.metrics.text import score_rows

        options = DecodeOptions(steps=DECODING_STEPS)
        vectors = self.vectors[: self.decode_rows].to(denoiser.device)
        with autocast(denoiser.device, self.dtype):
            *_, last = decode(denoiser, vectors, DECODER, options, schedule=self.schedule)
        found = [_until(row, denoiser.pad_id) for row in last.tokens.tolist()]
        true = [_until(row, denoiser.pad_id) for row in self.ids[: self.decode_rows].tolist()]
        return {f"validation_{name}": float(values.mean()) for name, values in score_rows(true, found).items()}


def _until(row: list[int], pad_id: int) -> list[int]:
    return row[: row.index(pad_id)] if pad_id in row else row
