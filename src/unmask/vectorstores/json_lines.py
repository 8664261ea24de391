"""JSON lines: a vector per line, or an object with one and perhaps an id and a text; from a file or standard input."""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from unmask.errors import InputError, VectorError
from unmask.vectorstores.base import ID_NAMES, Fields, LeftOut, Piece, VectorSource, find_texts
from unmask.vectorstores.numbers import Numbers
from unmask.vectorstores.rows import LOOKED_AT, NoVector, as_vector

VECTOR_KEYS = ("vector", "embedding", "values")
STANDARD_INPUT = "-"


class WrongLine(VectorError):
    """A line that holds no vector; `reason` is the same for all lines of its kind."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class JsonLines(VectorSource):
    def __init__(self, path: str, fields: Fields, numbers: Numbers) -> None:
        self._path = path
        self.is_repeatable = path != STANDARD_INPUT
        self.origin = "standard input" if path == STANDARD_INPUT else path
        self._key = fields.vectors
        self._waiting: Iterator[tuple[int, bytes]] | None = None
        lines = self._lines()
        first = list(itertools.islice(lines, LOOKED_AT))
        if not first:
            raise InputError(
                f"{self.origin} has no line that holds a vector, expected at least one; check what wrote it"
            )
        if not self.is_repeatable:
            # Standard input cannot be opened twice: what was looked at is read again from here.
            self._waiting = itertools.chain(first, lines)
        record, number, vector = self._usual(first)
        words = self._words(first)
        self._id_key = next((name for name in ID_NAMES if self._is_object and name in record), None)
        self._text_key = find_texts(words, fields.texts, self.origin)
        self._columns = len(vector)
        if not vector:
            raise VectorError(f"{self.origin}: line {number} has no numbers, expected a vector; remove that line")
        # Whether the numbers are quantised integers is decided once: a later row of whole numbers proves nothing.
        is_integer = all(isinstance(value, int) for value in vector)
        if numbers.is_binary:
            raise InputError(
                f"{self.origin} is JSON, which does not say whether bytes are signed, as --scale binary must know; "
                "store the vectors as int8 or uint8 in .npy"
            )
        stored = np.dtype(np.int64 if is_integer else np.float64)
        super().__init__(
            self.origin, numbers, stored, None, self._columns, self._id_key is not None, self._text_key is not None
        )

    def _usual(self, lines: list[tuple[int, bytes]]) -> tuple[Any, int, list[Any]]:
        """The first line that holds a vector says what all of them are; a wrong one before it is only that."""
        wrong: WrongLine | None = None
        for number, line in lines:
            try:
                record = self._parse(number, line)
                self._is_object = isinstance(record, dict)
                if isinstance(record, dict):
                    self._key = self._choose_key(record, number)
                return record, number, self._vector(record, number)
            except WrongLine as error:
                wrong = wrong or error
        assert wrong is not None
        raise wrong

    def _words(self, lines: list[tuple[int, bytes]]) -> list[str]:
        """The fields that hold text in any of these lines: one may be missing in the first."""
        found: dict[str, None] = {}
        for number, line in lines if self._is_object else ():
            with contextlib.suppress(WrongLine):
                record = self._parse(number, line)
                shown = record.items() if isinstance(record, dict) else ()
                found |= {name: None for name, value in shown if isinstance(value, str | None) and name != self._key}
        return list(found)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Numbered lines, blank ones left out."""
        if not self.is_repeatable:
            yield from _numbered(sys.stdin.buffer)
            return
        with Path(self._path).open("rb") as handle:
            yield from _numbered(handle)

    def _parse(self, number: int, line: bytes) -> Any:
        try:
            return json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise WrongLine(
                "no valid JSON",
                f"{self.origin}: line {number} is not valid JSON ({error}), expected a list of numbers or an object "
                "with one; mend or remove that line",
            ) from error

    def _choose_key(self, record: dict[str, Any], number: int) -> str:
        if self._key is not None:
            return self._key
        known = [name for name in VECTOR_KEYS if name in record]
        lists = known or [name for name, value in record.items() if isinstance(value, list)]
        if len(lists) != 1:
            raise InputError(
                f"{self.origin}: line {number} has the keys {', '.join(record) or 'none'}, expected one with the "
                f"vector ({', '.join(VECTOR_KEYS)}); name it with --key"
            )
        return lists[0]

    def _vector(self, record: Any, number: int) -> list[Any]:
        where = f"{self.origin}: line {number}"
        if isinstance(record, dict) != self._is_object:
            raise WrongLine(
                "a line of another kind", f"{where} is not of the kind that the first line is; write all alike"
            )
        if isinstance(record, dict):
            if self._key not in record:
                keys = ", ".join(record) or "none"
                raise WrongLine(f"no '{self._key}'", f"{where} has no '{self._key}', it has: {keys}; mend that line")
            record = record[self._key]
        if isinstance(record, str):
            try:
                return as_vector(record).tolist()  # type: ignore[no-any-return]
            except NoVector as error:
                raise WrongLine(
                    error.reason, f"{where} holds {error.reason}, nor its base64; mend that line"
                ) from error
        if not isinstance(record, list):
            found = type(record).__name__
            raise WrongLine("no list of numbers", f"{where} holds {found}, expected a list of numbers; mend that line")
        return record

    def _read(self, batch_size: int, skip: int, left_out: LeftOut | None) -> Iterator[Piece]:
        lines = self._lines()
        if not self.is_repeatable:
            if self._waiting is None:
                raise InputError("standard input can be read once only; save the vectors to a file to read them again")
            lines, self._waiting = self._waiting, None
        remaining = enumerate(itertools.islice(lines, skip, None), start=skip)
        while chunk := list(itertools.islice(remaining, batch_size)):
            vectors, names, texts, rows = list[list[Any]](), list[str](), list[str | None](), list[int]()
            for row, (number, line) in chunk:
                try:
                    record = self._parse(number, line)
                    vector = self._checked(self._vector(record, number), number)
                    names.append(self._name(record, number, row))
                except WrongLine as error:
                    if left_out is None:
                        raise
                    left_out.add(f"line {number}", error.reason)
                    continue
                vectors.append(vector)
                rows.append(row)
                texts.append(self._text(record))
            values = np.array(vectors, dtype=np.float64).reshape(len(rows), self._columns)
            yield Piece(values, names if self._id_key else None, texts if self._text_key else None, rows)

    def _checked(self, vector: list[Any], number: int) -> list[Any]:
        """Of the right length, and of numbers; a null among them is told as NaN later."""
        where = f"{self.origin}: line {number}"
        if len(vector) != self._columns:
            raise WrongLine(
                f"{len(vector)} numbers where the first line has {self._columns}",
                f"{where} has {len(vector)} numbers, expected {self._columns} as on the first line; vectors of one "
                "file come from one encoder: remove that line",
            )
        try:
            if np.array(vector, dtype=np.float64).shape == (self._columns,):
                return vector
        except (ValueError, TypeError, OverflowError):
            pass
        strange = next(v for v in vector if not isinstance(v, int | float | None) or abs(v or 0) > 1e300)
        raise WrongLine("no numbers", f"{where} holds {repr(strange)[:40]}, expected finite numbers; mend that line")

    def _name(self, record: Any, number: int, row: int) -> str:
        if self._id_key is None:
            return str(row)
        if self._id_key not in record:
            raise WrongLine(
                f"no '{self._id_key}'",
                f"{self.origin}: line {number} has no '{self._id_key}', as the first line has; add it",
            )
        return str(record[self._id_key])

    def _text(self, record: Any) -> str | None:
        text = record.get(self._text_key) if self._text_key is not None else None
        return text if isinstance(text, str) else None


def _numbered(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, line
