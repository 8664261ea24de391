"""The reverse diffusion process in uniform steps of time."""

from __future__ import annotations

import torch

from unmask.decoding.policy import Policy, StepPlan, lowest, mask_tokens, set_tokens
from unmask.decoding.proposals import Proposals
from unmask.decoding.state import DecodeState


class EulerPolicy(Policy):
    """Going from t to s, a masked position is revealed with probability (α_s - α_t) / (1 - α_t).

    With `resample_all` every position, visible or not, is set anew at each step, which is how the papers describe it.
    """

    def begin(self, state: DecodeState) -> None:
        state.total = state.stage_start + self.options.steps

    def start_time(self, state: DecodeState) -> torch.Tensor:
        """The t at which each row's process begins; (rows,)."""
        return torch.ones(len(state), device=state.tokens.device)

    def plan(self, state: DecodeState) -> StepPlan:
        start = self.start_time(state)
        done = state.step - state.stage_start  # (rows,)
        time = start * (1 - done / self.options.steps)
        by_token = torch.zeros_like(state.finished)
        if self.options.resample_all:
            everything = self.may_change(state)
            return StepPlan(everything, time, everything, by_token)
        later = start * (1 - (done + 1) / self.options.steps)
        alpha, alpha_later = self.schedule.alpha(time), self.schedule.alpha(later)
        chance = (alpha_later - alpha) / (1 - alpha)  # (rows,)
        chance = chance.masked_fill(done + 1 >= self.options.steps, 1.0)
        masked = self.is_masked(state)
        chosen = masked & (state.draw(self.canvas.length) < chance[:, None])
        # A row that reveals nothing now would throw its logits away.
        return StepPlan(masked & chosen.any(dim=1, keepdim=True), time, chosen, by_token)

    def apply(self, state: DecodeState, plan: StepPlan, proposals: Proposals) -> torch.Tensor:
        set_tokens(state, plan.chosen, proposals)
        if not self.options.resample_all:
            state.finished = ~self.is_masked(state).any(dim=1)
        return plan.chosen


class EulerRemaskPolicy(EulerPolicy):
    """After each step but the last, visible tokens of low confidence are masked again."""

    def apply(self, state: DecodeState, plan: StepPlan, proposals: Proposals) -> torch.Tensor:
        revealed = super().apply(state, plan, proposals)
        is_last = state.step + 1 >= state.total  # (rows,)
        doubted = self._doubted(state) & ~is_last[:, None]  # (rows, length)
        mask_tokens(state, doubted, self.canvas.mask_id)
        state.finished = is_last
        return revealed & ~doubted

    def _doubted(self, state: DecodeState) -> torch.Tensor:
        visible = ~self.is_masked(state) & self.may_change(state)
        if self.options.remask_mode == "threshold":
            return visible & (state.confidence < self.options.remask_share)
        share = self.options.remask_share * visible.sum(1)  # (rows,)
        # 5 % of 32 is 1.6 tokens: 2 in six cases of ten.
        counts = share.floor() + (state.draw(1)[:, 0] < share - share.floor())
        return lowest(state.confidence, visible, counts)
