"""AdamW with decay on matrices only, the learning rate's course, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from unmask.recipe import OptimizerSection


def build_optimizer(module: nn.Module, section: OptimizerSection) -> torch.optim.AdamW:
    trained = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
    gates = [p for name, p in trained if p.ndim < 2 and name.endswith("gate")]
    others = [p for name, p in trained if p.ndim < 2 and not name.endswith("gate")]
    groups: list[dict[str, Any]] = [
        {"params": [p for _, p in trained if p.ndim >= 2], "weight_decay": section.weight_decay, "multiplier": 1.0},
        {"params": others, "weight_decay": 0.0, "multiplier": 1.0},
        {"params": gates, "weight_decay": 0.0, "multiplier": section.gate_multiplier},
    ]
    groups = [group for group in groups if group["params"]]
    kind = trained[0][1].device.type
    return torch.optim.AdamW(groups, lr=section.learning_rate, betas=section.betas, fused=kind in ("cpu", "cuda"))


def learning_rate(section: OptimizerSection, step: int, progress: float) -> float:
    """Rate of 0-based `step`, at `progress` (0 to 1) of the whole run."""
    top = section.learning_rate
    if step < section.warmup_steps:
        return top * (step + 1) / section.warmup_steps
    progress = min(max(progress, 0.0), 1.0)
    floor = section.final_share
    if section.cooldown == "constant":
        return top
    if section.cooldown == "linear":
        return top * (1 - (1 - floor) * progress)
    if section.cooldown == "late":
        cooling = max(0.0, 1 - (1 - progress) / section.cooldown_share)
        return top * (1 - (1 - floor) * cooling)
    return top * (floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group["multiplier"]


class MovingAverage:
    """Exponential moving average of the trained weights; young averages forget faster."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.source = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.weights = {name: p.detach().clone() for name, p in self.source.items()}

    def update(self, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        moving = [name for name, parameter in self.source.items() if parameter.requires_grad]
        torch._foreach_lerp_(
            [self.weights[name] for name in moving], [self.source[name].detach() for name in moving], 1 - decay
        )

    @torch.no_grad()
    def settle(self, names: list[str]) -> None:
        """Make the averaged weights of these the present ones; a second call changes nothing."""
        for name in names:
            if name in self.source:
                self.source[name].copy_(self.weights[name])

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """The averaged weights stand in for the present ones."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def swap(self) -> None:
        """Exchange the averaged and the present weights; a second call undoes the first."""
        for name, parameter in self.source.items():
            held = parameter.data
            parameter.data = self.weights[name]
            self.weights[name] = held
