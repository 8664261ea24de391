"""The same vectors written in every format that there is a reader for."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Write = Callable[[Path, np.ndarray, list[str] | None], Path]


def write_npy(folder: Path, vectors: np.ndarray, ids: list[str] | None) -> Path:
    np.save(folder / "v.npy", vectors)
    return folder / "v.npy"


def write_npz(folder: Path, vectors: np.ndarray, ids: list[str] | None) -> Path:
    np.savez(folder / "v.npz", vectors=vectors, **({} if ids is None else {"ids": np.array(ids)}))
    return folder / "v.npz"


def write_parquet(folder: Path, vectors: np.ndarray, ids: list[str] | None) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"embedding": pa.array(list(vectors))} | ({} if ids is None else {"id": ids})
    pq.write_table(pa.table(columns), folder / "v.parquet", row_group_size=7)
    return folder / "v.parquet"


def write_safetensors(folder: Path, vectors: np.ndarray, ids: list[str] | None) -> Path:
    from safetensors.numpy import save_file

    save_file(
        {"vectors": vectors} | ({} if ids is None else {"ids": np.array(ids, dtype=np.int64)}), folder / "v.safetensors"
    )
    return folder / "v.safetensors"


def write_jsonl(folder: Path, vectors: np.ndarray, ids: list[str] | None) -> Path:
    rows = [row.tolist() for row in vectors]
    lines = rows if ids is None else [{"id": i, "vector": row} for i, row in zip(ids, rows, strict=True)]
    (folder / "v.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    return folder / "v.jsonl"


def write_arrow(folder: Path, vectors: np.ndarray, ids: list[str] | None) -> Path:
    import pyarrow as pa

    columns = {"embedding": pa.array(list(vectors))} | ({} if ids is None else {"id": ids})
    table = pa.table(columns)
    with pa.OSFile(str(folder / "v.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)
    return folder / "v.arrow"


def write_csv(folder: Path, vectors: np.ndarray, ids: list[str] | None) -> Path:
    with (folder / "v.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["embedding"] if ids is None else ["id", "embedding"])
        for row, vector in enumerate(vectors.tolist()):
            writer.writerow([*([] if ids is None else [ids[row]]), json.dumps(vector)])
    return folder / "v.csv"


WRITERS: dict[str, Write] = {
    "arrow": write_arrow,
    "csv": write_csv,
    "npy": write_npy,
    "npz": write_npz,
    "parquet": write_parquet,
    "safetensors": write_safetensors,
    "jsonl": write_jsonl,
}


@pytest.fixture(scope="session")
def writers() -> dict[str, Write]:
    return WRITERS


@pytest.fixture(scope="session")
def vectors() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((23, 5)).astype(np.float32)
