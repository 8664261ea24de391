"""Peak memory of `unmask invert` on many vectors against few: what streams does not grow.

    python benchmarks/memory.py [--few 2000] [--many 200000] [--format npy] [--json]

Each run is the real command in a process of its own, with a tiny untrained model that this script makes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DIMENSION, LENGTH, WORDS = 64, 32, 200
WANTED = 1.3
# Products as small as these gain nothing from threads that wait for each other.
SETTINGS = ("--threads", "1", "--batch-size", "512", "--steps", "2")
FORMATS = ("npy", "npz", "parquet", "safetensors", "jsonl")


def make_model(folder: Path) -> None:
    """A checkpoint of a network so small that reading and writing are what takes memory."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from unmask.denoiser.build import build_denoiser, token_space
    from unmask.denoiser.checkpoint import save_checkpoint
    from unmask.recipe import DenoiserSection, Recipe, ScratchBackbone, TextSection, TrainingSection
    from unmask.text.tokens import TextTokenizer

    torch.manual_seed(0)
    names = ["[PAD]", "[UNK]", "[MASK]", *(f"word{number}" for number in range(WORDS))]
    inner = Tokenizer(models.WordLevel({name: place for place, name in enumerate(names)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", pad_token="[PAD]", mask_token="[MASK]")
    tokenizer = TextTokenizer.from_transformers(wrapped, "words")
    backbone = ScratchBackbone(kind="scratch", layers=1, hidden=8, heads=1, feed_forward=8)
    section = DenoiserSection(backbone=backbone, dropout=0.0)
    denoiser = build_denoiser(section, token_space(tokenizer), LENGTH, DIMENSION)
    recipe = Recipe(
        name="tiny", text=TextSection(length=LENGTH), denoiser=section, training=TrainingSection(max_steps=1)
    )
    save_checkpoint(folder / "model", denoiser, tokenizer, recipe, {"name": "none"}, {})


def write_vectors(path: Path, count: int) -> None:
    import numpy as np

    vectors = np.random.default_rng(0).standard_normal((count, DIMENSION), dtype=np.float32)
    if path.suffix == ".npy":
        np.save(path, vectors)
    elif path.suffix == ".npz":
        np.savez_compressed(path, vectors=vectors)
    elif path.suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file({"vectors": vectors}, path)
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIMENSION)
        pq.write_table(pa.table({"id": [f"document-{row}" for row in range(count)], "embedding": column}), path)
    else:
        with path.open("w") as handle:
            handle.writelines(json.dumps(row.tolist()) + "\n" for row in vectors)


def measure(folder: Path, vectors: Path) -> tuple[float, float]:
    """Peak resident memory in MiB and seconds of one run."""
    out = folder / f"{vectors.name}.texts.jsonl"
    command = [sys.executable, "-m", "unmask", "invert", str(vectors), "--model", str(folder / "model")]
    started = time.perf_counter()
    process = subprocess.Popen([*command, *SETTINGS, "--out", str(out)])
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"unmask invert failed with status {os.waitstatus_to_exitcode(status)}")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return usage.ru_maxrss / unit, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=2_000, help="vectors of the small run (2000)")
    parser.add_argument("--many", type=int, default=200_000, help="vectors of the large run (200000)")
    parser.add_argument("--format", choices=FORMATS, default="npy", help="file format of the vectors (npy)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make is not None:
        make_model(options.make)
        for count in (options.few, options.many):
            write_vectors(options.make / f"{count}.{options.format}", count)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own: a process starts with the peak memory of the one that started it.
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--make", name], check=True)
        few, few_seconds = measure(folder, folder / f"{options.few}.{options.format}")
        many, many_seconds = measure(folder, folder / f"{options.many}.{options.format}")
    figures = {
        "format": options.format,
        "few": {"vectors": options.few, "peak_mib": few, "seconds": few_seconds},
        "many": {"vectors": options.many, "peak_mib": many, "seconds": many_seconds},
        "ratio": many / few,
    }
    if options.json:
        print(json.dumps(figures))
        return
    print(f"peak memory of unmask invert, .{options.format}")
    print(f"  {options.few:>9,} vectors  {few:7.0f} MiB  {few_seconds:6.1f} s")
    print(f"  {options.many:>9,} vectors  {many:7.0f} MiB  {many_seconds:6.1f} s")
    print(f"  ratio              {many / few:7.2f}  (at most {WANTED} wanted)")


if __name__ == "__main__":
    main()
