"""Which reader a source needs: by its address, by what a folder holds, by how a file begins."""

from __future__ import annotations

import re
from pathlib import Path

from unmask.errors import InputError
from unmask.registry import nearest_name
from unmask.vectorstores import READERS

ALIASES = {"ndjson": "jsonl", "pq": "parquet", "feather": "arrow", "tsv": "csv"}
SCHEMES = {
    "qdrant": "qdrant", "qdrants": "qdrant", "chroma": "chroma", "postgresql": "postgresql", "postgres": "postgresql",
    "milvus": "milvus", "milvuss": "milvus", "elasticsearch": "elastic", "elasticsearchs": "elastic",
    "opensearch": "elastic", "opensearchs": "elastic", "pinecone": "pinecone",
}  # fmt: skip
# What a folder of each store always holds.
FOLDERS = {
    "chroma": "chroma.sqlite3",
    "qdrant-folder": "meta.json",
    "lancedb": "*.lance",
    "milvus": "collections/*/schema.json",
}
MAGIC = (
    (b"\x93NUMPY", "npy"), (b"PK", "npz"), (b"PAR1", "parquet"), (b"ARROW1", "arrow"), (b"\xff\xff\xff\xff", "arrow"),
    (b"SQLite format 3\0", "sqlite"), (b"--\n-- PostgreSQL database dump", "pg_dump"),
)  # fmt: skip
# These say what they are whatever their name.
BY_CONTENT = ("sqlite", "duckdb", "faiss", "pg_dump")
FAISS = re.compile(rb"I[xwHN][A-Za-z0-9]{2}")


def reader_of(source: str) -> str:
    """Its name in READERS or STORES."""
    scheme, separator, _ = source.partition("://")
    if separator:
        if scheme not in SCHEMES:
            guess = nearest_name(scheme, list(SCHEMES))
            hint = f"did you mean {guess}://? " if guess else ""
            raise InputError(
                f"{source} has the scheme '{scheme}', expected one of {', '.join(SCHEMES)}; {hint}or give a path"
            )
        return SCHEMES[scheme]
    path = Path(source)
    return _store_in(path) if path.is_dir() else _format_of(path)


def _store_in(path: Path) -> str:
    if path.suffix == ".lance":
        return "lancedb"
    found = [store for store, held in FOLDERS.items() if any(path.glob(held))]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{path} is a folder of {' and '.join(found)} at once; name the one that is meant inside it")
    known = ", ".join(f"{store.removesuffix('-folder')} ({held})" for store, held in FOLDERS.items())
    raise InputError(f"{path} is a folder of no known store, expected {known}; or name a file inside it")


def suffix_format(path: Path) -> str:
    """The format that a file's name asks for, known or not."""
    suffix = path.suffix.lower().removeprefix(".")
    return ALIASES.get(suffix, suffix)


def _format_of(path: Path) -> str:
    content, name = sniff(_read_head(path)), suffix_format(path)
    if content == "pickle":
        raise InputError(
            f"{path} is a pickle, which can run code when it is loaded and is never read; "
            "save the vectors again, for example with numpy.save as a plain float array"
        )
    if content in BY_CONTENT:
        return content
    if name not in READERS:
        known = ", ".join(f".{known}" for known in READERS.names)
        what = f"its content looks like .{content}: rename it" if content else "convert it, for example with numpy.save"
        raise InputError(f"{path} has the suffix '{path.suffix}', expected one of {known}; {what}")
    if content is not None and content != name and name != "csv":  # a cell may hold a list
        raise InputError(f"{path} is named .{name} but its content is that of .{content}; rename it to .{content}")
    return name


def _read_head(path: Path) -> bytes:
    try:
        with path.open("rb") as handle:
            head = handle.read(512)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the path") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    if not head:
        raise InputError(f"{path} is empty (0 bytes), expected vectors; make it again")
    return head


def sniff(head: bytes) -> str | None:
    """The format that a file's first bytes show, None where they show none."""
    if _is_safetensors(head):
        return "safetensors"
    known = next((name for magic, name in MAGIC if head.startswith(magic)), None)
    if known is not None:
        return known
    if head[8:12] == b"DUCK":
        return "duckdb"
    if head.startswith(b"\x80"):
        return "pickle"
    # Five bytes of which the last are no text: no CSV begins with such a word.
    if FAISS.match(head) and b"\0" in head[4:40]:
        return "faiss"
    return "jsonl" if head.lstrip()[:1] in (b"[", b"{") else None


def _is_safetensors(head: bytes) -> bool:
    # Eight bytes of header length, then the header, which is JSON.
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**32
