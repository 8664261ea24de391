"""Which of many edits the encoder is asked about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unmask.search.hypotheses import Edit, Row, Target, value_of
from unmask.search.scorers import Scorer

# Of the edits that a surrogate chooses from, this part is embedded whatever it thinks of them.
UNSCREENED_SHARE = 4
# Edits of one vector that wait for another round.
MOST_WAITING = 512


def screened(
    screen: Scorer, targets: Sequence[Target], proposals: list[list[Edit]], most: Sequence[int], weight: float
) -> list[list[Edit]]:
    """The `most` edits for each target that should be best, of the new ones and of those that were not chosen before;
    some of the new ones stay as they were ranked. `weight` is that of the likelihood.
    """
    unread = [
        [row for row in (*target.told, *(edit.tokens for edit in edits)) if row not in target.read]
        for target, edits in zip(targets, proposals, strict=True)
    ]
    vectors, _ = screen.vectors([row for rows in unread for row in rows])
    chosen, start = list[list[Edit]](), 0
    for target, edits, rows, room in zip(targets, proposals, unread, most, strict=True):
        target.read |= zip(rows, vectors[start : start + len(rows)], strict=True)
        start += len(rows)
        _learn(target)
        chosen.append(_chosen(target, edits, room, weight))
    return chosen


def _learn(target: Target) -> None:
    """From what the encoder has said since the last round."""
    if target.told:
        read = np.stack([target.read[row] for row in target.told])
        target.foresight.learn(read, np.stack(list(target.told.values())))
        target.told = {}


def _chosen(target: Target, edits: list[Edit], room: int, weight: float) -> list[Edit]:
    pool = [*edits, *target.waiting.values()]
    if not pool:
        return []
    cosines = target.foresight.cosines(np.stack([target.read[edit.tokens] for edit in pool]), target.vector)
    expected = [
        value_of(cosine, edit.likelihood, edit.of_length, weight)
        for edit, cosine in zip(pool, cosines.tolist(), strict=True)
    ]
    order = np.argsort(-np.array(expected), kind="stable").tolist()
    taken = _best_and_some(order, room, len(edits))
    left = set(taken)
    waiting: list[Edit] = [pool[number] for number in order if number not in left][:MOST_WAITING]
    chosen = [pool[number] for number in taken]
    target.waiting = {edit.tokens: edit for edit in waiting}
    kept: dict[Row, None] = dict.fromkeys(edit.tokens for edit in (*waiting, *chosen))
    target.read = {row: target.read[row] for row in kept}
    return chosen


def _best_and_some(order: list[int], room: int, new: int) -> list[int]:
    """The first in the order, and evenly spread ones of those numbered below `new`."""
    best = order[: room - room // UNSCREENED_SHARE]
    rest = sorted({*range(new)} - {*best})
    return [*best, *rest[:: max(1, len(rest) // max(1, room - len(best)))][: room - len(best)]]
