"""What a way of decoding decides; the loop does everything else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

from unmask.decoding.options import DecodeOptions
from unmask.decoding.proposals import Proposals
from unmask.decoding.state import DecodeState
from unmask.diffusion.schedules import Schedule


@dataclass(frozen=True)
class Canvas:
    """What is written on: how long it is, and the two ids that are no words."""

    length: int
    mask_id: int
    pad_id: int
    ends_are_given: bool = False  # padding stands from the start, and is never masked nor set


@dataclass(frozen=True)
class StepPlan:
    """One step of some rows, before the network was asked."""

    positions: torch.Tensor  # (rows, length) bool; where logits are needed, all False for a row that needs none
    time: torch.Tensor  # (rows,) float32; t for networks that are conditioned on it
    chosen: torch.Tensor  # (rows, length) bool; positions that this step may set
    by_token: torch.Tensor  # (rows,) bool; PAD is one more token to choose, not a boundary laid through all positions


class Policy(ABC):
    """One way of decoding. `state` holds the active rows only, and a policy changes it in place."""

    def __init__(self, options: DecodeOptions, canvas: Canvas, schedule: Schedule) -> None:
        self.options, self.canvas, self.schedule = options, canvas, schedule

    @abstractmethod
    def begin(self, state: DecodeState) -> None:
        """Set what rows that have just joined need, `total` at least."""

    @abstractmethod
    def plan(self, state: DecodeState) -> StepPlan:
        """Which positions need logits in this step."""

    @abstractmethod
    def apply(self, state: DecodeState, plan: StepPlan, proposals: Proposals) -> torch.Tensor:
        """Reveal and mask again; returns which positions were set, (rows, length) bool."""

    def is_masked(self, state: DecodeState) -> torch.Tensor:
        return state.tokens == self.canvas.mask_id  # (rows, length)

    def may_change(self, state: DecodeState) -> torch.Tensor:
        """Which positions a decoder that takes things back may take back; (rows, length)."""
        if not self.canvas.ends_are_given:
            return torch.ones_like(state.tokens, dtype=torch.bool)
        return state.tokens != self.canvas.pad_id


def set_tokens(state: DecodeState, chosen: torch.Tensor, proposals: Proposals) -> None:
    """Make the proposals at `chosen` (rows, length) the text."""
    state.tokens = torch.where(chosen, proposals.tokens, state.tokens)
    state.confidence = torch.where(chosen, proposals.confidence, state.confidence)


def mask_tokens(state: DecodeState, chosen: torch.Tensor, mask_id: int) -> None:
    state.tokens = state.tokens.masked_fill(chosen, mask_id)
    state.confidence = state.confidence.masked_fill(chosen, 0.0)


def lowest(values: torch.Tensor, among: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """The counts[i] lowest values of each row among the marked ones; ties go to the left. All (rows, length)."""
    order = values.masked_fill(~among, torch.inf).argsort(dim=1, stable=True)
    ranks = torch.empty_like(order).scatter_(
        1, order, torch.arange(order.shape[1], device=order.device).expand_as(order)
    )
    return (ranks < counts[:, None]) & among


def time_of_share(schedule: Schedule, shares: torch.Tensor) -> torch.Tensor:
    """The time at which the schedule masks a given share of the tokens, by halving an interval."""
    low, high = torch.zeros_like(shares), torch.ones_like(shares)
    for _ in range(30):
        middle = (low + high) / 2
        is_late = 1 - schedule.alpha(middle) >= shares
        low, high = torch.where(is_late, low, middle), torch.where(is_late, middle, high)
    return high
