"""What only one of the stores can do or get wrong."""

from __future__ import annotations

import pickle
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unmask.errors import InputError, VectorError
from unmask.vectorstores import open_vectors
from unmask.vectorstores.base import LeftOut


def read(place: Path | str, **options: Any) -> dict[str, np.ndarray]:
    batches = open_vectors(place, **options).batches(4)
    return {name: row for batch in batches for name, row in zip(batch.ids, batch.values, strict=True)}


class TestFaiss:
    @pytest.mark.parametrize(
        ("kind", "is_exact"),
        [
            ("Flat", True), ("HNSW8", True), ("IVF4,Flat", True), ("IDMap,Flat", True), ("IDMap,IVF4,Flat", True),
            ("SQ8", False), ("IVF4,PQ5x2", False), ("PQ5x2", False), ("IDMap,SQ8", False),
        ],
    )  # fmt: skip
    def test_kinds_are_read_and_quantised_ones_said_to_be_lossy(
        self, tmp_path: Path, vectors: np.ndarray, kind: str, is_exact: bool
    ) -> None:
        faiss = pytest.importorskip("faiss")
        index = faiss.index_factory(5, kind)
        index.train(vectors)
        has_ids = kind.startswith("I")
        if has_ids:
            index.add_with_ids(vectors, np.arange(23) * 7 + 100)
        else:
            index.add(vectors)
        faiss.write_index(index, str(tmp_path / "v.index"))
        source = open_vectors(tmp_path / "v.index")
        found = read(tmp_path / "v.index")
        assert (source.loss is None) is is_exact and source.count == 23
        assert list(found) == [str(row * 7 + 100 if has_ids else row) for row in range(23)]
        values = np.array(list(found.values()))
        if is_exact:
            np.testing.assert_array_equal(values, vectors)
        else:
            assert 0 < np.abs(values - vectors).max() < 3

    @pytest.mark.parametrize("share", [0.3, 0.9])
    def test_one_that_is_cut_off_or_binary_says_so(self, tmp_path: Path, vectors: np.ndarray, share: float) -> None:
        faiss = pytest.importorskip("faiss")
        index = faiss.IndexFlatL2(5)
        index.add(vectors)
        faiss.write_index(index, str(tmp_path / "v.faiss"))
        data = (tmp_path / "v.faiss").read_bytes()
        (tmp_path / "v.faiss").write_bytes(data[: int(len(data) * share)])
        with pytest.raises(InputError, match="cannot be read as a FAISS index"):
            open_vectors(tmp_path / "v.faiss")


class TestSqlite:
    def test_text_keys_deleted_rows_and_many_chunks_of_sqlite_vec(self, tmp_path: Path) -> None:
        apsw, sqlite_vec = pytest.importorskip("apsw"), pytest.importorskip("sqlite_vec")
        vectors = np.random.default_rng(1).standard_normal((40, 4)).astype(np.float32)
        connection = apsw.Connection(str(tmp_path / "v.db"))
        connection.enable_load_extension(True)
        connection.load_extension(sqlite_vec.loadable_path())
        connection.execute(
            "create virtual table notes using "
            "vec0(name text primary key, first float[4], second float[4], chunk_size=8)"
        )
        for row, vector in enumerate(vectors):
            values = (f"n{row}", vector.tobytes(), (vector * 2).tobytes())
            connection.execute("insert into notes(name, first, second) values (?, ?, ?)", values)
        connection.execute("delete from notes where name in ('n3', 'n20')")
        connection.close()
        kept = [row for row in range(40) if row not in (3, 20)]
        with pytest.raises(InputError, match="has the vectors first, second, expected one of that name"):
            open_vectors(tmp_path / "v.db")
        for key, times in (("first", 1), ("second", 2)):
            found = read(tmp_path / "v.db", key=key)
            assert list(found) == [f"n{row}" for row in kept]
            np.testing.assert_array_equal(list(found.values()), vectors[kept] * times)

    def test_nulls_and_other_lengths_in_a_plain_table(self, tmp_path: Path) -> None:
        with sqlite3.connect(tmp_path / "v.db") as connection:
            connection.execute("create table a (id text, embedding blob, body text)")
            good = np.array([1.5, 2.5], "<f4").tobytes()
            rows = [("x", good, "X"), ("y", None, "Y"), ("z", good * 2, "Z"), ("w", b"abc", None), ("v", good, "V")]
            connection.executemany("insert into a values (?, ?, ?)", rows)
            connection.execute("create table b (other integer)")
        left_out = LeftOut()
        (batch,) = open_vectors(tmp_path / "v.db").batches(9, left_out=left_out)
        assert batch.ids == ("x", "v") and batch.texts == ("X", "V")
        assert sorted(left_out.named.values()) == [["w"], ["y"], ["z"]]
        with pytest.raises(InputError, match=r"no table 'c', it has: .*a, b"):
            open_vectors(tmp_path / "v.db", collection="c")

    def test_a_damaged_one_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "v.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 2000)
        with pytest.raises(InputError, match="cannot be read as a SQLite file"):
            open_vectors(tmp_path / "v.db")

    def test_one_with_a_log_is_read_and_nothing_is_left_beside_it(self, tmp_path: Path) -> None:
        for is_open in (False, True):
            place = tmp_path / f"{is_open}.db"
            connection = sqlite3.connect(place)
            connection.execute("pragma journal_mode = wal")
            connection.execute("create table a (id text, embedding blob)")
            connection.execute("insert into a values ('x', ?)", (np.array([1.5, 2.5], "<f4").tobytes(),))
            connection.commit()
            if not is_open:
                connection.close()
            before = sorted(path.name for path in tmp_path.iterdir())
            assert {name: row.tolist() for name, row in read(place).items()} == {"x": [1.5, 2.5]}
            assert sorted(path.name for path in tmp_path.iterdir()) == before
            connection.close()

    def test_tables_that_only_another_extension_reads_are_passed_over(self, tmp_path: Path) -> None:
        with sqlite3.connect(tmp_path / "v.db") as connection:
            connection.execute("create virtual table words using fts5(body)")
            connection.execute("create table a (id text, embedding blob)")
            connection.execute("insert into a values ('x', ?)", (np.array([1.5, 2.5], "<f4").tobytes(),))
        connection.close()
        assert list(read(tmp_path / "v.db", collection="a")) == ["x"]


