"""What all sources of Arrow tables share: a column of lists or bytes, with ids and texts beside it."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

import numpy as np

from unmask.errors import InputError, VectorError
from unmask.vectorstores.base import ID_NAMES, Fields, LeftOut, Piece, VectorSource, find_texts
from unmask.vectorstores.numbers import Numbers
from unmask.vectorstores.rows import LOOKED_AT, NULL, SINGLE, NoVector, as_vector, of_length


class ArrowSource(VectorSource):
    """A table: `_record_batches` hands out its rows."""

    def __init__(self, origin: str, fields: Fields, numbers: Numbers, schema: Any, count: int) -> None:
        import pyarrow as pa

        self.origin = origin
        if not count:
            raise VectorError(f"{origin} holds no rows, expected at least one vector; check how it was made")
        self._column = _choose_column(schema, fields.vectors, origin)
        self._id_column = next((name for name in ID_NAMES if name in schema.names), None)
        words = [field.name for field in schema if _is_text(field.type) and field.name != self._column]
        self._text_column = find_texts(words, fields.texts, origin)
        kind = schema.field(self._column).type
        self._is_list = is_list_of_numbers(kind)
        self._columns = kind.list_size if pa.types.is_fixed_size_list(kind) else self._usual_length()
        if not self._columns:
            raise VectorError(f"{origin}: row 0 of '{self._column}' has no numbers, expected a vector; remove that row")
        stored = np.dtype(kind.value_type.to_pandas_dtype()) if self._is_list else SINGLE
        super().__init__(
            origin, numbers, stored, count, self._columns, self._id_column is not None, self._text_column is not None
        )

    @abstractmethod
    def _record_batches(self, columns: list[str], batch_size: int, skip: int) -> Iterator[tuple[int, Any]]:
        """Record batches of these columns and the number of each one's first row; they begin at `skip` or before."""

    def _usual_length(self) -> int:
        """How many numbers most of the first rows have."""
        lengths: Counter[int] = Counter()
        with closing(self._record_batches([self._column], LOOKED_AT, 0)) as batches:  # type: ignore[type-var]
            _, first = next(batches)
        for value in first.column(0).slice(0, LOOKED_AT):
            try:
                lengths[len(as_vector(value.as_py()))] += 1
            except NoVector as error:
                reason = error.reason
        if not lengths:
            raise VectorError(
                f"{self.origin}: '{self._column}' has {reason} in its first rows, expected vectors; "
                "name another column with --key"
            )
        return lengths.most_common(1)[0][0]

    def _read(self, batch_size: int, skip: int, left_out: LeftOut | None) -> Iterator[Piece]:
        columns = [name for name in (self._column, self._id_column, self._text_column) if name is not None]

        def pieces() -> Iterator[Piece]:
            for first_row, batch in self._record_batches(columns, batch_size, skip):
                start = max(skip - first_row, 0)
                if start < batch.num_rows:
                    yield self._convert(batch.slice(start), first_row + start, left_out)

        yield from regrouped(pieces(), batch_size)

    def _convert(self, batch: Any, first_row: int, left_out: LeftOut | None) -> Piece:
        column = batch.column(self._column)
        faults = self._faults(column)
        if faults and left_out is None:
            row, reason = next(iter(faults.items()))
            raise VectorError(
                f"{self.origin}: row {first_row + row} of '{self._column}' has {reason}, expected {self._columns} "
                "numbers; remove that row or embed its text again"
            )
        numbers = np.delete(np.arange(batch.num_rows), list(faults))
        ids, texts = (
            None if name is None else batch.column(name).to_pylist() for name in (self._id_column, self._text_column)
        )
        for row, reason in faults.items():
            assert left_out is not None
            left_out.add(str(first_row + row if ids is None else ids[row]), reason)
        return Piece(
            self._values(column.take(numbers) if faults else column),
            None if ids is None else [str(ids[row]) for row in numbers],
            None if texts is None else [texts[row] for row in numbers],
            (first_row + numbers).tolist(),
        )

    def _faults(self, column: Any) -> dict[int, str]:
        """Rows that hold no vector of the usual length, and why."""
        if not self._is_list:
            return dict(self._faults_one_by_one(column))
        is_null = np.asarray(column.is_null())  # (rows,)
        lengths = np.full(len(column), self._columns)
        if not hasattr(column.type, "list_size"):
            lengths = np.asarray(column.value_lengths().fill_null(-1))
        wrong = np.flatnonzero((lengths != self._columns) | is_null)
        return {int(row): NULL if is_null[row] else of_length(int(lengths[row]), self._columns) for row in wrong}

    def _faults_one_by_one(self, column: Any) -> Iterator[tuple[int, str]]:
        for row, value in enumerate(column):
            try:
                found = len(as_vector(value.as_py()))
            except NoVector as error:
                yield row, error.reason
                continue
            if found != self._columns:
                yield row, of_length(found, self._columns)

    def _values(self, column: Any) -> np.ndarray:
        """(rows, columns) of rows without a fault."""
        if self._is_list:
            # to_numpy turns a missing number into NaN, which the check that follows names.
            return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), self._columns)
        found = [as_vector(value.as_py()) for value in column]
        return np.array(found, dtype=SINGLE).reshape(len(column), self._columns)


def _choose_column(schema: Any, key: str | None, origin: str) -> str:
    listed = ", ".join(f"{field.name} ({field.type})" for field in schema)
    lists = [field.name for field in schema if is_list_of_numbers(field.type)]
    if key is not None:
        if key not in lists and not (key in schema.names and _may_hold_vectors(schema.field(key).type)):
            raise InputError(f"{origin} has no column '{key}' of numeric lists, it has: {listed}; change --key")
        return key
    lists = lists or [field.name for field in schema if _is_bytes(field.type)]
    if len(lists) != 1:
        raise InputError(
            f"{origin} has {len(lists)} columns of numeric lists, expected one that holds the vectors; "
            f"{'name it with --key' if lists else 'put each vector into one list'}: {listed}"
        )
    return lists[0]


def regrouped(pieces: Iterable[Piece], batch_size: int) -> Iterator[Piece]:
    """The same rows in pieces of `batch_size`, the last one smaller."""
    held: Piece | None = None
    for piece in pieces:
        held = piece if held is None else _joined(held, piece)
        while len(held.stored) >= batch_size:
            yield _part(held, slice(0, batch_size))
            held = _part(held, slice(batch_size, None))
    if held is not None and len(held.stored):
        yield held


def _joined(first: Piece, second: Piece) -> Piece:
    beside = [
        None if one is None or other is None else [*one, *other]
        for one, other in ((first.ids, second.ids), (first.texts, second.texts), (first.numbers, second.numbers))
    ]
    return Piece(np.concatenate([first.stored, second.stored]), *beside)  # type: ignore[arg-type]


def _part(piece: Piece, rows: slice) -> Piece:
    beside = [None if part is None else part[rows] for part in (piece.ids, piece.texts, piece.numbers)]
    return Piece(piece.stored[rows], *beside)  # type: ignore[arg-type]


def is_list_of_numbers(kind: Any) -> bool:
    import pyarrow as pa

    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return False
    return pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)


def _is_bytes(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):  # as pandas writes a column of categories
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _may_hold_vectors(kind: Any) -> bool:
    import pyarrow as pa

    return _is_bytes(kind) or (_is_text(kind) and not pa.types.is_dictionary(kind))
