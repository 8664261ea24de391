"""The parts of a run: heads alone first, each with batches and a learning rate of its own, then the network."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from unmask.training.optimizer import learning_rate

if TYPE_CHECKING:
    from unmask.recipe import Recipe

# Of a head's learning rate, at the end of its own steps: it should have settled when the others join.
HEAD_FINAL_SHARE = 0.02
HEAD_WARMUP_STEPS = 50


class Part(Enum):
    WORDS = "words"  # the lexical head, and the length head
    NEIGHBOURS = "neighbours"
    NETWORK = "network"


@dataclass(frozen=True)
class Phase:
    """Steps that train one part; the network's have no end of their own."""

    part: Part
    first: int  # 0-based
    steps: int | None
    batch_size: int
    learning_rate: float

    def holds(self, step: int) -> bool:
        return self.first <= step and (self.steps is None or step < self.first + self.steps)


def phases_of(recipe: Recipe) -> list[Phase]:
    """In the order of the run; a head without steps of its own has no phase."""
    lexical, neighbours, section = recipe.denoiser.lexical, recipe.denoiser.neighbours, recipe.training
    phases, first = [], 0
    for part, head in ((Part.WORDS, lexical), (Part.NEIGHBOURS, neighbours)):
        if head.head_steps:
            rows = head.warmup_batch or section.batch_size
            phases.append(Phase(part, first, head.head_steps, rows * section.accumulate, head.warmup_learning_rate))
            first += head.head_steps
    rate = section.optimizer.learning_rate
    return [*phases, Phase(Part.NETWORK, first, None, section.batch_size * section.accumulate, rate)]


def phase_at(phases: list[Phase], step: int) -> Phase:
    """The phase that 0-based `step` belongs to."""
    return next(phase for phase in phases if phase.holds(step))


def rate_of_step(recipe: Recipe, step: int, share: float) -> float:
    """The learning rate at `share` of the network's steps; every phase has a warm-up of its own."""
    phase = phase_at(phases_of(recipe), step)
    local = step - phase.first
    if phase.steps is None:
        return learning_rate(recipe.training.optimizer, local, share)
    left = 1 - local / phase.steps
    return phase.learning_rate * min(1.0, (local + 1) / HEAD_WARMUP_STEPS) * max(left, HEAD_FINAL_SHARE)
