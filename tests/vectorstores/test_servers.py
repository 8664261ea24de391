"""Stores behind an address: a real Chroma server, and Qdrant's own client in memory in place of a server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from unmask.errors import InputError
from unmask.vectorstores import open_vectors


@pytest.fixture
def chroma_server(tmp_path: Path) -> Iterator[int]:
    pytest.importorskip("chromadb")
    program = shutil.which("chroma", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("chromadb brought no server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "run", "--path", str(tmp_path), "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert time.monotonic() < deadline and process.poll() is None, "the Chroma server did not start"
            time.sleep(0.1)
    yield port
    process.terminate()
    process.wait()


def test_a_chroma_server_is_read(chroma_server: int, vectors: np.ndarray) -> None:
    import chromadb
    from chromadb.config import Settings

    client = chromadb.HttpClient("127.0.0.1", chroma_server, settings=Settings(anonymized_telemetry=False))
    held = client.create_collection("notes", embedding_function=None)
    held.add(ids=[f"n{row}" for row in range(23)], embeddings=vectors, documents=[f"text {row}" for row in range(23)])
    source = open_vectors(f"chroma://127.0.0.1:{chroma_server}/notes")
    (batch,) = source.batches(100)
    assert source.count == 23 and batch.ids == tuple(f"n{row}" for row in range(23))
    assert batch.texts == tuple(f"text {row}" for row in range(23))
    np.testing.assert_array_equal(batch.values, vectors)
    assert held.count() == 23
    with pytest.raises(InputError, match="no collection 'other', it has: notes"):
        open_vectors(f"chroma://127.0.0.1:{chroma_server}/other")


def test_qdrant_is_read_page_by_page(monkeypatch: pytest.MonkeyPatch, vectors: np.ndarray) -> None:
    qdrant = pytest.importorskip("qdrant_client")
    memory = qdrant.QdrantClient(":memory:")
    size = qdrant.models.VectorParams(size=5, distance=qdrant.models.Distance.DOT)
    memory.create_collection("notes", vectors_config=size)
    points = [
        qdrant.models.PointStruct(id=row, vector=vector.tolist(), payload={"body": f"text {row}"})
        for row, vector in enumerate(vectors)
    ]
    memory.upsert("notes", points)
    given: dict[str, object] = {}
    monkeypatch.setattr(qdrant, "QdrantClient", lambda **options: given.update(options) or memory)
    monkeypatch.setattr("unmask.vectorstores.qdrant.PAGE", 4)
    monkeypatch.setenv("QDRANT_API_KEY", "secret")
    source = open_vectors("qdrants://example.invalid:7777/notes")
    assert given["url"] == "https://example.invalid:7777" and given["api_key"] == "secret"
    batches = list(source.batches(10, skip=2))
    assert source.count == 23 and [len(batch) for batch in batches] == [10, 10, 1]
    assert [name for batch in batches for name in batch.ids] == [str(row) for row in range(2, 23)]
    assert batches[0].texts is not None and batches[0].texts[0] == "text 2"
    np.testing.assert_array_equal(np.concatenate([batch.values for batch in batches]), vectors[2:])
    with pytest.raises(InputError, match="no collection 'other', it has: notes"):
        open_vectors("qdrant://example.invalid/other")


def test_a_milvus_server_is_read_page_by_page(
    monkeypatch: pytest.MonkeyPatch, vectors: np.ndarray, tmp_path: Path
) -> None:
    """Milvus Lite in place of a server: the same client, by another address."""
    milvus = pytest.importorskip("pymilvus")
    pytest.importorskip("milvus_lite")
    lite = milvus.MilvusClient(str(tmp_path / "lite.db"))
    lite.create_collection("notes", dimension=5, auto_id=False, metric_type="IP")
    lite.insert("notes", [{"id": row, "vector": vector.tolist()} for row, vector in enumerate(vectors)])
    given: list[object] = []
    monkeypatch.setattr(milvus, "MilvusClient", lambda *where, **options: given.append((where, options)) or lite)
    monkeypatch.setattr("unmask.vectorstores.milvus.PAGE", 4)
    monkeypatch.setenv("MILVUS_TOKEN", "secret")
    source = open_vectors("milvus://example.invalid:7777/notes")
    assert given == [(("http://example.invalid:7777",), {"token": "secret"})]
    batches = list(source.batches(10, skip=2))
    assert source.count == 23 and [len(batch) for batch in batches] == [10, 10, 1]
    assert [name for batch in batches for name in batch.ids] == [str(row) for row in range(2, 23)]
    np.testing.assert_array_equal(np.concatenate([batch.values for batch in batches]), vectors[2:])
    with pytest.raises(InputError, match="no vectors 'other', it has: vector"):
        open_vectors("milvus://example.invalid:7777/notes", key="other")
    with pytest.raises(InputError, match="no collection 'other', it has: notes"):
        open_vectors("milvus://example.invalid:7777", collection="other")


@pytest.mark.parametrize("was_loaded", [True, False])
def test_a_collection_that_was_not_loaded_is_not_loaded_afterwards(
    monkeypatch: pytest.MonkeyPatch, vectors: np.ndarray, tmp_path: Path, was_loaded: bool
) -> None:
    milvus = pytest.importorskip("pymilvus")
    pytest.importorskip("milvus_lite")
    lite = milvus.MilvusClient(str(tmp_path / "lite.db"))
    lite.create_collection("notes", dimension=5, auto_id=False)
    lite.insert("notes", [{"id": row, "vector": vector.tolist()} for row, vector in enumerate(vectors)])
    if not was_loaded:
        lite.release_collection("notes")
    monkeypatch.setattr(milvus, "MilvusClient", lambda *where, **options: lite)
    source = open_vectors("milvus://example.invalid/notes")
    assert sum(len(batch) for batch in source.batches(10)) == 23
    assert str(lite.get_load_state("notes")["state"]) == "Loaded"
    source.close()
    assert (str(lite.get_load_state("notes")["state"]) == "Loaded") is was_loaded


def test_what_somebody_else_is_loading_is_not_released(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    milvus = pytest.importorskip("pymilvus")
    pytest.importorskip("milvus_lite")
    lite = milvus.MilvusClient(str(tmp_path / "lite.db"))
    lite.create_collection("notes", dimension=2, auto_id=False)
    lite.insert("notes", [{"id": 1, "vector": [1.0, 2.0]}])
    released: list[str] = []
    monkeypatch.setattr(milvus, "MilvusClient", lambda *where, **options: lite)
    monkeypatch.setattr(lite, "get_load_state", lambda name: {"state": "Loading"})
    monkeypatch.setattr(lite, "release_collection", released.append)
    open_vectors("milvus://example.invalid/notes").close()
    assert released == []


def test_texts_in_fields_without_a_schema_are_found(tmp_path: Path, vectors: np.ndarray) -> None:
    milvus = pytest.importorskip("pymilvus")
    pytest.importorskip("milvus_lite")
    lite = milvus.MilvusClient(str(tmp_path / "lite.db"))
    lite.create_collection("notes", dimension=5, auto_id=False)
    rows = [{"id": row, "vector": vector.tolist(), "text": f"text {row}"} for row, vector in enumerate(vectors)]
    lite.insert("notes", rows)
    lite.flush("notes")
    lite.close()
    (batch,) = open_vectors(tmp_path / "lite.db").batches(50)
    assert batch.texts == tuple(f"text {row}" for row in range(23))


def test_nothing_is_left_of_the_copy_that_milvus_reads(tmp_path: Path, vectors: np.ndarray) -> None:
    milvus = pytest.importorskip("pymilvus")
    pytest.importorskip("milvus_lite")
    lite = milvus.MilvusClient(str(tmp_path / "lite.db"))
    lite.create_collection("notes", dimension=5, auto_id=False)
    lite.insert("notes", [{"id": row, "vector": vector.tolist()} for row, vector in enumerate(vectors)])
    shutil.copytree(tmp_path / "lite.db", tmp_path / "unflushed.db")
    lite.close()
    (tmp_path / "tmp").mkdir()
    read = (
        "from unmask.vectorstores import open_vectors\n"
        f"source = open_vectors({str(tmp_path / 'unflushed.db')!r})\n"
        "assert sum(map(len, source.batches(5))) == 23\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    subprocess.run([sys.executable, "-c", read], check=True, env=environment, capture_output=True)
    assert [path.name for path in (tmp_path / "tmp").rglob("*") if path.is_file()] == []


def test_a_server_that_is_not_there_is_said_in_one_sentence() -> None:
    pytest.importorskip("pymilvus")
    with pytest.raises(InputError, match=r"cannot be read as a Milvus store .* MILVUS_TOKEN"):
        open_vectors("milvus://127.0.0.1:1/notes")
