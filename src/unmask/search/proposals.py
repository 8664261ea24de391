"""Which edits of its texts a vector's next round begins with: each kind by how often it has helped."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np

from unmask.search.edits import MAKERS, combined
from unmask.search.ground import Ground
from unmask.search.hypotheses import Edit, Hypothesis, Row, Shelf, Target

# A kind of edit that never helped is still tried now and then.
PRIOR_HELPED, PRIOR_TRIED = 1.0, 8.0
# Of a round's edits: for combinations of those before, and for other orders.
COMBINED_SHARE, ORDERED_SHARE = 4, 4
# After so many rounds without a gain all kinds of edits are tried alike.
STUCK_AFTER = 2


def propose(target: Target, grounds: Sequence[Ground], room: int, longest: int, without: Collection[str]) -> list[Edit]:
    """Up to `room` new texts; `longest`: tokens that a text may have; `without`: kinds of edits that are left out."""
    chosen: dict[Row, Edit] = {}

    def add(edits: Iterable[Edit], most: int) -> None:
        most = min(most, room - len(chosen))
        if most <= 0:
            return
        for edit in edits:
            if edit.tokens not in chosen and 0 < len(edit.tokens) <= longest and not target.knows(edit.tokens):
                chosen[edit.tokens] = edit
                most -= 1
                if not most:
                    return

    if "combination" not in without:
        several = [Shelf(iter(_combined(target, hypothesis))) for hypothesis in target.beam]
        add(_best_first(several), room // COMBINED_SHARE)
    if "order" not in without:
        add(_ordered(target), room // ORDERED_SHARE)
    kinds = [kind for kind in MAKERS if kind not in without]
    weights = {kind: (target.helped[kind] + PRIOR_HELPED) / (target.tried[kind] + PRIOR_TRIED) for kind in kinds}
    if target.idle >= STUCK_AFTER:  # what has helped so far does not help any more
        weights = dict.fromkeys(kinds, 1.0)
        if target.idle % 2:  # and the nearest text may lack one edit that is not thought likely
            grounds = [max(grounds, key=lambda ground: ground.hypothesis.cosine)]
    outstanding = sum(weights.values())
    for kind in kinds:  # what a kind leaves goes to those after it
        quota = max(1, round((room - len(chosen)) * weights[kind] / outstanding))
        outstanding -= weights[kind]
        add(_best_first([_shelf(target, ground, kind) for ground in grounds]), quota)
    return list(chosen.values())


def _shelf(target: Target, ground: Ground, kind: str) -> Shelf:
    """The edits of one kind of a text that were not taken yet."""
    of_text = target.shelves.setdefault(ground.tokens, {})
    if kind not in of_text:
        of_text[kind] = Shelf(MAKERS[kind](ground, target.stream))
    return of_text[kind]


def _best_first(shelves: Sequence[Shelf]) -> Iterator[Edit]:
    """Edits of several texts, each already in order, the most promising first; what is not taken stays."""
    while full := [(shelf.first.gain, -place) for place, shelf in enumerate(shelves) if shelf.first is not None]:
        yield shelves[-max(full)[1]].take()


def _ordered(target: Target) -> Iterator[Edit]:
    """The words of the texts in other orders, by what the encoder has said so far."""
    for tokens, of, cosine in target.orders.best([text.tokens for text in target.beam], target.vector, target.knows):
        text = target.beam[of]
        yield Edit(tokens, "order", cosine - text.cosine, text.likelihood, text.tokens, text.family)


def _combined(target: Target, parent: Hypothesis) -> list[Edit]:
    """Several of the edits that were tried of one text, at once."""
    children = target.children.get(parent.tokens, [])
    if len(children) < 2:
        return []
    vectors = np.stack([target.vectors[known.tokens] for known in (parent, *children)])
    return combined(parent, children, target.compared(vectors), target.goal)
