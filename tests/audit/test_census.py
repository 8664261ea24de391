"""What the vectors of a store are."""

from __future__ import annotations

import numpy as np
import pytest

from unmask.audit.census import Counting, near_duplicates, precision_of
from unmask.records import VectorBatch

DRAW = np.random.default_rng(0)


def vectors(rows: int = 20, dimension: int = 384) -> np.ndarray:
    values = DRAW.standard_normal((rows, dimension))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def census(values: np.ndarray, ids: list[str] | None = None, size: int = 7, texts: list[str | None] | None = None):
    counting = Counting()
    names = ids or [str(row) for row in range(len(values))]
    for start in range(0, len(values), size):
        part = slice(start, start + size)
        counting.add(
            VectorBatch(values[part], tuple(names[part]), start, None if texts is None else tuple(texts[part]))
        )
    return counting.result()


def quantised(values: np.ndarray) -> np.ndarray:
    scale = np.abs(values).max(axis=1, keepdims=True) / 127
    return (np.round(values / scale) * scale).astype(np.float32)


def brain(values: np.ndarray) -> np.ndarray:
    return (values.view(np.uint32) & 0xFFFF0000).view(np.float32)


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        (lambda values: values, "fp32"), (lambda values: values.astype(np.float16).astype(np.float32), "fp16"),
        (brain, "bf16"), (quantised, "int8"), (lambda values: np.sign(values) / np.float32(384**0.5), "binary"),
    ],
)  # fmt: skip
def test_the_precision_is_that_of_the_numbers(stored, name: str) -> None:
    assert precision_of(stored(vectors())) == name
    assert census(stored(vectors())).precision == name


def test_one_vector_that_needs_more_is_enough() -> None:
    values = vectors()
    values[:19] = values[:19].astype(np.float16).astype(np.float32)
    assert census(values).precision == "fp32"
    mixed = np.concatenate([brain(vectors(7)), vectors(7).astype(np.float16).astype(np.float32)])
    assert census(mixed).precision == "fp32"


@pytest.mark.parametrize("size", [1, 7, 100])
def test_norms_duplicates_and_ids_that_repeat_are_counted(size: int) -> None:
    values = vectors() * np.linspace(0.5, 2, 20, dtype=np.float32)[:, None]
    values[11] = values[3]
    values[19] = values[3]
    found = census(values, ["a", "b", *(str(row) for row in range(17)), "a"], size)
    assert (found.count, found.dimension, found.duplicates, found.repeated_ids) == (20, 384, 2, 1)
    norms = np.linalg.norm(values.astype(float), axis=1)
    assert found.norms == pytest.approx((norms.min(), norms.mean(), norms.max()))
    assert not found.is_unit and census(vectors()).is_unit and found.without_text is None


def test_rows_without_a_text_are_counted() -> None:
    assert census(vectors(4), texts=["a", None, "", "b"]).without_text == 2


def test_what_cannot_be_kept_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unmask.audit.census.MOST_KEPT", 10)
    values = vectors()
    values[9], values[15] = values[0], values[0]
    found = census(values)
    assert (found.duplicates, found.compared, found.count) == (1, 10, 20)


def test_near_duplicates_are_grouped_through_others() -> None:
    values = vectors(8)
    values[5] = values[2] + 0.1 * values[3]  # .995 to the second
    values[7] = values[5] + 0.15 * values[4]  # near the fifth, a little farther from the second
    assert near_duplicates(values, 0.985) == [[2, 5, 7]]
    assert near_duplicates(vectors(30)) == []
