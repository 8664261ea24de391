"""Which of many edits the encoder is asked about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unmask.search.hypotheses import Edit, Target, value_of
from unmask.search.scorers import Scorer

# Of the edits that a surrogate chooses from, this part is embedded whatever it thinks of them.
UNSCREENED_SHARE = 4


def screened(
    screen: Scorer, targets: Sequence[Target], proposals: list[list[Edit]], most: Sequence[int], weight: float
) -> list[list[Edit]]:
    """The `most` edits for each target that a surrogate thinks best, of the new ones and of those that were not chosen
    before; some of the new ones stay as they were ranked.

    A surrogate knows what an edit changes better than where the text is, so its word is taken for the difference to the
    text that was edited, whose own cosine the encoder has told. `weight` is that of the likelihood.
    """
    unread = [
        [*(known.tokens for known in target.beam if known.tokens not in target.foreseen), *(e.tokens for e in edits)]
        for target, edits in zip(targets, proposals, strict=True)
    ]
    vectors, _ = screen.vectors([row for rows in unread for row in rows])
    chosen, start = list[list[Edit]](), 0
    for target, edits, rows, room in zip(targets, proposals, unread, most, strict=True):
        cosines = vectors[start : start + len(rows)] @ target.vector  # (rows,)
        start += len(rows)
        target.foreseen |= zip(rows, cosines.tolist(), strict=True)
        chosen.append(_chosen(target, edits, room, weight))
    return chosen


def _chosen(target: Target, edits: list[Edit], room: int, weight: float) -> list[Edit]:
    offsets = {known.tokens: known.cosine - target.foreseen[known.tokens] for known in target.beam}
    usual = max(offsets.values(), default=0.0)
    pool = [*edits, *target.waiting.values()]
    expected = [
        value_of(
            target.foreseen[edit.tokens] + offsets.get(edit.parent or (), usual),
            edit.likelihood,
            edit.of_length,
            weight,
        )
        for edit in pool
    ]
    chosen = [pool[number] for number in _best_and_some(np.array(expected), room, len(edits))]
    target.waiting = {edit.tokens: edit for edit in pool}
    for edit in chosen:
        del target.waiting[edit.tokens]
    return chosen


def _best_and_some(expected: np.ndarray, room: int, new: int) -> list[int]:
    """The best, and evenly spread ones of the first `new`."""
    order = np.argsort(-expected, kind="stable").tolist()
    best = order[: room - room // UNSCREENED_SHARE]
    rest = sorted({*range(new)} - {*best})
    return [*best, *rest[:: max(1, len(rest) // max(1, room - len(best)))][: room - len(best)]]
