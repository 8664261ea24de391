"""Sentences are found in every script, and abbreviations do not end one."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.text.sentences import sentence_spans


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@given(text=st.text(alphabet='aB. !?"。\n„)x1', max_size=80))
def test_nothing_is_lost_and_nothing_is_said_twice(text: str) -> None:
    spans = sentence_spans(text)
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(spans))
    assert "".join("".join(split(text)).split()) == "".join(text.split())
    assert all(part == part.strip() and part and "\n" not in part for part in split(text))


@pytest.mark.parametrize(
    "sentences",
    [
        ["It rained.", "We stayed in!", "Why not?"],
        ['"Go home," she said.', '"Why?"', "Nobody knew."],
        ["Dr. Smith met Mr. J. R. Jones, e.g. in the U.S. Senate.", "They talked."],
        ["It costs 3.14 dollars vs. 2.50 before.", "Cheap."],
        ["Wait... what is this?", "Nothing."],
        ["東京は日本の首都です。", "「本当？」", "はい！"],
        ["ما هذا؟", "هذا نص."],
        ["यह एक वाक्य है।", "दूसरा वाक्य।"],
        ["¿Qué tal?", "¡Bien!"],
    ],
)
def test_known_sentences_come_back(sentences: list[str]) -> None:
    is_spaced = not any("\u3000" <= character <= "\u9fff" for character in sentences[0])
    assert split((" " if is_spaced else "").join(sentences)) == sentences


def test_line_breaks_end_sentences() -> None:
    assert split("a heading\nand a line without an end") == ["a heading", "and a line without an end"]


def test_a_long_text_without_an_end_is_one_sentence() -> None:
    assert len(split("word " * 20_000)) == 1
