"""Other orders of a text's words. An encoder feels order little and the denoiser hardly knows it, but what the encoder
has said of texts of about the same words says which of them stand well beside each other: so every move is looked at,
and moves of what has been moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from unmask.search.foresight import KEPT, Process, near
from unmask.search.marks import marks_of, marks_of_pairs
from unmask.search.moves import block_moves, neighbour_swaps

if TYPE_CHECKING:
    from unmask.search.hypotheses import Row

# How many words and neighbours texts may differ by (its square root) that have about the same vector; how much of a
# vector is each text's own; and how many vectors say something about another.
APART, OWN, LEAST_KNOWN = 5.0, 0.01, 32
# Moves of one text after each other; texts that are moved on from the second on; moves of each that are looked at.
MOVES, MOVED_ON, LOOKED_AT = 3, 4, 48


class Order(NamedTuple):
    """The words of a text in another order."""

    tokens: Row
    of: int  # the number of the text
    cosine: float  # that is foreseen


class Orders:
    """Of one vector that is searched for: a Gaussian process over the encoder's vectors, by words and neighbours."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._told: list[np.ndarray] = []

    def learn(self, rows: Sequence[Row], told: np.ndarray) -> None:
        """Texts, and the vectors (texts, dimension) that the encoder gave them."""
        self._rows, self._told = [*self._rows, *rows][-KEPT:], [*self._told, *told][-KEPT:]

    def best(self, texts: Sequence[Row], target: np.ndarray) -> list[Order]:
        """Other orders of the texts, those first that should be nearest to the target, (dimension,)."""
        if len(self._rows) < LEAST_KNOWN:
            return []
        known = _Known(marks_of(self._rows), np.stack(self._told), target)
        found: dict[Row, Order] = {}
        begun = [Order(text, number, 0.0) for number, text in enumerate(texts)]
        for _ in range(MOVES):
            moved = [
                (tokens, order.of)
                for order, slope in zip(begun, known.slopes([order.tokens for order in begun]), strict=True)
                for tokens in _moved(order.tokens, slope)
            ]
            new = {tokens: of for tokens, of in moved if tokens not in found and tokens not in texts}
            cosines = known.cosines(list(new)).tolist()
            made = [Order(tokens, of, cosine) for (tokens, of), cosine in zip(new.items(), cosines, strict=True)]
            found |= {order.tokens: order for order in made}
            begun = sorted(made, key=lambda order: -order.cosine)[:MOVED_ON]
        return sorted(found.values(), key=lambda order: -order.cosine)


class _Known:
    """What the encoder has said of some texts, and so of others, and of moves."""

    def __init__(self, marks: np.ndarray, told: np.ndarray, target: np.ndarray) -> None:
        self._marks, self._target = marks, target  # (texts, buckets), (dimension,)
        self._process = Process(near(marks, marks, APART), OWN, told)

    def cosines(self, rows: Sequence[Row]) -> np.ndarray:
        vectors = self._process.foresee(near(marks_of(rows), self._marks, APART))  # (rows, dimension)
        return np.asarray(vectors @ self._target / np.linalg.norm(vectors, axis=1))

    def slopes(self, rows: Sequence[Row]) -> np.ndarray:
        """What 1 in each bucket would add to a text's cosine, to first order; (rows, buckets)."""
        marks = marks_of(rows)
        likeness = near(marks, self._marks, APART)  # (rows, texts)
        vectors = self._process.foresee(likeness)  # (rows, dimension)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = vectors @ self._target[:, None] / lengths  # (rows, 1)
        uphill = (self._target - cosines * vectors / lengths) / lengths  # (rows, dimension)
        pulls = likeness * (uphill @ self._process.added.T) / APART**2  # (rows, texts)
        return np.asarray(pulls @ self._marks - pulls.sum(axis=1, keepdims=True) * marks)


def _moved(tokens: Row, slope: np.ndarray) -> list[Row]:
    """The moves of a text that the slope (buckets,) speaks for most."""
    count = len(tokens)
    orders = np.concatenate([neighbour_swaps(count), block_moves(count)])  # (moves, places)
    if not len(orders):
        return []
    buckets, signs = marks_of_pairs(tokens)
    of_pair = signs * slope[buckets]  # (1 + places, 1 + places)
    with_ends = np.zeros((len(orders), count + 2), dtype=np.int64)
    with_ends[:, 1:-1] = orders + 1
    gains = of_pair[with_ends[:, :-1], with_ends[:, 1:]].sum(axis=1)  # (moves,)
    best = np.argsort(-gains, kind="stable")[:LOOKED_AT]
    return [tuple(tokens[place] for place in order) for order in orders[best].tolist()]