class TestDuckDb:
    def test_views_are_not_run_and_names_may_hold_dots(self, tmp_path: Path) -> None:
        duckdb = pytest.importorskip("duckdb")
        (tmp_path / "secret.csv").write_text("v\n1\n")
        with duckdb.connect(str(tmp_path / "v.duckdb")) as connection:
            connection.execute('create table "notes.v2" as select 1 as id, [1.5, 2.5]::float[2] as v')
            connection.execute(f"create view elsewhere as select * from read_csv('{tmp_path}/secret.csv')")
        (tmp_path / "secret.csv").unlink()
        assert list(read(tmp_path / "v.duckdb")) == ["1"]

    def test_several_tables_need_a_name_and_one_that_is_open_elsewhere_says_so(self, tmp_path: Path) -> None:
        duckdb = pytest.importorskip("duckdb")
        with duckdb.connect(str(tmp_path / "v.duckdb")) as connection:
            connection.execute("create table a as select 1 as id, [1.5, 2.5]::double[] as v")
            connection.execute("create table b as select 2 as id, [3.5, 4.5]::float[2] as v")
            connection.execute("create table words as select 'x' as text")
        with pytest.raises(InputError, match=r"has 2 tables that hold vectors.*--collection: a, b, words"):
            open_vectors(tmp_path / "v.duckdb")
        assert {name: row.tolist() for name, row in read(tmp_path / "v.duckdb", collection="b").items()} == {
            "2": [3.5, 4.5]
        }
        (tmp_path / "bad.duckdb").write_bytes((tmp_path / "v.duckdb").read_bytes()[:5000])
        with pytest.raises(InputError, match="cannot be read as a DuckDB file"):
            open_vectors(tmp_path / "bad.duckdb")


class TestQdrant:
    def test_a_pickle_that_would_run_something_is_refused_before_it_does(self, tmp_path: Path) -> None:
        class Evil:
            def __reduce__(self) -> Any:
                return (Path.touch, (tmp_path / "was run",))

        folder = tmp_path / "q" / "collection" / "notes"
        folder.mkdir(parents=True)
        (tmp_path / "q" / "meta.json").write_text('{"collections": {"notes": {}}}')
        with sqlite3.connect(folder / "storage.sqlite") as connection:
            connection.execute("create table points (id text primary key, point blob)")
            connection.execute("insert into points values ('a', ?)", (pickle.dumps(Evil()),))
        with pytest.raises(InputError, match="is no part of a point"):
            open_vectors(tmp_path / "q")
        assert not (tmp_path / "was run").exists()

    def test_several_vectors_for_each_point_need_a_name(self, tmp_path: Path) -> None:
        qdrant = pytest.importorskip("qdrant_client")
        size = qdrant.models.VectorParams(size=2, distance=qdrant.models.Distance.DOT)
        client = qdrant.QdrantClient(path=str(tmp_path / "q"))
        client.create_collection("notes", vectors_config={"title": size, "body": size})
        vectors = {"title": [1.5, 2.5], "body": [3.5, 4.5]}
        client.upsert("notes", [qdrant.models.PointStruct(id=3, vector=vectors, payload={"content": "C"})])
        client.close()
        with pytest.raises(
            InputError, match=r"has 2 vectors for each point; name one with --key: (title, body|body, title)"
        ):
            open_vectors(tmp_path / "q")
        (batch,) = open_vectors(tmp_path / "q", key="body").batches(4)
        assert batch.values.tolist() == [[3.5, 4.5]] and batch.texts == ("C",)
        with pytest.raises(InputError, match="has no vector 'foot', it has"):
            open_vectors(tmp_path / "q", key="foot")


