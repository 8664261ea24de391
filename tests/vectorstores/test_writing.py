from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from unmask.errors import OutputError
from unmask.vectorstores import open_vectors
from unmask.vectorstores.writing import WRITERS, write_vectors

VALUES = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)


def chunks(size: int = 3) -> Iterator[np.ndarray]:
    for start in range(0, len(VALUES), size):
        yield VALUES[start : start + size]


@pytest.mark.parametrize("suffix", [*WRITERS, "ndjson", "pq"])
def test_what_is_written_is_read_back_bit_for_bit(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"vectors.{suffix}"
    write_vectors(path, chunks(), *VALUES.shape)
    source = open_vectors(path)
    assert source.dimension == 5
    read = list(source.batches(4))
    np.testing.assert_array_equal(np.concatenate([batch.values for batch in read]), VALUES)
    assert [name for batch in read for name in batch.ids] == [str(row) for row in range(7)]


@pytest.mark.parametrize("suffix", list(WRITERS))
def test_a_failure_on_the_way_leaves_nothing_and_keeps_what_was_there(suffix: str, tmp_path: Path) -> None:
    def failing() -> Iterator[np.ndarray]:
        yield VALUES[:3]
        raise KeyboardInterrupt

    path = tmp_path / f"vectors.{suffix}"
    path.write_bytes(b"older")
    with pytest.raises(KeyboardInterrupt):
        write_vectors(path, failing(), *VALUES.shape)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [(path.name, b"older")]


def test_an_unknown_suffix_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"suffix '\.csv', expected one of \.npy, \.npz"):
        write_vectors(tmp_path / "vectors.csv", chunks(), *VALUES.shape)
