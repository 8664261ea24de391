"""The forward process on a batch: which tokens are hidden, at what time, with what weight."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from unmask.diffusion.schedules import SMALLEST_TIME, ExactCount, Schedule


@dataclass(frozen=True)
class MaskedBatch:
    """A batch after the forward process."""

    ids: torch.Tensor  # (batch, length); mask_id at the hidden positions
    positions: torch.Tensor  # (batch, length) bool; the hidden positions that are to be predicted
    time: torch.Tensor  # (batch,)
    weights: torch.Tensor  # (batch, length) float; the loss is the sum of weight x cross-entropy


def spread_uniform(batch: int, generator: torch.Generator, device: torch.device) -> torch.Tensor:
    """Uniform numbers, one a row, spread evenly over [0, 1): far less variance between batches."""
    start = torch.rand(1, generator=generator, device=device)
    steps = torch.arange(batch, device=device) / batch  # (batch,)
    order = torch.randperm(batch, generator=generator, device=device)
    return ((start + steps) % 1.0)[order]


def mask_batch(
    ids: torch.Tensor,
    mask_id: int,
    schedule: Schedule,
    generator: torch.Generator,
    counted: torch.Tensor | None = None,
    maskable: torch.Tensor | None = None,
) -> MaskedBatch:
    """Hide tokens of `ids` (batch, length) as the schedule says.

    Only those that are `counted` enter the loss; only those that are `maskable` are hidden, and a row's length is
    then their number. Both (batch, length) bool.
    """
    batch, length = ids.shape
    uniform = spread_uniform(batch, generator, ids.device)  # (batch,)
    noise = torch.rand(ids.shape, generator=generator, device=ids.device)  # (batch, length)
    lengths = torch.full((batch,), length, device=ids.device) if maskable is None else maskable.sum(1)  # (batch,)
    if isinstance(schedule, ExactCount):
        counts = schedule.counts(uniform, lengths)  # (batch,)
        if maskable is not None:
            noise = noise.masked_fill(~maskable, torch.inf)
        hidden = noise.argsort(dim=1).argsort(dim=1) < counts[:, None]  # (batch, length)
        positions = hidden if counted is None else hidden & counted
        time = counts / lengths.clamp(min=1)
        # The mean over the k hidden tokens of each row, then the mean over rows.
        weights = positions / positions.sum(1, keepdim=True).clamp(min=1).float() / batch  # (batch, length)
    else:
        time = SMALLEST_TIME + (1 - SMALLEST_TIME) * uniform
        hidden = noise >= schedule.alpha(time)[:, None]
        hidden = hidden if maskable is None else hidden & maskable
        positions = hidden if counted is None else hidden & counted
        weights = positions * schedule.weight(time)[:, None] / (lengths.clamp(min=1)[:, None] * batch)
    return MaskedBatch(torch.where(hidden, mask_id, ids), positions, time, weights)


def mask_everything(ids: torch.Tensor, mask_id: int, maskable: torch.Tensor | None = None) -> MaskedBatch:
    """All positions hidden, or all that are `maskable`: where generation starts, and where validation measures."""
    positions = torch.ones_like(ids, dtype=torch.bool) if maskable is None else maskable
    time = torch.ones(len(ids), device=ids.device)
    weights = positions / positions.sum().clamp(min=1)
    return MaskedBatch(ids.masked_fill(positions, mask_id), positions, time, weights)
