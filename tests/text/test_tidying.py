"""Spaces may move, tokens may not."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unmask.text.tidying import tidy

TOKENS = [
    "the",
    "fox",
    "t",
    "s",
    "3",
    "14",
    "u",
    ".",
    ",",
    "?",
    "'",
    '"',
    "(",
    ")",
    "-",
    "/",
    ":",
    "“",
    "”",
    "$",
    "日",
    "本",
    "。",
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(tokens=st.lists(st.sampled_from(TOKENS), max_size=14))
def test_only_spaces_change_and_doing_it_twice_changes_nothing(tokens: list[str]) -> None:
    text = " ".join(tokens)
    assert tidy(text).replace(" ", "") == text.replace(" ", "")
    words = [token for token in tokens if token.isalnum() and token.isascii()]
    spaced = tidy(text)
    for mark in "".join({*"".join(TOKENS)} - {*"".join(words)}):
        spaced = spaced.replace(mark, " ")
    assert spaced.split() == words  # no two words have grown together


@pytest.mark.parametrize(
    ("loose", "neat"),
    [
        ("don ' t", "don't"),
        ("3. 14", "3.14"),
        ("well - known", "well-known"),
        ('he said " go " now', 'he said "go" now'),
        ('" left open', '" left open'),
        ("( see fig. 2 )", "(see fig. 2)"),
        ("日 本 。", "日本。"),
    ],
)
def test_spaces_stand_where_a_writer_sets_them(loose: str, neat: str) -> None:
    assert tidy(loose) == neat
