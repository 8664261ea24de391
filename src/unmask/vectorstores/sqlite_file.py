"""SQLite: tables with a column of packed vectors, and sqlite-vec's, whose chunks are read without its extension."""

from __future__ import annotations

import itertools
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from unmask.errors import InputError, VectorError
from unmask.vectorstores.base import ID_NAMES, Fields, choose_collection, find_texts, quoted
from unmask.vectorstores.json_lines import VECTOR_KEYS
from unmask.vectorstores.numbers import Numbers
from unmask.vectorstores.rows import Row, RowSource
from unmask.vectorstores.sqlite_reading import ask

VIRTUAL = re.compile(r"create\s+virtual\s+table\s.*?using\s+vec0\s*\((.*)\)", re.IGNORECASE | re.DOTALL)
OTHER_VIRTUAL = re.compile(r"create\s+virtual\s", re.IGNORECASE)
VECTOR = re.compile(r"^\s*[\"`\[]?(\w+)[\"`\]]?\s+(float|int8|bit)\w*\s*\[\s*(\d+)\s*\]", re.IGNORECASE)
AUXILIARY = re.compile(r"^\s*\+\s*[\"`\[]?(\w+)", re.IGNORECASE)
OWN_KEY = re.compile(r"^\s*[\"`\[]?(\w+)[\"`\]]?\s+(text|integer)\s+primary\s+key", re.IGNORECASE)
STORED: dict[str, np.dtype[Any]] = {"float": np.dtype("<f4"), "int8": np.dtype("i1")}


class SqliteFile(RowSource):
    def __init__(self, path: str, fields: Fields, numbers: Numbers) -> None:
        self.origin, self._path = path, path
        created = {
            name: sql
            for name, sql in self._ask("select name, sql from sqlite_master where type = 'table' and sql is not null")
            if VIRTUAL.search(sql) or not OTHER_VIRTUAL.match(sql)  # which only their own extension can read
        }
        virtual = {name: found[1] for name, sql in created.items() if (found := VIRTUAL.search(sql))}
        shadows = tuple(f"{name}_" for name in virtual)
        plain = {
            name: self._columns_of(name)
            for name in created
            if name not in virtual and not name.startswith(shadows or ("\0",))
        }
        blobs = [name for name, columns in plain.items() if any(_may_be_vector(*column) for column in columns)]
        self._table = choose_collection([*virtual, *plain], [*virtual, *blobs], fields.collection, path, "table")
        self.origin = f"{path}[{self._table}]"
        if self._table in virtual:
            self._prepare_chunks(virtual[self._table], fields)
        else:
            self._prepare_plain(plain[self._table], fields)
        super().__init__(self.origin, numbers, self._count(), True, self._text is not None)

    def _ask(self, query: str, *values: Any) -> Iterator[Any]:
        try:
            yield from ask(Path(self._path), query, *values)
        except (sqlite3.Error, OSError) as error:
            raise InputError(
                f"{self._path} cannot be read as a SQLite file ({error}); close what writes it, or copy it again"
            ) from error

    def _columns_of(self, table: str) -> list[tuple[str, str]]:
        return [(row[1], row[2]) for row in self._ask(f"pragma table_info({quoted(table)})")]

    def _count(self) -> int:
        counted = f"{self._table}_rowids" if self._is_virtual else self._table
        return int(next(self._ask(f"select count(*) from {quoted(counted)}"))[0])

    def _prepare_plain(self, columns: list[tuple[str, str]], fields: Fields) -> None:
        self._is_virtual = False
        names = [name for name, _ in columns]
        candidates = [name for name, kind in columns if _may_be_vector(name, kind)]
        if fields.vectors is not None and fields.vectors not in names:
            raise InputError(
                f"{self.origin} has no column '{fields.vectors}', it has: {', '.join(names)}; change --key"
            )
        if fields.vectors is None and len(candidates) != 1:
            raise InputError(
                f"{self.origin} has {len(candidates)} columns that may hold vectors, expected one; name it with --key: "
                f"{', '.join(names)}"
            )
        self._column = fields.vectors or candidates[0]
        self._text = find_texts([name for name in names if name != self._column], fields.texts, self.origin)
        self._id = next((name for name in ID_NAMES if name in names), "rowid")

    def _prepare_chunks(self, definition: str, fields: Fields) -> None:
        self._is_virtual = True
        parts = re.split(r",(?![^\[]*\])", definition)
        vectors = [found.groups() for part in parts if (found := VECTOR.match(part))]
        names = [name for name, _, _ in vectors]
        if (fields.vectors is None and len(names) != 1) or fields.vectors not in (None, *names):
            listed = ", ".join(names) or "none"
            raise InputError(f"{self.origin} has the vectors {listed}, expected one of that name; name it with --key")
        self._place = 0 if fields.vectors is None else names.index(fields.vectors)
        _, kind, size = vectors[self._place]
        if kind.lower() not in STORED:
            raise VectorError(
                f"{self.origin} holds {kind} vectors, expected float or int8; bits are not read from SQLite"
            )
        self._stored, self._size = STORED[kind.lower()], int(size)
        auxiliary = [found[1] for part in parts if (found := AUXILIARY.match(part))]
        chosen = find_texts(auxiliary, fields.texts, self.origin)
        self._text = None if chosen is None else f"value{auxiliary.index(chosen):02}"
        self._has_text_key = any((found := OWN_KEY.match(part)) and found[2].lower() == "text" for part in parts)

    def _rows(self, skip: int) -> Iterator[Row]:
        yield from itertools.islice(self._of_chunks(), skip, None) if self._is_virtual else self._of_table(skip)

    def _of_table(self, skip: int) -> Iterator[Row]:
        columns = [quoted(self._column), self._id if self._id == "rowid" else quoted(self._id)]
        columns += [] if self._text is None else [quoted(self._text)]
        query = f"select {', '.join(columns)} from {quoted(self._table)} limit -1 offset {skip}"
        for value, name, *text in self._ask(query):
            yield Row(str(name), value, text[0] if text and isinstance(text[0], str) else None)

    def _of_chunks(self) -> Iterator[Row]:
        """A chunk holds the vectors of up to 1,024 rows, one behind the other; a bit says whether a row is there."""
        names = (
            dict(self._ask(f"select rowid, id from {quoted(self._table + '_rowids')}")) if self._has_text_key else {}
        )
        texts = {} if self._text is None else dict(
            self._ask(f"select rowid, {self._text} from {quoted(self._table + '_auxiliary')}")
        )  # fmt: skip
        chunks = self._ask(
            f"select chunk_id, validity, rowids from {quoted(self._table + '_chunks')} order by chunk_id"
        )
        for chunk, validity, rowids in chunks:
            query = f"select vectors from {quoted(f'{self._table}_vector_chunks{self._place:02}')} where rowid = ?"
            for (packed,) in self._ask(query, chunk):
                is_there = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")  # (places,)
                values = np.frombuffer(packed, self._stored).reshape(-1, self._size)  # (places, dimension)
                numbers = np.frombuffer(rowids, "<i8")  # (places,)
                for place in np.flatnonzero(is_there).tolist():
                    row = int(numbers[place])
                    yield Row(str(names.get(row, row)), values[place], texts.get(row))


def _may_be_vector(name: str, kind: str) -> bool:
    return kind.upper() == "BLOB" or name in VECTOR_KEYS
