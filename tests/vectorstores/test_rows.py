"""Rows that are wrong each in its own way, texts beside vectors, and the ways that a vector can be written down."""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unmask.errors import InputError, VectorError
from unmask.vectorstores import open_vectors
from unmask.vectorstores.base import LeftOut
from unmask.vectorstores.rows import NoVector, as_vector

GOOD = [[0.5, -1.0], [0.25, 2.0], [1.5, 0.125]]


def read(path: Path, left_out: LeftOut | None = None, **options: Any) -> tuple[list[Any], list[str], list[str | None]]:
    batches = list(open_vectors(path, **options).batches(2, left_out=left_out))
    return (
        [row for batch in batches for row in batch.values.tolist()],
        [name for batch in batches for name in batch.ids],
        [text for batch in batches for text in batch.texts or ()],
    )


def packed(values: list[float]) -> str:
    return base64.b64encode(np.array(values, "<f4").tobytes()).decode()


@pytest.mark.parametrize(
    "value",
    [
        [0.5, -1.0], (0.5, -1.0), np.array([0.5, -1.0], np.float16), "[0.5, -1.0]", "{0.5,-1}", "0.5 -1.0",
        " [0.5, -1.0] ", "[0.5 -1.0]", packed([0.5, -1.0]), np.array([0.5, -1.0], "<f4").tobytes(),
    ],
)  # fmt: skip
def test_every_way_to_write_a_vector_is_read(value: Any) -> None:
    assert as_vector(value).tolist() == [0.5, -1.0]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "null"), ("the text itself", "no list of numbers"), ([], "empty list"), ({"a": 1}, "something else"),
        (7, "something else"), ([[1.0], [2.0]], "something else"), ([1.0, "a"], "something else"), (b"abc", "bytes"),
        ("[" * 100_000, "no list"), ([[1.0], [2.0, 3.0]], "something else"), ("", "no list|empty"),
    ],
)  # fmt: skip
def test_what_is_no_vector_says_why(value: Any, reason: str) -> None:
    with pytest.raises(NoVector, match=reason):
        as_vector(value)


class TestCsv:
    def write(self, tmp_path: Path, rows: list[list[Any]], separator: str = ",") -> Path:
        with (tmp_path / "v.csv").open("w", newline="") as handle:
            csv.writer(handle, delimiter=separator).writerows(rows)
        return tmp_path / "v.csv"

    @pytest.mark.parametrize("separator", [",", ";", "\t"])
    def test_a_number_in_each_column_with_or_without_a_header(self, tmp_path: Path, separator: str) -> None:
        assert read(self.write(tmp_path, GOOD, separator))[0] == GOOD
        rows = [["id", "text", "x0", "x1"], *([f"n{i}", f"it is {i}", *row] for i, row in enumerate(GOOD))]
        found = read(self.write(tmp_path, rows, separator))
        assert found == (GOOD, ["n0", "n1", "n2"], ["it is 0", "it is 1", "it is 2"])

    @pytest.mark.parametrize("written", [json.dumps, packed])
    def test_a_vector_in_one_cell(self, tmp_path: Path, written: Any) -> None:
        rows = [["body", "mine", "other"], *([f"it is {i}", written(row), "[9, 9]"] for i, row in enumerate(GOOD))]
        path = self.write(tmp_path, rows)
        assert read(path, key="mine") == (GOOD, ["0", "1", "2"], ["it is 0", "it is 1", "it is 2"])
        assert read(path, key="mine", texts="other")[2] == ["[9, 9]"] * 3
        with pytest.raises(InputError, match="no column 'yours', it has: body, mine, other"):
            open_vectors(path, key="yours")
        with pytest.raises(InputError, match="no field 'yours' of texts, it has: body, mine, other"):
            open_vectors(path, key="mine", texts="yours")

    def test_what_pandas_writes_is_read(self, tmp_path: Path) -> None:
        for header, index in ((["0", "1"], False), (["", "0", "1"], True)):
            rows = [header, *([row, *values] if index else values for row, values in enumerate(GOOD))]
            assert read(self.write(tmp_path, rows))[0] == GOOD

    def test_a_cell_alone_on_its_line_needs_no_header(self, tmp_path: Path) -> None:
        assert read(self.write(tmp_path, [[json.dumps(row)] for row in GOOD]))[0] == GOOD

    def test_rows_that_are_wrong_are_left_out(self, tmp_path: Path) -> None:
        cells = ["[1, 2.5]", "", "[1, 2, 3]", "nothing", "[0.5, 2]"]
        path = self.write(tmp_path, [["id", "vector"], *([f"n{i}", cell] for i, cell in enumerate(cells))])
        left_out = LeftOut()
        assert read(path, left_out)[:2] == ([[1, 2.5], [0.5, 2]], ["n0", "n4"])
        assert left_out.counts == {
            "null in place of a vector": 1, "3 numbers where most have 2": 1, "text that is no list of numbers": 1
        }  # fmt: skip
        with pytest.raises(VectorError, match=r"row 1 \(id 'n1'\) has null in place of a vector, expected 2 numbers"):
            read(path)

    def test_bytes_that_are_no_text_say_so(self, tmp_path: Path) -> None:
        (tmp_path / "v.csv").write_bytes(b"vector\n\xff\xfe\n")
        with pytest.raises(InputError, match="no readable CSV"):
            open_vectors(tmp_path / "v.csv")


