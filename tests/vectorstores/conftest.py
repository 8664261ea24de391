"""The same vectors written in every format that there is a reader for."""

from __future__ import annotations

import contextlib
import csv
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Answer = Callable[[str, str, Any, Mapping[str, str]], tuple[int, Any]]
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


@contextlib.contextmanager
def listening(answer: Answer) -> Iterator[str]:
    """A server on this machine; `answer` takes method, path, what was sent and headers, and gives status and object."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, found = answer(self.command, self.path, json.loads(sent) if sent else None, headers)
            told = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("x-elastic-product", "Elasticsearch")  # without which that client talks to nobody
            if status // 100 == 3:
                self.send_header("location", found["location"])
            self.send_header("content-length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        do_GET = do_POST = do_PUT = do_DELETE = _answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def answering() -> Callable[[Answer], contextlib.AbstractContextManager[str]]:
    return listening
