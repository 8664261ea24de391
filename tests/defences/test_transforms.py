"""Defences with something learned or secret behind them, and what a few known pairs undo."""

from __future__ import annotations

import numpy as np
import pytest

from unmask.defences.blurring import Blur, blurred
from unmask.defences.transforms import Codebook, Undoing, rotated, scaled_and_perturbed
from unmask.errors import InputError
from unmask.metrics.retrieval import ranking_kept
from unmask.metrics.vectors import cosine

DRAW = np.random.default_rng(0)
VECTORS = (DRAW.standard_normal((700, 12)) @ DRAW.standard_normal((12, 48))).astype(np.float32)


def test_a_rotation_keeps_every_angle_and_hides_the_vectors() -> None:
    found = rotated(VECTORS, secret=5)
    np.testing.assert_allclose(found @ found.T, VECTORS @ VECTORS.T, rtol=1e-3, atol=1e-2)
    assert abs(cosine(found, VECTORS).mean()) < 0.2
    assert not np.allclose(found, rotated(VECTORS, secret=6))
    np.testing.assert_array_equal(found[:3], rotated(VECTORS[:3], secret=5))


def test_a_rotation_falls_to_as_many_known_pairs_as_there_are_directions() -> None:
    defended = rotated(VECTORS, secret=5)
    undone = Undoing.fit(defended[:60], VECTORS[:60], ridge=1e-9).apply(defended[60:])
    assert cosine(undone, VECTORS[60:]).min() > 0.999
    few = Undoing.fit(defended[:4], VECTORS[:4], ridge=1e-9).apply(defended[60:])
    assert cosine(few, VECTORS[60:]).mean() < 0.9


@pytest.mark.parametrize("strength", [0.1, 0.5, 1.0])
def test_scale_and_perturb_moves_within_a_ball_and_a_fit_undoes_part_of_it(strength: float) -> None:
    found = scaled_and_perturbed(VECTORS, strength, secret=1)
    lengths = np.linalg.norm(VECTORS, axis=1)
    moved = np.linalg.norm(found / np.float32(1.7) - VECTORS, axis=1) / lengths
    assert moved.max() <= strength * 1.001 and moved.mean() > strength * 0.9
    undone = Undoing.fit(found[:500], VECTORS[:500], ridge=1e-6).apply(found[500:])
    assert cosine(undone, VECTORS[500:]).mean() > cosine(found[500:], VECTORS[500:]).mean()
    np.testing.assert_array_equal(scaled_and_perturbed(VECTORS[7:9], strength, secret=1, first_row=7), found[7:9])


def test_noise_that_fits_no_direction_is_partly_undone_too() -> None:
    found = blurred(VECTORS, Blur(noise=0.5))
    undone = Undoing.fit(found[:500], VECTORS[:500], ridge=1e-6).apply(found[500:])
    assert cosine(undone, VECTORS[500:]).mean() > cosine(found[500:], VECTORS[500:]).mean() + 0.03


def test_more_parts_of_a_code_keep_more_and_codes_are_what_is_kept() -> None:
    kept = []
    for parts in (2, 8, 24):
        found = Codebook.learn(VECTORS, parts).apply(VECTORS)
        assert found.shape == VECTORS.shape
        assert all(len(np.unique(piece, axis=0)) <= 256 for piece in np.array_split(found, parts, axis=1))
        kept.append((cosine(found, VECTORS).mean(), ranking_kept(VECTORS, found)[0].mean()))
    assert kept == sorted(kept) and kept[0][0] > 0.7
    np.testing.assert_array_equal(
        Codebook.learn(VECTORS, 8).apply(VECTORS[:5]), Codebook.learn(VECTORS, 8).apply(VECTORS)[:5]
    )


def test_fewer_vectors_than_codes_come_back_as_they_are() -> None:
    np.testing.assert_allclose(Codebook.learn(VECTORS[:40], 4).apply(VECTORS[:40]), VECTORS[:40], rtol=1e-5)


def test_what_cannot_be_done_says_so() -> None:
    with pytest.raises(InputError, match="0 parts for vectors of 48 numbers, expected 1 to 48"):
        Codebook.learn(VECTORS, 0)
    with pytest.raises(InputError, match="strength is -1"):
        scaled_and_perturbed(VECTORS, -1, secret=0)
    with pytest.raises(InputError, match="expected pairs, at least 2"):
        Undoing.fit(VECTORS[:1], VECTORS[:1])
