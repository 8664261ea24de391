"""What only one of the formats can do or get wrong."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from unmask.errors import InputError, VectorError
from unmask.vectorstores import check_vectors, open_vectors


def read(path: Path | str, **options: Any) -> np.ndarray:
    return np.concatenate([batch.values for batch in open_vectors(path, **options).batches(4)])


class TestNumpy:
    @pytest.mark.parametrize("name", ["npy", "npz"])
    def test_column_order_big_endian_and_bfloat16_are_read(
        self, tmp_path: Path, vectors: np.ndarray, name: str
    ) -> None:
        import torch

        brain = torch.from_numpy(vectors).bfloat16()
        stored = {
            "fortran": np.asfortranarray(vectors),
            "big": vectors.astype(">f4"),
            "brain": brain.view(torch.int16).numpy().view("V2"),
        }
        for label, array in stored.items():
            path = tmp_path / f"{label}.{name}"
            if name == "npy":
                np.save(path, array)
            else:
                np.savez_compressed(path, array)
            expected = brain.float().numpy() if label == "brain" else vectors
            np.testing.assert_array_equal(read(path), expected)

    @pytest.mark.parametrize("name", ["npy", "npz"])
    def test_pickled_objects_are_never_loaded(self, tmp_path: Path, name: str) -> None:
        array = np.array([[1.0], "x", None], dtype=object)
        path = tmp_path / f"objects.{name}"
        (np.save if name == "npy" else np.savez)(path, array)
        with pytest.raises(InputError, match=r"pickled Python objects.*never read.*numpy\.save"):
            open_vectors(path)

    def test_complex_and_structured_arrays_say_what_they_are(self, tmp_path: Path) -> None:
        np.save(tmp_path / "c.npy", np.ones((2, 3), np.complex64))
        with pytest.raises(VectorError, match="holds complex64 values, expected floating point"):
            open_vectors(tmp_path / "c.npy")

    def test_a_key_for_a_file_with_one_array_is_refused(self, tmp_path: Path, vectors: np.ndarray) -> None:
        np.save(tmp_path / "v.npy", vectors)
        with pytest.raises(InputError, match="leave --key out"):
            open_vectors(tmp_path / "v.npy", key="vectors")

    def test_a_zip_without_arrays_is_not_an_npz(self, tmp_path: Path) -> None:
        import zipfile

        with zipfile.ZipFile(tmp_path / "v.npz", "w") as archive:
            archive.writestr("data.pkl", b"x")
        with pytest.raises(InputError, match="zip without NumPy arrays"):
            open_vectors(tmp_path / "v.npz")

    def test_bytes_that_were_changed_inside_an_npz_are_noticed(self, tmp_path: Path) -> None:
        path = tmp_path / "v.npz"
        np.savez(path, np.ones((400, 50), np.float32))
        data = bytearray(path.read_bytes())
        data[40_000] ^= 255
        path.write_bytes(bytes(data))
        with pytest.raises(InputError, match="damaged"):
            read(path)


class TestSafetensors:
    def test_bfloat16_is_read(self, tmp_path: Path, vectors: np.ndarray) -> None:
        import torch
        from safetensors.torch import save_file

        brain = torch.from_numpy(vectors).bfloat16()
        save_file({"v": brain}, tmp_path / "v.safetensors")
        np.testing.assert_array_equal(read(tmp_path / "v.safetensors"), brain.float().numpy())


class TestParquet:
    @pytest.mark.parametrize("kind", ["list", "large_list", "fixed_size_list"])
    def test_every_kind_of_list_in_any_row_groups(self, tmp_path: Path, vectors: np.ndarray, kind: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        make = {"list": pa.list_, "large_list": pa.large_list, "fixed_size_list": lambda t: pa.list_(t, 5)}[kind]
        table = pa.table({"text": ["x"] * 23, "v": pa.array(vectors.tolist(), make(pa.float32())), "_id": range(23)})
        for size in (1, 3, 23):
            pq.write_table(table, tmp_path / "v.parquet", row_group_size=size)
            source = open_vectors(tmp_path / "v.parquet")
            batches = list(source.batches(4, skip=5))
            assert [len(batch) for batch in batches] == [4, 4, 4, 4, 2]
            np.testing.assert_array_equal(np.concatenate([batch.values for batch in batches]), vectors[5:])
            assert batches[0].ids == ("5", "6", "7", "8")

    def test_rows_of_another_length_or_without_a_vector_are_named(self, tmp_path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        good = [1.0, 2.0]
        for row, sentence in (
            ([1.0], "has 1 numbers where most have 2"),
            (None, "has null in place"),
            ([1.0, None], "nan"),
        ):
            pq.write_table(
                pa.table({"v": pa.array([good] * 6 + [row, good])}), tmp_path / "v.parquet", row_group_size=4
            )
            with pytest.raises(VectorError, match=f"row 6.*{sentence}"):
                read(tmp_path / "v.parquet")

    def test_columns_that_cannot_be_told_apart_need_a_key(self, tmp_path: Path, vectors: np.ndarray) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = tmp_path / "v.parquet"
        pq.write_table(pa.table({"a": list(vectors), "b": list(vectors * 2), "text": ["x"] * 23}), path)
        with pytest.raises(InputError, match=r"2 columns of numeric lists.*--key.*text \(string\)"):
            open_vectors(path)
        with pytest.raises(InputError, match="no column 'c' of numeric lists"):
            open_vectors(path, key="c")
        with pytest.raises(InputError, match="'text' has text that is no list of numbers in its first rows"):
            open_vectors(path, key="text")
        np.testing.assert_array_equal(read(path, key="b"), vectors * 2)
        pq.write_table(pa.table({"text": ["x"]}), path)
        with pytest.raises(InputError, match=r"0 columns of numeric lists.*one list"):
            open_vectors(path)


class TestArrow:
    def test_streams_as_datasets_writes_them_and_categories_as_pandas_does(
        self, tmp_path: Path, vectors: np.ndarray
    ) -> None:
        import pyarrow as pa

        datasets = pytest.importorskip("datasets")
        rows = {"embedding": vectors.tolist(), "text": [f"text {row}" for row in range(23)]}
        datasets.Dataset.from_dict(rows).save_to_disk(tmp_path / "saved")
        (path,) = (tmp_path / "saved").glob("*.arrow")
        assert path.read_bytes()[:4] == b"\xff" * 4
        source = open_vectors(path)
        assert source.count == 23 and source.has_texts
        np.testing.assert_array_equal(read(path).astype(np.float32), vectors)
        (last,) = source.batches(9, skip=20)
        assert last.ids == ("20", "21", "22") and last.texts == ("text 20", "text 21", "text 22")
        words = pa.array(["a", "b", "a"]).dictionary_encode()
        table = pa.table({"v": list(vectors[:3]), "body": words})
        with pa.OSFile(str(tmp_path / "c.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
        assert next(open_vectors(tmp_path / "c.arrow", texts="body").batches(3)).texts == ("a", "b", "a")

    def test_a_stream_that_is_cut_off_is_one_sentence(
        self, tmp_path: Path, vectors: np.ndarray, caplog: pytest.LogCaptureFixture
    ) -> None:
        import pyarrow as pa

        table = pa.table({"v": list(vectors)})
        with pa.OSFile(str(tmp_path / "v.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        whole = (tmp_path / "v.arrow").read_bytes()
        (tmp_path / "unmarked.arrow").write_bytes(whole[:-8])
        assert len(read(tmp_path / "unmarked.arrow")) == 23 and "it may be cut off" in caplog.text
        (tmp_path / "v.arrow").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InputError, match=r"damaged or cut off \.arrow"):
            open_vectors(tmp_path / "v.arrow")


class TestJsonLines:
    def write(self, tmp_path: Path, *lines: Any) -> Path:
        path = tmp_path / "v.jsonl"
        path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
        return path

    @pytest.mark.parametrize("key", ["vector", "embedding", "values", "mine"])
    def test_the_vector_is_found_under_the_usual_names_or_as_the_only_list(self, tmp_path: Path, key: str) -> None:
        path = self.write(tmp_path, {"text": "a", key: [0.5, 1]}, "", {key: [1, 2]})
        np.testing.assert_array_equal(read(path), [[0.5, 1], [1, 2]])

    @pytest.mark.parametrize(
        ("third", "sentence"),
        [
            ([1.0], "line 3 has 1 numbers, expected 2"),
            ("[1.0, ", "line 3 is not valid JSON"),
            ([1.0, "a"], "line 3 holds 'a', expected finite"),
            ([1.0, [2.0]], "line 3 holds"),
            ("7", "line 3 holds int, expected a list"),
            ({"vector": [1.0, 2.0]}, "line 3 is not of the kind"),
            ("[1.0, 1e999]", "row 2 holds inf"),
            ("[1.0, null]", "row 2 holds nan"),
            ("[1.0, 1" + "0" * 400 + "]", "line 3 holds 1000"),
        ],
    )
    def test_a_line_that_does_not_fit_is_named(self, tmp_path: Path, third: Any, sentence: str) -> None:
        with pytest.raises(InputError, match=sentence):
            read(self.write(tmp_path, [0.1, 0.2], [0.3, 0.4], third))

    def test_a_line_without_the_key_or_the_id_of_the_first_is_named(self, tmp_path: Path) -> None:
        first = {"id": "a", "vector": [0.5]}
        with pytest.raises(InputError, match="line 2 has no 'vector', it has: id"):
            read(self.write(tmp_path, first, {"id": "b"}))
        with pytest.raises(InputError, match="line 2 has no 'id'"):
            read(self.write(tmp_path, first, {"vector": [0.1]}))

    def test_keys_that_cannot_be_told_apart_need_a_key(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, {"a": [0.5], "b": [0.25]})
        with pytest.raises(InputError, match=r"line 1 has the keys a, b.*--key"):
            open_vectors(path)
        np.testing.assert_array_equal(read(path, key="b"), [[0.25]])

    def test_text_that_is_not_utf8_and_blank_files_say_so(self, tmp_path: Path) -> None:
        path = tmp_path / "v.jsonl"
        path.write_bytes(b'{"a": "\xff"}')
        with pytest.raises(InputError, match="line 1 is not valid JSON"):
            open_vectors(path)
        path.write_bytes(b"\n \n")
        with pytest.raises(InputError, match="no line that holds a vector"):
            open_vectors(path)

    def test_standard_input_streams_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lines = b"".join(json.dumps({"id": f"n{i}", "embedding": [i + 0.5, 1.0]}).encode() + b"\n" for i in range(5))
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(lines)))
        source = open_vectors("-")
        assert source.dimension == 2
        assert [name for batch in source.batches(2, skip=1) for name in batch.ids] == ["n1", "n2", "n3", "n4"]
        with pytest.raises(InputError, match="once only"):
            next(source.batches(2))


class TestCheckVectors:
    def test_arrays_lists_and_single_vectors_become_rows(self) -> None:
        assert check_vectors([0.5, 1.0]).tolist() == [[0.5, 1.0]]
        assert check_vectors(np.ones((2, 3), np.float64), expected_dimension=3).dtype == np.float32

    @pytest.mark.parametrize(
        ("values", "sentence"),
        [
            (np.ones((2, 4)), "expects 3-d vectors, got 4-d; pass --model"),
            (np.ones((2, 3, 4)), "has 3 axes"),
            (np.ones((2, 3), np.int8), "int8 integers"),
            (np.float32(1), "has 0 axes"),
            ([[1.0, 2.0, 3.0], [1.0]], "no rectangular array"),
            ([["a", "b", "c"]], "values, expected floating point"),
            (np.zeros((1, 3)), "row 0 is all zeros"),
        ],
    )
    def test_what_is_no_vector_is_refused(self, values: Any, sentence: str) -> None:
        with pytest.raises(VectorError, match=sentence):
            try:
                check_vectors(values, expected_dimension=3)
            except ValueError as error:
                raise AssertionError("NumPy's own error reached the user") from error
