"""What a surrogate's vectors are worth in which direction, and what the best texts agree on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unmask.errors import CheckpointError, VectorError
from unmask.metrics.vectors import unit
from unmask.search.consensus import likeliest
from unmask.search.hypotheses import Hypothesis, Target
from unmask.search.lens import LEAST_ROWS_A_DIMENSION, STEM, Lens, fit_lens, load_lens, save_lens

DIMENSION = 12


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(3)


def vectors(random: np.random.Generator, count: int) -> np.ndarray:
    return unit(random.normal(size=(count, DIMENSION)).astype(np.float32))


def wrong_in_half(random: np.random.Generator, told: np.ndarray) -> np.ndarray:
    """A surrogate that hardly errs in half of the directions and says next to nothing in the others."""
    size = np.where(np.arange(DIMENSION) < DIMENSION // 2, 0.02, 0.5)
    return unit(told + random.normal(size=told.shape).astype(np.float32) * size)


def share_found(read: np.ndarray, goals: np.ndarray) -> float:
    return float(((read @ goals.T).argmax(axis=0) == np.arange(len(goals))).mean())


def test_by_the_lens_the_true_text_is_found_more_often(random: np.random.Generator) -> None:
    told = vectors(random, 4000)
    lens = fit_lens(wrong_in_half(random, told), told)
    assert lens is not None
    others = vectors(random, 400)
    read = wrong_in_half(random, others)
    plainly, by_lens = share_found(read, others), share_found(lens.of_texts(read), lens.of_vectors(others))
    assert by_lens > plainly + 0.2, (by_lens, plainly)


def test_a_surrogate_that_never_errs_is_left_as_it_is(random: np.random.Generator) -> None:
    told = vectors(random, 600)
    noisy = unit(told + 1e-3 * random.normal(size=told.shape))
    lens = fit_lens(noisy, told)
    assert lens is not None
    near = (lens.of_texts(told) * lens.of_vectors(told)).sum(axis=1)
    assert near.min() > 0.99


def test_an_error_that_is_always_the_same_is_mended(random: np.random.Generator) -> None:
    told = vectors(random, 800)
    turned = np.linalg.qr(random.normal(size=(DIMENSION, DIMENSION)))[0].astype(np.float32)
    read = unit(told @ turned + 0.3)
    lens = fit_lens(read, told)
    assert lens is not None
    before, after = (read * told).sum(axis=1).mean(), (lens.of_texts(read) * lens.of_vectors(told)).sum(axis=1).mean()
    assert after > 0.9 > before + 0.3


def test_too_few_rows_make_no_lens(random: np.random.Generator) -> None:
    least = LEAST_ROWS_A_DIMENSION * DIMENSION
    told = vectors(random, least)
    assert fit_lens(told, told) is not None
    assert fit_lens(told[1:], told[1:]) is None


def test_an_error_that_is_no_number_is_told(random: np.random.Generator) -> None:
    told = vectors(random, 400)
    read = told.copy()
    read[3, 2] = np.nan
    with pytest.raises(VectorError, match="not a number"):
        fit_lens(read, told)


def test_a_short_vector_stays_short(random: np.random.Generator) -> None:
    told = vectors(random, 400)
    lens = fit_lens(wrong_in_half(random, told), told)
    assert lens is not None
    lengths = np.linalg.norm(lens.of_texts(told[:4] * np.array([[1.0], [0.9], [0.5], [1.0]], np.float32)), axis=1)
    np.testing.assert_allclose(lengths, [1.0, 0.9, 0.5, 1.0], atol=1e-5)


def test_saved_and_loaded_it_says_the_same_and_damage_is_told(random: np.random.Generator, tmp_path: Path) -> None:
    told = vectors(random, 400)
    lens = fit_lens(wrong_in_half(random, told), told)
    assert lens is not None and load_lens(tmp_path, {"dimension": DIMENSION}) is None
    manifest = {"dimension": DIMENSION, STEM: save_lens(tmp_path, lens)}
    held = load_lens(tmp_path, manifest)
    assert held is not None
    np.testing.assert_allclose(held.of_texts(told), lens.of_texts(told), atol=5e-3)  # it is halved on disk
    with pytest.raises(CheckpointError, match="another dimension"):
        load_lens(tmp_path, manifest | {"dimension": DIMENSION + 1})
    path = tmp_path / manifest[STEM]["file"]  # type: ignore[index]
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="missing or damaged"):
        load_lens(tmp_path, manifest)


def test_a_target_compares_by_its_lens(random: np.random.Generator) -> None:
    vector, read = vectors(random, 1)[0], vectors(random, 5)
    eye = np.eye(DIMENSION, dtype=np.float32)
    weighed = np.diag(np.where(np.arange(DIMENSION) < 2, 3, 1)).astype(np.float32)
    lens = Lens(np.concatenate([eye, np.zeros((1, DIMENSION), np.float32)]), weighed)
    made = [Target(0, 0, vector, np.random.default_rng(0), 1.0, None, of) for of in (None, lens)]
    plain, by_lens = (target.compared(read) @ target.goal for target in made)
    np.testing.assert_allclose(plain, read @ vector, atol=1e-6)
    np.testing.assert_allclose(by_lens, unit(read @ weighed) @ unit(vector @ weighed), atol=1e-6)


def test_what_the_best_texts_agree_on_is_the_answer() -> None:
    alone, first, second, third = (9, 8, 7, 6), (1, 2, 3, 4), (1, 2, 3, 5), (1, 2, 4, 3)
    texts = [alone, first, second, third]
    assert likeliest(texts, np.array([0.81, 0.80, 0.80, 0.80])) == 1
    assert likeliest(texts, np.array([0.99, 0.60, 0.60, 0.60])) == 0, "what is much nearer needs nobody to agree"
    assert likeliest([alone], np.array([0.1])) == 0


def test_a_target_holds_the_best_texts_only_and_answers_with_one(random: np.random.Generator) -> None:
    lens = fit_lens(vectors(random, 400), vectors(random, 400))
    target = Target(0, 0, vectors(random, 1)[0], np.random.default_rng(0), 1.0, None, lens)
    target.agree(0.1)
    assert target.best is None
    crowd = [Hypothesis((1, 2, 3, 4 + n), 0.5 + n / 4000, -3.0) for n in range(1500)]
    for start in range(0, len(crowd), 100):
        target.hold(crowd[start : start + 100], 0.1)
    assert len(target.held) <= 512 and crowd[-1].tokens in target.held and crowd[0].tokens not in target.held
    target.agree(0.1)
    assert target.best is not None and target.best.cosine > 0.8
    target.rest()
    assert not target.held
