"""Greedy, left to right: one token a pass."""

from __future__ import annotations

import torch

from unmask.decoding.policy import Policy, StepPlan, set_tokens
from unmask.decoding.proposals import Proposals
from unmask.decoding.state import DecodeState


class SequentialPolicy(Policy):
    """The next masked position of each row, until the end of its text is chosen."""

    def begin(self, state: DecodeState) -> None:
        state.total = state.masked_at_start.clone()

    def plan(self, state: DecodeState) -> StepPlan:
        masked = self.is_masked(state)  # (rows, length)
        positions = masked & (masked.long().cumsum(dim=1) == 1)
        time = masked.sum(1) / self.canvas.length  # (n - i) / n
        return StepPlan(positions, time, positions, torch.ones_like(state.finished))

    def apply(self, state: DecodeState, plan: StepPlan, proposals: Proposals) -> torch.Tensor:
        set_tokens(state, plan.chosen, proposals)
        ended = (plan.chosen & (state.tokens == self.canvas.pad_id)).any(dim=1)  # (rows,)
        # What follows the end needs no pass of its own; it is as sure as the end is.
        follows = self.is_masked(state) & ended[:, None]
        certainty = (state.confidence * plan.chosen).sum(dim=1, keepdim=True).expand_as(state.confidence)
        set_tokens(state, follows, Proposals(torch.full_like(state.tokens, self.canvas.pad_id), certainty))
        state.finished = ~self.is_masked(state).any(dim=1)
        return plan.chosen | follows
