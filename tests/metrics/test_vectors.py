from __future__ import annotations

import numpy as np
import pytest

from unmask.errors import VectorError
from unmask.metrics.vectors import cosine


def test_cosine_knows_direction_and_not_length() -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    assert cosine(vectors, vectors * np.arange(1, 6)[:, None]) == pytest.approx(np.ones(5))
    assert cosine(vectors, -vectors) == pytest.approx(-np.ones(5))
    assert cosine(np.eye(4)[:2], np.eye(4)[2:]) == pytest.approx(np.zeros(2))


def test_a_zero_vector_is_like_nothing() -> None:
    assert cosine(np.zeros((2, 3)), np.ones((2, 3))).tolist() == [0, 0]


def test_shapes_must_agree() -> None:
    with pytest.raises(VectorError, match=r"\(2, 3\) and \(2, 4\)"):
        cosine(np.ones((2, 3)), np.ones((2, 4)))
