"""Speed of one training step: samples a second, share of this machine's bf16 matrix peak, ratios to other ways.

    python benchmarks/training.py [--batch 128] [--rounds 5] [--json]

Three comparisons, each in turns in one process.

plain: the 6-layer MiniLM-wrapped denoiser with the paper's conditioning on 32-token batches, against a plain loop, that
is, what one writes first: fp32, logits at all positions, attention as torch picks it, an optimiser that loops. The
share of the peak counts only useful multiply-adds: the network, and the head at masked positions; forward and backward
are three times the forward pass.

deep: the network of recipes/minilm-deep.yaml, trained as that recipe says (candidates as memory, batches cut to their
length, softmax over the tokens in play and a sample), against the same denoiser with the 32 candidates as positions
before the text, all 32 positions of every text, and the softmax over the whole vocabulary; both in bf16. Rows are the
sentences of benchmarks/publication, 6 to 32 tokens.

shipped: the same for recipes/minilm.yaml, whose denoiser has no blocks: its own step against that concatenated one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from unmask.denoiser.build import build_denoiser, token_space
from unmask.denoiser.network import Denoiser
from unmask.diffusion.loss import multi_label_softmax
from unmask.diffusion.masking import mask_batch
from unmask.diffusion.schedules import ExactCount, Schedule, build_schedule
from unmask.encoders.minilm import bundled_model_folder
from unmask.recipe import DenoiserSection, OptimizerSection, PretrainedBackbone, Recipe, TokenizerSection, load_recipe
from unmask.runtime import autocast, keep_freed_memory
from unmask.text.tokens import load_tokenizer
from unmask.text_files import read_text_file
from unmask.training.data import Batch, BatchSource
from unmask.training.optimizer import build_optimizer
from unmask.training.step import LossSettings, batch_loss, cross_entropy_at

LENGTH, DIMENSION = 32, 384
SCHEDULE: Schedule = ExactCount(0.15)
RECIPES = {"deep": "minilm-deep", "shipped": "minilm"}  # by the name of the comparison


def build() -> Denoiser:
    torch.manual_seed(0)
    section = DenoiserSection(
        backbone=PretrainedBackbone(kind="pretrained", name=str(bundled_model_folder())), dropout=0.0
    )
    return build_denoiser(section, token_space(load_tokenizer(TokenizerSection())), LENGTH, DIMENSION)


def fast_step(batch: int) -> Callable[[], None]:
    denoiser = build()
    optimizer = build_optimizer(denoiser, OptimizerSection())
    settings = LossSettings(SCHEDULE, torch.bfloat16, 0.0, 0.0)
    ids, vectors, generator = make_batch(batch)

    def step() -> None:
        batch_loss(denoiser, Batch(ids, vectors), settings, generator).total.backward()
        finish(denoiser, optimizer)

    return step


def plain_step(batch: int) -> Callable[[], None]:
    denoiser = build()
    denoiser.backbone.attention = "sdpa"  # type: ignore[assignment]
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=1e-4, foreach=False)
    ids, vectors, generator = make_batch(batch)
    everywhere = torch.ones_like(ids, dtype=torch.bool)

    def step() -> None:
        masked = mask_batch(ids, denoiser.mask_id, SCHEDULE, generator)
        logits = denoiser(masked.ids, everywhere, denoiser.condition(vectors))  # (batch * length, vocabulary)
        losses = functional.cross_entropy(logits, ids.flatten(), reduction="none")
        (losses * masked.weights.flatten()).sum().backward()
        torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def make_batch(batch: int) -> tuple[torch.Tensor, torch.Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1000, 20_000, (batch, LENGTH), generator=generator)
    return ids, torch.randn(batch, DIMENSION, generator=generator), generator


class Sentences:
    """The publication set as pairs: its tokens, and vectors of nothing."""

    def __init__(self, rows: int) -> None:
        tokenizer = load_tokenizer(TokenizerSection())
        files = sorted((Path(__file__).parent / "publication").glob("*.jsonl"))
        found = tokenizer.encode([text for path in files for text in read_text_file(path)])
        kept = list(itertools.islice(itertools.cycle(ids for ids in found if len(ids) <= LENGTH), rows))
        self.ids = np.full((rows, LENGTH), tokenizer.pad_id)
        for row, ids in zip(self.ids, kept, strict=True):
            row[: len(ids)] = ids
        self.held = (self.ids != tokenizer.pad_id).sum(axis=1)
        self.vectors = np.random.default_rng(0).standard_normal((rows, DIMENSION), dtype=np.float32)
        self.manifest = SimpleNamespace(length=LENGTH)

    def count(self, split: str) -> int:
        return len(self.ids)

    def rows(self, split: str, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.ids[indices], self.vectors[indices]

    def lengths(self, split: str, indices: np.ndarray) -> np.ndarray:
        return self.held[indices]


def build_lexical(recipe: Recipe) -> Denoiser:
    torch.manual_seed(0)
    return build_denoiser(recipe.denoiser, token_space(load_tokenizer(recipe.tokenizer)), LENGTH, DIMENSION)


def batches_of(recipe: Recipe, batch: int, pool: int) -> Iterator[Batch]:
    rows = Sentences(16 * batch)
    return BatchSource(rows, batch, 0, pool=pool, whole_share=recipe.training.whole_share).batches(0)  # type: ignore[arg-type]


def recipe_step(recipe: Recipe, batch: int) -> Callable[[], None]:
    """One pool of batches by the recipe: they differ in length, so only all of them together are a measure."""
    denoiser = build_lexical(recipe)
    if recipe.denoiser.lexical.freeze:
        denoiser.freeze_heads()
    if recipe.denoiser.neighbours.freeze:
        denoiser.freeze_neighbours()
    optimizer = build_optimizer(denoiser, recipe.training.optimizer)
    settings = LossSettings(
        build_schedule(recipe.schedule), torch.bfloat16, 0.0, recipe.denoiser.lexical.loss_weight,
        softmax_sample=recipe.training.softmax_sample,
    )  # fmt: skip
    batches, generator = batches_of(recipe, batch, recipe.training.length_pool), torch.Generator().manual_seed(0)

    def steps() -> None:
        for rows in itertools.islice(batches, recipe.training.length_pool):
            batch_loss(denoiser, rows, settings, generator).total.backward()
            finish(denoiser, optimizer)

    return steps


def concatenated_step(recipe: Recipe, batch: int) -> Callable[[], None]:
    """The same network with its candidates as positions, whole texts and the whole vocabulary; its head looks once."""
    section = recipe.denoiser
    section = section.model_copy(
        update={
            "length_head": section.length_head.model_copy(update={"enabled": False}),
            "lexical": section.lexical.model_copy(update={"looks": 0}),
        }
    )
    recipe = recipe.model_copy(update={"denoiser": section})
    denoiser = build_lexical(recipe)
    optimizer = build_optimizer(denoiser, recipe.training.optimizer)
    batches, generator = batches_of(recipe, batch, 0), torch.Generator().manual_seed(0)
    schedule = build_schedule(recipe.schedule)

    def step() -> None:
        rows = next(batches)
        masked = mask_batch(rows.ids, denoiser.mask_id, schedule, generator)
        with autocast(rows.ids.device, torch.bfloat16):
            standard = denoiser.standardise(rows.vectors)
            summary = denoiser.summarise(standard)  # (batch, hidden)
            condition = denoiser.condition_from(standard, summary)
            scores = denoiser.lexical.scores(summary, denoiser.table)
            lexical = multi_label_softmax(scores, rows.ids, rows.ids != denoiser.pad_id)
            together = torch.cat([condition.candidate_ids, masked.ids], dim=1)  # (batch, candidates + length)
            states = denoiser.backbone(together, condition.modulation, None)[:, -LENGTH:]
            places = masked.positions.nonzero(as_tuple=True)
            of_heads = denoiser.features_of_heads(masked.ids, masked.positions, condition)
            features = denoiser.backbone.head(states[places]) * denoiser.network_gate + of_heads
        denoising = cross_entropy_at(denoiser, features, rows.ids, masked, torch.bfloat16)
        (denoising + recipe.denoiser.lexical.loss_weight * lexical).backward()
        finish(denoiser, optimizer)

    return step


def finish(denoiser: Denoiser, optimizer: torch.optim.Optimizer) -> None:
    torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def useful_operations(denoiser: Denoiser) -> float:
    """Floating-point operations of one row's forward and backward pass."""
    backbone = denoiser.backbone
    matrices = [m for name, m in backbone.model.named_parameters() if m.ndim == 2 and "embeddings" not in name]
    per_position = sum(m.numel() for m in matrices)
    attention = 2 * LENGTH * LENGTH * backbone.hidden * backbone.block_count
    head = sum(p.numel() for p in backbone.transform.parameters() if p.ndim == 2) + denoiser.table.numel()
    conditioning = sum(
        p.numel() for p in [*denoiser.vector.parameters(), *denoiser.modulator.parameters()] if p.ndim == 2
    )
    generator = torch.Generator().manual_seed(1)
    masked = (
        mask_batch(torch.zeros(4096, LENGTH, dtype=torch.long), 1, SCHEDULE, generator).positions.sum(1).float().mean()
    )
    return 3 * 2 * (per_position * LENGTH + attention + head * float(masked) + conditioning)


