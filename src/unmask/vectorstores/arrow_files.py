"""Parquet, read row group by row group, and Arrow's own files (also called Feather) and streams."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unmask.errors import InputError
from unmask.vectorstores.arrow import ArrowSource
from unmask.vectorstores.base import Fields
from unmask.vectorstores.numbers import Numbers

FILE_MAGIC = b"ARROW1"
STREAM_END = b"\xff\xff\xff\xff\0\0\0\0"
log = logging.getLogger(__name__)


class ParquetFile(ArrowSource):
    def __init__(self, path: str, fields: Fields, numbers: Numbers) -> None:
        self.origin = path
        with self._open() as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
        super().__init__(path, fields, numbers, schema, rows)

    def _open(self) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(self.origin, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{self.origin} is a damaged or cut off .parquet ({error}); copy it again") from error

    def _record_batches(self, columns: list[str], batch_size: int, skip: int) -> Iterator[tuple[int, Any]]:
        import pyarrow as pa

        with self._open() as file:
            row, groups = 0, list(range(file.num_row_groups))
            while groups and row + file.metadata.row_group(groups[0]).num_rows <= skip:
                row += file.metadata.row_group(groups.pop(0)).num_rows
            try:
                for batch in file.iter_batches(batch_size=batch_size, row_groups=groups, columns=columns):
                    yield row, batch
                    row += batch.num_rows
            except (pa.ArrowException, OSError) as error:
                raise InputError(f"{self.origin} is damaged ({error}); copy or make it again") from error


class ArrowFile(ArrowSource):
    """Either of Arrow's two forms: a file, which lists its batches at its end, or a stream, as `datasets` writes it."""

    def __init__(self, path: str, fields: Fields, numbers: Numbers) -> None:
        self.origin = path
        with self._open() as reader:
            schema, is_file = reader.schema, _is_file(reader)
        if not is_file and self._end() != STREAM_END:
            log.warning("%s has no end mark, which a stream may lack: it may be cut off", path)
        super().__init__(path, fields, numbers, schema, sum(batch.num_rows for batch in self._batches()))

    def _open(self) -> Any:
        import pyarrow as pa

        try:
            with Path(self.origin).open("rb") as handle:
                is_file = handle.read(len(FILE_MAGIC)) == FILE_MAGIC
            return (pa.ipc.open_file if is_file else pa.ipc.open_stream)(pa.memory_map(self.origin))
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(error) from error

    def _end(self) -> bytes:
        with Path(self.origin).open("rb") as handle:
            handle.seek(-len(STREAM_END), 2)
            return handle.read()

    def _damaged(self, error: Exception) -> InputError:
        return InputError(f"{self.origin} is a damaged or cut off .arrow ({error}); copy it again")

    def _batches(self) -> Iterator[Any]:
        import pyarrow as pa

        with self._open() as reader:
            try:
                if _is_file(reader):
                    yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
                else:
                    yield from reader
            except (pa.ArrowException, OSError) as error:
                raise self._damaged(error) from error

    def _record_batches(self, columns: list[str], batch_size: int, skip: int) -> Iterator[tuple[int, Any]]:
        row = 0
        for whole in self._batches():
            batch = whole.select(columns)
            for start in range(0, batch.num_rows, batch_size):
                yield row + start, batch.slice(start, batch_size)
            row += batch.num_rows


def _is_file(reader: Any) -> bool:
    """Whether its batches are numbered; those of a stream come one after the other."""
    return hasattr(reader, "num_record_batches")
