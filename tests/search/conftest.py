"""A small language, an encoder that feels its order, and a denoiser that knows a little of both."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import pytest
import torch

from unmask.denoiser.build import build_denoiser, token_space
from unmask.denoiser.network import Denoiser
from unmask.diffusion.schedules import build_schedule
from unmask.recipe import (
    ConditioningSection,
    DenoiserSection,
    LengthHeadSection,
    LexicalSection,
    ScheduleSection,
    ScratchBackbone,
)
from unmask.text.tokens import TextTokenizer
from unmask.training.data import Batch
from unmask.training.step import LossSettings, batch_loss

WORDS = [
    "the",
    "a",
    "one",
    "that",
    "old",
    "small",
    "quiet",
    "red",
    "boat",
    "teacher",
    "garden",
    "letter",
    "waits",
    "sleeps",
    "sings",
    "returns",
    "today",
    "again",
]
DIMENSION, LENGTH = 64, 12


class OrderedBag:
    """Words, the places they stand at, and pairs of neighbours, each a random direction."""

    name, fingerprint, max_tokens = "ordered", "ordered-1", None
    dimension = DIMENSION

    def __init__(self) -> None:
        self.queries = 0

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.queries += len(texts)
        rows = np.zeros((len(texts), DIMENSION), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            words = text.split()
            for place, word in enumerate(words):
                row += direction(word) + 0.3 * direction(f"{word}@{place}")
            for pair in itertools.pairwise(words):
                row += 0.5 * direction(" ".join(pair))
        return rows


_DIRECTIONS: dict[str, np.ndarray] = {}


def direction(name: str) -> np.ndarray:
    if name not in _DIRECTIONS:
        seed = int.from_bytes(name.encode()[:8].ljust(8, b" "), "little") + sum(name.encode())
        _DIRECTIONS[name] = np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)
    return _DIRECTIONS[name]


@pytest.fixture(scope="session")
def kit() -> ModuleType:
    """This file's names, which tests cannot import."""
    return sys.modules[__name__]


@pytest.fixture(scope="session")
def tokenizer() -> TextTokenizer:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: place for place, word in enumerate([*special, *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    stock = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]",
    )  # fmt: skip
    return TextTokenizer.from_transformers(stock, "words")


def make_denoiser(tokenizer: TextTokenizer, length_head: bool = True) -> Denoiser:
    """Untrained: what it proposes is as good as chance, so that what is found was found by the search."""
    torch.manual_seed(3)
    section = DenoiserSection(
        backbone=ScratchBackbone(kind="scratch", layers=2, hidden=32, heads=2, feed_forward=48),
        conditioning=ConditioningSection(prefix=2),
        lexical=LexicalSection(enabled=True, hidden=32, candidates=4),
        length_head=LengthHeadSection(enabled=length_head),
        dropout=0.0,
    )
    return build_denoiser(section, token_space(tokenizer), LENGTH, DIMENSION).eval().requires_grad_(False)


def teach(denoiser: Denoiser, tokenizer: TextTokenizer, steps: int = 500, rows: int = 96) -> Denoiser:
    """Train it on sentences of the language for some seconds: it then knows which words a vector has, roughly."""
    denoiser.requires_grad_(True).train()
    settings = LossSettings(build_schedule(ScheduleSection()), torch.float32, 0.0, 0.2, 0.2)
    optimizer, generator = torch.optim.AdamW(denoiser.parameters(), 3e-3), torch.Generator().manual_seed(0)
    for step in range(steps):
        texts = sentences(rows, longest=LENGTH - 2, seed=1000 + step)
        vectors = torch.from_numpy(OrderedBag().encode(texts))
        if step == 0:
            denoiser.set_vector_statistics(vectors.mean(dim=0), vectors.std(dim=0))
        batch_loss(denoiser, Batch(tokenizer.batch(texts, LENGTH).ids, vectors), settings, generator).total.backward()
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * (1 - step / steps)
        optimizer.step()
        optimizer.zero_grad()
    return denoiser.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def taught(tokenizer: TextTokenizer) -> Denoiser:
    return teach(make_denoiser(tokenizer), tokenizer)


@pytest.fixture(scope="session", params=[True, False], ids=["length head", "padding"])
def denoiser(tokenizer: TextTokenizer, request: pytest.FixtureRequest) -> Denoiser:
    return make_denoiser(tokenizer, request.param)


def sentences(count: int, shortest: int = 3, longest: int = 7, seed: int = 5) -> list[str]:
    stream = np.random.default_rng(seed)
    return [" ".join(stream.choice(WORDS, size=stream.integers(shortest, longest + 1))) for _ in range(count)]
