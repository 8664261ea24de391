"""What blurring does to vectors, measured on the vectors."""

from __future__ import annotations

import numpy as np
import pytest

from unmask.defences.blurring import Blur, blurred
from unmask.errors import InputError
from unmask.metrics.vectors import cosine

VECTORS = np.random.default_rng(0).normal(size=(50, 384)).astype(np.float32) * 3


def test_nothing_asked_is_nothing_done() -> None:
    assert np.allclose(blurred(VECTORS, Blur()), VECTORS, rtol=1e-6)


@pytest.mark.parametrize("noise", [0.1, 0.5, 2.0])
def test_noise_has_the_length_that_was_asked_for(noise: float) -> None:
    found = cosine(blurred(VECTORS, Blur(noise=noise)), VECTORS)
    assert found.mean() == pytest.approx(1 / np.sqrt(1 + noise**2), abs=0.02)


def test_less_is_kept_the_fewer_bits_there_are() -> None:
    kept = {precision: cosine(blurred(VECTORS, Blur(precision=precision)), VECTORS).mean()
            for precision in ("fp32", "fp16", "int8", "binary")}  # fmt: skip
    assert 1 >= kept["fp32"] >= kept["fp16"] > kept["int8"] > kept["binary"] > 0.7
    of_bits = blurred(VECTORS, Blur(precision="binary"))
    assert all(len(np.unique(np.abs(row))) == 1 for row in of_bits)
    assert all(len(np.unique(row)) <= 255 for row in blurred(VECTORS, Blur(precision="int8")))


def test_dimensions_that_are_not_kept_are_zero_also_under_noise() -> None:
    found = blurred(VECTORS, Blur(noise=0.3, dimensions=100, precision="int8"))
    assert not found[:, 100:].any() and found[:, :100].any(axis=0).all()


def test_lengths_stay_and_a_row_does_not_know_its_company() -> None:
    blur = Blur(noise=0.7, precision="binary", dimensions=200, seed=4)
    found = blurred(VECTORS, blur)
    assert np.allclose(np.linalg.norm(found, axis=1), np.linalg.norm(VECTORS, axis=1), rtol=1e-5)
    assert np.array_equal(blurred(VECTORS[7:9], blur, first_row=7), found[7:9])
    assert not np.array_equal(blurred(VECTORS[7:9], Blur(noise=0.7, seed=5)), blurred(VECTORS[7:9], Blur(noise=0.7)))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"noise": -1.0}, "noise is -1.0, expected a number from 0 to 100"),
        ({"noise": float("nan")}, "noise is nan"),
        ({"precision": "int9"}, "did you mean 'int8'"),
        ({"dimensions": 0}, "dimensions is 0, expected at least 1"),
    ],
)
def test_what_makes_no_sense_is_refused(choice: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Blur(**choice)


def test_more_dimensions_than_there_are_is_refused() -> None:
    with pytest.raises(InputError, match="dimensions is 385, but the vectors have 384"):
        blurred(VECTORS, Blur(dimensions=385))
