"""What the encoder has said of some orders says which others are worth asking about."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from unmask.search.hypotheses import Row
from unmask.search.marks import BUCKETS, marks_of, marks_of_pairs
from unmask.search.orders import LEAST_KNOWN, Orders

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


def told(rows: list[Row], encoder: PairEncoder) -> np.ndarray:
    return np.stack([encoder(row) for row in rows])


def test_too_little_is_known_to_say_anything(encoder: PairEncoder, random: np.random.Generator) -> None:
    orders, rows = Orders(), scrambled(LEAST_KNOWN - 1, random)
    orders.learn(rows, told(rows, encoder))
    assert orders.best(rows[:2], encoder(TRUE)) == []
    orders.learn([TRUE], told([TRUE], encoder))
    assert orders.best(rows[:2], encoder(TRUE))


def test_each_is_an_order_of_the_text_that_it_names(encoder: PairEncoder, random: np.random.Generator) -> None:
    rows = scrambled(40, random)
    orders, texts = Orders(), [rows[0], rows[1][:7], rows[2][:1]]
    orders.learn(rows, told(rows, encoder))
    found = orders.best(texts, encoder(TRUE))
    assert {order.of for order in found} == {0, 1}
    assert all(sorted(order.tokens) == sorted(texts[order.of]) for order in found)
    assert len({order.tokens for order in found} | set(texts)) == len(found) + len(texts)
    cosines = [order.cosine for order in found]
    assert cosines == sorted(cosines, reverse=True)
    assert [order.tokens for order in orders.best(texts, encoder(TRUE))] == [order.tokens for order in found]


def test_asking_about_what_is_foreseen_finds_the_order(encoder: PairEncoder, random: np.random.Generator) -> None:
    """With 16 questions a round, from orders drawn at random."""
    orders, target = Orders(), encoder(TRUE)
    asked = scrambled(64, random)
    known = dict(zip(asked, told(asked, encoder) @ target, strict=True))
    orders.learn(asked, told(asked, encoder))
    for _ in range(12):
        nearest = sorted(known, key=lambda row: -known[row])[:4]
        new = [order.tokens for order in orders.best(nearest, target) if order.tokens not in known][:16]
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
