"""The parts of training: learning rates, averages, the order of rows, the loss of one batch."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from unmask.denoiser.build import build_denoiser, token_space
from unmask.diffusion.schedules import build_schedule
from unmask.pairs.dataset import PairsDataset
from unmask.recipe import OptimizerSection
from unmask.training.data import Batch, BatchSource, load_rows
from unmask.training.optimizer import MovingAverage, build_optimizer, learning_rate, set_learning_rate
from unmask.training.step import LossSettings, batch_loss


@pytest.mark.parametrize("cooldown", ["cosine", "linear", "constant"])
def test_the_rate_warms_up_and_cools_down(cooldown: Any) -> None:
    section = OptimizerSection(learning_rate=2.0, warmup_steps=10, cooldown=cooldown, final_share=0.1)
    rates = [learning_rate(section, step, step / 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.2) and rates[9] == pytest.approx(2.0)
    assert all(late <= early + 1e-12 for early, late in itertools.pairwise(rates[10:]))
    assert rates[100] == pytest.approx(2.0 if cooldown == "constant" else 0.2)


def test_only_matrices_decay() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Embedding(3, 4))
    groups = build_optimizer(module, OptimizerSection(weight_decay=0.3)).param_groups
    assert {p.ndim for group in groups if group["weight_decay"] == 0.3 for p in group["params"]} == {2}
    assert {p.ndim for group in groups if group["weight_decay"] == 0.0 for p in group["params"]} == {1}
    assert sum(len(group["params"]) for group in groups) == len(list(module.parameters()))


def test_frozen_weights_are_no_business_of_the_optimiser() -> None:
    module = nn.Linear(4, 4).requires_grad_(False)
    module.bias.requires_grad_(True)
    groups = build_optimizer(module, OptimizerSection()).param_groups
    assert [p for group in groups for p in group["params"]] == [module.bias]


def test_the_average_follows_its_decay_once_it_is_old() -> None:
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(0.0)
    average = MovingAverage(module, decay=0.9)
    module.weight.data.fill_(1.0)
    for step in range(1000, 1005):
        average.update(step)
    assert average.weights["weight"].item() == pytest.approx(1 - 0.9**5, rel=1e-5)


def test_a_young_average_is_mostly_the_present() -> None:
    module = nn.Linear(1, 1, bias=False)
    average = MovingAverage(module, decay=0.9999)
    module.weight.data.fill_(5.0)
    for step in range(20):
        average.update(step)
    assert average.weights["weight"].item() == pytest.approx(5.0, rel=0.05)


def test_swapping_twice_changes_nothing() -> None:
    module = nn.Linear(2, 2)
    average = MovingAverage(module, 0.9)
    module.weight.data += 1
    present, averaged = module.weight.detach().clone(), average.weights["weight"].clone()
    average.swap()
    assert torch.equal(module.weight, averaged)
    average.swap()
    assert torch.equal(module.weight, present) and torch.equal(average.weights["weight"], averaged)


class Rows:
    """Pairs of which only the count is asked."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def count(self, split: str) -> int:
        return self.rows


def test_every_row_is_seen_once_an_epoch_and_epochs_differ() -> None:
    source = BatchSource(Rows(50), batch_size=8, seed=1)  # type: ignore[arg-type]
    seen = np.concatenate([source.indices(step) for step in range(25)])
    for epoch in range(4):
        assert sorted(seen[50 * epoch : 50 * (epoch + 1)]) == list(range(50))
    assert not np.array_equal(seen[:50], seen[50:100])


def test_processes_share_out_what_one_process_sees() -> None:
    alone = BatchSource(Rows(37), batch_size=12, seed=2)  # type: ignore[arg-type]
    parts = [BatchSource(Rows(37), 4, 2, rank, processes=3) for rank in range(3)]  # type: ignore[arg-type]
    for step in range(10):
        together = np.concatenate([part.indices(step) for part in parts])
        assert np.array_equal(together, alone.indices(step))


def test_a_batch_larger_than_the_data_goes_round() -> None:
    source = BatchSource(Rows(5), batch_size=12, seed=0)  # type: ignore[arg-type]
    counts = np.bincount(source.indices(0), minlength=5)
    assert counts.min() >= 2 and counts.sum() == 12


