"""Speed of one training step: samples a second, share of this machine's bf16 matrix peak, ratio to a plain loop.

    python benchmarks/training.py [--batch 128] [--rounds 5] [--json]

Both sides train the 6-layer MiniLM-wrapped denoiser with the paper's conditioning on the same 32-token batches, in
turns in one process. The plain loop is what one writes first: fp32, logits at all positions, attention as torch picks
it, an optimiser that loops. The share counts only useful multiply-adds: the network, and the head at masked positions;
forward and backward are three times the forward pass.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn import functional

from unmask.denoiser.build import build_denoiser, token_space
from unmask.denoiser.network import Denoiser
from unmask.diffusion.masking import mask_batch
from unmask.diffusion.schedules import ExactCount, Schedule
from unmask.encoders.minilm import bundled_model_folder
from unmask.recipe import DenoiserSection, OptimizerSection, PretrainedBackbone, TokenizerSection
from unmask.runtime import keep_freed_memory
from unmask.text.tokens import load_tokenizer
from unmask.training.optimizer import build_optimizer
from unmask.training.step import LossSettings, batch_loss

LENGTH, DIMENSION = 32, 384
SCHEDULE: Schedule = ExactCount(0.15)


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
        batch_loss(denoiser, ids, vectors, settings, generator).total.backward()
        torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128, help="rows a step (128)")
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each side, in turns (5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    keep_freed_memory()
    fast, plain = fast_step(options.batch), plain_step(options.batch)
    for _ in range(2):
        fast()
    plain()
    fast_times, plain_times, peaks = [], [], []
    for _ in range(options.rounds):
        plain_times.append(seconds(plain))
        peaks.append(matrix_peak(rounds=4))
        fast_times.append(seconds(fast))
    operations = useful_operations(build()) * options.batch
    peak, median = statistics.median(peaks), statistics.median(fast_times)
    ratios = [p / f for p, f in zip(plain_times, fast_times, strict=True)]
    figures = {
        "samples_per_second": options.batch / median,
        "plain_samples_per_second": options.batch / statistics.median(plain_times),
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "matrix_peak_gflops": peak / 1e9,
        "share_of_peak": operations / median / peak,
        "batch": options.batch,
        "threads": torch.get_num_threads(),
    }
    if options.json:
        print(json.dumps(figures))
        return
    print(f"training step, {options.batch} rows of {LENGTH} tokens, {figures['threads']} threads")
    print(f"  this project  {figures['samples_per_second']:7.1f} samples/s")
    print(f"  plain loop    {figures['plain_samples_per_second']:7.1f} samples/s")
    print(f"  ratio         {figures['ratio']:7.2f}  (range {min(ratios):.2f} to {max(ratios):.2f}; 4 wanted)")
    share = figures["share_of_peak"]
    print(f"  share of the bf16 matrix peak ({peak / 1e9:.0f} GFLOP/s): {share:.0%} (40 % wanted)")


if __name__ == "__main__":
    main()
