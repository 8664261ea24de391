"""The loss of one batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from unmask.denoiser.network import Denoiser
from unmask.diffusion.loss import linear_cross_entropy, multi_label_softmax
from unmask.diffusion.masking import MaskedBatch, mask_batch
from unmask.diffusion.schedules import Schedule
from unmask.runtime import autocast


@dataclass(frozen=True)
class LossSettings:
    """What the loss takes from the recipe."""

    schedule: Schedule
    dtype: torch.dtype
    null_dropout: float
    lexical_weight: float


@dataclass(frozen=True)
class LossParts:
    total: torch.Tensor
    denoising: torch.Tensor
    lexical: torch.Tensor | None


def batch_loss(
    denoiser: Denoiser,
    ids: torch.Tensor,
    vectors: torch.Tensor,
    settings: LossSettings,
    generator: torch.Generator,
    lexical_only: bool = False,
) -> LossParts:
    """Mask ids (batch, length), condition on vectors (batch, dimension), and compare."""
    masked = mask_batch(ids, denoiser.mask_id, settings.schedule, generator)
    draw = torch.rand(len(ids), generator=generator, device=ids.device)
    is_null = draw < settings.null_dropout if settings.null_dropout else None  # (batch,)
    with autocast(ids.device, settings.dtype):
        standard = denoiser.standardise(vectors, is_null)  # (batch, dimension)
        summary = None if denoiser.lexical is None else denoiser.lexical(standard)  # (batch, hidden)
        lexical = _lexical_loss(denoiser, summary, ids)
        if lexical_only and lexical is not None:
            return LossParts(lexical, torch.zeros_like(lexical), lexical)
        features = _masked_features(denoiser, masked, standard, summary)
    denoising = cross_entropy_at(denoiser, features, ids, masked, settings.dtype)
    total = denoising if lexical is None else denoising + settings.lexical_weight * lexical
    return LossParts(total, denoising, lexical)


def cross_entropy_at(
    denoiser: Denoiser, features: torch.Tensor, ids: torch.Tensor, masked: MaskedBatch, dtype: torch.dtype
) -> torch.Tensor:
    """The weighted cross-entropy at the hidden positions of a masked batch."""
    return linear_cross_entropy(
        features,
        denoiser.table,
        denoiser.output_bias(),
        ids[masked.positions],
        masked.weights[masked.positions],
        dtype,
    )


def _masked_features(
    denoiser: Denoiser, masked: MaskedBatch, standard: torch.Tensor, summary: torch.Tensor | None
) -> torch.Tensor:
    condition = denoiser.condition_from(standard, summary)
    return denoiser.features(masked.ids, masked.positions, condition, masked.time)  # (masked, hidden)


def _lexical_loss(denoiser: Denoiser, summary: torch.Tensor | None, ids: torch.Tensor) -> torch.Tensor | None:
    if denoiser.lexical is None or summary is None:
        return None
    return multi_label_softmax(denoiser.lexical.scores(summary, denoiser.table), ids, ids != denoiser.pad_id)