class TestPgDump:
    HEAD = "--\n-- PostgreSQL database dump\n--\n"

    def write(self, tmp_path: Path, body: str) -> Path:
        (tmp_path / "d.sql").write_text(self.HEAD + body)
        return tmp_path / "d.sql"

    def test_halfvec_bits_nulls_and_other_tables(self, tmp_path: Path) -> None:
        place = self.write(
            tmp_path,
            "CREATE TABLE public.words (\n    text text\n);\nCREATE TABLE public.notes (\n    id uuid NOT NULL,\n"
            '    "small one" public.halfvec(2),\n    flags bit(4),\n    content text\n);\n'
            "COPY public.words (text) FROM stdin;\nx\n\\.\n"
            'COPY public.notes (id, "small one", flags, content) FROM stdin;\n'
            "a\t[0.5,2]\t0110\tfirst\\nline\nb\t\\N\t1111\t\\N\n\\.\n",
        )
        with pytest.raises(InputError, match="has 2 columns of vectors, expected one"):
            open_vectors(place)
        left_out = LeftOut()
        (batch,) = open_vectors(place, key="small one").batches(5, left_out=left_out)
        assert batch.ids == ("a",) and batch.values.tolist() == [[0.5, 2.0]] and batch.texts == ("first\nline",)
        assert left_out.named == {"null in place of a vector": ["b"]}
        assert {name: row.tolist() for name, row in read(place, key="flags").items()} == {
            "a": [-0.5, 0.5, 0.5, -0.5], "b": [0.5] * 4
        }  # fmt: skip

    def test_one_that_is_cut_off_or_of_inserts_says_so(self, tmp_path: Path) -> None:
        table = "CREATE TABLE public.notes (\n    v public.vector(2)\n);\n"
        with pytest.raises(InputError, match="is cut off: its last COPY block has no end"):
            open_vectors(self.write(tmp_path, table + "COPY public.notes (v) FROM stdin;\n[1,2]\n"))
        with pytest.raises(InputError, match=r"has no COPY block.*--inserts"):
            open_vectors(self.write(tmp_path, table + "INSERT INTO public.notes VALUES ('[1,2]');\n"))


class TestRecognition:
    def test_what_is_no_store_says_what_is_known(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"folder of no known store, expected chroma \(chroma.sqlite3\)"):
            open_vectors(tmp_path)
        with pytest.raises(InputError, match=r"scheme 'qdrnt', expected one of .*did you mean qdrant://\?"):
            open_vectors("qdrnt://localhost/notes")
        (tmp_path / "meta.json").write_text("{}")
        with pytest.raises(InputError, match="cannot be read as a Qdrant folder"):
            open_vectors(tmp_path)
        (tmp_path / "a.lance").mkdir()
        with pytest.raises(InputError, match="is a folder of qdrant-folder and lancedb at once"):
            open_vectors(tmp_path)

    @pytest.mark.parametrize("name", ["chroma", "a.lance"])
    def test_a_folder_that_is_not_what_it_looks_like_says_so(self, tmp_path: Path, name: str) -> None:
        pytest.importorskip({"chroma": "chromadb", "a.lance": "lancedb"}[name])
        (tmp_path / name).mkdir()
        (tmp_path / name / "chroma.sqlite3").write_bytes(b"not a database at all")
        with pytest.raises((InputError, VectorError), match=r"cannot be read as a"):
            open_vectors(tmp_path / name)

    @pytest.mark.parametrize("scheme", ["qdrant", "chroma"])
    def test_an_address_that_is_none_or_holds_a_secret_says_so(self, scheme: str) -> None:
        pytest.importorskip({"chroma": "chromadb", "qdrant": "qdrant_client"}[scheme])
        for address in (f"{scheme}://host:abc/notes", f"{scheme}://host:99999/notes", f"{scheme}://[::1"):
            with pytest.raises(InputError, match="is no address"):
                open_vectors(address)
        with pytest.raises(InputError, match="holds a name or password") as caught:
            open_vectors(f"{scheme}://me:hidden@host/notes")
        assert "hidden" not in str(caught.value)

    def test_a_server_that_is_not_there_says_so(self) -> None:
        pytest.importorskip("qdrant_client")
        with pytest.raises(InputError, match="does not answer as a Qdrant server"):
            open_vectors("qdrant://127.0.0.1:9/notes")
        pytest.importorskip("chromadb")
        with pytest.raises(InputError, match="does not answer as a Chroma server"):
            open_vectors("chroma://127.0.0.1:9/notes")
