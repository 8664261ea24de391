"""Vectors out of files, streamed: a million need no more memory than a thousand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmask.errors import InputError
from unmask.registry import Entry, Registry

if TYPE_CHECKING:
    from unmask.vectorstores.base import VectorSource

__all__ = ["READERS", "open_vectors"]

# A reader's name is the suffix of its files.
READERS: Registry[VectorSource] = Registry(
    "vector file format",
    [
        Entry("npy", "unmask.vectorstores.numpy_files:NpyFile", "One NumPy array (vectors, dimension)."),
        Entry("npz", "unmask.vectorstores.numpy_files:NpzFile", "Several NumPy arrays; `ids` beside the vectors."),
        Entry(
            "parquet", "unmask.vectorstores.arrow_files:ParquetFile", "A column of lists or bytes; `id`, texts beside."
        ),
        Entry("arrow", "unmask.vectorstores.arrow_files:ArrowFile", "Arrow's own file, also called Feather."),
        Entry("safetensors", "unmask.vectorstores.safetensors_file:SafetensorsFile", "Named tensors; `ids` beside."),
        Entry("jsonl", "unmask.vectorstores.json_lines:JsonLines", "A line per vector; also standard input, `-`."),
        Entry("csv", "unmask.vectorstores.csv_file:CsvFile", "A vector in one cell, or a number in each column."),
    ],
)
ALIASES = {"ndjson": "jsonl", "pq": "parquet", "feather": "arrow", "tsv": "csv"}
STANDARD_INPUT = "-"


def open_vectors(
    path: Path | str,
    *,
    key: str | None = None,
    scale: float | str | None = None,
    texts: str | None = None,
    collection: str | None = None,
) -> VectorSource:
    """Open a file of vectors, or JSON lines on standard input with `-`.

    `key` names the array or column where a file has several, `texts` the one that holds what the vectors were made of.
    `scale` turns stored integers into vectors: a number that each is multiplied with, `unit` (length 1) or `binary`
    (packed bits).
    """
    from unmask.vectorstores.base import Fields
    from unmask.vectorstores.numbers import Numbers

    numbers, fields = Numbers.parse(scale), Fields(key, texts, collection)
    if str(path) == STANDARD_INPUT:
        return READERS.resolve("jsonl")(STANDARD_INPUT, fields, numbers)  # type: ignore[no-any-return]
    path = Path(path)
    source: VectorSource = READERS.resolve(_format_of(path))(str(path), fields, numbers)
    return source


def _format_of(path: Path) -> str:
    head = _read_head(path)
    suffix = path.suffix.lower().removeprefix(".")
    name = ALIASES.get(suffix, suffix)
    content = _sniff(head)
    if content == "pickle":
        raise InputError(
            f"{path} is a pickle, which can run code when it is loaded and is never read; "
            "save the vectors again, for example with numpy.save as a plain float array"
        )
    if name not in READERS:
        known = ", ".join(f".{known}" for known in READERS.names)
        what = f"its content looks like .{content}: rename it" if content else "convert it, for example with numpy.save"
        raise InputError(f"{path} has the suffix '{path.suffix}', expected one of {known}; {what}")
    if content is not None and content != name and name != "csv":  # a cell may hold a list
        raise InputError(f"{path} is named .{suffix} but its content is that of .{content}; rename it to .{content}")
    return name


def _read_head(path: Path) -> bytes:
    try:
        with path.open("rb") as handle:
            head = handle.read(512)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder, expected a file of vectors; name the file inside it") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    if not head:
        raise InputError(f"{path} is empty (0 bytes), expected vectors; make it again")
    return head


def _sniff(head: bytes) -> str | None:
    """The format that a file's first bytes show, None where they show none."""
    for magic, name in (
        (b"\x93NUMPY", "npy"),
        (b"PK", "npz"),
        (b"PAR1", "parquet"),
        (b"ARROW1", "arrow"),
        (b"\x80", "pickle"),
    ):
        if head.startswith(magic) and not (name == "pickle" and _is_safetensors(head)):
            return name
    if _is_safetensors(head):
        return "safetensors"
    return "jsonl" if head.lstrip()[:1] in (b"[", b"{") else None


def _is_safetensors(head: bytes) -> bool:
    # Eight bytes of header length, then the header, which is JSON.
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**32


def __getattr__(name: str) -> Any:
    if name == "check_vectors":
        from unmask.vectorstores.numbers import check_vectors

        return check_vectors
    raise AttributeError(f"module 'unmask.vectorstores' has no attribute '{name}'")
