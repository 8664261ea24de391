"""What holds for every test: no network, the same examples each time, and a tiny model where one is asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from unmask.attacks.inverter import Inverter

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Tiny products gain nothing from threads, and threads that wait for each other on a busy machine cost minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained model on disk, whose random weights tell every vector from every other."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from unmask.denoiser.build import build_denoiser, token_space
    from unmask.denoiser.checkpoint import save_checkpoint
    from unmask.recipe import DenoiserSection, EncoderSection, Recipe, ScratchBackbone, TextSection, TrainingSection
    from unmask.text.tokens import TextTokenizer

    names = ["[PAD]", "[UNK]", "[CLS]", "[MASK]", *(f"word{n}" for n in range(60)), "##s", "é", "語"]
    inner = Tokenizer(models.WordPiece({name: place for place, name in enumerate(names)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.decoder = decoders.WordPiece()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", pad_token="[PAD]", mask_token="[MASK]", cls_token="[CLS]"
    )
    tokenizer = TextTokenizer.from_transformers(wrapped, "words")
    torch.manual_seed(0)
    backbone = ScratchBackbone(kind="scratch", layers=1, hidden=16, heads=2, feed_forward=16)
    section = DenoiserSection(backbone=backbone, dropout=0.0)
    denoiser = build_denoiser(section, token_space(tokenizer), length=10, dimension=8)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.5)
        denoiser.table[tokenizer.mask_id] = 0
        denoiser.backbone.bias[tokenizer.pad_id] = 2.5
    recipe = Recipe(
        name="tiny",
        text=TextSection(length=10),
        encoder=EncoderSection(name="minilm"),
        denoiser=section,
        training=TrainingSection(max_steps=1),
    )
    folder = tmp_path_factory.mktemp("checkpoint")
    save_checkpoint(folder, denoiser, tokenizer, recipe, {"name": "minilm"}, {})
    return folder


@pytest.fixture(scope="session")
def vectors() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((23, 8)).astype(np.float32)


class WordsAtPlaces:
    """Each word at its place is a random direction."""

    name, fingerprint, max_tokens, dimension = "words", "words-1", None, 8

    def __init__(self) -> None:
        self.queries = 0

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.queries += len(texts)
        found = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(found, texts, strict=True):
            for place, word in enumerate(text.split()):
                row += np.random.default_rng([place, *word.encode()]).normal(size=self.dimension)
        return found


@pytest.fixture(scope="session")
def words() -> type[WordsAtPlaces]:
    """An encoder for that model."""
    return WordsAtPlaces


@pytest.fixture
def inverter(checkpoint: Path, words: type[WordsAtPlaces]) -> Inverter:
    """That model with that encoder."""
    from unmask.attacks.inverter import Inverter

    found = Inverter.from_pretrained(checkpoint)
    found._encoder = words()
    return found
