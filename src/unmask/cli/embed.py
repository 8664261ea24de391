"""`unmask embed`: texts in, vectors out."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unmask.cli.console import note, print_json, progress_bar
from unmask.cli.encoder_options import (
    BatchSize,
    Budget,
    Device,
    EncoderName,
    KeyVariable,
    Model,
    Precision,
    Prompt,
    RequestsPerMinute,
    Task,
    Threads,
    TruncateDim,
    TrustRemoteCode,
    Url,
    open_encoder,
)
from unmask.cli.invert import stoppable
from unmask.errors import InputError, InterruptedRun

if TYPE_CHECKING:
    import numpy as np

    from unmask.encoders.base import Encoder

CHUNK = 1024  # texts between two moves of the progress bar


def embed(
    texts: Annotated[str, typer.Argument(help="A text per line, or JSONL with `text`; - for stdin.")],
    encoder: EncoderName = "minilm",
    out: Annotated[
        Path | None,
        typer.Option(help=".npy, .npz, .parquet, .safetensors or .jsonl; JSON lines on stdout if left out."),
    ] = None,
    model: Model = None,
    prompt: Prompt = None,
    task: Task = None,
    truncate_dim: TruncateDim = None,
    batch_size: BatchSize = None,
    precision: Precision = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many texts.")] = None,
    url: Url = None,
    api_key_variable: KeyVariable = None,
    requests_per_minute: RequestsPerMinute = None,
    budget: Budget = None,
    trust_remote_code: TrustRemoteCode = False,
    device: Device = "auto",
    threads: Threads = None,
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
    from unmask.vectorstores.writing import format_for, write_vectors

    if out is not None:
        format_for(out)
        check_writable(out)
    elif as_json:
        raise InputError("--json describes what was written to --out, which is missing; give a file, or drop --json")
    set_threads(threads)
    lines = read_text_file(texts)[:limit]
    loaded = open_encoder(
        encoder,
        device,
        trust_remote_code,
        model=model,
        prompt=prompt,
        task=task,
        truncate_dim=truncate_dim,
        batch_size=batch_size,
        precision=precision,
        url=url,
        api_key_variable=api_key_variable,
        requests_per_minute=requests_per_minute,
        budget=budget,
    )
    check_before(loaded, lines)
    with stoppable():
        if out is None:
            print_vectors(loaded, lines)
            return
        start = time.perf_counter()
        chunks = embedded(loaded, lines)
        first = next(chunks)  # an API says its dimension only with its first answer
        write_vectors(out, itertools.chain([first], chunks), len(lines), first.shape[1])
        seconds = time.perf_counter() - start
    if as_json:
        about = {"encoder": loaded.name, "fingerprint": loaded.fingerprint, "queries": loaded.queries}
        size = {"vectors": len(lines), "dimension": first.shape[1]}
        print_json({"out": str(out), **size, **about, "seconds": round(seconds, 3)})
    else:
        note(f"{len(lines)} vectors of {first.shape[1]} dimensions written to {out} in {seconds:.1f} s")


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
