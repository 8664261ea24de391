"""Sources that hand out one row after the other, each of which may be wrong in its own way."""

from __future__ import annotations

import base64
import binascii
import itertools
import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from unmask.errors import InputError, VectorError
from unmask.vectorstores.base import LeftOut, Piece, VectorSource
from unmask.vectorstores.numbers import Numbers

# Rows that are looked at to see what the vectors are; one that is null or odd among them does no harm.
LOOKED_AT = 64
HALF, SINGLE = np.dtype("<f2"), np.dtype("<f4")


NULL = "null in place of a vector"


def of_length(found: int, usual: int) -> str:
    """Why a row of so many numbers is none of the others' kind."""
    return f"{found} numbers where most have {usual}"


@dataclass(frozen=True)
class Row:
    """One row of a source."""

    name: str
    value: Any  # a list, an array, text or bytes; None where there is no vector
    text: str | None = None


class NoVector(VectorError):
    """A row that holds none; `reason` is the same for all rows of its kind."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def as_vector(value: Any) -> np.ndarray:
    """(dimension,) from whatever a store holds a vector as; integers stay integers."""
    if value is None:
        raise NoVector(NULL)
    if isinstance(value, str):
        return _from_text(value.strip())
    if isinstance(value, bytes | bytearray | memoryview):
        return _from_bytes(bytes(value))
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.ndim != 1 or array.dtype.kind not in "fiub":
        raise NoVector("something else in place of a list of numbers")
    if not array.size:
        raise NoVector("an empty list in place of a vector")
    return array


def _from_text(text: str) -> np.ndarray:
    """A vector that was stored as text: [0.1, 0.2] or {0.1,0.2} or 0.1 0.2, or base64 of its bytes."""
    inner = text[1:-1] if text[:1] + text[-1:] in ("[]", "{}", "()") else text
    try:
        numbers = json.loads(f"[{inner}]") if "," in inner else [float(part) for part in inner.split()]
        return as_vector(numbers)
    except (ValueError, RecursionError):
        pass
    try:
        return _from_bytes(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise NoVector("text that is no list of numbers") from error


def _from_bytes(data: bytes) -> np.ndarray:
    """Little-endian float32, as most stores and OpenAI's base64 have it."""
    if not data or len(data) % SINGLE.itemsize:
        raise NoVector(f"bytes that are no whole number of {SINGLE.itemsize}-byte numbers")
    return np.frombuffer(data, SINGLE)


def bits_of(written: str | None) -> np.ndarray | None:
    """PostgreSQL's 0110 as a vector of length 1, whose numbers have the bits as signs."""
    if not written:
        return None
    signs = np.array([2.0 * (bit == "1") - 1 for bit in written])
    return np.asarray(signs / np.sqrt(len(signs)))


def floats_of(written: str | None) -> Any:
    """A vector of a column that holds no codes, also where all of its numbers are whole; what is none stays itself."""
    try:
        return as_vector(written).astype(np.float64)
    except NoVector:
        return written


class RowSource(VectorSource):
    """What the vectors are is what most of the first rows hold."""

    def __init__(
        self, origin: str, numbers: Numbers, count: int | None, has_ids: bool = True, has_texts: bool = False
    ) -> None:
        self.origin = origin
        seen: Counter[int] = Counter()
        kinds: Counter[str] = Counter()
        reason = "no rows"
        for row in itertools.islice(self._rows(0), LOOKED_AT):
            try:
                vector = as_vector(row.value)
            except NoVector as error:
                reason = error.reason
                continue
            seen[len(vector)] += 1
            kinds[vector.dtype.str] += 1
        if not seen:
            raise InputError(f"{origin} holds no vectors ({reason} in its first rows); name their field with --key")
        self._columns = seen.most_common(1)[0][0]
        # One fraction among integers tells that they are no codes.
        floats = [kind for kind in kinds if np.dtype(kind).kind == "f"]
        stored = np.result_type(*(floats or kinds))
        super().__init__(origin, numbers, stored, count, self._columns, has_ids, has_texts)

    @abstractmethod
    def _rows(self, skip: int) -> Iterator[Row]:
        """All rows after the first `skip`, always in the same order."""

    def _read(self, batch_size: int, skip: int, left_out: LeftOut | None) -> Iterator[Piece]:
        numbered = enumerate(self._rows(skip), start=skip)
        while taken := list(itertools.islice(numbered, batch_size)):
            rows, vectors = [], []
            for number, row in taken:
                try:
                    vectors.append(self._vector(row))
                    rows.append((number, row))
                except NoVector as error:
                    if left_out is None:
                        raise VectorError(
                            f"{self.origin}: row {number} (id '{row.name}') has {error.reason}, expected "
                            f"{self._columns} numbers; remove that row or embed its text again"
                        ) from error
                    left_out.add(row.name, error.reason)
            if rows:
                yield Piece(
                    np.array(vectors, dtype=self.stored).reshape(len(rows), self._columns),
                    [row.name for _, row in rows] if self.has_ids else None,
                    [row.text for _, row in rows] if self.has_texts else None,
                    [number for number, _ in rows],
                )

    def _vector(self, row: Row) -> np.ndarray:
        vector = as_vector(row.value)
        if len(vector) != self._columns:
            raise NoVector(of_length(len(vector), self._columns))
        return vector
