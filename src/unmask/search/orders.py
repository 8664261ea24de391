"""Other orders of a text's words. An encoder feels order little and the denoiser hardly knows it, but what the encoder
has said of texts of about the same words says which of them stand well beside each other: so all moves are ranked, and
moves of what has been moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from unmask.metrics.vectors import unit
from unmask.search.foresight import APART, KEPT, Process, near
from unmask.search.marks import marks_of, marks_of_pairs
from unmask.search.moves import all_moves

if TYPE_CHECKING:
    from unmask.search.hypotheses import Row

# With fewer vectors than this nothing is foreseen.
LEAST_KNOWN = 32
# Moves of one text after each other: one alone finds less, six no more. Texts that are moved on from the second on, and
# moves of each that the slope names and the process looks at.
MOVES, MOVED_ON, LOOKED_AT = 3, 4, 48


class Order(NamedTuple):
    """The words of a text in another order."""

    tokens: Row
    of: int  # the number of the text
    cosine: float  # that is foreseen


class Orders:
    """Of one vector that is searched for: a Gaussian process over the encoder's vectors, by words and neighbours."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._told: list[np.ndarray] = []

    def learn(self, rows: Sequence[Row], told: np.ndarray) -> None:
        """Texts, and the vectors (texts, dimension) that the encoder gave them."""
        self.rows, self._told = [*self.rows, *rows][-KEPT:], [*self._told, *told][-KEPT:]

    def best(self, texts: Sequence[Row], target: np.ndarray, knows: Callable[[Row], bool]) -> list[Order]:
        """Other orders of the texts, those first that should be nearest to the target, (dimension,); none that `knows`
        says is known. What several texts can become is said to be of the first."""
        if len(self.rows) < LEAST_KNOWN:
            return []
        known = Known(marks_of(self.rows), np.stack(self._told), target)
        found: dict[Row, Order] = {}
        begun = [Order(text, number, 0.0) for number, text in enumerate(texts)]
        for _ in range(MOVES):
            slopes = known.slopes([order.tokens for order in begun])
            new: dict[Row, int] = {}
            for order, slope in zip(begun, slopes, strict=True):
                unknown = (row for row in _moved(order.tokens, slope) if row not in found and not knows(row))
                for tokens in islice(unknown, LOOKED_AT):
                    new.setdefault(tokens, order.of)
            cosines = known.cosines(list(new)).tolist()
            made = [Order(tokens, of, cosine) for (tokens, of), cosine in zip(new.items(), cosines, strict=True)]
            found |= {order.tokens: order for order in made}
            begun = sorted(made, key=lambda order: -order.cosine)[:MOVED_ON]
        return sorted(found.values(), key=lambda order: -order.cosine)


class Known:
    """What the encoder has said of some texts, and so of others, and of moves."""

    def __init__(self, marks: np.ndarray, told: np.ndarray, target: np.ndarray) -> None:
        self._marks, self._target = marks, target  # (texts, buckets), (dimension,)
        self._process = Process(near(marks, marks, APART), told)

    def cosines(self, rows: Sequence[Row]) -> np.ndarray:
        return np.asarray(unit(self._process.foresee(near(marks_of(rows), self._marks, APART))) @ self._target)

    def slopes(self, rows: Sequence[Row]) -> np.ndarray:
        """What 1 in each bucket would add to a text's cosine, to first order; (rows, buckets)."""
        marks = marks_of(rows)
        likeness = near(marks, self._marks, APART)  # (rows, texts)
        vectors = self._process.foresee(likeness)  # (rows, dimension)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        lengths[lengths == 0] = 1  # nothing is uphill of no vector at all
        cosines = vectors @ self._target[:, None] / lengths  # (rows, 1)
        uphill = (self._target - cosines * vectors / lengths) / lengths  # (rows, dimension)
        pulls = likeness * (uphill @ self._process.added.T) / APART**2  # (rows, texts)
        return np.asarray(pulls @ self._marks - pulls.sum(axis=1, keepdims=True) * marks)


def _moved(tokens: Row, slope: np.ndarray) -> Iterator[Row]:
    """What moves make of a text, each other text once, those first that the slope (buckets,) speaks for."""
    count = len(tokens)
    if count < 2:
        return
    orders = all_moves(count)
    buckets, signs = marks_of_pairs(tokens)
    of_pair = signs * slope[buckets]  # (1 + places, 1 + places)
    with_ends = np.zeros((len(orders), count + 2), dtype=np.int64)
    with_ends[:, 1:-1] = orders + 1
    gains = of_pair[with_ends[:, :-1], with_ends[:, 1:]].sum(axis=1)  # (moves,)
    made = {tokens}
    for number in np.argsort(-gains, kind="stable").tolist():
        moved = tuple(tokens[place] for place in orders[number].tolist())
        if moved not in made:
            made.add(moved)
            yield moved
