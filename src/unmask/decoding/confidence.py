"""Parallel decoding by confidence, as MaskGIT has it."""

from __future__ import annotations

import math

import torch

from unmask.decoding.policy import Policy, StepPlan, lowest, set_tokens, time_of_share
from unmask.decoding.proposals import Proposals
from unmask.decoding.state import DecodeState


class ConfidencePolicy(Policy):
    """Proposals everywhere at each step; the most confident stay, so many that a given number is still masked."""

    def begin(self, state: DecodeState) -> None:
        # More steps than masked positions would be passes that reveal nothing.
        state.total = state.masked_at_start.clamp(max=self.options.steps)

    def plan(self, state: DecodeState) -> StepPlan:
        masked = self.is_masked(state)  # (rows, length)
        time = time_of_share(self.schedule, masked.sum(1) / self.canvas.length)
        return StepPlan(masked, time, masked, torch.zeros_like(state.finished))

    def apply(self, state: DecodeState, plan: StepPlan, proposals: Proposals) -> torch.Tensor:
        counts = plan.chosen.sum(1) - self._still_masked(state, plan.chosen.sum(1))  # (rows,)
        revealed = self._surest(plan.chosen, proposals, counts)
        set_tokens(state, revealed, proposals)
        state.finished = ~self.is_masked(state).any(dim=1)
        return revealed

    def _surest(self, chosen: torch.Tensor, proposals: Proposals, counts: torch.Tensor) -> torch.Tensor:
        """The most confident proposals, words and padding each in proportion; (rows, length) bool.

        Padding is surer of itself than any word: by confidence alone the first steps would reveal nothing else, and
        all the words would come at once at the end.
        """
        is_pad = chosen & (proposals.tokens == self.canvas.pad_id)
        of_pad = (counts * is_pad.sum(1) + chosen.sum(1) // 2) // chosen.sum(1).clamp(min=1)  # (rows,)
        sure = -proposals.confidence
        return lowest(sure, is_pad, of_pad) | self._surest_words(sure, proposals, chosen & ~is_pad, counts - of_pad)

    def _surest_words(
        self, sure: torch.Tensor, proposals: Proposals, words: torch.Tensor, counts: torch.Tensor
    ) -> torch.Tensor:
        """Different words first: positions filled at once do not know of each other, and would all say the same one."""
        order = sure.masked_fill(~words, torch.inf).argsort(dim=1, stable=True)  # (rows, length)
        laid = proposals.tokens.gather(1, order)
        same = (laid[:, :, None] == laid[:, None, :]).tril(diagonal=-1)  # (rows, later, earlier)
        repeats = torch.zeros_like(words).scatter(1, order, same.any(dim=2))
        # A repeated word comes after every first one, in the order of its own confidence.
        return lowest(sure + repeats, words, counts)

    def _still_masked(self, state: DecodeState, masked: torch.Tensor) -> torch.Tensor:
        """How many positions stay masked after this step; (rows,)."""
        left = state.total - state.step - 1  # (rows,) steps that remain
        if self.options.counts == "linear":
            target = state.masked_at_start * left // state.total
        else:
            share = torch.cos(math.pi / 2 * (1 - left / state.total))
            target = (state.masked_at_start * share + 1e-4).floor().long()
        # Each step reveals at least one position: a pass is never for nothing.
        return torch.minimum(target, masked - 1).masked_fill(left <= 0, 0)
