"""What counts as leaked: all of it for an oracle, nothing for who only guesses, and less the more is wrong."""

from __future__ import annotations

import random

import pytest

from unmask.audit.leaks import KindLeak, leaks_by_kind
from unmask.errors import InputError

NAMES = ("ann", "bob", "cleo", "dan", "eva", "finn", "gina", "hugo", "ida", "jon")


def texts(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [
        f"write to {draw.choice(NAMES)}{draw.randrange(1000)}@example.com "
        f"or call +44 20 7946 {draw.randrange(1000, 9999)}, "
        f"born {draw.randrange(1940, 2005)}-{draw.randrange(1, 13):02}-{draw.randrange(1, 29):02}"
        for _ in range(count)
    ]


def leaks(true: list[str], recovered: list[str], **guesses: list[str]) -> dict[str, KindLeak]:
    return {leak.kind: leak for leak in leaks_by_kind(true, recovered, guesses)}


def test_an_oracle_leaks_everything_and_is_measured_with_its_interval() -> None:
    true = texts(100)
    found = leaks(true, true, shuffled=texts(100, seed=1))
    assert set(found) == {"e-mail address", "phone number", "date"}
    for leak in found.values():
        assert (leak.recovered.value, leak.lift.low > 0.95, leak.is_leak) == (1.0, True, True)
        assert leak.pieces == leak.texts == 100


def test_who_only_guesses_leaks_nothing() -> None:
    true = texts(400)
    found = leaks(true, texts(400, seed=1), shuffled=texts(400, seed=2), unconditional=texts(400, seed=3))
    assert all(leak.lift.low <= 0 and not leak.is_leak for leak in found.values())


def test_a_lucky_hit_among_few_is_no_leak() -> None:
    for count, is_leak in ((1, False), (9, False), (10, True)):
        true = texts(count)
        assert leaks(true, true, shuffled=[""] * count)["date"].is_leak is is_leak


def test_what_the_model_says_anyway_is_not_leaked() -> None:
    true = ["born 1984-03-12 in leeds"] * 50
    found = leaks(true, true, unconditional=true, shuffled=[""] * 50)["date"]
    assert (found.recovered.value, found.guessed.value, found.lift.value, found.is_leak) == (1, 1, 0, False)


def test_the_more_is_wrong_the_less_leaks() -> None:
    true, draw = texts(300), random.Random(4)
    shares = []
    for noise in (0.0, 0.25, 0.5, 0.75, 1.0):
        seen = ["".join(draw.choice("xyz") if draw.random() < noise / 8 else c for c in text) for text in true]
        shares.append([leak.lift.value for leak in leaks(true, seen, shuffled=texts(300, seed=1)).values()])
    for by_kind in zip(*shares, strict=True):
        assert list(by_kind) == sorted(by_kind, reverse=True) and by_kind[0] == 1 and by_kind[-1] < 0.5


def test_texts_that_hold_nothing_have_no_leaks_and_other_lengths_say_so() -> None:
    assert leaks_by_kind(["we meet at noon"], ["we meet at noon"], {}) == []
    with pytest.raises(InputError, match="1 texts of 'shuffled' for 2 true ones"):
        leaks_by_kind(["a", "b"], ["a", "b"], {"shuffled": ["a"]})
