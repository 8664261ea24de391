"""CSV and TSV: a vector in one cell, or a number in each of many columns."""

from __future__ import annotations

import csv
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from unmask.errors import InputError
from unmask.vectorstores.base import ID_NAMES, Fields, find_texts
from unmask.vectorstores.json_lines import VECTOR_KEYS
from unmask.vectorstores.numbers import Numbers
from unmask.vectorstores.rows import NoVector, Row, RowSource, as_vector

SEPARATORS = ",;\t|"


class CsvFile(RowSource):
    def __init__(self, path: str, fields: Fields, numbers: Numbers) -> None:
        self.origin = path
        csv.field_size_limit(sys.maxsize)  # a vector of 3,072 numbers is a long cell
        with self._open(errors="replace") as handle:
            first = next((line.rstrip("\r\n") for line in handle if line.strip()), "")
        # Vectors hold commas, so what parts the header's names is what parts the cells.
        self._separator = max(SEPARATORS, key=first.count)
        cells = next(csv.reader([first], delimiter=self._separator), [])
        self._header = cells if _is_header(cells) else None
        names = self._header or []
        self._texts = find_texts(names, fields.texts, path)
        self._ids = next((name for name in ID_NAMES if name in names), None)
        self._vectors = self._choose(names, fields.vectors)
        super().__init__(path, numbers, None, self._ids is not None, self._texts is not None)

    def _open(self, errors: str = "strict") -> IO[str]:
        return Path(self.origin).open(newline="", encoding="utf-8-sig", errors=errors)

    def _choose(self, names: list[str], key: str | None) -> str | None:
        """The column that holds whole vectors; None where each number has its own."""
        if key is not None:
            if key not in names:
                listed = ", ".join(names) or "no header"
                raise InputError(f"{self.origin} has no column '{key}', it has: {listed}; change --key")
            return key
        return next((name for name in VECTOR_KEYS if name in names), None)

    def _rows(self, skip: int) -> Iterator[Row]:
        try:
            with self._open() as handle:
                reader = csv.reader(handle, delimiter=self._separator)
                if self._header is not None:
                    next(reader)
                numbered = enumerate(cells for cells in reader if cells)
                for number, cells in itertools.islice(numbered, skip, None):
                    yield self._row(number, cells)
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(f"{self.origin} is no readable CSV ({error}); save it again as UTF-8") from error

    def _row(self, number: int, cells: list[str]) -> Row:
        if self._header is None:
            return Row(str(number), cells[0] if len(cells) == 1 else _numbers(cells))
        by_name = dict(zip(self._header, cells, strict=False))
        name = by_name.get(self._ids or "", str(number))
        text = by_name.get(self._texts or "")
        if self._vectors is not None:
            return Row(name, by_name.get(self._vectors) or None, text)
        # A column without a name is the index that a table was written with.
        others = [cell for column, cell in by_name.items() if column not in (self._ids, self._texts, "")]
        return Row(name, _numbers(others), text)


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _numbers(cells: list[str]) -> list[float | None]:
    return [_number(cell) for cell in cells]


def _is_header(cells: list[str]) -> bool:
    """Names, or the numbers of the columns."""
    counted = [cell for cell in cells if cell]
    if len(counted) > 1 and counted == [str(number) for number in range(len(counted))]:
        return True
    return any(_number(cell) is None for cell in cells) and not _is_vector(cells)


def _is_vector(cells: list[str]) -> bool:
    try:
        return len(cells) == 1 and len(as_vector(cells[0])) > 1
    except NoVector:
        return False
