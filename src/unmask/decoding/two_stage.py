"""A sequential hypothesis, then the diffusion process started from it."""

from __future__ import annotations

import torch

from unmask.decoding.euler import EulerPolicy
from unmask.decoding.options import DecodeOptions
from unmask.decoding.policy import Canvas, Policy, StepPlan, lowest, mask_tokens, time_of_share
from unmask.decoding.proposals import Proposals
from unmask.decoding.sequential import SequentialPolicy
from unmask.decoding.state import DecodeState
from unmask.diffusion.schedules import Schedule

WRITING, REVISING = 0, 1


class RestartedEulerPolicy(EulerPolicy):
    def start_time(self, state: DecodeState) -> torch.Tensor:
        shares = torch.full((len(state),), self.options.restart_t, device=state.tokens.device)
        return time_of_share(self.schedule, shares)


class TwoStagePolicy(Policy):
    """Each row goes from the first stage to the second when its own hypothesis is complete."""

    def __init__(self, options: DecodeOptions, canvas: Canvas, schedule: Schedule) -> None:
        super().__init__(options, canvas, schedule)
        self.stages: dict[int, Policy] = {
            WRITING: SequentialPolicy(options, canvas, schedule),
            REVISING: RestartedEulerPolicy(options, canvas, schedule),
        }

    def begin(self, state: DecodeState) -> None:
        state.total = state.masked_at_start + self.options.steps

    def plan(self, state: DecodeState) -> StepPlan:
        positions = torch.zeros_like(state.tokens, dtype=torch.bool)
        plan = StepPlan(positions, torch.zeros_like(state.confidence[:, 0]), positions.clone(), state.finished.clone())
        for stage, policy in self.stages.items():
            rows = (state.stage == stage).nonzero()[:, 0]
            part = policy.plan(state.select(rows))
            plan.positions[rows], plan.time[rows] = part.positions, part.time
            plan.chosen[rows], plan.by_token[rows] = part.chosen, part.by_token
        return plan

    def apply(self, state: DecodeState, plan: StepPlan, proposals: Proposals) -> torch.Tensor:
        revealed = torch.zeros_like(plan.chosen)
        for stage, rows in [(stage, (state.stage == stage).nonzero()[:, 0]) for stage in self.stages]:
            part = state.select(rows)
            revealed[rows] = self.stages[stage].apply(
                part,
                StepPlan(plan.positions[rows], plan.time[rows], plan.chosen[rows], plan.by_token[rows]),
                Proposals(proposals.tokens[rows], proposals.confidence[rows]),
            )
            if stage == WRITING:
                revealed[rows] &= ~self._start_revising(part)
            state.write(rows, part)
        return revealed

    def _start_revising(self, state: DecodeState) -> torch.Tensor:
        """Mask the least confident of the finished hypotheses again; returns what was masked, (rows, length)."""
        ready = state.finished  # (rows,)
        is_pad = state.tokens == self.canvas.pad_id
        doubted = torch.zeros_like(is_pad)
        # The same share of the words and of the padding: padding is so sure of itself that only words would go.
        for kind in (is_pad, ~is_pad):
            counts = (kind.sum(1) * self.options.restart_t).round()
            doubted |= lowest(state.confidence, kind & ready[:, None] & self.may_change(state), counts)
        mask_tokens(state, doubted, self.canvas.mask_id)
        state.stage = torch.where(ready, REVISING, state.stage)
        state.stage_start = torch.where(ready, state.step + 1, state.stage_start)
        state.total = torch.where(ready, state.step + 1 + self.options.steps, state.total)
        state.finished = ~doubted.any(dim=1) & ready
        return doubted
