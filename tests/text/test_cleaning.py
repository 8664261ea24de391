"""Cleaning keeps what is written and drops what cannot be seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from unmask.text.cleaning import clean, has_letters, pieces, words


@given(text=st.text(max_size=80))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert "  " not in once and "\n\n" not in once and once == once.strip()


@given(text=st.text(alphabet="ab \n", max_size=200), longest=st.integers(1, 30))
def test_pieces_join_to_the_whole(text: str, longest: int) -> None:
    found = list(pieces(text, longest))
    assert "".join(found) == text
    assert all(len(piece) <= longest for piece in found)


def test_texts_that_differ_in_form_only_have_the_same_words() -> None:
    assert words("Hello, WORLD!") == words("hello world") == words("ｈｅｌｌｏ\u00a0world…")
    assert words("東京は") == ["東", "京", "は"]
    assert words("🎉 …") == []
    assert words("word one") != words("wordone")


def test_letters_are_found_in_every_script() -> None:
    for text in ("a", "ж", "日", "ش", "ש", "ก", "한"):
        assert has_letters(f"12 {text} _!")
    for text in ("", "3.14 – 2", "🎉", "___"):
        assert not has_letters(text)


def test_invisible_characters_go_and_joiners_stay() -> None:
    assert clean("a\u200bb\ufeff\u202e c\x00") == "ab c"
    assert clean("می\u200cخواهم") == "می\u200cخواهم"  # a joiner that Persian spells with
    assert clean("e\u0301") == "é"
