"""Rows that are wrong are left out by name, and a sample is as likely to hold any of the others."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unmask.errors import InputError
from unmask.vectorstores import READERS, open_vectors
from unmask.vectorstores.base import LeftOut
from unmask.vectorstores.sampling import draw_sample, draw_samples

every_format = pytest.mark.parametrize("name", READERS.names)


@every_format
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_wrong_rows_are_left_out_by_name_and_the_others_come(
    tmp_path: Path, writers: Any, vectors: np.ndarray, name: str, batch_size: int
) -> None:
    bad = vectors.copy()
    bad[3], bad[9, 1], bad[22, 4], bad[10, 0] = 0, np.nan, np.inf, 1e9
    left_out = LeftOut()
    source = open_vectors(writers[name](tmp_path, bad, None))
    batches = list(source.batches(batch_size, left_out=left_out))
    kept = [row for row in range(23) if row not in (3, 9, 10, 22)]
    np.testing.assert_allclose(np.concatenate([batch.values for batch in batches]), vectors[kept], rtol=1e-6)
    assert [name for batch in batches for name in batch.ids] == [str(row) for row in kept]
    assert left_out.counts == {"all zeros": 1, "numbers that are not finite": 2, "numbers far beyond 1": 1}
    assert left_out.named["all zeros"] == ["3"] and left_out.total == 4


@every_format
@pytest.mark.parametrize("size", [1, 7, 22, 23, 100])
def test_a_sample_is_of_the_source_in_its_order(
    tmp_path: Path, writers: Any, vectors: np.ndarray, name: str, size: int
) -> None:
    source = open_vectors(writers[name](tmp_path, vectors, None))
    sample = draw_sample(source, size, seed=3)
    rows = [int(row) for row in sample.ids]
    assert len(rows) == min(size, 23) and rows == sorted(set(rows))
    np.testing.assert_allclose(sample.values, vectors[rows], rtol=1e-6)
    assert draw_sample(source, size, seed=3).ids == sample.ids


def test_every_row_has_the_same_chance_and_seeds_differ(
    tmp_path: Path, vectors: np.ndarray, writers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_vectors(writers["npy"](tmp_path, vectors, None))
    once = [draw_sample(source, 5, seed).ids for seed in range(2000)]
    drawn = Counter(row for ids in once for row in ids)
    expected = 2000 * 5 / 23
    assert all(abs(drawn[str(row)] - expected) < 6 * np.sqrt(expected) for row in range(23))
    monkeypatch.setattr("unmask.vectorstores.sampling.READ_AT_ONCE", 2)  # far less than is held
    assert [draw_sample(source, 5, seed).ids for seed in range(50)] == once[:50]


def test_nothing_to_draw_from_and_no_size_say_so(tmp_path: Path, vectors: np.ndarray, writers: Any) -> None:
    source = open_vectors(writers["npy"](tmp_path, vectors, None))
    with pytest.raises(InputError, match="to have 0 vectors, expected at least 1"):
        draw_sample(source, 0, seed=0)
    nothing = open_vectors(writers["npy"](tmp_path, vectors * 0, None))
    with pytest.raises(InputError, match="no row that is a vector"):
        draw_sample(nothing, 4, seed=0, left_out=LeftOut())


def test_who_watches_sees_every_vector(tmp_path: Path, vectors: np.ndarray, writers: Any) -> None:
    seen: list[str] = []
    draw_sample(open_vectors(writers["csv"](tmp_path, vectors, None)), 2, 0, on_batch=lambda b: seen.extend(b.ids))
    assert seen == [str(row) for row in range(23)]


def test_the_sample_is_the_same_however_many_others_are_drawn_with_it(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.random.default_rng(0).standard_normal((500, 4)).astype(np.float32))
    source = open_vectors(tmp_path / "v.npy")
    alone = draw_sample(source, 20, seed=3)
    for more in (0, 7, 480, 2_000):
        sample, others = draw_samples(source, 20, more, seed=3)
        assert sample.ids == alone.ids and len(others) == min(more, 480)
        assert not set(sample.ids) & set(others.ids)
