"""Every shipped recipe, with its architecture shrunken, goes from text to a trained model to text again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from unmask.cli.main import app
from unmask.denoiser.build import build_denoiser, token_space
from unmask.denoiser.checkpoint import Checkpoint, load_checkpoint
from unmask.pairs.dataset import PairsDataset
from unmask.recipe import (
    PretrainedBackbone,
    Recipe,
    ScratchBackbone,
    TokenizerSection,
    find_recipe,
    load_recipe,
    recipe_names,
)
from unmask.text.tokens import load_tokenizer

STEPS, BATCH = 3, 4
IN_A_PROCESS_OF_ITS_OWN = ("jina-v3-gpt2",)  # the others share this one, and with it the imports


def shrink(recipe: Recipe, hub: Any) -> list[str]:
    """The overrides that make a recipe small and local, and leave everything else as it says."""
    tokenizer, encoder = recipe.tokenizer.name, recipe.encoder.model
    changes: dict[str, Any] = {
        "tokenizer.name": hub.tokenizers.get(tokenizer, tokenizer),
        **({"encoder.model": hub.encoders[encoder]} if encoder else {}),
        "encoder.batch_size": 32,
        "text.cuts_per_paragraph": 1,
        "pairs.max_rows": 48,
        "pairs.validation_share": 0.2,
        "pairs.test_share": 0.2,
        "pairs.near_duplicates": "equal",  # the sentences are made of the same few parts
        "training.batch_size": BATCH,
        "training.max_steps": STEPS,
        "training.max_minutes": "null",
        "training.max_samples": "null",
        "training.optimizer.warmup_steps": 1,
        "training.precision": "fp32",
        "training.log_every": 1,
        "training.validate_every": STEPS,
        "training.validation_rows": 4,
        "training.validation_decode_rows": 2,
    }
    backbone, lexical = recipe.denoiser.backbone, recipe.denoiser.lexical
    if isinstance(backbone, PretrainedBackbone):
        changes["denoiser.backbone.name"] = hub.backbones.get(backbone.name, backbone.name)
    else:
        changes |= {f"denoiser.backbone.{key}": size for key, size in SMALL_NETWORK.items()}
    if lexical.enabled:
        changes |= {"denoiser.lexical.hidden": 16, "denoiser.lexical.candidates": min(4, lexical.candidates)}
    return [argument for key, value in changes.items() for argument in ("--set", f"{key}={value}")]


WITH_A_MASK = ("jinaai/jina-embeddings-v3-hf", "jhu-clsp/mmBERT-base")
SMALL_NETWORK = {"layers": 2, "hidden": 16, "heads": 2, "feed_forward": 32}


def unmask(*arguments: str, apart: bool) -> str:
    if apart:
        command = [sys.executable, "-m", "unmask", *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ}, timeout=300)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("name", recipe_names())
def test_prepare_train_invert(name: str, hub: Any, tmp_path: Path) -> None:
    recipe, apart = load_recipe(name), name in IN_A_PROCESS_OF_ITS_OWN
    pairs, run, vectors, texts = (str(tmp_path / part) for part in ("pairs", "run", "vectors.npy", "texts.jsonl"))
    changes = shrink(recipe, hub)

    made = json.loads(unmask("prepare", name, "--text", str(hub.text), "--out", pairs, *changes, "--json", apart=apart))
    assert made["rows"]["train"] >= BATCH and made["length"] == recipe.text.length

    events = unmask("train", name, "--pairs", pairs, "--out", run, *changes, "--json", apart=apart).splitlines()
    losses = [event["loss"] for event in map(json.loads, events) if event["event"] == "step"]
    assert len(losses) == STEPS and np.isfinite(losses).all()

    held_out = PairsDataset.open(pairs).rows("test", np.arange(3))[1]  # (3, dimension)
    np.save(vectors, held_out.astype(np.float32))
    unmask("invert", vectors, "--model", run, "--steps", "4", "--out", texts, apart=apart)
    check_model_and_texts(recipe, Path(run), [json.loads(line) for line in Path(texts).read_text("utf-8").splitlines()])


def check_model_and_texts(recipe: Recipe, run: Path, lines: list[dict[str, Any]]) -> None:
    """What was trained is what the recipe says, and what it writes are tokens that may be written."""
    held = load_checkpoint(run)
    assert held.recipe.schedule == recipe.schedule
    assert held.recipe.denoiser.conditioning == recipe.denoiser.conditioning
    assert held.recipe.training.optimizer.learning_rate == recipe.training.optimizer.learning_rate
    assert held.denoiser.uses_time == recipe.denoiser.conditioning.time
    assert (held.denoiser.lexical is not None) == recipe.denoiser.lexical.enabled
    forbidden = set(held.tokenizer.pieces(held.tokenizer.forbidden_ids))
    assert [line["id"] for line in lines] == ["0", "1", "2"]
    for line in lines:
        assert not forbidden & set(line["tokens"])
        assert len(line["tokens"]) == len(line["confidence"]) <= recipe.text.length
        assert all(0 <= sure <= 1 for sure in line["confidence"])
    if isinstance(recipe.denoiser.backbone, PretrainedBackbone):
        check_backbone(recipe.denoiser.backbone, held)


def check_backbone(section: PretrainedBackbone, held: Checkpoint) -> None:
    """As many layers as the recipe says; frozen ones are still the stock model's, free ones have moved."""
    fresh = build_denoiser(
        held.recipe.denoiser, token_space(held.tokenizer), held.denoiser.length, held.denoiser.dimension
    )
    # Without blocks the backbone is the token table.
    before, after = (getattr(model.backbone, "model", model.backbone).state_dict() for model in (fresh, held.denoiser))
    assert before.keys() == after.keys()
    same = [torch.equal(before[name], after[name]) for name in before]
    assert all(same) if section.freeze_backbone else not all(same)
    blocks = held.denoiser.backbone.block_count
    assert blocks == (held.denoiser.backbone.config.num_hidden_layers if section.layers is None else section.layers)


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_says_in_its_comments_what_it_is_for(name: str) -> None:
    text = find_recipe(name).read_text("utf-8")
    assert text.startswith("# ") and load_recipe(name).name == name and load_recipe(name).summary


def test_recipes_without_a_mask_token_of_their_own_get_a_row_that_no_text_uses(hub: Any) -> None:
    for name, folder in hub.tokenizers.items():
        tokenizer = load_tokenizer(TokenizerSection(name=str(folder)))
        own_row = tokenizer.mask_id >= tokenizer.backbone_size
        assert own_row == (name not in WITH_A_MASK), name
        assert tokenizer.mask_id not in {number for ids in tokenizer.encode(["<mask> [MASK]", "x"]) for number in ids}


def test_the_published_configurations_are_what_the_papers_say() -> None:
    base = load_recipe("jina-v3-english")
    assert base.denoiser.backbone == ScratchBackbone(kind="scratch", layers=8, hidden=768, heads=12, feed_forward=3072)
    assert base.denoiser.conditioning.time and not base.denoiser.lexical.enabled
    assert (base.schedule.kind, base.schedule.rate, base.text.length) == ("paper", 5.0, 32)
    ratios = {name: load_recipe(name).schedule.ratio for name in recipe_names() if name.startswith("fixed-")}
    assert ratios == {f"fixed-{percent}": percent / 100 for percent in (10, 20, 40, 80, 100)}
    for name in ratios:
        ablation = load_recipe(name)
        assert ablation.denoiser == base.denoiser and ablation.training.batch_size == 380
