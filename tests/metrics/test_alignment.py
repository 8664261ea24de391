"""The diff of tokens: counts fit the texts, whatever they are."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from unmask.metrics.alignment import MISSING, MOVED, RIGHT, WRONG, aligned

TEXTS = st.lists(st.integers(0, 6), max_size=12)


def test_each_state() -> None:
    found, true = aligned([1, 2, 3, 4, 5], [2, 3, 9, 1])
    assert found == [RIGHT, RIGHT, WRONG, MOVED]
    assert true == [MOVED, RIGHT, RIGHT, MISSING, MISSING]


@given(TEXTS, TEXTS)
def test_what_both_have_is_right_or_moved(true_ids: list[int], found_ids: list[int]) -> None:
    found, true = aligned(true_ids, found_ids)
    assert len(found) == len(found_ids) and len(true) == len(true_ids)
    for state in (RIGHT, MOVED):
        of_true = Counter(token for token, said in zip(true_ids, true, strict=True) if said == state)
        assert of_true == Counter(token for token, said in zip(found_ids, found, strict=True) if said == state)
    common = sum((Counter(true_ids) & Counter(found_ids)).values())
    assert found.count(RIGHT) + found.count(MOVED) == common
    assert (WRONG not in found and MISSING not in true) == (Counter(true_ids) == Counter(found_ids))
    assert (found == [RIGHT] * len(found_ids) and true == [RIGHT] * len(true_ids)) == (true_ids == found_ids)
