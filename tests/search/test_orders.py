"""What the encoder has said of some orders says which others are worth asking about."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from unmask.search.foresight import APART, OWN
from unmask.search.hypotheses import Row
from unmask.search.marks import BUCKETS, marks_of, marks_of_pairs
from unmask.search.moves import all_moves
from unmask.search.orders import LEAST_KNOWN, Known, Orders

DIMENSION, TRUE = 64, tuple(range(200, 212))


class PairEncoder:
    """Feels which words stand beside each other, and nothing else."""

    def __init__(self, random: np.random.Generator) -> None:
        self._of_pair = random.normal(size=(len(TRUE) + 2, len(TRUE) + 2, DIMENSION))

    def __call__(self, row: Row) -> np.ndarray:
        places = [0, *(token - TRUE[0] + 1 for token in row), len(TRUE) + 1]
        found = np.sum([self._of_pair[left, right] for left, right in pairwise(places)], axis=0)
        return np.asarray(found / np.linalg.norm(found))


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def encoder(random: np.random.Generator) -> PairEncoder:
    return PairEncoder(random)


def scrambled(count: int, random: np.random.Generator) -> list[Row]:
    return [tuple(random.permutation(TRUE).tolist()) for _ in range(count)]


def nothing(row: Row) -> bool:
    return False


def told(rows: list[Row], encoder: PairEncoder) -> np.ndarray:
    return np.stack([encoder(row) for row in rows])


def test_too_little_is_known_to_say_anything(encoder: PairEncoder, random: np.random.Generator) -> None:
    orders, rows = Orders(), scrambled(LEAST_KNOWN - 1, random)
    orders.learn(rows, told(rows, encoder))
    assert orders.best(rows[:2], encoder(TRUE), nothing) == []
    orders.learn([TRUE], told([TRUE], encoder))
    assert orders.best(rows[:2], encoder(TRUE), nothing)


def test_each_is_an_order_of_the_first_that_can_become_it(encoder: PairEncoder, random: np.random.Generator) -> None:
    rows = scrambled(40, random)
    other = (rows[0][1], rows[0][0], *rows[0][2:])
    orders, texts = Orders(), [rows[0], other, rows[1][:7], (200, 200, 201), (200, 200), rows[2][:1], ()]
    orders.learn(rows, told(rows, encoder))
    found = orders.best(texts, encoder(TRUE), nothing)
    assert {order.of for order in found} == {0, 1, 2, 3}
    assert all(sorted(order.tokens) == sorted(texts[order.of]) for order in found)
    assert len({order.tokens for order in found}) == len(found)
    cosines = [order.cosine for order in found]
    assert cosines == sorted(cosines, reverse=True)
    assert [order.tokens for order in orders.best(texts, encoder(TRUE), nothing)] == [order.tokens for order in found]
    one_move = {tuple(rows[0][place] for place in move) for move in all_moves(len(TRUE)).tolist()}
    assert {order.of for order in found if order.tokens in one_move} == {0}
    known = {order.tokens for order in found[:30]}
    assert not known & {order.tokens for order in orders.best(texts, encoder(TRUE), known.__contains__)}


def test_moves_are_made_of_what_has_been_moved(encoder: PairEncoder, random: np.random.Generator) -> None:
    rows = scrambled(200, random)
    orders = Orders()
    orders.learn(rows, told(rows, encoder))
    begun = rows[0]
    once = {tuple(begun[place] for place in move) for move in all_moves(len(begun)).tolist()}
    twice = {tuple(row[place] for place in move) for row in once for move in all_moves(len(begun)).tolist()}
    found = [order.tokens for order in orders.best([begun], encoder(TRUE), nothing)]
    assert {*found} & once and {*found} & (twice - once) and {*found} - twice - once
    # What is foreseen grows with every move, or there would be no use in it.
    assert found[0] not in once


def test_the_process_and_its_slope_are_those_made_by_hand(random: np.random.Generator) -> None:
    rows, target = scrambled(50, random), random.normal(size=DIMENSION)
    vectors, target = random.normal(size=(50, DIMENSION)), target / np.linalg.norm(target)
    marks = marks_of(rows).astype(np.float64)
    known = Known(marks, vectors, target)

    def likeness(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.exp(-((first[:, None] - second) ** 2).sum(axis=-1) / (2 * APART**2))

    def cosine(at: np.ndarray) -> float:
        usual = vectors.mean(axis=0)
        pulls = np.linalg.inv(likeness(marks, marks) + OWN * np.eye(50)) @ (vectors - usual)
        foreseen = usual + likeness(at[None], marks)[0] @ pulls
        return float(foreseen @ target / np.linalg.norm(foreseen))

    asked = scrambled(3, random)
    of_asked = marks_of(asked).astype(np.float64)
    np.testing.assert_allclose(known.cosines(asked), [cosine(at) for at in of_asked], atol=2e-4)
    steps = 1e-3 * np.eye(BUCKETS)[:40]
    slopes = [[(cosine(at + step) - cosine(at - step)) / 2e-3 for step in steps] for at in of_asked]
    np.testing.assert_allclose(known.slopes(asked)[:, :40], slopes, atol=2e-5)
    assert np.abs(slopes).max() > 1e-3


def test_asking_about_what_is_foreseen_finds_the_order(encoder: PairEncoder, random: np.random.Generator) -> None:
    """With 16 questions a round, from orders drawn at random."""
    orders, target = Orders(), encoder(TRUE)
    asked = scrambled(64, random)
    known = dict(zip(asked, told(asked, encoder) @ target, strict=True))
    orders.learn(asked, told(asked, encoder))
    for _ in range(12):
        nearest = sorted(known, key=lambda row: -known[row])[:4]
        new = [order.tokens for order in orders.best(nearest, target, known.__contains__)][:16]
        orders.learn(new, told(new, encoder))
        known |= dict(zip(new, told(new, encoder) @ target, strict=True))
    assert max(known, key=lambda row: known[row]) == TRUE


def test_the_marks_of_pairs_are_those_of_the_text(random: np.random.Generator) -> None:
    row = (7, 3, 3, 9)
    buckets, signs = marks_of_pairs(row)
    found = np.zeros(BUCKETS)
    for left, right in pairwise([0, 1, 2, 3, 4, 0]):
        found[buckets[left, right]] += signs[left, right]
    of_words = sum(marks_of([(token,)])[0] for token in row)
    # A text of one word has its word, and two pairs with its ends.
    for token in row:
        buckets, signs = marks_of_pairs((token,))
        np.subtract.at(of_words, [buckets[0, 1], buckets[1, 0]], [signs[0, 1], signs[1, 0]])
    np.testing.assert_allclose(marks_of([row])[0], found + of_words)
