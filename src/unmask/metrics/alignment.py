"""Which tokens of a text came back: in their place, elsewhere, wrong ones, and those that are missing."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence

RIGHT, MOVED, WRONG, MISSING = "right", "moved", "wrong", "missing"


def aligned(true_ids: Sequence[int], found_ids: Sequence[int]) -> tuple[list[str], list[str]]:
    """What became of each found token (right, moved or wrong) and of each true one (right, moved or missing).

    Right are those of runs that both have in the same order; of the others, what both texts have is moved.
    """
    found, true = [WRONG] * len(found_ids), [MISSING] * len(true_ids)
    for block in difflib.SequenceMatcher(None, true_ids, found_ids, autojunk=False).get_matching_blocks():
        true[block.a : block.a + block.size] = [RIGHT] * block.size
        found[block.b : block.b + block.size] = [RIGHT] * block.size
    left = Counter(token for token, state in zip(true_ids, true, strict=True) if state == MISSING)
    elsewhere = left & Counter(token for token, state in zip(found_ids, found, strict=True) if state == WRONG)
    for ids, states, other in ((true_ids, true, MISSING), (found_ids, found, WRONG)):
        open_ = Counter(elsewhere)
        for place, token in enumerate(ids):
            if states[place] == other and open_[token]:
                open_[token] -= 1
                states[place] = MOVED
    return found, true
