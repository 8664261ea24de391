"""The text of a pg_dump: tables with a pgvector column, from their COPY blocks."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from unmask.errors import InputError
from unmask.vectorstores.base import ID_NAMES, Fields, choose_collection, choose_column, find_texts
from unmask.vectorstores.numbers import Numbers
from unmask.vectorstores.rows import Row, RowSource, bits_of, floats_of

TABLE = re.compile(r"^CREATE (?:UNLOGGED )?TABLE (\S+) \($")
COLUMN = re.compile(r'^\s+("[^"]+"|\w+) (?:\w+\.)?(vector|halfvec|bit)\b')
COPY = re.compile(r"^COPY (\S+) \((.*)\) FROM stdin;$")
END, NULL = "\\.", "\\N"
ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class PgDump(RowSource):
    def __init__(self, path: str, fields: Fields, numbers: Numbers) -> None:
        self.origin, self._path = path, path
        columns, kinds = self._tables()
        if not columns:
            raise InputError(f"{path} has no COPY block, expected a plain pg_dump; dump it again without --inserts")
        usable = [name for name in columns if name in kinds]
        self._table = choose_collection(list(columns), usable, fields.collection, path, "table")
        self._names, of_table = columns[self._table], kinds.get(self._table, {})
        self._column = choose_column(self._names, list(of_table), fields.vectors, path)
        self._is_bits = of_table.get(self._column) == "bit"
        self._text = find_texts([name for name in self._names if name != self._column], fields.texts, path)
        self._id = next((name for name in ID_NAMES if name in self._names), None)
        super().__init__(f"{path}[{self._table}]", numbers, None, self._id is not None, self._text is not None)

    def _lines(self) -> Iterator[str]:
        try:
            with Path(self._path).open(encoding="utf-8", newline="\n") as handle:
                for line in handle:
                    yield line.rstrip("\n")
        except UnicodeDecodeError as error:
            raise InputError(f"{self._path} is no UTF-8 text ({error}); dump it with --encoding=UTF8") from error

    def _tables(self) -> tuple[dict[str, list[str]], dict[str, dict[str, str]]]:
        """The columns of every table that has rows, and which of them are vectors of which type."""
        columns: dict[str, list[str]] = {}
        kinds: dict[str, dict[str, str]] = {}
        defined, is_copying = "", False
        for line in self._lines():
            if is_copying:
                is_copying = line != END
            elif found := COPY.match(line):
                columns[found[1]] = [name.strip().strip('"') for name in found[2].split(",")]
                is_copying = True
            elif found := TABLE.match(line):
                defined = found[1]
            elif found := COLUMN.match(line):
                kinds.setdefault(defined, {})[found[1].strip('"')] = found[2]
        if is_copying:
            raise InputError(f"{self._path} is cut off: its last COPY block has no end; copy or dump it again")
        return columns, kinds

    def _rows(self, skip: int) -> Iterator[Row]:
        lines = self._lines()
        begun = f"COPY {self._table} ("
        for line in lines:
            if line.startswith(begun):
                rows = itertools.takewhile(lambda line: line != END, lines)
                yield from (self._row(number, row) for number, row in itertools.islice(enumerate(rows), skip, None))
                return

    def _row(self, number: int, line: str) -> Row:
        cells = dict(zip(self._names, map(_cell, line.split("\t")), strict=False))
        value = cells.get(self._column)
        name = str(number) if self._id is None else cells.get(self._id) or str(number)
        return Row(name, bits_of(value) if self._is_bits else floats_of(value), cells.get(self._text or ""))


def _cell(written: str) -> str | None:
    if written == NULL:
        return None
    return re.sub(r"\\(.)", lambda found: ESCAPED.get(found[1], found[1]), written)
