"""DuckDB: a table with a column of lists, read as Arrow batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from unmask.errors import InputError, MissingExtra
from unmask.vectorstores.arrow import ArrowSource, is_list_of_numbers
from unmask.vectorstores.base import Fields, choose_collection
from unmask.vectorstores.numbers import Numbers


class DuckDbFile(ArrowSource):
    def __init__(self, path: str, fields: Fields, numbers: Numbers) -> None:
        try:
            import duckdb
        except ImportError as error:
            raise MissingExtra(f"{path} is a DuckDB file: reading it", "duckdb") from error

        self.origin, self._failure = path, duckdb.Error
        try:
            self._connection = duckdb.connect(path, read_only=True)
            names = [
                f"{schema}.{name}" if schema != "main" else name
                for schema, name in self._ask(
                    "select table_schema, table_name from information_schema.tables order by 1, 2"
                ).fetchall()
            ]
            schemas = {
                name: self._ask(f"select * from {_quoted(name)} limit 0").to_arrow_table().schema for name in names
            }
        except duckdb.Error as error:
            raise self._damaged(error) from error
        usable = [name for name, schema in schemas.items() if any(is_list_of_numbers(field.type) for field in schema)]
        self._table = choose_collection(names, usable, fields.collection, path, "table")
        ((count,),) = self._ask(f"select count(*) from {_quoted(self._table)}").fetchall()
        super().__init__(f"{path}[{self._table}]", fields, numbers, schemas[self._table], count)

    def _ask(self, query: str) -> Any:
        return self._connection.cursor().sql(query)

    def _damaged(self, error: Exception) -> InputError:
        why = str(error).splitlines()[0]
        return InputError(
            f"{self.origin} cannot be read as a DuckDB file ({why}); close what writes it, or copy it again"
        )

    def _record_batches(self, columns: list[str], batch_size: int, skip: int) -> Iterator[tuple[int, Any]]:
        listed, row = ", ".join(_quoted(name) for name in columns), skip
        try:
            found = self._ask(f"select {listed} from {_quoted(self._table)} offset {skip}")
            for batch in found.to_arrow_reader(batch_size):
                yield row, batch
                row += batch.num_rows
        except self._failure as error:
            raise self._damaged(error) from error


def _quoted(name: str) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))
