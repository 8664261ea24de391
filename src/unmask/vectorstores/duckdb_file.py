"""DuckDB: a table with a column of lists, read as Arrow batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from unmask.errors import InputError, MissingExtra
from unmask.vectorstores.arrow import ArrowSource, is_list_of_numbers
from unmask.vectorstores.base import Fields, choose_collection, first_line, quoted
from unmask.vectorstores.numbers import Numbers

# A file may hold what reads other files or asks the network; only its own tables are wanted.
CLOSED = {
    "enable_external_access": "false", "autoinstall_known_extensions": "false", "autoload_known_extensions": "false",
}  # fmt: skip


class DuckDbFile(ArrowSource):
    def __init__(self, path: str, fields: Fields, numbers: Numbers) -> None:
        try:
            import duckdb
        except ImportError as error:
            raise MissingExtra(f"{path} is a DuckDB file: reading it", "duckdb") from error

        self.origin, self._failure = path, duckdb.Error
        try:
            self._connection = duckdb.connect(path, read_only=True, config=CLOSED)
            tables = self._ask(
                "select table_schema, table_name from information_schema.tables "
                "where table_type = 'BASE TABLE' order by 1, 2"
            ).fetchall()
            named = {name if schema == "main" else f"{schema}.{name}": (schema, name) for schema, name in tables}
            schemas = {
                name: self._ask(f"select * from {quoted(*parts)} limit 0").to_arrow_table().schema
                for name, parts in named.items()
            }
            usable = [name for name, schema in schemas.items() if any(is_list_of_numbers(f.type) for f in schema)]
            chosen = choose_collection(list(named), usable, fields.collection, path, "table")
            self._table = quoted(*named[chosen])
            ((count,),) = self._ask(f"select count(*) from {self._table}").fetchall()
        except duckdb.Error as error:
            raise self._damaged(error) from error
        super().__init__(f"{path}[{chosen}]", fields, numbers, schemas[chosen], count)

    def _ask(self, query: str) -> Any:
        return self._connection.cursor().sql(query)

    def _damaged(self, error: Exception) -> InputError:
        why = first_line(error)
        return InputError(
            f"{self.origin} cannot be read as a DuckDB file ({why}); close what writes it, or copy it again"
        )

    def _record_batches(self, columns: list[str], batch_size: int, skip: int) -> Iterator[tuple[int, Any]]:
        listed, row = ", ".join(quoted(name) for name in columns), skip
        try:
            found = self._ask(f"select {listed} from {self._table} offset {skip}")
            for batch in found.to_arrow_reader(batch_size):
                yield row, batch
                row += batch.num_rows
        except self._failure as error:
            raise self._damaged(error) from error
