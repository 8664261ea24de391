"""A tiny real denoiser, and ways to make it say what a test needs."""

from __future__ import annotations

import math
import sys
from types import ModuleType

import pytest
import torch

from unmask.denoiser.build import build_denoiser
from unmask.denoiser.network import Denoiser, TokenSpace
from unmask.recipe import ConditioningSection, DenoiserSection, LexicalSection, ScratchBackbone

LENGTH, DIMENSION, VOCABULARY = 12, 6, 40
PAD, MASK = 0, 4
SPACE = TokenSpace(VOCABULARY, MASK, PAD, forbidden_ids=(1, 2, 3, MASK, 39))


def make_denoiser(pad_bias: float = 3.0, time: bool = False, lexical: bool = False) -> Denoiser:
    """Random weights, large enough that vector, position and visible tokens all change the answer."""
    torch.manual_seed(7)
    section = DenoiserSection(
        backbone=ScratchBackbone(kind="scratch", layers=2, hidden=16, heads=2, feed_forward=32),
        conditioning=ConditioningSection(time=time, prefix=2),
        lexical=LexicalSection(enabled=lexical, hidden=16, candidates=4),
        dropout=0.0,
    )
    denoiser = build_denoiser(section, SPACE, LENGTH, DIMENSION)
    with torch.no_grad():
        for name, parameter in denoiser.named_parameters():
            if parameter.ndim and "norm" not in name:
                parameter.normal_(std=1.5 / math.sqrt(parameter.shape[-1]))
        # The mask's own row would otherwise decide what every open position looks like.
        denoiser.backbone.table[MASK] = 0
        denoiser.backbone.places.weight.mul_(2)
        denoiser.backbone.bias[PAD] = pad_bias
    return denoiser.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def kit() -> ModuleType:
    """This file's names, which tests cannot import."""
    return sys.modules[__name__]


@pytest.fixture(scope="session")
def denoiser() -> Denoiser:
    return make_denoiser()


@pytest.fixture(scope="session")
def vectors() -> torch.Tensor:
    return torch.randn(7, DIMENSION, generator=torch.Generator().manual_seed(1))


class ScriptedDenoiser:
    """Says fixed logits (length, vocabulary) whatever it is shown, and counts what it is asked."""

    ends_are_given = False
    lexical_weight = None
    uses_time = True
    repeat_penalty = 0.0
    repeat_cost: torch.Tensor | None = None
    device = torch.device("cpu")
    length, mask_id, pad_id = LENGTH, MASK, PAD

    def __init__(self, logits: torch.Tensor) -> None:
        self.forbidden = logits.isneginf().all(dim=0)  # (vocabulary,); as a real one: in the head, not in the features
        self.script = logits.masked_fill(self.forbidden, 0.0)
        self.vocabulary_size = logits.shape[1]
        self.asked: list[torch.Tensor] = []
        self.times: list[torch.Tensor] = []
        self.seen: list[torch.Tensor] = []

    def features(
        self, ids: torch.Tensor, positions: torch.Tensor, condition: object, time: torch.Tensor,
        lexical_weight: float | None = None,
    ) -> torch.Tensor:  # fmt: skip
        self.asked.append(positions.clone())
        self.times.append(time.clone())
        self.seen.append(ids.clone())
        return self.script.expand(len(ids), *self.script.shape)[positions].clone()

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        return features.masked_fill(self.forbidden, -math.inf)

    def condition_of_none(self) -> AnyCondition:
        return AnyCondition(1)


class AnyCondition:
    """Stands where a condition stands for a denoiser that looks at none."""

    lengths = vocabulary = None

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size

    def of_any_words(self) -> AnyCondition:
        return self

    def select(self, rows: torch.Tensor) -> AnyCondition:
        return AnyCondition(len(rows))


def script(words: list[int], sureness: list[float] | None = None) -> torch.Tensor:
    """Logits that want `words` and then PAD, each with its own margin over everything else."""
    logits = torch.zeros(LENGTH, VOCABULARY)
    logits[:, list(SPACE.forbidden_ids)] = -math.inf
    for place in range(LENGTH):
        margin = 12.0 if sureness is None else sureness[place]
        logits[place, words[place] if place < len(words) else PAD] = margin
    return logits
