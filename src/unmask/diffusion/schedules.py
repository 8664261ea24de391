"""Noise schedules: how much of a text is visible at time t, and what a masked token then weighs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from unmask.recipe import ScheduleSection

# 1/t has no finite mean over (0, 1]: times are clipped to this, at which 0.1 % of the tokens are masked.
SMALLEST_TIME = 1e-3


class Schedule(ABC):
    """One noise schedule; `has_alpha` says whether it is a process in t or a way of drawing masks."""

    has_alpha = True

    @abstractmethod
    def alpha(self, t: torch.Tensor) -> torch.Tensor:
        """Probability that a token is still visible at time t."""

    @abstractmethod
    def weight(self, t: torch.Tensor) -> torch.Tensor:
        """Weight of a masked token's loss at time t."""


class LinearSchedule(Schedule):
    def alpha(self, t: torch.Tensor) -> torch.Tensor:
        return 1 - t

    def weight(self, t: torch.Tensor) -> torch.Tensor:
        return 1 / t


class ExponentialSchedule(Schedule):
    def __init__(self, rate: float) -> None:
        self.rate = rate

    def alpha(self, t: torch.Tensor) -> torch.Tensor:
        return torch.exp(-self.rate * t)

    def weight(self, t: torch.Tensor) -> torch.Tensor:
        return self.rate / torch.expm1(self.rate * t)


class PaperSchedule(ExponentialSchedule):
    """The published pair: e^(-λt) with 1/t, which is the weight of another schedule."""

    def weight(self, t: torch.Tensor) -> torch.Tensor:
        return 1 / t


class CosineSchedule(Schedule):
    def alpha(self, t: torch.Tensor) -> torch.Tensor:
        return torch.cos(t * math.pi / 2)

    def weight(self, t: torch.Tensor) -> torch.Tensor:
        # (π/2) sin(πt/2) / (1 - cos(πt/2)), written as a cotangent, which keeps its precision for small t.
        return (math.pi / 2) / torch.tan(t * math.pi / 4)


class FixedRatio(Schedule):
    """Every token masked with one probability, whatever t: the mask-ratio ablation."""

    has_alpha = False

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio

    def alpha(self, t: torch.Tensor) -> torch.Tensor:
        return torch.full_like(t, 1 - self.ratio)

    def weight(self, t: torch.Tensor) -> torch.Tensor:
        # The mean over the masked tokens, in expectation.
        return torch.full_like(t, 1 / self.ratio)


class ExactCount(Schedule):
    """Exactly k of L tokens masked, k uniform in 1..L: the linear schedule's bound without its 1/t spikes."""

    has_alpha = False

    def __init__(self, full_mask_share: float) -> None:
        self.full_mask_share = full_mask_share

    def alpha(self, t: torch.Tensor) -> torch.Tensor:
        return 1 - t

    def weight(self, t: torch.Tensor) -> torch.Tensor:
        return 1 / t

    def counts(self, uniform: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """How many of its tokens to mask in each row, from one uniform number a row; all (batch,)."""
        share = self.full_mask_share
        spread = (uniform - share).clamp(min=0) / max(1 - share, 1e-9)  # (batch,)
        drawn = torch.minimum((spread * lengths).floor().long() + 1, lengths)  # (batch,)
        return torch.where(uniform < share, lengths, drawn)


SCHEDULE_KINDS: dict[str, Any] = {
    "linear": lambda section: LinearSchedule(),
    "exponential": lambda section: ExponentialSchedule(section.rate),
    "cosine": lambda section: CosineSchedule(),
    "fixed": lambda section: FixedRatio(section.ratio),
    "exact_k": lambda section: ExactCount(section.full_mask_share),
    "paper": lambda section: PaperSchedule(section.rate),
}


def build_schedule(section: ScheduleSection) -> Schedule:
    return SCHEDULE_KINDS[section.kind](section)  # type: ignore[no-any-return]


def decoding_schedule(schedule: Schedule) -> Schedule:
    """The schedule whose α(t) a sampler follows; the linear one where training had none."""
    return schedule if schedule.has_alpha else LinearSchedule()
