"""Which of many edits the encoder is asked about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from unmask.search.edits import combined
from unmask.search.hypotheses import Edit, Hypothesis, Row, Target, value_of
from unmask.search.scorers import Scorer

# Of the edits that are chosen from, this part is embedded whatever is expected of them.
UNSCREENED_SHARE = 4
# Edits of one vector that wait for another round.
MOST_WAITING = 512
# Edits of one text, those that were embedded and those that were not, that are put together; and what may come of it.
PUT_TOGETHER, MOST_TOGETHER = 40, 128

Reading = Callable[[Sequence[Target], list[list[Edit]]], list[list[Edit]]]


@dataclass(frozen=True)
class Screen:
    """A surrogate that chooses, mended by what the encoder has said."""

    surrogate: Scorer
    read: Reading  # edits with how likely they are and what the vector's heads expect
    weight: float  # of the likelihood
    longest: int  # tokens that a text may have
    looks_ahead: bool = True

    def choose(self, targets: Sequence[Target], proposals: list[list[Edit]], most: Sequence[int]) -> list[list[Edit]]:
        """The `most` edits for each target that should be best: of the new ones, of those that were not chosen before,
        and of several of these at once; some of the new ones stay as they were ranked."""
        pairs = list(zip(targets, proposals, strict=True))
        self._look(targets, [[*target.told, *(edit.tokens for edit in edits)] for target, edits in pairs])
        for target in targets:
            _learn(target)
        pools = [[*edits, *target.waiting.values()] for target, edits in pairs]
        foreseen = [_foreseen(target, pool) for target, pool in zip(targets, pools, strict=True)]
        together = self.read(targets, [self._together(*of) for of in zip(targets, pools, foreseen, strict=True)])
        self._look(targets, [[edit.tokens for edit in edits] for edits in together])
        chosen = []
        for (target, edits), pool, vectors, more, room in zip(pairs, pools, foreseen, together, most, strict=True):
            cosines = np.concatenate([vectors, _foreseen(target, more)]) @ target.vector  # (pool + more,)
            chosen.append(self._chosen(target, [*pool, *more], cosines, room, len(edits)))
        return chosen

    def _look(self, targets: Sequence[Target], rows: list[list[Row]]) -> None:
        """Read what is new, all in the same calls."""
        unread = [[row for row in of if row not in target.read] for target, of in zip(targets, rows, strict=True)]
        vectors, _ = self.surrogate.vectors([row for of in unread for row in of])
        start = 0
        for target, of in zip(targets, unread, strict=True):
            target.read |= zip(of, vectors[start : start + len(of)], strict=True)
            start += len(of)

    def _together(self, target: Target, pool: list[Edit], vectors: np.ndarray) -> list[Edit]:
        """Several edits of a text at once, of which not all need have been embedded; vectors: (pool, dimension)."""
        if not pool or not self.looks_ahead:
            return []
        cosines = vectors @ target.vector  # (pool,)
        numbers_of = defaultdict[Row | None, list[int]](list)
        for number in np.argsort(-cosines, kind="stable").tolist():
            numbers_of[pool[number].parent].append(number)
        found: dict[Row, Edit] = {}
        for parent in target.beam:
            told = sorted(target.children.get(parent.tokens, []), key=lambda child: -child.cosine)[:PUT_TOGETHER]
            numbers = numbers_of[parent.tokens][:PUT_TOGETHER]
            if len(told) + len(numbers) < 2:
                continue
            foreseen = [
                Hypothesis(pool[n].tokens, float(cosines[n]), pool[n].likelihood, family=parent.family) for n in numbers
            ]
            known = np.stack([target.vectors[text.tokens] for text in (parent, *told)])
            for edit in combined(parent, [*told, *foreseen], np.concatenate([known, vectors[numbers]]), target.vector):
                if 0 < len(edit.tokens) <= self.longest and not target.knows(edit.tokens):
                    found.setdefault(edit.tokens, edit)
        made = {edit.tokens for edit in pool}
        best = sorted(found.values(), key=lambda edit: -edit.gain)
        return [edit for edit in best if edit.tokens not in made][:MOST_TOGETHER]

    def _chosen(self, target: Target, pool: list[Edit], cosines: np.ndarray, room: int, new: int) -> list[Edit]:
        """Of a pool, the first of which are `new`, by the cosines that are foreseen, (pool,)."""
        expected = [
            value_of(cosine, edit.likelihood, edit.expected, self.weight)
            for edit, cosine in zip(pool, cosines.tolist(), strict=True)
        ]
        order = np.argsort(-np.array(expected), kind="stable").tolist()
        taken = _best_and_some(order, room, new)
        chosen, is_taken = [pool[number] for number in taken], set(taken)
        left = (pool[number] for number in order if number not in is_taken)
        target.waiting = {edit.tokens: edit for edit in islice(left, MOST_WAITING)}
        target.read = {row: target.read[row] for row in (*target.waiting, *(edit.tokens for edit in chosen))}
        return chosen


def _learn(target: Target) -> None:
    """From what the encoder has said since the last round."""
    if target.told:
        rows = list(target.told)
        read = np.stack([target.read[row] for row in rows])
        target.foresight.learn(rows, read, np.stack(list(target.told.values())))
        target.told = {}


def _foreseen(target: Target, edits: Sequence[Edit]) -> np.ndarray:
    """(edits, dimension)."""
    rows = [edit.tokens for edit in edits]
    read = np.array([target.read[row] for row in rows], dtype=np.float32).reshape(len(rows), len(target.vector))
    return target.foresight.vectors(rows, read)


def _best_and_some(order: list[int], room: int, new: int) -> list[int]:
    """The first in the order, and evenly spread ones of those numbered below `new`; where these are few, more of the
    first."""
    best = order[: room - room // UNSCREENED_SHARE]
    rest = sorted({*range(new)} - {*best})
    spread = rest[:: max(1, len(rest) // max(1, room - len(best)))][: room - len(best)]
    is_spread = set(spread)
    further = (number for number in order[len(best) :] if number not in is_spread)
    return [*best, *spread, *islice(further, room - len(best) - len(spread))]
