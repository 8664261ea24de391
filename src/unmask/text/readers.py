"""One reader per kind of text file; each yields raw paragraphs one at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from unmask.errors import InputError
from unmask.recipe import TextSource
from unmask.text.interleaving import Paragraph
from unmask.text_files import decode_line, parse_record

Reader = Callable[[Path, TextSource, str | None], Iterator[Paragraph]]

KIND_OF_SUFFIX = {
    ".txt": "plain",
    ".text": "plain",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_LONGEST_LINE = 1 << 20
_ROWS_AT_ONCE = 4096


def kind_of_file(path: Path) -> str | None:
    return KIND_OF_SUFFIX.get(path.suffix.lower())


def read_file(path: Path, kind: str, source: TextSource, domain: str | None = None) -> Iterator[Paragraph]:
    """Every paragraph of one file, or of one domain in it, that the recipe does not exclude."""
    excluded = frozenset(source.exclude_sources)
    if excluded and not source.source_field:
        raise InputError("exclude_sources is given but source_field is not; name the column that says the source")
    for paragraph in _READERS[kind](path, source, domain):
        if paragraph.source not in excluded and domain in (None, paragraph.domain):
            yield paragraph


def domains_of_file(path: Path, kind: str, source: TextSource) -> set[str]:
    """Every domain that occurs in one file."""
    if kind != "parquet" or source.domain_field is None:
        return {paragraph.domain for paragraph in read_file(path, kind, source)}
    batches = _parquet_batches(path, source, [source.domain_field])
    return {str(value) for batch in batches for value in batch.column(0).unique().to_pylist()}


def columns_of_file(path: Path, kind: str) -> set[str]:
    """The columns of a file, as its schema or its first record tells; none for plain text."""
    if kind == "parquet":
        import pyarrow
        import pyarrow.parquet

        try:
            return set(pyarrow.parquet.read_schema(path).names)
        except (pyarrow.ArrowException, OSError):
            return set()  # reading it will say what is wrong
    if kind == "jsonl":
        with path.open("rb") as handle:
            first = handle.readline()
        try:
            record = json.loads(first)
        except ValueError:
            return set()
        return set(record) if isinstance(record, dict) else set()
    return set()


def _read_plain(path: Path, source: TextSource, domain: str | None) -> Iterator[Paragraph]:
    with path.open("rb") as handle:
        number, rest = 0, b""
        while line := handle.readline(_LONGEST_LINE):
            number += 1
            line = rest + line
            # A line without an end is read in pieces, which must not end inside a character.
            keep = 0 if line.endswith(b"\n") or len(line) < _LONGEST_LINE else _unfinished(line)
            line, rest = line[: len(line) - keep], line[len(line) - keep :]
            yield Paragraph(decode_line(line, path, number).lstrip("\ufeff"))


def _unfinished(line: bytes) -> int:
    """Bytes at the end that begin a character and do not finish it."""
    for back in range(1, min(4, len(line)) + 1):
        byte = line[-back]
        if byte & 0xC0 != 0x80:
            needed = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return back if needed > back else 0
    return 0


def _read_jsonl(path: Path, source: TextSource, domain: str | None) -> Iterator[Paragraph]:
    with path.open("rb") as handle:
        for number, raw in enumerate(handle, start=1):
            line = decode_line(raw, path, number).strip("\ufeff\r\n \t")
            if line:
                record = parse_record(line, path, number, source.field)
                yield _paragraph(record, source, f"{path} line {number}")


def _read_parquet(path: Path, source: TextSource, domain: str | None) -> Iterator[Paragraph]:
    import pyarrow.compute

    columns = [name for name in (source.field, source.domain_field, source.source_field) if name]
    for batch in _parquet_batches(path, source, columns):
        if domain is not None:
            # Each domain is a stream of its own over the same file: rows of others must not become Python objects.
            batch = batch.filter(pyarrow.compute.equal(batch.column(source.domain_field).cast("string"), domain))
        for record in batch.to_pylist():
            if isinstance(record[source.field], str):
                yield _paragraph(record, source, str(path))


def _parquet_batches(path: Path, source: TextSource, columns: list[str]) -> Iterator[Any]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as opened:
            missing = [name for name in columns if name not in opened.schema_arrow.names]
            if missing:
                raise InputError(
                    f"{path} has no column '{missing[0]}' (columns there: {', '.join(opened.schema_arrow.names)}); "
                    "set the source's field, domain_field or source_field"
                )
            yield from opened.iter_batches(_ROWS_AT_ONCE, columns=columns)
    except pyarrow.ArrowException as error:
        raise InputError(f"{path} is not a readable parquet file ({error}); make it again") from error


def _paragraph(record: dict[str, Any], source: TextSource, where: str) -> Paragraph:
    for name in (source.domain_field, source.source_field):
        if name and name not in record:
            raise InputError(f"{where} has no '{name}' (keys there: {', '.join(record)}); mend it or the recipe")
    domain = str(record[source.domain_field]) if source.domain_field else ""
    origin = str(record[source.source_field]) if source.source_field else ""
    return Paragraph(str(record[source.field]), domain, origin)


_READERS: dict[str, Reader] = {"plain": _read_plain, "jsonl": _read_jsonl, "parquet": _read_parquet}
