"""A tiny untrained model on disk, whose random weights tell every vector from every other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
