"""PostgreSQL: a table with a column of pgvector's types, of bits or of arrays, read in one read-only snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from unmask.errors import InputError, MissingExtra
from unmask.vectorstores.base import (
    ID_NAMES,
    Fields,
    address_of,
    choose_collection,
    choose_column,
    find_texts,
    first_line,
    quoted,
)
from unmask.vectorstores.numbers import Numbers
from unmask.vectorstores.rows import Row, RowSource, bits_of, floats_of

PORT, SECONDS, PAGE = 5432, 10, 2_000
BITS = "bit"
KINDS = ("vector", "halfvec", BITS, "_float4", "_float8")
TEXTS = ("text", "varchar", "bpchar")
# Tables that a user may read, with their columns, the type of each, and which of how many of its primary key's it is.
COLUMNS = """
select n.nspname, c.relname, a.attname, t.typname, array_position(i.indkey::int2[], a.attnum), i.indnkeyatts
from pg_attribute a
join pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'p', 'm')
join pg_namespace n on n.oid = c.relnamespace and n.nspname not in ('pg_catalog', 'information_schema')
join pg_type t on t.oid = a.atttypid
left join pg_index i on i.indrelid = c.oid and i.indisprimary
where a.attnum > 0 and not a.attisdropped and has_column_privilege(c.oid, a.attnum, 'select')
order by 1, 2, a.attnum
"""


@dataclass(frozen=True)
class Column:
    kind: str
    place_in_key: int | None  # from 0 on; what is only kept beside a key comes behind its parts
    parts_of_key: int | None


class PostgreSql(RowSource):
    """Every batch comes from the state that the first one saw, whatever is written meanwhile."""

    def __init__(self, place: str, fields: Fields, numbers: Numbers) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise MissingExtra(f"{place} is a PostgreSQL server: reading it", "postgresql") from error

        _, host, port, database = address_of(place, PORT, ("host",))
        # A server without a port has a folder for its socket: postgresql:///notes?host=/run/postgresql
        folder = parse_qs(urlsplit(place).query).get("host", [host])[0]
        self.origin, self._failure = place, psycopg.Error
        try:
            self._connection = psycopg.connect(
                host=folder,
                port=port,
                dbname=database or None,
                connect_timeout=SECONDS,
                application_name="unmask",
                client_encoding="utf8",
            )
            self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            self._connection.read_only = True
        except psycopg.Error as error:
            raise self._unusable(error) from error
        tables: dict[tuple[str, str], dict[str, Column]] = {}
        for schema, table, column, *told in self._ask(COLUMNS):
            tables.setdefault((schema, table), {})[column] = Column(*told)
        # A name that could be that of two is written in full.
        named: dict[str, tuple[str, str]] = {}
        for schema, table in tables:
            short = table if schema == "public" else f"{schema}.{table}"
            named[short if short not in named else quoted(schema, table)] = schema, table
        usable = [
            name for name, parts in named.items() if any(column.kind in KINDS for column in tables[parts].values())
        ]
        chosen = choose_collection(list(named), usable, fields.collection, place, "table")
        self._choose_columns(tables[named[chosen]], fields)
        self._table = quoted(*named[chosen])
        ((count,),) = self._ask(f"select count(*) from {self._table}")
        super().__init__(f"{place}[{chosen}]", numbers, count, self._id is not None, self._text is not None)

    def _choose_columns(self, columns: dict[str, Column], fields: Fields) -> None:
        candidates = [name for name, column in columns.items() if column.kind in KINDS]
        self._column = choose_column(columns, candidates, fields.vectors, self.origin)
        self._is_bits = columns[self._column].kind == BITS
        words = [name for name, column in columns.items() if column.kind in TEXTS and name != self._column]
        self._text = find_texts(words, fields.texts, self.origin)
        keys = _whole_key(columns, self.origin)
        named = next(([name] for name in ID_NAMES if name in columns), keys)
        self._id = " || '/' || ".join(f"{quoted(name)}::text" for name in named) or None
        self._order = [quoted(name) for name in keys] or ["ctid"]

    def _rows(self, skip: int) -> Iterator[Row]:
        value, text = ("null" if name is None else f"{quoted(name)}::text" for name in (self._column, self._text))
        # By the table's own column: what is listed has the same name, and is text.
        order = ", ".join(f"held.{name}" for name in self._order)
        query = (
            f"select {value}, {self._id or 'null'}, {text} from {self._table} as held order by {order} offset {skip}"
        )
        for number, (value, name, text) in enumerate(self._stream(query), start=skip):
            yield Row(
                str(number) if name is None else name, bits_of(value) if self._is_bits else floats_of(value), text
            )

    def close(self) -> None:
        """A snapshot that is kept keeps the server from tidying up."""
        self._connection.close()

    def _ask(self, query: str) -> list[Any]:
        try:
            return self._connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]
        except self._failure as error:
            raise self._unusable(error) from error

    def _stream(self, query: str) -> Iterator[Any]:
        """Page by page: the client would otherwise take the whole table into memory."""
        try:
            with self._connection.cursor(name=f"unmask_{id(query)}") as cursor:
                cursor.itersize = PAGE
                yield from cursor.execute(query)  # type: ignore[call-overload]
        except self._failure as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> InputError:
        return InputError(
            f"{self.origin} cannot be read as a PostgreSQL server ({first_line(error)}); check host, port and "
            "database, and PGUSER and PGPASSWORD or ~/.pgpass"
        )


def _whole_key(columns: dict[str, Column], origin: str) -> list[str]:
    """The columns of the primary key in its order, none where there is no key."""
    places = {
        column.place_in_key: (name, column.parts_of_key)
        for name, column in columns.items()
        if column.place_in_key is not None and column.place_in_key < (column.parts_of_key or 0)
    }
    found = [places[place] for place in sorted(places)]
    parts = next((parts for _, parts in found), 0)
    if parts != len(found):
        raise InputError(
            f"{origin}: {len(found)} of the {parts} columns of its key may be read, expected all, since its rows have "
            "no other order; grant select on them"
        )
    return [name for name, _ in found]
