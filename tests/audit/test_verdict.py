"""One grade and one sentence."""

from __future__ import annotations

import pytest

from unmask.audit.leaks import KindLeak
from unmask.audit.rungs import rungs
from unmask.audit.scores import Score
from unmask.audit.verdict import GRADES, verdict
from unmask.records import Interval


def about(value: float, by: float = 0.02) -> Interval:
    return Interval(value, value - by, value + by)


def score(rung: str, f1: float, lift: float | None = None, exact: float = 0.0, leak: float | None = None) -> Score:
    metrics = {"token_f1": about(f1), "exact_match": about(exact)}
    if lift is not None:
        metrics["token_f1_lift"] = about(lift)
    kinds = () if leak is None else (KindLeak("date", 20, 20, about(leak), about(0), about(leak)),)
    return Score(rung, lift is None, 50, metrics, kinds, {})


@pytest.mark.parametrize(
    ("found", "grade"),
    [
        (score("blind", 0.15, 0.01), "A"), (score("blind", 0.2, 0.05), "B"), (score("blind", 0.31, 0.2), "C"),
        (score("blind", 0.61, 0.5), "D"), (score("blind", 0.2, 0.05, leak=0.3), "D"),
        (score("blind", 0.2, 0.05, leak=0.01), "B"), (score("blind", 0.7, 0.5, exact=0.1), "E"),
        (score("blind", 0.7, 0.01, exact=0.5), "A"),  # the guess had as much
    ],
)  # fmt: skip
def test_the_grade_is_what_its_meaning_says(found: Score, grade: str) -> None:
    ruling = verdict([score("shuffled", 0.14), found], rungs())
    assert ruling is not None and (ruling.grade, ruling.meaning) == (grade, dict(GRADES)[grade])


def test_the_sentence_is_of_the_attacker_who_read_the_most_beside_the_better_guess() -> None:
    found = [
        score("unconditional", 0.16), score("shuffled", 0.11), score("blind", 0.6, 0.44),
        score("encoder, 160 calls", 0.7, 0.54),
    ]  # fmt: skip
    ruling = verdict(found, rungs())
    assert ruling is not None and ruling.rung == "encoder, 160 calls"
    assert ruling.sentence == (
        "Who has the dump, a model and the encoder, asked 160 times for each vector reads back 70% (68% to 72%) of the "
        "words of a text (token F1); a guess without its vector gets 16%."
    )
    assert ruling.is_over(0.5) and not ruling.is_over(0.54)


def test_without_an_attacker_or_a_guess_there_is_no_verdict() -> None:
    assert verdict([score("shuffled", 0.1)], rungs()) is None and verdict([], rungs()) is None
