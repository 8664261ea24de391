"""Vectors into a file of the format that its name says, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from unmask.errors import OutputError
from unmask.files import atomic_writer
from unmask.vectorstores.recognition import suffix_format

COLUMN = "vector"

Chunks = Iterable[np.ndarray]  # each (some vectors, dimension) float32


def format_for(path: Path | str) -> str:
    """The format that a file's name asks for."""
    name = suffix_format(Path(path))
    if name not in WRITERS:
        known = ", ".join(f".{known}" for known in WRITERS)
        raise OutputError(f"{path} has the suffix '{Path(path).suffix}', expected one of {known}; choose another name")
    return name


def write_vectors(path: Path | str, chunks: Chunks, count: int, dimension: int) -> None:
    """Write `count` vectors that arrive in chunks."""
    write = WRITERS[format_for(path)]
    with atomic_writer(path) as handle:
        write(handle, chunks, count, dimension)


def json_line(row: int, vector: np.ndarray) -> str:
    # The shortest decimal that reads back as the same float32.
    numbers = ", ".join(str(value) for value in vector.astype(np.float32))
    return f'{{"id": {json.dumps(str(row))}, "{COLUMN}": [{numbers}]}}'


def _write_npy(handle: BinaryIO, chunks: Chunks, count: int, dimension: int) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, dimension)}
    np.lib.format.write_array_header_1_0(handle, header)
    for chunk in chunks:
        handle.write(np.ascontiguousarray(chunk, dtype="<f4").tobytes())


def _write_npz(handle: BinaryIO, chunks: Chunks, count: int, dimension: int) -> None:
    np.savez(handle, vector=_gather(chunks, count, dimension))


def _write_safetensors(handle: BinaryIO, chunks: Chunks, count: int, dimension: int) -> None:
    from safetensors.numpy import save

    handle.write(save({COLUMN: _gather(chunks, count, dimension)}))


def _write_parquet(handle: BinaryIO, chunks: Chunks, count: int, dimension: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(COLUMN, pa.list_(pa.float32(), dimension))])
    with pq.ParquetWriter(handle, schema) as writer:
        for chunk in chunks:
            flat = pa.array(np.ascontiguousarray(chunk, dtype=np.float32).reshape(-1))
            writer.write_table(pa.table([pa.FixedSizeListArray.from_arrays(flat, dimension)], schema=schema))


def _write_jsonl(handle: BinaryIO, chunks: Chunks, count: int, dimension: int) -> None:
    row = 0
    for chunk in chunks:
        lines = [json_line(row + place, vector) for place, vector in enumerate(chunk)]
        handle.write("".join(f"{line}\n" for line in lines).encode("utf-8"))
        row += len(chunk)


def _gather(chunks: Chunks, count: int, dimension: int) -> np.ndarray:
    values = np.empty((count, dimension), dtype=np.float32)
    row = 0
    for chunk in chunks:
        values[row : row + len(chunk)] = chunk
        row += len(chunk)
    return values


WRITERS: dict[str, Callable[[BinaryIO, Chunks, int, int], None]] = {
    "npy": _write_npy,
    "npz": _write_npz,
    "parquet": _write_parquet,
    "safetensors": _write_safetensors,
    "jsonl": _write_jsonl,
}
