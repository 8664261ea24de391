"""JSON lines: a list per line, or an object with the vector and perhaps an id; from a file or standard input."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unmask.errors import InputError, VectorError
from unmask.vectorstores.base import ID_NAMES, VectorSource
from unmask.vectorstores.numbers import Numbers

VECTOR_KEYS = ("vector", "embedding", "values")
STANDARD_INPUT = "-"


class JsonLines(VectorSource):
    def __init__(self, path: str, key: str | None, numbers: Numbers) -> None:
        self._path = path
        self.is_repeatable = path != STANDARD_INPUT
        self._name = "standard input" if path == STANDARD_INPUT else path
        self._key = key
        self._waiting: Iterator[tuple[int, bytes]] | None = None
        lines = self._lines()
        first = next(lines, None)
        if first is None:
            raise InputError(
                f"{self._name} has no line that holds a vector, expected at least one; check what wrote it"
            )
        if not self.is_repeatable:
            # Standard input cannot be opened twice: what was looked at is read again from here.
            self._waiting = itertools.chain([first], lines)
        number, line = first
        record = self._parse(number, line)
        self._is_object = isinstance(record, dict)
        if isinstance(record, dict):
            self._key = self._choose_key(record, number)
        vector = self._vector(record, number)
        self._id_key = next((name for name in ID_NAMES if self._is_object and name in record), None)
        self._columns = len(vector)
        if not vector:
            raise VectorError(f"{self._name}: line {number} has no numbers, expected a vector; remove that line")
        # Whether the numbers are quantised integers is decided once: a later row of whole numbers proves nothing.
        is_integer = all(isinstance(value, int) for value in vector)
        if numbers.is_binary:
            raise InputError(
                f"{self._name} is JSON, which does not say whether bytes are signed, as --scale binary must know; "
                "store the vectors as int8 or uint8 in .npy"
            )
        stored = np.dtype(np.int64 if is_integer else np.float64)
        super().__init__(self._name, numbers, stored, None, self._columns, self._id_key is not None)

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
            raise InputError(
                f"{self._name}: line {number} is not valid JSON ({error}), expected a list of numbers or an object "
                "with one; mend or remove that line"
            ) from error

    def _choose_key(self, record: dict[str, Any], number: int) -> str:
        if self._key is not None:
            return self._key
        known = [name for name in VECTOR_KEYS if name in record]
        lists = known or [name for name, value in record.items() if isinstance(value, list)]
        if len(lists) != 1:
            raise InputError(
                f"{self._name}: line {number} has the keys {', '.join(record) or 'none'}, expected one with the vector "
                f"({', '.join(VECTOR_KEYS)}); name it with --key"
            )
        return lists[0]

    def _vector(self, record: Any, number: int) -> list[Any]:
        if isinstance(record, dict) != self._is_object:
            raise InputError(f"{self._name}: line {number} is not of the kind that the first line is; write all alike")
        if isinstance(record, dict):
            if self._key not in record:
                keys = ", ".join(record) or "none"
                raise InputError(f"{self._name}: line {number} has no '{self._key}', it has: {keys}; mend that line")
            record = record[self._key]
        if not isinstance(record, list):
            found = type(record).__name__
            raise InputError(f"{self._name}: line {number} holds {found}, expected a list of numbers; mend that line")
        return record

    def _read(self, batch_size: int, skip: int) -> Iterator[tuple[np.ndarray, Sequence[str] | None]]:
        lines = self._lines()
        if not self.is_repeatable:
            if self._waiting is None:
                raise InputError("standard input can be read once only; save the vectors to a file to read them again")
            lines, self._waiting = self._waiting, None
        remaining = itertools.islice(lines, skip, None)
        while chunk := list(itertools.islice(remaining, batch_size)):
            records = [self._parse(number, line) for number, line in chunk]
            numbers = [number for number, _ in chunk]
            vectors = [self._vector(record, number) for record, number in zip(records, numbers, strict=True)]
            yield self._as_array(vectors, numbers), self._ids(records, numbers)

    def _as_array(self, vectors: list[list[Any]], numbers: list[int]) -> np.ndarray:
        try:
            values = np.array(vectors, dtype=np.float64)
        except (ValueError, TypeError, OverflowError):
            values = np.empty(0)
        if values.shape != (len(vectors), self._columns):
            self._complain(vectors, numbers)
        return values

    def _complain(self, vectors: list[list[Any]], numbers: list[int]) -> None:
        """Name the first line that does not fit."""
        for vector, number in zip(vectors, numbers, strict=True):
            if len(vector) != self._columns:
                raise VectorError(
                    f"{self._name}: line {number} has {len(vector)} numbers, expected {self._columns} as on the first "
                    "line; vectors of one file come from one encoder: remove that line"
                )
            strange = next((v for v in vector if not isinstance(v, int | float) or abs(v) > 1e300), None)
            if strange is not None:
                shown = repr(strange)[:40]
                raise VectorError(f"{self._name}: line {number} holds {shown}, expected finite numbers; mend that line")

    def _ids(self, records: Iterable[Any], numbers: list[int]) -> list[str] | None:
        if self._id_key is None:
            return None
        names = []
        for record, number in zip(records, numbers, strict=True):
            if self._id_key not in record:
                raise InputError(f"{self._name}: line {number} has no '{self._id_key}', as the first line has; add it")
            names.append(str(record[self._id_key]))
        return names


def _numbered(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, line
