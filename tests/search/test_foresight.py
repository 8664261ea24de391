"""A surrogate's word is mended where, and only where, the encoder has shown it to be wrong."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from unmask.search.foresight import KEPT, Foresight
from unmask.search.hypotheses import Row
from unmask.search.marks import marks_of

DIMENSION = 24


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def texts(count: int, random: np.random.Generator) -> list[Row]:
    """That have nothing in common."""
    return [tuple(row) for row in random.integers(1000, 30_000, size=(count, 30)).tolist()]


def cosines(foresight: Foresight, rows: list[Row], read: np.ndarray, target: np.ndarray) -> np.ndarray:
    found = foresight.vectors(rows, read)
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
    np.testing.assert_allclose(cosines(Foresight(), texts(5, random), read, target), read @ target, atol=1e-6)


def test_what_the_encoder_has_said_of_a_text_is_repeated(random: np.random.Generator) -> None:
    read, told = (unit(random.normal(size=(9, DIMENSION))) for _ in range(2))
    target, foresight, rows = unit(random.normal(size=DIMENSION)), Foresight(), texts(9, random)
    foresight.learn(rows, read, told)
    np.testing.assert_allclose(cosines(foresight, rows, read, target), told @ target, atol=0.03)


def test_texts_are_ranked_better_near_those_that_are_known(random: np.random.Generator) -> None:
    """The encoder is the surrogate and something of its own that changes slowly, but is large beside one edit."""
    own = random.normal(size=(DIMENSION, DIMENSION)) / np.sqrt(DIMENSION)

    def told(rows: np.ndarray) -> np.ndarray:
        return unit(rows + 0.6 * np.tanh(2 * rows @ own))

    target = unit(random.normal(size=DIMENSION))
    center, foresight = unit(target + 0.5 * random.normal(size=DIMENSION) / np.sqrt(DIMENSION)), Foresight()
    before, after = around(center, 0.2, 120, random), around(center, 0.2, 200, random)
    true, rows = told(after) @ target, texts(1, random) * 200  # that only the surrogate tells apart
    alone = np.corrcoef(cosines(foresight, rows, after, target), true)[0, 1]
    foresight.learn(rows[:120], before, told(before))
    assert np.corrcoef(cosines(foresight, rows, after, target), true)[0, 1] > max(0.95, alone + 0.02)
    elsewhere = around(unit(random.normal(size=DIMENSION)), 0.2, 50, random)
    usual = (told(before) - before).mean(axis=0)
    # Far from all that is known only what is usual is mended.
    found = cosines(foresight, texts(50, random), elsewhere, target)
    np.testing.assert_allclose(found, unit(elsewhere + usual) @ target, atol=0.02)


def test_order_that_the_surrogate_does_not_feel_is_learnt_from_what_stood_together(random: np.random.Generator) -> None:
    words = list(range(50, 62))
    of_pair = random.normal(size=(100, 100, DIMENSION)) / np.sqrt(DIMENSION)
    base, target = unit(random.normal(size=DIMENSION)), unit(random.normal(size=DIMENSION))

    def told(row: Row) -> np.ndarray:
        return unit(base + 0.3 * sum(of_pair[a, b] for a, b in pairwise(row)))

    rows: list[Row] = []
    for _ in range(600):  # each a few swaps away from one order
        row = list(words)
        for place in random.integers(0, len(row) - 1, size=3).tolist():
            row[place], row[place + 1] = row[place + 1], row[place]
        rows.append(tuple(row))
    rows = list(dict.fromkeys(rows))
    before, after = rows[:120], rows[120:]
    foresight = Foresight()
    foresight.learn(before, np.tile(base, (120, 1)), np.stack([told(row) for row in before]))
    found = cosines(foresight, after, np.tile(base, (len(after), 1)), target)
    true = np.stack([told(row) for row in after]) @ target
    assert len(after) > 50 and np.corrcoef(found, true)[0, 1] > 0.7


def test_marks_are_as_far_apart_as_texts_differ(random: np.random.Generator) -> None:
    row = texts(1, random)[0]
    swapped, longer = (*row[:10], row[11], row[10], *row[12:]), (*row, 7)
    marks = marks_of([row, row, swapped, longer, ()])
    squares = ((marks - marks[0]) ** 2).sum(axis=1)
    assert squares[1] == 0 and 3 <= squares[2] <= 9 and 2 <= squares[3] <= 6, "three pairs of each; a word and a pair"
    far = np.array([((marks_of([a])[0] - marks_of([b])[0]) ** 2).sum() for a, b in pairwise(texts(40, random))])
    assert far.mean() == pytest.approx(2 * (30 + 31), rel=0.1)
    assert np.array_equal(marks_of([row, (*row, *row)])[0], marks[0]), "whatever stands beside it"
    assert marks_of([]).shape == (0, marks.shape[1])


def test_the_last_texts_are_remembered_and_the_others_are_forgotten(random: np.random.Generator) -> None:
    read, told = (unit(random.normal(size=(KEPT + 3, DIMENSION))) for _ in range(2))
    target, whole, last = unit(random.normal(size=DIMENSION)), Foresight(), Foresight()
    rows = texts(KEPT + 3, random)
    for start in range(0, KEPT + 3, 50):
        part = slice(start, start + 50)
        whole.learn(rows[part], read[part], told[part])
    last.learn(rows[3:], read[3:], told[3:])
    np.testing.assert_allclose(cosines(whole, rows, read, target), cosines(last, rows, read, target), atol=1e-5)