def matrix_peak(size: int = 2048, rounds: int = 20) -> float:
    """The best bf16 rate seen on this machine, in operations a second."""
    left, right = torch.randn(size, size).bfloat16(), torch.randn(size, size).bfloat16()
    best = 0.0
    for _ in range(rounds):
        start = time.perf_counter()
        left @ right
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def seconds(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def compare_plain(batch: int, rounds: int) -> dict[str, float | list[float]]:
    fast, plain = fast_step(batch), plain_step(batch)
    for _ in range(2):
        fast()
    plain()
    fast_times, plain_times, peaks = [], [], []
    for _ in range(rounds):
        plain_times.append(seconds(plain))
        peaks.append(matrix_peak(rounds=4))
        fast_times.append(seconds(fast))
    peak, median = statistics.median(peaks), statistics.median(fast_times)
    ratios = [p / f for p, f in zip(plain_times, fast_times, strict=True)]
    return {
        "samples_per_second": batch / median,
        "plain_samples_per_second": batch / statistics.median(plain_times),
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "matrix_peak_gflops": peak / 1e9,
        "share_of_peak": useful_operations(build()) * batch / median / peak,
    }


def compare_recipe(name: str, batch: int, rounds: int) -> dict[str, float | list[float]]:
    recipe = load_recipe(name)
    ours, concatenated = recipe_step(recipe, batch), concatenated_step(load_recipe("minilm-deep"), batch)
    ours()
    concatenated()
    concatenated()
    pool = recipe.training.length_pool
    our_times, other_times = [], []
    for _ in range(rounds):
        our_times.append(seconds(ours) / pool)
        other_times.append(statistics.median(seconds(concatenated) for _ in range(4)))
    ratios = [other / our for our, other in zip(our_times, other_times, strict=True)]
    return {
        "rows_per_second": batch / statistics.median(our_times),
        "concatenated_rows_per_second": batch / statistics.median(other_times),
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128, help="rows a step (128)")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds of each side, in turns (5)")
    parser.add_argument("--only", choices=("plain", *RECIPES), help="one of the three comparisons")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    keep_freed_memory()
    figures: dict[str, Any] = {"batch": options.batch, "threads": torch.get_num_threads()}
    if options.only in (None, "plain"):
        figures["plain"] = compare_plain(options.batch, options.rounds)
    for name, recipe in RECIPES.items():
        if options.only in (None, name):
            figures[name] = compare_recipe(recipe, options.batch, options.rounds)
    if options.json:
        print(json.dumps(figures))
        return
    print(f"training step, {options.batch} rows, {figures['threads']} threads")
    if "plain" in figures:
        plain = figures["plain"]
        show(plain, {"plain conditioning": "samples_per_second", "plain loop": "plain_samples_per_second"}, wanted=4)
        peak = plain["matrix_peak_gflops"]
        print(f"  share of the bf16 matrix peak ({peak:.0f} GFLOP/s): {plain['share_of_peak']:.0%} (40 % wanted)")
    for name, recipe in RECIPES.items():
        if name in figures:
            rates = {f"recipe {recipe}": "rows_per_second", "candidates as text": "concatenated_rows_per_second"}
            show(figures[name], rates, wanted=3)


def show(figures: dict[str, Any], rates: dict[str, str], wanted: int) -> None:
    for label, name in rates.items():
        print(f"  {label:<21}  {figures[name]:7.1f} rows/s")
    low, high = figures["ratio_range"]
    print(f"  {'ratio':<21}  {figures['ratio']:7.2f}  (range {low:.2f} to {high:.2f}; {wanted} wanted)")


if __name__ == "__main__":
    main()
