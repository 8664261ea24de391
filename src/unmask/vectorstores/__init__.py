"""Vectors out of files and stores, streamed: a million need no more memory than a thousand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmask.registry import Entry, Registry

if TYPE_CHECKING:
    from unmask.vectorstores.base import VectorSource

__all__ = ["READERS", "STORES", "open_vectors"]

# A reader's name is the suffix of its files.
READERS: Registry[VectorSource] = Registry(
    "vector file format",
    [
        Entry("npy", "unmask.vectorstores.numpy_files:NpyFile", "One NumPy array (vectors, dimension)."),
        Entry("npz", "unmask.vectorstores.numpy_files:NpzFile", "Several NumPy arrays; `ids` beside the vectors."),
        Entry(
            "parquet", "unmask.vectorstores.arrow_files:ParquetFile", "A column of lists or bytes; ids, texts beside."
        ),
        Entry("arrow", "unmask.vectorstores.arrow_files:ArrowFile", "Arrow's own file, also called Feather."),
        Entry("safetensors", "unmask.vectorstores.safetensors_file:SafetensorsFile", "Named tensors; `ids` beside."),
        Entry("jsonl", "unmask.vectorstores.json_lines:JsonLines", "A line per vector; also standard input, `-`."),
        Entry("csv", "unmask.vectorstores.csv_file:CsvFile", "A vector in one cell, or a number in each column."),
    ],
)
# What is recognised by its content, its folder or its address.
STORES: Registry[VectorSource] = Registry(
    "vector store",
    [
        Entry("chroma", "unmask.vectorstores.chroma:Chroma", "A folder, or chroma://HOST:PORT/COLLECTION."),
        Entry("duckdb", "unmask.vectorstores.duckdb_file:DuckDbFile", "A table with a column of lists."),
        Entry("elastic", "unmask.vectorstores.elastic:Elastic", "elasticsearch:// or opensearch://HOST:PORT/INDEX."),
        Entry("faiss", "unmask.vectorstores.faiss_file:FaissFile", "Flat, IVF, HNSW, ID maps; quantised ones rebuilt."),
        Entry("lancedb", "unmask.vectorstores.lance_folder:LanceFolder", "A folder of tables, or one of them."),
        Entry("milvus", "unmask.vectorstores.milvus:Milvus", "Milvus Lite's folder, or milvus://HOST:PORT/COLLECTION."),
        Entry("pg_dump", "unmask.vectorstores.pg_dump:PgDump", "The text of a dump: vector, halfvec and bit columns."),
        Entry("pinecone", "unmask.vectorstores.pinecone:Pinecone", "One namespace: pinecone://INDEX_HOST/NAMESPACE."),
        Entry("postgresql", "unmask.vectorstores.postgresql:PostgreSql", "A table: postgresql://HOST:PORT/DATABASE."),
        Entry("qdrant", "unmask.vectorstores.qdrant:QdrantServer", "A server: qdrant://HOST:PORT/COLLECTION."),
        Entry("qdrant-folder", "unmask.vectorstores.qdrant:QdrantFolder", "What its client keeps without a server."),
        Entry("sqlite", "unmask.vectorstores.sqlite_file:SqliteFile", "Packed vectors in a table, or sqlite-vec's."),
    ],
)
STANDARD_INPUT = "-"


def open_vectors(
    source: Path | str,
    *,
    key: str | None = None,
    scale: float | str | None = None,
    texts: str | None = None,
    collection: str | None = None,
) -> VectorSource:
    """Open a file of vectors, JSON lines on standard input with `-`, or a vector store: its file, folder or address.

    `key` names the array or column where there are several, `texts` the one that holds what the vectors were made of,
    `collection` the table or collection of a store. `scale` turns stored integers into vectors: a number that each is
    multiplied with, `unit` (length 1) or `binary` (packed bits).
    """
    from unmask.vectorstores.base import Fields
    from unmask.vectorstores.numbers import Numbers
    from unmask.vectorstores.recognition import reader_of

    numbers, fields = Numbers.parse(scale), Fields(key, texts, collection)
    if str(source) == STANDARD_INPUT:
        return READERS.resolve("jsonl")(STANDARD_INPUT, fields, numbers)  # type: ignore[no-any-return]
    name = reader_of(str(source))
    reader = (STORES if name in STORES else READERS).resolve(name)
    opened: VectorSource = reader(str(source), fields, numbers)
    opened.place = None if "://" in str(source) else Path(source)
    return opened


def __getattr__(name: str) -> Any:
    if name == "check_vectors":
        from unmask.vectorstores.numbers import check_vectors

        return check_vectors
    raise AttributeError(f"module 'unmask.vectorstores' has no attribute '{name}'")
