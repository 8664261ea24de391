"""LanceDB: a folder of tables, read as Arrow batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unmask.errors import InputError, MissingExtra
from unmask.vectorstores.arrow import ArrowSource
from unmask.vectorstores.base import Fields, choose_collection, first_line
from unmask.vectorstores.numbers import Numbers

SUFFIX = ".lance"


class LanceFolder(ArrowSource):
    def __init__(self, path: str, fields: Fields, numbers: Numbers) -> None:
        try:
            import lancedb
        except ImportError as error:
            raise MissingExtra(f"{path} is a LanceDB folder: reading it", "lancedb") from error

        self.origin, folder, asked = path, Path(path), fields.collection
        if folder.suffix == SUFFIX:  # one table of a database
            folder, asked = folder.parent, folder.stem
        names = sorted(table.stem for table in folder.glob(f"*{SUFFIX}"))
        name = choose_collection(names, names, asked, path, "table")
        try:
            self._table = lancedb.connect(str(folder)).open_table(name)
            schema, count = self._table.schema, self._table.count_rows()
        except (OSError, ValueError, RuntimeError) as error:
            raise self._damaged(error) from error
        super().__init__(f"{folder}[{name}]", fields, numbers, schema, count)

    def _damaged(self, error: Exception) -> InputError:
        why = first_line(error)
        return InputError(f"{self.origin} cannot be read as a LanceDB table ({why}); copy the folder again")

    def _record_batches(self, columns: list[str], batch_size: int, skip: int) -> Iterator[tuple[int, Any]]:
        row = skip
        try:
            found = self._table.search().select(columns).limit(None).offset(skip)
            for batch in found.to_batches(batch_size):
                yield row, batch
                row += batch.num_rows
        except (OSError, ValueError, RuntimeError) as error:
            raise self._damaged(error) from error
