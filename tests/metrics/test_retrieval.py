"""What a change to the vectors costs a search."""

from __future__ import annotations

import numpy as np
import pytest

from unmask.errors import VectorError
from unmask.metrics.retrieval import ranking_kept

VECTORS = np.random.default_rng(0).standard_normal((600, 16)).astype(np.float32)


def test_nothing_changed_and_what_a_cosine_does_not_see_cost_nothing() -> None:
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((16, 16)))[0]
    for changed in (VECTORS, VECTORS * 3, (VECTORS @ rotation).astype(np.float32)):
        recall, gain = ranking_kept(VECTORS, changed)
        assert recall.mean() > 0.999 and gain.mean() > 0.999


def test_other_vectors_keep_what_chance_keeps() -> None:
    recall, gain = ranking_kept(VECTORS, np.random.default_rng(2).standard_normal(VECTORS.shape))
    assert recall.mean() == pytest.approx(10 / 599, abs=0.01) and gain.mean() < 0.03


def test_more_noise_costs_more_and_both_lie_between_0_and_1() -> None:
    noise = np.random.default_rng(3).standard_normal(VECTORS.shape)
    means = []
    for strength in (0.05, 0.2, 0.5, 1.0):
        recall, gain = ranking_kept(VECTORS, VECTORS + strength * noise)
        assert recall.shape == gain.shape == (600,) and 0 <= min(recall.min(), gain.min()) <= gain.max() <= 1
        means.append((recall.mean(), gain.mean()))
    assert means == sorted(means, reverse=True)


def test_the_figures_are_those_of_a_ranking_done_by_hand() -> None:
    angles = np.array([0.0, 0.1, 0.3, 0.7, 1.5])
    swapped = np.array([0.0, 0.3, 0.1, 0.7, 1.5])  # the first one's two nearest change places
    recall, gain = ranking_kept(*(np.stack([np.cos(a), np.sin(a)], 1) for a in (angles, swapped)), nearest=2)
    assert recall[0] == 1
    assert gain[0] == pytest.approx((1 + 2 / np.log2(3)) / (2 + 1 / np.log2(3)))


def test_too_few_vectors_say_so() -> None:
    with pytest.raises(VectorError, match="11 vectors and 11 changed ones, expected as many of both and at least 12"):
        ranking_kept(VECTORS[:11], VECTORS[:11])
