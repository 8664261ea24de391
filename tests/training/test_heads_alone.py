"""A model without blocks from its training to its texts: lengths, neighbours, costs by word and drafts together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from unmask.attacks.inverter import Inverter
from unmask.denoiser.checkpoint import export_checkpoint
from unmask.denoiser.lexical import repeat_costs
from unmask.pairs.dataset import PairsDataset
from unmask.runtime import autocast
from unmask.training.loop import train

CHANGES = {
    "denoiser__backbone__layers": 0,
    "denoiser__conditioning__adaln": False,
    "denoiser__conditioning__prefix": 0,
    "denoiser__lexical": {
        "enabled": True, "hidden": 32, "candidates": 0, "looks": 1, "warmup_steps": 30, "freeze": True,
        "bias_start": 1.0, "bias_trained": False, "decoding_weight": 2.0, "repeat_penalty": 1.0,
        "repeat_by_word": True,
    },
    "denoiser__length_head": {"enabled": True, "hide_padding": True, "hidden": 24},
    "denoiser__neighbours": {"enabled": True, "reach": 2, "hidden": 32},
    "training__length_pool": 2,
    "training__whole_share": 0.0,
    "training__max_steps": 60,
}  # fmt: skip
DRAFTS = 3


def texts_of(inverter: Inverter, vectors: np.ndarray, **how: Any) -> list[tuple[tuple[int, ...], int]]:
    found = inverter.invert(vectors, steps=4, drafts=DRAFTS, seed=3, **how)
    return [(row.token_ids, row.cost.forward_passes) for row in found]


def test_what_is_trained_without_blocks_reads_vectors_in_any_company(
    pairs: Path, recipe_for: Any, tmp_path: Path
) -> None:
    run = train(recipe_for(**CHANGES), pairs, tmp_path / "run")
    inverter = Inverter.from_pretrained(run, precision="bf16")
    denoiser, held = inverter.denoiser, PairsDataset.open(pairs)
    assert not denoiser.backbone.block_count and denoiser.repeat_cost is not None

    counted = repeat_costs(*map(torch.from_numpy, held.token_counts(denoiser.vocabulary_size)))
    torch.testing.assert_close(denoiser.repeat_cost.float(), counted.float())

    vectors = held.rows("train", np.arange(6))[1].astype(np.float32)
    whole = texts_of(inverter, vectors)
    assert whole == texts_of(inverter, vectors, batch_size=2) and len({ids for ids, _ in whole}) > 1
    with autocast(inverter.device, inverter.dtype):
        lengths = denoiser.condition(torch.from_numpy(vectors)).lengths
    assert lengths is not None and [len(ids) for ids, _ in whole] == lengths.tolist()
    for ids, passes in whole:
        assert not set(ids) & set(inverter.tokenizer.forbidden_ids) and inverter.tokenizer.pad_id not in ids
        assert passes > DRAFTS

    small = Inverter.from_pretrained(export_checkpoint(run, tmp_path / "small", "int8"), precision="bf16")
    assert [len(ids) for ids, _ in texts_of(small, vectors)] == lengths.tolist()


def test_what_coming_again_costs_is_heard_in_the_texts(pairs: Path, recipe_for: Any, tmp_path: Path) -> None:
    inverter = Inverter.from_pretrained(train(recipe_for(**CHANGES), pairs, tmp_path / "run"))
    vectors = PairsDataset.open(pairs).rows("train", np.arange(40))[1].astype(np.float32)

    def repeated(factor: float) -> int:
        found = inverter.invert(vectors, steps=4, repeat_penalty=factor)
        return sum(len(row.token_ids) - len(set(row.token_ids)) for row in found)

    assert repeated(10.0) < repeated(0.0)
