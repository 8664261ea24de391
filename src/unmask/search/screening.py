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
    """Of each target's edits the `most` that a surrogate thinks best; some stay as they were ranked.

    A surrogate knows what an edit changes better than where the text is, so its word is taken for the difference to the
    text that was edited, whose own cosine the encoder has told. `weight` is that of the likelihood.
    """
    known = [hypothesis.tokens for target in targets for hypothesis in target.beam]
    rows = [*known, *(edit.tokens for edits in proposals for edit in edits)]
    vectors, _ = screen.vectors(rows)
    chosen, first, start = list[list[Edit]](), 0, len(known)
    for target, edits, room in zip(targets, proposals, most, strict=True):
        of_beam = vectors[first : first + len(target.beam)] @ target.vector  # (beam,)
        seen = vectors[start : start + len(edits)] @ target.vector  # (edits,)
        first, start = first + len(target.beam), start + len(edits)
        offsets = {
            hypothesis.tokens: hypothesis.cosine - float(cosine)
            for hypothesis, cosine in zip(target.beam, of_beam, strict=True)
        }
        usual = max(offsets.values(), default=0.0)
        expected = [
            value_of(float(cosine) + offsets.get(edit.parent or (), usual), edit.likelihood, weight)
            for edit, cosine in zip(edits, seen, strict=True)
        ]
        chosen.append([edits[number] for number in _best_and_some(np.array(expected), room)])
    return chosen


def _best_and_some(expected: np.ndarray, room: int) -> list[int]:
    order = np.argsort(-expected, kind="stable").tolist()
    best = order[: room - room // UNSCREENED_SHARE]
    rest = sorted(set(order) - set(best))
    return [*best, *rest[:: max(1, len(rest) // max(1, room - len(best)))][: room - len(best)]]
