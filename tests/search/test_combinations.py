"""Several edits at once: what they change adds up, and none touches what another changed."""

from __future__ import annotations

import numpy as np
import pytest

from unmask.search.edits import MOST_TOGETHER, _changed_part, _with_parts, combined
from unmask.search.hypotheses import Hypothesis, Row

WORDS = 12
MEANING = np.random.default_rng(0).normal(size=(WORDS, 40))


def embed(tokens: Row) -> np.ndarray:
    """A bag of words, where changes add up exactly until it is normalised."""
    return MEANING[list(tokens)].sum(axis=0)


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def children_of(parent: Row, target: np.ndarray, rows: list[Row]) -> tuple[Hypothesis, list[Hypothesis], np.ndarray]:
    """The parent's vector is of unit length; the others are measured by the same rule, so that changes add up."""
    made = [Hypothesis(row, float(unit(embed(row)) @ target), -1.0, parent=parent) for row in (parent, *rows)]
    return made[0], made[1:], np.stack([embed(row) for row in (parent, *rows)]) / np.linalg.norm(embed(parent))


@pytest.mark.parametrize("seed", range(20))
def test_a_changed_part_put_back_gives_the_text(seed: int) -> None:
    random = np.random.default_rng(seed)
    old, new = (tuple(random.integers(0, 3, random.integers(1, 9)).tolist()) for _ in range(2))
    assert _with_parts(old, [_changed_part(old, new)]) == new


def test_two_right_words_are_put_in_at_once() -> None:
    parent, truth = (0, 1, 2, 3), (0, 5, 2, 7, 3)
    target = unit(embed(truth))
    rows = [(0, 5, 2, 3), (0, 1, 2, 7, 3), (0, 1, 2, 9), (8, 1, 2, 3), (0, 1, 3)]
    made = combined(*children_of(parent, target, rows), target)
    assert made[0].tokens == truth
    assert made[0].gain == pytest.approx(1 - float(unit(embed(parent)) @ target))


def test_an_edit_that_does_not_help_alone_may_help_beside_another() -> None:
    parent, truth = (0, 1), (5, 7)
    target = unit(MEANING[5] + MEANING[7])
    parent_row, children, vectors = children_of(parent, target, [(5, 1), (0, 7)])
    children[1] = Hypothesis((0, 7), parent_row.cosine - 0.01, -1.0, parent=parent)
    assert truth in [edit.tokens for edit in combined(parent_row, children, vectors, target)]


def test_edits_of_the_same_place_are_never_put_together() -> None:
    parent = (0, 1, 2)
    target = unit(MEANING[5] + MEANING[6] + MEANING[2])
    rows: list[Row] = [(0, 5, 2), (0, 6, 2), (0, 5, 1, 2), (0, 6, 1, 2), (0, 2)]
    lengths = {len(edit.tokens) for edit in combined(*children_of(parent, target, rows), target)}
    assert all(
        edit.tokens.count(5) + edit.tokens.count(6) <= 1 or 1 in edit.tokens
        for edit in combined(*children_of(parent, target, rows), target)
    )
    assert lengths <= {3, 4}


def test_no_more_than_so_many_at_a_time() -> None:
    parent = tuple([0] * 10)
    target = unit(MEANING[1])
    rows = [(*parent[:place], 1, *parent[place + 1 :]) for place in range(10)]
    made = combined(*children_of(parent, target, rows), target)
    assert max(edit.tokens.count(1) for edit in made) == MOST_TOGETHER
    assert len({edit.tokens for edit in made}) == len(made)
