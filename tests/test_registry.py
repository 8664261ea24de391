"""Names become implementations only when they are used."""

from __future__ import annotations

import sys

import pytest

from unmask.errors import UnknownName
from unmask.registry import Entry, Registry, nearest_name


@pytest.fixture
def shelf() -> Registry[object]:
    entries = [Entry("fraction", "fractions:Fraction", "exact"), Entry("broken", "no_such_module:Thing", "never")]
    return Registry("number", entries)


def test_resolving_gives_the_thing_itself(shelf: Registry[object]) -> None:
    from fractions import Fraction

    assert shelf.resolve("fraction") is Fraction


def test_listing_imports_nothing(shelf: Registry[object]) -> None:
    assert shelf.names == ["fraction", "broken"]
    assert [entry.summary for entry in shelf] == ["exact", "never"]
    assert "broken" in shelf and "other" not in shelf
    assert "no_such_module" not in sys.modules


def test_an_unknown_name_is_answered_with_the_nearest_and_all_known(shelf: Registry[object]) -> None:
    with pytest.raises(
        UnknownName, match=r"unknown number 'fractoin'; did you mean 'fraction'\? Known: fraction, broken"
    ):
        shelf.resolve("fractoin")


def test_nothing_is_guessed_for_a_word_that_resembles_nothing() -> None:
    assert nearest_name("zzz", ["linear", "cosine"]) is None
    assert nearest_name("cosin", ["linear", "cosine"]) == "cosine"
