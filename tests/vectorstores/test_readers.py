"""What holds for every reader there is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unmask.errors import InputError, UnmaskError, VectorError
from unmask.vectorstores import READERS, open_vectors

every_format = pytest.mark.parametrize("name", READERS.names)


def read(path: Path, batch_size: int = 1000, **options: Any) -> np.ndarray:
    return np.concatenate([batch.values for batch in open_vectors(path, **options).batches(batch_size)])


@every_format
@pytest.mark.parametrize("batch_size", [1, 4, 7, 23, 100])
@pytest.mark.parametrize("skip", [0, 1, 7, 20, 23])
def test_batches_give_every_row_once_in_order(
    tmp_path: Path, writers: Any, vectors: np.ndarray, name: str, batch_size: int, skip: int
) -> None:
    source = open_vectors(writers[name](tmp_path, vectors, None))
    assert source.count in (23, None) and source.dimension == 5
    batches = list(source.batches(batch_size, skip))
    assert [len(batch) for batch in batches] == [min(batch_size, 23 - s) for s in range(skip, 23, batch_size)]
    assert [name for batch in batches for name in batch.ids] == [str(row) for row in range(skip, 23)]
    assert [batch.first_row for batch in batches] == list(range(skip, 23, batch_size))
    values = np.concatenate([np.empty((0, 5), np.float32), *(batch.values for batch in batches)])
    np.testing.assert_allclose(values, vectors[skip:], rtol=1e-6)
    assert values.dtype == np.float32
    assert all(batch.values.flags.writeable and batch.values.flags.c_contiguous for batch in batches)
    assert len(list(source.batches(100))) == 1, "a source can be read again"


@pytest.mark.parametrize("name", ["npz", "parquet", "arrow", "safetensors", "jsonl", "csv"])
def test_ids_of_the_file_are_kept(tmp_path: Path, writers: Any, vectors: np.ndarray, name: str) -> None:
    ids = [str(1000 - row) for row in range(23)]
    source = open_vectors(writers[name](tmp_path, vectors, ids))
    assert source.has_ids
    assert [i for batch in source.batches(4, skip=3) for i in batch.ids] == ids[3:]


@every_format
@pytest.mark.parametrize(
    ("value", "sentence"),
    [(np.nan, "holds nan at position 2"), (np.inf, "holds inf"), (1e9, "holds 1e\\+09.*byte order")],
)
def test_a_bad_value_is_named_with_its_row(
    tmp_path: Path, writers: Any, vectors: np.ndarray, name: str, value: float, sentence: str
) -> None:
    bad = vectors.copy()
    bad[17, 2] = value
    source = open_vectors(writers[name](tmp_path, bad, None))
    batches = source.batches(5)
    for _ in range(3):
        next(batches)
    with pytest.raises(VectorError, match=f"row 17 .*{sentence}"):
        next(batches)


@every_format
def test_a_zero_vector_is_named_with_its_row_and_id(
    tmp_path: Path, writers: Any, vectors: np.ndarray, name: str
) -> None:
    bad = vectors.copy()
    bad[9] = 0
    ids = None if name == "npy" else [str(row + 500) for row in range(23)]
    with pytest.raises(VectorError, match="row 9 " + ("" if ids is None else r"\(id '509'\) ") + "is all zeros"):
        read(writers[name](tmp_path, bad, ids))


@every_format
def test_an_empty_file_and_a_missing_one_say_so(tmp_path: Path, writers: Any, vectors: np.ndarray, name: str) -> None:
    path = writers[name](tmp_path, vectors, None)
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"is empty \(0 bytes\)"):
        open_vectors(path)
    with pytest.raises(InputError, match="does not exist"):
        open_vectors(tmp_path / f"other.{name}")


@every_format
def test_no_rows_say_so(tmp_path: Path, writers: Any, name: str) -> None:
    path = writers[name](tmp_path, np.zeros((0, 5), np.float32), None)
    with pytest.raises(UnmaskError, match=r"no vectors|no rows|no line|no columns|0 columns"):
        open_vectors(path)


@every_format
@pytest.mark.parametrize("share", [0.05, 0.5, 0.97])
def test_a_file_that_is_cut_off_says_so(
    tmp_path: Path, writers: Any, vectors: np.ndarray, name: str, share: float
) -> None:
    path = writers[name](tmp_path, np.tile(vectors, (4, 8)), None)
    # A text that ends with a whole line does not show that it was longer.
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)].rstrip(b"]\n"))
    with pytest.raises(
        InputError, match=r"cut off|damaged|not valid JSON|content is that of|no list of numbers|no vectors"
    ) as caught:
        read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", [name for name in READERS.names if name != "csv"])  # any text may be CSV
def test_content_of_another_format_is_recognised(tmp_path: Path, writers: Any, vectors: np.ndarray, name: str) -> None:
    path = writers[name](tmp_path, vectors, None)
    other = tmp_path / ("wrong.npy" if name != "npy" else "wrong.parquet")
    other.write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=rf"its content is that of \.{name}; rename it to \.{name}"):
        open_vectors(other)
    unknown = tmp_path / "vectors.bin"
    unknown.write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=rf"suffix '\.bin', expected one of \.npy.*looks like \.{name}"):
        open_vectors(unknown)


@every_format
@pytest.mark.parametrize("kind", ["float16", "float64"])
def test_other_floating_types_are_read(tmp_path: Path, writers: Any, vectors: np.ndarray, name: str, kind: str) -> None:
    np.testing.assert_allclose(read(writers[name](tmp_path, vectors.astype(kind), None)), vectors, rtol=1e-3)


@every_format
def test_integers_are_refused_with_the_ways_to_scale_them(
    tmp_path: Path, writers: Any, vectors: np.ndarray, name: str
) -> None:
    stored = np.clip(vectors * 40, -127, 127).astype(np.int8)
    path = writers[name](tmp_path, stored, None)
    with pytest.raises(VectorError, match=r"int.* integers in 5 columns.*--scale NUMBER"):
        open_vectors(path)
    np.testing.assert_allclose(read(path, scale="0.025"), stored * 0.025, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(read(path, scale="unit"), axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("name", ["npy", "npz", "safetensors", "parquet"])
@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_packed_bits_are_unpacked_on_request(tmp_path: Path, writers: Any, name: str, kind: str) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (6, 16))
    packed = np.packbits(bits, axis=1)
    stored = packed if kind == "uint8" else (packed.astype(np.int16) - 128).astype(np.int8)
    path = writers[name](tmp_path, stored, None)
    with pytest.raises(VectorError, match=r"binary unpacks bits \(16 dimensions\)"):
        open_vectors(path)
    source = open_vectors(path, scale="binary")
    assert source.dimension == 16
    np.testing.assert_allclose(next(source.batches(6)).values, (bits * 2 - 1) / 4, rtol=1e-6)


def test_a_scale_that_is_no_scale_and_one_that_does_not_fit_are_refused(
    tmp_path: Path, writers: Any, vectors: np.ndarray
) -> None:
    path = writers["npy"](tmp_path, vectors, None)
    for scale in ("big", "0", "nan"):
        with pytest.raises(InputError, match=f"scale is '{scale}', expected a number"):
            open_vectors(path, scale=scale)
    with pytest.raises(VectorError, match="holds float32, expected int8, uint8 or bool"):
        open_vectors(path, scale="binary")


@every_format
def test_a_batch_size_below_one_is_refused(tmp_path: Path, writers: Any, vectors: np.ndarray, name: str) -> None:
    with pytest.raises(InputError, match="batch size is 0"):
        read(writers[name](tmp_path, vectors, None), batch_size=0)


@pytest.mark.parametrize("name", ["npy", "npz", "safetensors"])
def test_one_axis_is_one_vector_and_three_are_an_error(
    tmp_path: Path, writers: Any, vectors: np.ndarray, name: str
) -> None:
    np.testing.assert_array_equal(read(writers[name](tmp_path, vectors[0], None)), vectors[:1])
    with pytest.raises(VectorError, match=r"has 3 axes \(1, 23, 5\).*pool them"):
        open_vectors(writers[name](tmp_path, vectors[None], None))


@pytest.mark.parametrize("name", ["npz", "safetensors"])
def test_several_arrays_need_a_key(tmp_path: Path, writers: Any, vectors: np.ndarray, name: str) -> None:
    arrays = {"first": vectors, "second": vectors * 2, "lengths": np.arange(4.0)}
    if name == "npz":
        np.savez(tmp_path / "many.npz", **arrays)
    else:
        from safetensors.numpy import save_file

        save_file(arrays, tmp_path / "many.safetensors")
    path = tmp_path / f"many.{name}"
    with pytest.raises(InputError, match=r"has 3 arrays.*first \(23, 5\).*--key"):
        open_vectors(path)
    with pytest.raises(InputError, match=r"no array 'third', it has: first"):
        open_vectors(path, key="third")
    np.testing.assert_array_equal(read(path, key="second"), vectors * 2)


def test_what_is_no_file_or_no_known_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        open_vectors(tmp_path)
    (tmp_path / "v.pkl").write_bytes(b"\x80\x04\x95abc")
    with pytest.raises(InputError, match=r"is a pickle.*never read"):
        open_vectors(tmp_path / "v.pkl")
    (tmp_path / "v.xyz").write_text("0.1,0.2\n")
    with pytest.raises(InputError, match=re.escape("suffix '.xyz', expected one of .npy")):
        open_vectors(tmp_path / "v.xyz")


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, writers: Any, vectors: np.ndarray) -> None:
    path = writers["npy"](tmp_path, vectors, None)
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read"):
        open_vectors(path)
