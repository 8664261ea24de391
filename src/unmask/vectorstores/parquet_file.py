"""Parquet: a column of lists, read row group by row group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from unmask.errors import InputError, VectorError
from unmask.vectorstores.base import ID_NAMES, VectorSource
from unmask.vectorstores.numbers import Numbers


class ParquetFile(VectorSource):
    def __init__(self, path: str, key: str | None, numbers: Numbers) -> None:
        import pyarrow as pa

        self._path = path
        file = self._open()
        schema = file.schema_arrow
        self._column = self._choose_column(schema, key)
        rows = file.metadata.num_rows
        if not rows:
            raise VectorError(f"{path} holds no rows, expected at least one vector; check how it was made")
        self._id_column = next((name for name in ID_NAMES if name in schema.names), None)
        kind = schema.field(self._column).type
        self._columns = kind.list_size if pa.types.is_fixed_size_list(kind) else self._first_length(file)
        if not self._columns:
            raise VectorError(f"{path}: row 0 of '{self._column}' has no numbers, expected a vector; remove that row")
        stored = np.dtype(kind.value_type.to_pandas_dtype())
        super().__init__(path, numbers, stored, rows, self._columns, self._id_column is not None)

    def _open(self) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(self._path, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{self._path} is a damaged or cut off .parquet ({error}); copy it again") from error

    def _choose_column(self, schema: Any, key: str | None) -> str:
        lists = {field.name: str(field.type) for field in schema if _is_vector_type(field.type)}
        listed = ", ".join(f"{field.name} ({field.type})" for field in schema)
        if key is not None and key not in lists:
            raise InputError(f"{self._path} has no column '{key}' of numeric lists, it has: {listed}; change --key")
        if key is None and len(lists) != 1:
            raise InputError(
                f"{self._path} has {len(lists)} columns of numeric lists, expected one that holds the vectors; "
                f"{'name it with --key' if lists else 'put each vector into one list'}: {listed}"
            )
        return key if key is not None else next(iter(lists))

    def _first_length(self, file: Any) -> int:
        first = next(file.iter_batches(batch_size=1, columns=[self._column])).column(0)[0].as_py()
        if first is None:
            raise VectorError(f"{self._path}: row 0 of '{self._column}' is null, expected a vector; remove that row")
        return len(first)

    def _read(self, batch_size: int, skip: int) -> Iterator[tuple[np.ndarray, Sequence[str] | None]]:
        pending: list[tuple[np.ndarray, list[str] | None]] = []
        held = 0
        for values, ids in self._chunks(batch_size, skip):
            pending.append((values, ids))
            held += len(values)
            while held >= batch_size:
                batch, pending = _split(pending, batch_size)
                held -= batch_size
                yield batch
        if held:
            yield _split(pending, held)[0]

    def _chunks(self, batch_size: int, skip: int) -> Iterator[tuple[np.ndarray, list[str] | None]]:
        """Pieces as the file has them, which end with each row group."""
        import pyarrow as pa

        file = self._open()
        groups: list[int] = []
        row = 0
        for number in range(file.num_row_groups):
            size = file.metadata.row_group(number).num_rows
            if not groups and row + size <= skip:
                row += size
                continue
            groups.append(number)
        columns = [self._column] + ([self._id_column] if self._id_column else [])
        try:
            for batch in file.iter_batches(batch_size=batch_size, row_groups=groups, columns=columns):
                start = min(max(skip - row, 0), batch.num_rows)
                row += batch.num_rows
                if start < batch.num_rows:
                    yield self._convert(batch.slice(start), row - batch.num_rows + start)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{self._path} is damaged ({error}); copy or make it again") from error

    def _convert(self, batch: Any, first_row: int) -> tuple[np.ndarray, list[str] | None]:
        column = batch.column(batch.schema.get_field_index(self._column))
        lengths = np.asarray(column.value_lengths().fill_null(-1))  # (rows,)
        wrong = np.flatnonzero((lengths != self._columns) | np.asarray(column.is_null()))
        if wrong.size:
            row = int(wrong[0])
            found = "null" if column[row].as_py() is None else f"{lengths[row]} numbers"
            raise VectorError(
                f"{self._path}: row {first_row + row} of '{self._column}' is {found}, expected {self._columns} numbers "
                "as in the first row; remove that row or embed its text again"
            )
        # to_numpy turns a missing number into NaN, which the check that follows names.
        values = column.flatten().to_numpy(zero_copy_only=False).reshape(len(lengths), self._columns)
        if self._id_column is None:
            return values, None
        ids = batch.column(batch.schema.get_field_index(self._id_column)).to_pylist()
        return values, [str(name) for name in ids]


def _is_vector_type(kind: Any) -> bool:
    import pyarrow as pa

    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return False
    return pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)


def _split(
    pending: list[tuple[np.ndarray, list[str] | None]], size: int
) -> tuple[tuple[np.ndarray, list[str] | None], list[tuple[np.ndarray, list[str] | None]]]:
    """The first `size` rows as one piece, and what is left."""
    values = np.concatenate([piece for piece, _ in pending]) if len(pending) > 1 else pending[0][0]
    if pending[0][1] is None:
        return (values[:size], None), [(values[size:], None)] if len(values) > size else []
    ids = [name for _, names in pending for name in names or []]
    return (values[:size], ids[:size]), [(values[size:], ids[size:])] if len(values) > size else []
