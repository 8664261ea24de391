"""Of many edits those are embedded that should be best, by a surrogate that learns from each answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from unmask.search.hypotheses import Edit, Hypothesis, Row, Target
from unmask.search.screening import MOST_WAITING, Screen

WORDS, DIMENSION = 60, 32
RANDOM = np.random.default_rng(3)
MEANING = RANDOM.normal(size=(WORDS, DIMENSION))
# What the surrogate has wrong of each word.
WRONG = MEANING + 0.8 * RANDOM.normal(size=(WORDS, DIMENSION))


def unit(vector: np.ndarray) -> np.ndarray:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def told(row: Row) -> np.ndarray:
    return unit(MEANING[list(row)].sum(axis=0))


class Surrogate:
    """A bag of words that are not quite the encoder's."""

    def __init__(self) -> None:
        self.read: list[Row] = []

    def vectors(self, rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
        self.read += rows
        found = [unit(WRONG[list(row)].sum(axis=0)) for row in rows]
        return np.array(found, np.float32).reshape(-1, DIMENSION), np.ones(len(rows))


TRUTH: Row = (1, 2, 3, 4, 5, 6)
PARENT: Row = (1, 2, 30, 4, 31, 6)


@pytest.fixture
def target() -> Target:
    """One text is in the beam, and the encoder has told its vector."""
    made = Target(0, 0, told(TRUTH), np.random.default_rng(0), 1.0, None)
    made.beam = [Hypothesis(PARENT, float(told(PARENT) @ told(TRUTH)), -1.0)]
    made.vectors[PARENT] = made.told[PARENT] = told(PARENT)
    made.seen.add(PARENT)
    return made


def edits_of(row: Row) -> list[Edit]:
    """Every word in every place."""
    found = [
        (*row[:place], word, *row[place + 1 :])
        for place in range(len(row))
        for word in range(WORDS)
        if word != row[place]
    ]
    return [Edit(tokens, "substitution", 0.0, -1.0, row) for tokens in found]


def screen_of(surrogate: Surrogate, looks_ahead: bool = True) -> Screen:
    return Screen(surrogate, lambda targets, edits: edits, 0.0, 8, looks_ahead)  # type: ignore[arg-type]


def embed(target: Target, chosen: list[Edit]) -> None:
    for edit in chosen:
        vector = told(edit.tokens)
        target.seen.add(edit.tokens)
        target.vectors[edit.tokens] = target.told[edit.tokens] = vector
        child = Hypothesis(edit.tokens, float(vector @ target.vector), -1.0, parent=edit.parent)
        target.children.setdefault(edit.parent or (), []).append(child)


def test_as_many_are_chosen_as_there_is_room_for_and_the_others_wait(target: Target) -> None:
    surrogate, edits = Surrogate(), edits_of(PARENT)
    (chosen,) = screen_of(surrogate).choose([target], [edits], [20])
    assert len({edit.tokens for edit in chosen}) == 20
    assert not {edit.tokens for edit in chosen} & set(target.waiting) and target.told == {}
    assert 0 < len(target.waiting) <= MOST_WAITING
    before = len(surrogate.read)
    (again,) = screen_of(surrogate).choose([target], [[]], [20])
    assert {edit.tokens for edit in again}.isdisjoint(edit.tokens for edit in chosen) and len(again) == 20
    assert len(surrogate.read) == len(set(surrogate.read)) >= before  # nothing is read twice
    assert screen_of(surrogate).choose([target], [[]], [0]) == [[]]


def test_what_the_encoder_has_said_makes_the_choice_better(target: Target) -> None:
    """Words are judged by what the encoder said of the same words elsewhere in the text."""
    surrogate, screen = Surrogate(), screen_of(Surrogate(), looks_ahead=False)
    edits = edits_of(PARENT)
    random = np.random.default_rng(1).permutation(len(edits))
    seen, rest = [edits[n] for n in random[:150]], [edits[n] for n in random[150:]]
    alone = np.array([surrogate.vectors([edit.tokens])[0][0] @ target.vector for edit in rest])
    true = np.array([told(edit.tokens) @ target.vector for edit in rest])
    embed(target, seen)
    (chosen,) = screen.choose([target], [rest], [40])
    best = [float(told(edit.tokens) @ target.vector) for edit in chosen]
    assert np.mean(best[:30]) > np.mean(true[np.argsort(-alone)[:30]])


def test_two_edits_that_were_never_embedded_are_put_together(target: Target) -> None:
    (chosen,) = screen_of(Surrogate()).choose([target], [edits_of(PARENT)], [30])
    changed = [sum(a != b for a, b in zip(edit.tokens, PARENT, strict=False)) for edit in chosen]
    assert max(changed) >= 2
    (alone,) = screen_of(Surrogate(), looks_ahead=False).choose([target], [edits_of(PARENT)], [30])
    assert all(edit.kind == "substitution" for edit in alone)


def test_no_text_is_longer_than_the_model_writes(target: Target) -> None:
    longer = [Edit((*PARENT[:place], word, *PARENT[place:]), "insertion", 0.0, -1.0, PARENT)
              for place in range(7) for word in range(20)]  # fmt: skip
    (chosen,) = screen_of(Surrogate()).choose([target], [longer], [60])
    assert max(len(edit.tokens) for edit in chosen) <= 8