class TestArrow:
    @pytest.mark.parametrize("suffix", ["parquet", "arrow"])
    @pytest.mark.parametrize("kind", ["list", "fixed", "bytes", "text"])
    def test_lists_bytes_and_text_with_rows_that_are_wrong(self, tmp_path: Path, suffix: str, kind: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        stored: dict[str, tuple[Any, Any]] = {
            "list": (list, pa.list_(pa.float64())),
            "fixed": (list, pa.list_(pa.float32(), 2)),
            "bytes": (lambda row: np.array(row, "<f4").tobytes(), pa.binary()),
            "text": (json.dumps, pa.string()),
        }
        write, column = stored[kind]
        wrong = None if kind == "fixed" else write([1.0, 2.0, 3.0])
        vectors = pa.array([write(GOOD[0]), None, write(GOOD[1]), wrong, write(GOOD[2])], column)
        table = pa.table({"_id": list("abcde"), "v": vectors, "document": ["A", "B", None, "D", "E"]})
        path = tmp_path / f"v.{suffix}"
        if suffix == "parquet":
            pq.write_table(table, path, row_group_size=2)
        else:
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table, max_chunksize=2)
        key = "v" if kind == "text" else None
        left_out = LeftOut()
        assert read(path, left_out, key=key) == (GOOD, ["a", "c", "e"], ["A", None, "E"])
        assert left_out.named["null in place of a vector"] == (["b", "d"] if kind == "fixed" else ["b"])
        assert left_out.total == 2
        with pytest.raises(VectorError, match="row 1 of 'v' has null in place of a vector"):
            read(path, key=key)


class TestJsonLines:
    def test_base64_texts_and_lines_that_are_wrong(self, tmp_path: Path) -> None:
        path = tmp_path / "v.jsonl"
        lines = [
            {"id": "a", "embedding": packed(GOOD[0]), "text": "A"}, {"id": "b", "embedding": None, "text": "B"},
            {"id": "c", "embedding": GOOD[1]}, {"id": "d", "embedding": [1.0]}, {"id": "e", "text": "E"},
            {"id": "f", "embedding": packed(GOOD[2]), "text": 5}, [1.0, 2.0], {"id": "h", "embedding": "what?"},
        ]  # fmt: skip
        path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"id": "i", "embed')
        left_out = LeftOut()
        assert read(path, left_out) == (GOOD, ["a", "c", "f"], ["A", None, None])
        assert left_out.total == 6 and left_out.named["no valid JSON"] == ["line 9"]
        with pytest.raises(InputError, match="line 2 holds NoneType, expected a list"):
            read(path)


def test_texts_beside_arrays_are_found(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", vectors=np.array(GOOD), ids=np.array(["a", "b", "c"]), text=np.array(["A", "B", "C"]))
    assert read(tmp_path / "v.npz") == (GOOD, ["a", "b", "c"], ["A", "B", "C"])
    np.save(tmp_path / "v.npy", GOOD)
    with pytest.raises(InputError, match="holds numbers only, no field 'text' of texts"):
        open_vectors(tmp_path / "v.npy", texts="text")


def test_a_few_reasons_are_kept_however_many_rows_are_wrong() -> None:
    left_out = LeftOut()
    for row in range(1000):
        left_out.add(str(row), "all zeros")
    assert left_out.total == 1000 and left_out.named == {"all zeros": ["0", "1", "2", "3", "4"]}


def test_what_json_lines_hold_is_not_decided_by_a_first_line_that_is_wrong(tmp_path: Path) -> None:
    lines = [
        '{"id": "a", "vector": null}', "no JSON", '{"id": "c", "vector": [0.5, 1.0]}',
        '{"id": "d", "vector": [0.25, 2.0], "body": "here"}',
    ]  # fmt: skip
    (tmp_path / "v.jsonl").write_text("\n".join(lines))
    left_out = LeftOut()
    source = open_vectors(tmp_path / "v.jsonl")
    (batch,) = source.batches(9, left_out=left_out)
    assert batch.ids == ("c", "d") and batch.texts == (None, "here") and left_out.total == 2
    with pytest.raises(VectorError, match="line 1"):
        list(source.batches(9))
    (tmp_path / "w.jsonl").write_text("\n".join(lines[:2]))
    with pytest.raises(VectorError, match="line 1"):
        open_vectors(tmp_path / "w.jsonl")
