"""The same rows written into every store by its vendor's own client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest


@dataclass(frozen=True)
class Rows:
    vectors: np.ndarray  # (rows, dimension) float32
    ids: list[int]
    texts: list[str | None]


Write = Callable[[Path, Rows], Path]


def write_chroma(folder: Path, rows: Rows) -> Path:
    chromadb = pytest.importorskip("chromadb")
    settings = pytest.importorskip("chromadb.config").Settings(anonymized_telemetry=False)
    client = chromadb.PersistentClient(path=str(folder / "chroma"), settings=settings)
    held = client.create_collection("notes", embedding_function=None)
    for row, name in enumerate(rows.ids):
        text = rows.texts[row]
        held.add(
            ids=[str(name)], embeddings=rows.vectors[row : row + 1], documents=None if text is None else [text],
            metadatas=[{"body": f"of {name}"}],
        )  # fmt: skip
    return folder / "chroma"


def write_duckdb(folder: Path, rows: Rows) -> Path:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(str(folder / "notes.db")) as connection:
        connection.execute(f"create table notes (id integer, text varchar, held float[{rows.vectors.shape[1]}])")
        lists = [None if vector is None else vector.tolist() for vector in rows.vectors]
        connection.executemany(
            "insert into notes values (?, ?, ?)", list(zip(rows.ids, rows.texts, lists, strict=True))
        )
    return folder / "notes.db"


def write_lancedb(folder: Path, rows: Rows) -> Path:
    lancedb = pytest.importorskip("lancedb")
    columns = zip(rows.ids, rows.texts, rows.vectors, strict=True)
    held = [{"id": name, "text": text, "vector": vector} for name, text, vector in columns]
    lancedb.connect(str(folder / "lance")).create_table("notes", held)
    return folder / "lance"


def write_qdrant(folder: Path, rows: Rows) -> Path:
    qdrant = pytest.importorskip("qdrant_client")
    client = qdrant.QdrantClient(path=str(folder / "qdrant"))
    size = qdrant.models.VectorParams(size=rows.vectors.shape[1], distance=qdrant.models.Distance.DOT)
    client.create_collection("notes", vectors_config=size)
    client.upsert(
        "notes",
        [
            qdrant.models.PointStruct(id=name, vector=vector.tolist(), payload={} if text is None else {"text": text})
            for name, text, vector in zip(rows.ids, rows.texts, rows.vectors, strict=True)
        ],
    )
    client.close()
    return folder / "qdrant"


def write_sqlite_vec(folder: Path, rows: Rows) -> Path:
    apsw, sqlite_vec = pytest.importorskip("apsw"), pytest.importorskip("sqlite_vec")
    connection = apsw.Connection(str(folder / "vec.db"))
    connection.enable_load_extension(True)
    connection.load_extension(sqlite_vec.loadable_path())
    size = rows.vectors.shape[1]
    connection.execute(
        f"create virtual table notes using vec0(id integer primary key, held float[{size}], tag text, +text text)"
    )
    for name, text, vector in zip(rows.ids, rows.texts, rows.vectors, strict=True):
        connection.execute(
            "insert into notes(id, held, tag, text) values (?, ?, 'x', ?)", (name, vector.tobytes(), text)
        )
    connection.close()
    return folder / "vec.db"


def write_sqlite(folder: Path, rows: Rows) -> Path:
    import sqlite3

    with sqlite3.connect(folder / "plain.sqlite") as connection:
        connection.execute("create table notes (id integer, text text, held blob)")
        packed = [vector.tobytes() for vector in rows.vectors]
        connection.executemany("insert into notes values (?, ?, ?)", zip(rows.ids, rows.texts, packed, strict=True))
    connection.close()
    return folder / "plain.sqlite"


def write_faiss(folder: Path, rows: Rows) -> Path:
    faiss = pytest.importorskip("faiss")
    index = faiss.IndexIDMap(faiss.IndexFlatIP(rows.vectors.shape[1]))
    index.add_with_ids(rows.vectors, np.array(rows.ids))
    faiss.write_index(index, str(folder / "notes.index"))
    return folder / "notes.index"


def write_milvus(folder: Path, rows: Rows) -> Path:
    milvus = pytest.importorskip("pymilvus")
    manager = pytest.importorskip("milvus_lite.server_manager")
    client = milvus.MilvusClient(str(folder / "milvus.db"))
    schema = client.create_schema(auto_id=False)
    schema.add_field("id", milvus.DataType.INT64, is_primary=True)
    schema.add_field("held", milvus.DataType.FLOAT_VECTOR, dim=rows.vectors.shape[1])
    schema.add_field("text", milvus.DataType.VARCHAR, max_length=100, nullable=True)
    index = client.prepare_index_params()
    index.add_index("held", index_type="FLAT", metric_type="IP")
    client.create_collection("notes", schema=schema, index_params=index)
    columns = zip(rows.ids, rows.vectors, rows.texts, strict=True)
    client.insert("notes", [{"id": name, "held": row.tolist(), "text": text} for name, row, text in columns])
    client.flush("notes")
    client.close()
    # Its server goes on building the index in a thread; whoever reads the folder then may find half a file.
    manager.server_manager_instance.release_server(str(folder / "milvus.db"))
    return folder / "milvus.db"


def write_pg_dump(folder: Path, rows: Rows) -> Path:
    """Not the vendor's own: no PostgreSQL with pgvector is at hand, so this is its documented form."""
    size = rows.vectors.shape[1]
    lines = [
        "--", "-- PostgreSQL database dump", "--", "", "CREATE TABLE public.notes (", "    id bigint NOT NULL,",
        "    text text,", f"    held public.vector({size})", ");", "", "COPY public.notes (id, text, held) FROM stdin;",
    ]  # fmt: skip
    for name, text, vector in zip(rows.ids, rows.texts, rows.vectors, strict=True):
        written = "\\N" if text is None else text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
        lines.append(f"{name}\t{written}\t[{','.join(str(value) for value in vector)}]")
    (folder / "dump.sql").write_text("\n".join([*lines, "\\.", "", ""]))
    return folder / "dump.sql"


STORES: dict[str, Write] = {
    "chroma": write_chroma, "duckdb": write_duckdb, "lancedb": write_lancedb, "qdrant-folder": write_qdrant,
    "sqlite-vec": write_sqlite_vec, "sqlite": write_sqlite, "faiss": write_faiss, "pg_dump": write_pg_dump,
    "milvus": write_milvus,
}  # fmt: skip
WITHOUT_TEXTS = ("faiss",)
