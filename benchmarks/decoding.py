"""Speed of decoding: vectors a second in batches, against one vector at a time done the plain way.

    python benchmarks/decoding.py [--model NAME] [--vectors 256] [--threads N] [--json]

This project: confidence decoding in 8 steps, in batches, in the precision that the machine is fast at, logits only
where a token is still masked. The plain way: one vector at a time, one token a step, fp32, logits at all positions.
Both use the same network: the model that ships with the package or, where there is none, an untrained denoiser around
the bundled MiniLM. They run in turns in one process; the plain way on a few of the vectors, since it is slow.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time

import torch

from unmask.decoding import DecodeOptions, decode
from unmask.denoiser.checkpoint import load_checkpoint, shipped_models
from unmask.denoiser.network import Denoiser
from unmask.runtime import choose_device, choose_dtype, keep_freed_memory, set_threads

LENGTH, DIMENSION, STEPS = 32, 384, 8
WANTED = 20


def untrained() -> Denoiser:
    from unmask.denoiser.build import build_denoiser, token_space
    from unmask.recipe import DenoiserSection, LexicalSection, PretrainedBackbone, TokenizerSection
    from unmask.text.tokens import load_tokenizer

    torch.manual_seed(0)
    section = DenoiserSection(
        backbone=PretrainedBackbone(kind="pretrained", name="minilm"), lexical=LexicalSection(enabled=True), dropout=0.0
    )
    space = token_space(load_tokenizer(TokenizerSection()))
    return build_denoiser(section, space, LENGTH, DIMENSION).eval().requires_grad_(False)


@torch.no_grad()
def decode_plainly(denoiser: Denoiser, vector: torch.Tensor) -> torch.Tensor:
    """One vector (1, dimension): the surest position is set, all logits are made anew, and so on until none is left."""
    ids = torch.full((1, denoiser.length), denoiser.mask_id, device=vector.device)
    everywhere = torch.ones_like(ids, dtype=torch.bool)
    for step in range(denoiser.length):
        time_left = torch.full((1,), 1 - step / denoiser.length, device=vector.device)
        logits = denoiser(ids, everywhere, denoiser.condition(vector), time_left)  # (length, vocabulary)
        confidence, tokens = logits.softmax(dim=-1).max(dim=-1)
        place = confidence.masked_fill(ids[0] != denoiser.mask_id, -1).argmax()
        ids[0, place] = tokens[place]
    return ids


def decode_in_batches(denoiser: Denoiser, vectors: torch.Tensor, batch: int, dtype: torch.dtype) -> None:
    for start in range(0, len(vectors), batch):
        *_, last = decode(
            denoiser, vectors[start : start + batch], "confidence", DecodeOptions(steps=STEPS), dtype=dtype
        )
        last.tokens.cpu()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a shipped model's name or a checkpoint's folder")
    parser.add_argument("--vectors", type=int, default=256, help="vectors decoded in batches (256)")
    parser.add_argument("--plain", type=int, default=4, help="of these, vectors decoded the plain way a round (4)")
    parser.add_argument("--batch", type=int, help="batch size; the inverter's own if left out")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, both sides in turns (3)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda")
    parser.add_argument("--threads", type=int, help="CPU threads of both sides; all if left out")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    set_threads(options.threads)
    keep_freed_memory()
    from unmask.attacks.inverter import CPU_BATCH, GPU_BATCH, store_matrices_in

    device = choose_device(options.device)
    dtype = choose_dtype("auto", device)
    shipped = [model["name"] for model in shipped_models()]
    name = options.model or (shipped[0] if shipped else None)
    plain = (untrained() if name is None else load_checkpoint(name).denoiser).to(device)
    fast = copy.deepcopy(plain)
    store_matrices_in(fast, dtype)
    batch = options.batch or (GPU_BATCH if device.type == "cuda" else CPU_BATCH)
    vectors = torch.nn.functional.normalize(torch.randn(options.vectors, plain.dimension), dim=1).to(device)
    decode_in_batches(fast, vectors[:batch], batch, dtype)
    decode_plainly(plain, vectors[:1])
    fast_rates, plain_rates = [], []
    for _ in range(options.rounds):
        started = time.perf_counter()
        for row in range(options.plain):
            decode_plainly(plain, vectors[row : row + 1]).cpu()
        plain_rates.append(options.plain / (time.perf_counter() - started))
        started = time.perf_counter()
        decode_in_batches(fast, vectors, batch, dtype)
        fast_rates.append(options.vectors / (time.perf_counter() - started))
    ratios = [f / p for f, p in zip(fast_rates, plain_rates, strict=True)]
    figures = {
        "model": name or "untrained MiniLM",
        "vectors_per_second": statistics.median(fast_rates),
        "plain_vectors_per_second": statistics.median(plain_rates),
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "batch": batch,
        "dtype": str(dtype).removeprefix("torch."),
        "device": str(device),
        "threads": torch.get_num_threads(),
    }
    if options.json:
        print(json.dumps(figures))
        return
    print(f"decoding {options.vectors} vectors, {figures['model']}, {figures['dtype']} on {device}, batches of {batch}")
    print(f"  this project  {figures['vectors_per_second']:8.2f} vectors/s")
    print(f"  plain way     {figures['plain_vectors_per_second']:8.2f} vectors/s")
    print(
        f"  ratio         {figures['ratio']:8.1f}  ({min(ratios):.1f} to {max(ratios):.1f}; at least {WANTED} wanted)"
    )


if __name__ == "__main__":
    main()
