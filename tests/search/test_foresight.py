"""A surrogate's word is mended where, and only where, the encoder has shown it to be wrong."""

from __future__ import annotations

import numpy as np
import pytest

from unmask.search.foresight import KEPT, Foresight

DIMENSION = 24


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def cosines(foresight: Foresight, read: np.ndarray, target: np.ndarray) -> np.ndarray:
    found = foresight.vectors(read)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    return found @ target


def around(center: np.ndarray, spread: float, rows: int, random: np.random.Generator) -> np.ndarray:
    """Texts that differ from one by a word or two; (rows, dimension)."""
    return unit(center + spread * random.normal(size=(rows, DIMENSION)) / np.sqrt(DIMENSION))


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def test_before_anything_is_known_the_surrogate_is_believed(random: np.random.Generator) -> None:
    read, target = unit(random.normal(size=(5, DIMENSION))), unit(random.normal(size=DIMENSION))
    np.testing.assert_allclose(cosines(Foresight(), read, target), read @ target, atol=1e-6)


def test_what_the_encoder_has_said_of_a_text_is_repeated(random: np.random.Generator) -> None:
    read, told = (unit(random.normal(size=(9, DIMENSION))) for _ in range(2))
    target, foresight = unit(random.normal(size=DIMENSION)), Foresight()
    foresight.learn(read, told)
    np.testing.assert_allclose(cosines(foresight, read, target), told @ target, atol=0.03)


def test_texts_are_ranked_better_near_those_that_are_known(random: np.random.Generator) -> None:
    """The encoder is the surrogate and something of its own that changes slowly, but is large beside one edit."""
    own = random.normal(size=(DIMENSION, DIMENSION)) / np.sqrt(DIMENSION)

    def told(rows: np.ndarray) -> np.ndarray:
        return unit(rows + 0.6 * np.tanh(2 * rows @ own))

    target = unit(random.normal(size=DIMENSION))
    center, foresight = unit(target + 0.5 * random.normal(size=DIMENSION) / np.sqrt(DIMENSION)), Foresight()
    before, after = around(center, 0.2, 120, random), around(center, 0.2, 200, random)
    true = told(after) @ target
    alone = np.corrcoef(cosines(foresight, after, target), true)[0, 1]
    foresight.learn(before, told(before))
    assert np.corrcoef(cosines(foresight, after, target), true)[0, 1] > max(0.95, alone + 0.02)
    elsewhere = around(unit(random.normal(size=DIMENSION)), 0.2, 50, random)
    usual = (told(before) - before).mean(axis=0)
    # Far from all that is known only what is usual is mended.
    np.testing.assert_allclose(cosines(foresight, elsewhere, target), unit(elsewhere + usual) @ target, atol=0.02)


def test_the_last_texts_are_remembered_and_the_others_are_forgotten(random: np.random.Generator) -> None:
    read, told = (unit(random.normal(size=(KEPT + 3, DIMENSION))) for _ in range(2))
    target, whole, last = unit(random.normal(size=DIMENSION)), Foresight(), Foresight()
    for start in range(0, KEPT + 3, 50):
        whole.learn(read[start : start + 50], told[start : start + 50])
    last.learn(read[3:], told[3:])
    np.testing.assert_allclose(cosines(whole, read, target), cosines(last, read, target), atol=1e-5)
