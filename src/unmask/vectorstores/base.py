"""What every reader of vectors offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from unmask.errors import InputError
from unmask.records import VectorBatch
from unmask.vectorstores.numbers import Numbers, as_rows

ID_NAMES = ("id", "ids", "_id")


class VectorSource(ABC):
    """Vectors in a fixed order, read batch by batch; every batch is checked."""

    # Whether the same vectors can be read a second time.
    is_repeatable = True

    def __init__(
        self, origin: str, numbers: Numbers, stored: np.dtype[Any], count: int | None, columns: int, has_ids: bool
    ) -> None:
        numbers.require(stored, columns, origin)
        self.origin, self.count, self.has_ids = origin, count, has_ids
        self.dimension = numbers.dimension(stored, columns)
        self._numbers = numbers

    def batches(self, batch_size: int, skip: int = 0) -> Iterator[VectorBatch]:
        """Batches of `batch_size` vectors, the last one smaller, after the first `skip` vectors."""
        if batch_size < 1:
            raise InputError(f"the batch size is {batch_size}, expected at least 1; change --batch-size")
        row = skip
        for stored, ids in self._read(batch_size, skip):
            names = tuple(ids) if ids is not None else tuple(str(number) for number in range(row, row + len(stored)))
            values = self._numbers.convert(stored, self.origin, row, names if ids is not None else None)
            yield VectorBatch(values, names, first_row=row)
            row += len(stored)

    @abstractmethod
    def _read(self, batch_size: int, skip: int) -> Iterator[tuple[np.ndarray, Sequence[str] | None]]:
        """Stored numbers (rows, columns) and the user's ids, batch by batch."""


def choose_key(shapes: dict[str, tuple[int, ...]], key: str | None, origin: str) -> str:
    """Which of several arrays holds the vectors: the one that was asked for, or the only one that can."""
    listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"
    if key is not None:
        if key not in shapes:
            raise InputError(f"{origin} has no array '{key}', it has: {listed}; give one of these with --key")
        return key
    matrices = [name for name, shape in shapes.items() if len(shape) == 2]
    if len(shapes) == 1:
        return next(iter(shapes))
    if len(matrices) != 1:
        raise InputError(
            f"{origin} has {len(shapes)} arrays, expected one that holds the vectors ({listed}); name it with --key"
        )
    return matrices[0]


def find_ids(shapes: dict[str, tuple[int, ...]], rows: int) -> str | None:
    """The array that names each vector, if there is one."""
    return next((name for name in ID_NAMES if shapes.get(name) == (rows,)), None)


def rows_of(shapes: dict[str, tuple[int, ...]], name: str, origin: str) -> tuple[int, int]:
    return as_rows(shapes[name], f"{origin}[{name}]" if len(shapes) > 1 else origin)


def as_names(ids: np.ndarray) -> list[str]:
    """Ids as text, whatever type they were stored in."""
    return [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in ids.tolist()]


def spans(count: int, batch_size: int, skip: int) -> Iterator[slice]:
    """The rows of each batch."""
    for start in range(skip, count, batch_size):
        yield slice(start, min(start + batch_size, count))