def test_batches_start_anywhere(pairs: Path) -> None:
    source = BatchSource(PairsDataset.open(pairs), batch_size=6, seed=3)
    from_start = source.batches(0)
    skipped = [next(from_start) for _ in range(4)][3]
    from_there = next(source.batches(3))
    assert torch.equal(skipped.ids, from_there.ids) and torch.equal(skipped.vectors, from_there.vectors)
    assert skipped.ids.dtype == torch.int64 and skipped.vectors.dtype == torch.float32


def pooled(pairs: Path, pool: int = 4) -> BatchSource:
    return BatchSource(PairsDataset.open(pairs), batch_size=6, seed=3, pool=pool, whole_share=0.25)


def test_a_pool_shows_the_same_rows_as_no_pool(pairs: Path) -> None:
    plain, sorted_by_length = BatchSource(PairsDataset.open(pairs), 6, 3), pooled(pairs)
    pad = PairsDataset.open(pairs).tokenizer().pad_id

    def texts(source: BatchSource) -> list[tuple[int, ...]]:
        batches = itertools.islice(source.batches(0), 8)
        return sorted(tuple(t for t in row if t != pad) for batch in batches for row in batch.ids.tolist())

    assert texts(plain) == texts(sorted_by_length)


def test_a_pool_cuts_its_batches_but_for_a_share(pairs: Path) -> None:
    batches = list(itertools.islice(pooled(pairs).batches(0), 8))
    length = PairsDataset.open(pairs).manifest.length
    assert [sum(batch.is_whole for batch in batches[start : start + 4]) for start in (0, 4)] == [1, 1]
    assert all(batch.ids.shape[1] == length for batch in batches if batch.is_whole)
    assert min(batch.ids.shape[1] for batch in batches) < length


def test_a_pool_can_be_entered_anywhere(pairs: Path) -> None:
    from_start = list(itertools.islice(pooled(pairs).batches(0), 7))
    for step in (1, 4, 6):
        found = next(pooled(pairs).batches(step))
        assert torch.equal(found.ids, from_start[step].ids) and found.is_whole == from_start[step].is_whole


def test_a_late_cooldown_waits() -> None:
    section = OptimizerSection(learning_rate=1.0, warmup_steps=0, cooldown="late", cooldown_share=0.25, final_share=0.1)
    assert [learning_rate(section, 9, share) for share in (0.0, 0.5, 0.75)] == [1.0, 1.0, 1.0]
    assert learning_rate(section, 9, 0.875) == pytest.approx(0.55)
    assert learning_rate(section, 9, 1.0) == pytest.approx(0.1)


def test_gates_go_faster() -> None:
    module = nn.Module()
    module.gate, module.norm = nn.Parameter(torch.zeros(3)), nn.LayerNorm(3)
    optimizer = build_optimizer(module, OptimizerSection(gate_multiplier=7.0))
    set_learning_rate(optimizer, 0.5)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates[id(module.gate)] == 3.5 and rates[id(module.norm.weight)] == 0.5


def test_a_batch_that_was_cut_teaches_nothing_about_the_end(pairs: Path, recipe_for: Any) -> None:
    """Its length would tell: PAD's bias gets a gradient from whole batches only."""
    held = PairsDataset.open(pairs)
    recipe = recipe_for()
    denoiser = build_denoiser(recipe.denoiser, token_space(held.tokenizer()), held.manifest.length, 16)
    ids, vectors = load_rows(held, "train", np.arange(12))
    settings = LossSettings(build_schedule(recipe.schedule), torch.float32, 0.0, 0.0, softmax_sample=8)
    bias = denoiser.backbone.bias
    for is_whole in (True, False):
        denoiser.zero_grad()
        batch_loss(denoiser, Batch(ids, vectors, is_whole), settings, torch.Generator().manual_seed(0)).total.backward()
        assert bool(bias.grad[denoiser.pad_id] != 0) == is_whole


def test_tokens_are_counted_in_all_training_texts(pairs: Path) -> None:
    held = PairsDataset.open(pairs)
    ids, _ = held.rows("train", np.arange(held.count("train")))
    size = held.tokenizer().vocabulary_size
    occurrences, texts = held.token_counts(size)
    assert occurrences.tolist() == np.bincount(ids.ravel(), minlength=size).tolist()
    assert texts.tolist() == [int((ids == token).any(axis=1).sum()) for token in range(size)]
