"""What reaches a terminal is safe for it, and what reaches a program is JSON."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.cli.console import note, print_json, print_table, printable, progress_bar, say


@given(st.text())
def test_no_text_can_command_the_terminal_or_turn_its_direction(text: str) -> None:
    shown = printable(text)
    assert not any(ord(character) < 0x20 and character != "\t" for character in shown)
    assert not any(0x7F <= ord(character) < 0xA0 for character in shown)
    assert not set(shown) & {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
    shown.encode("utf-8")


@pytest.mark.parametrize("text", ["plain", "Grüße 你好 שלום 👩‍👩‍👧", "[bold]not markup[/bold]", "a\tb"])
def test_text_of_any_script_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_an_escape_sequence_is_shown_instead_of_obeyed() -> None:
    assert printable("\x1b[2Jgone") == "\\x1b[2Jgone"


def test_results_go_to_stdout_and_remarks_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("result")
    note("remark")
    assert capsys.readouterr() == ("result\n", "remark\n")


def test_json_has_no_word_for_infinity(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [float("nan"), 1.5, (float("inf"),)], "text": "你好"})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"a": [None, 1.5, [None]], "text": "你好"} and "你好" in printed


def test_columns_line_up(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([["a", "first"], ["long-name", "second"]], headings=["name", "summary"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.find(word) for line, word in zip(lines, ["summary", "first", "second"], strict=True)] == [11, 11, 11]
    print_table([])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_progress_bar_is_for_terminals_and_never_on_stdout(
    is_terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar("[reading]", total=3) as advance:
        advance()
        advance(2, total=3, description="nearly [there]")
    shown = capsys.readouterr()
    assert shown.out == "" and bool(shown.err) == is_terminal
    if is_terminal:
        assert "nearly [there]" in shown.err
