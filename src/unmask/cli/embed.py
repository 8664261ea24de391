"""`unmask embed`: texts in, vectors out."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unmask.cli import encoder_options as options
from unmask.cli.console import note, print_json, progress_bar
from unmask.cli.invert import stoppable
from unmask.errors import InputError, InterruptedRun

if TYPE_CHECKING:
    import numpy as np

    from unmask.encoders.base import Encoder

ABOUT = "{vectors} vectors of {dimension} dimensions written to {out} in {seconds:.1f} s"
CHUNK = 1024  # texts between two moves of the progress bar


def embed(
    texts: Annotated[str, typer.Argument(help="A text per line, or JSONL with `text`; - for stdin.")],
    encoder: options.EncoderName = "minilm",
    out: Annotated[
        Path | None,
        typer.Option(help=".npy, .npz, .parquet, .safetensors or .jsonl; JSON lines on stdout if left out."),
    ] = None,
    model: options.Model = None,
    prompt: options.Prompt = None,
    task: options.Task = None,
    truncate_dim: options.TruncateDim = None,
    batch_size: options.BatchSize = None,
    precision: options.Precision = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many texts.")] = None,
    url: options.Url = None,
    api_key_variable: options.KeyVariable = None,
    requests_per_minute: options.RequestsPerMinute = None,
    budget: options.Budget = None,
    trust_remote_code: options.TrustRemoteCode = False,
    device: options.Device = "auto",
    threads: options.Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --out: print one JSON object about the run.")] = False,
) -> None:
    """Turn texts into vectors, a row for each text in the same order.

    Empty lines are left out. The file is written whole or not at all.

        unmask embed texts.txt --encoder minilm --out vectors.npy
        unmask embed texts.jsonl --encoder Qwen/Qwen3-Embedding-0.6B --prompt query --out vectors.parquet
        unmask embed texts.txt --encoder api --model bge-m3 --url http://localhost:8080/v1 --out vectors.npy
        echo "The meeting is moved to Friday." | unmask embed - | unmask invert -
    """
    from unmask.files import check_writable
    from unmask.runtime import set_threads
    from unmask.text_files import read_text_file
    from unmask.vectorstores.writing import format_for

    if out is not None:
        format_for(out)
        check_writable(out)
    elif as_json:
        raise InputError("--json describes what was written to --out, which is missing; give a file, or drop --json")
    set_threads(threads)
    lines = read_text_file(texts)[:limit]
    made: dict[str, Any] = {"model": model, "prompt": prompt, "task": task, "truncate_dim": truncate_dim}
    run: dict[str, Any] = {"batch_size": batch_size, "precision": precision}
    server: dict[str, Any] = {"url": url, "api_key_variable": api_key_variable, "budget": budget}
    server["requests_per_minute"] = requests_per_minute
    loaded = options.open_encoder(encoder, device, trust_remote_code, **made, **run, **server)
    check_before(loaded, lines)
    with stoppable():
        if out is None:
            print_vectors(loaded, lines)
        else:
            about = write_file(loaded, lines, out)
            print_json(about) if as_json else note(ABOUT.format(**about))


def write_file(encoder: Encoder, texts: list[str], out: Path) -> dict[str, Any]:
    """Embed into a file; returns what was done."""
    from unmask.vectorstores.writing import write_vectors

    start = time.perf_counter()
    chunks = embedded(encoder, texts)
    first = next(chunks)  # an API says its dimension only with its first answer
    write_vectors(out, itertools.chain([first], chunks), len(texts), first.shape[1])
    seconds = round(time.perf_counter() - start, 3)
    size = {"out": str(out), "vectors": len(texts), "dimension": first.shape[1], "seconds": seconds}
    return {**size, "encoder": encoder.name, "fingerprint": encoder.fingerprint, "queries": encoder.queries}


def check_before(encoder: Encoder, texts: list[str]) -> None:
    """What is better known before the first text is sent."""
    from unmask.encoders.http_api import ApiEncoder
    from unmask.encoders.sentence_transformers import SentenceTransformersEncoder

    if isinstance(encoder, ApiEncoder):
        encoder.check_budget(len(texts))
    elif isinstance(encoder, SentenceTransformersEncoder) and (cut := encoder.count_cut(texts)):
        limit = encoder.max_tokens
        note(f"{cut} of {len(texts)} texts have more than {limit} tokens; their ends are not in the vectors")


def embedded(encoder: Encoder, texts: list[str]) -> Iterator[np.ndarray]:
    """The vectors in chunks, with progress on stderr."""
    done = 0
    try:
        with progress_bar("embedding", len(texts)) as advance:
            for start in range(0, len(texts), CHUNK):
                values = encoder.encode(texts[start : start + CHUNK])
                done += len(values)
                advance(len(values))
                yield values
    except KeyboardInterrupt as error:
        raise InterruptedRun(f"stopped after {done} of {len(texts)} texts; nothing was written") from error


def print_vectors(encoder: Encoder, texts: list[str]) -> None:
    from unmask.vectorstores.writing import json_line

    row = 0
    for values in embedded(encoder, texts):
        for vector in values:
            sys.stdout.write(f"{json_line(row, vector)}\n")
            row += 1
        sys.stdout.flush()
