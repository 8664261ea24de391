"""Results on disk, and texts from anywhere as Markdown."""

from __future__ import annotations

import re

import pytest

from unmask.benchmark.publishing.markdown import escape, lay_out, notes
from unmask.benchmark.publishing.results import Result, read_rows, write_rows
from unmask.errors import InputError, OutputError
from unmask.records import Interval


def a_result(**changes) -> Result:
    fields = {
        "table": "decoders",
        "label": "confidence",
        "n": 8,
        "seed": 1,
        "metrics": {"token_f1": Interval(0.5, 0.4, 0.6)},
        "numbers": {"vectors_per_second": 3.0},
        "details": {"model": "m", "model_fingerprint": "0123456789abcdef", "commit": "c", "steps": 8},
    }
    return Result(**{**fields, **changes})


def test_what_is_written_is_read_back(tmp_path) -> None:
    path = tmp_path / "decoders.jsonl"
    write_rows(path, [a_result(), a_result(label="größer")])
    assert read_rows(path) == [a_result(), a_result(label="größer")]
    assert len(path.read_text("utf-8").splitlines()) == 2


@pytest.mark.parametrize("line", ["{", "[]", "3", '{"table": "decoders"}', '{"metrics": {"a": 1}}'])
def test_a_damaged_line_is_named(tmp_path, line: str) -> None:
    path = tmp_path / "decoders.jsonl"
    write_rows(path, [a_result()])
    path.write_text(path.read_text("utf-8") + line + "\n", "utf-8")
    with pytest.raises(InputError, match="line 2 is no result"):
        read_rows(path)


def test_a_missing_file_or_folder_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_rows(tmp_path / "decoders.jsonl")
    with pytest.raises(OutputError, match="does not exist"):
        write_rows(tmp_path / "nowhere" / "decoders.jsonl", [a_result()])


STRANGE = [
    "a | b",
    "*bold* and _more_ `code` ~~no~~",
    "<script>alert(1)</script>",
    "![picture](http://example.org/x.png)",
    "line\nbreak\r\n\x1b[31mred",
    "right\u202eto left\u2066",
    "# heading",
    "- item",
    "&lt; is no tag",
    "back\\slash \\| pipe",
    "$x$",
    "שלום 你好 🐈",
]


@pytest.mark.parametrize("text", STRANGE)
def test_any_text_is_one_cell_and_no_markup(text: str) -> None:
    cell = escape(text)
    assert "\n" not in cell and "\x1b" not in cell and "\u202e" not in cell
    bare = re.sub(r"\\.", "", cell).replace("&#58;", "")
    assert not re.search(r"[|*_`<>\[\]#!~$\\]", bare)
    assert "://" not in cell


def test_plain_words_stay_as_they_are() -> None:
    assert escape("the cat, 你好 & שלום.") == "the cat, 你好 &amp; שלום."


def test_a_table_has_a_cell_for_each_heading() -> None:
    lines = lay_out(["a", "b", "c"], [["1", "2", "3"]], text_columns=2).splitlines()
    assert lines == ["| a | b | c |", "| --- | --- | ---: |", "| 1 | 2 | 3 |"]


def test_notes_say_how_it_was_made() -> None:
    told = notes([a_result(), a_result(label="euler")])
    assert "n = 8, seed 1" in told and "weights 0123456789ab" in told and "commit c" in told
    other = a_result(details={"model": "other", "model_fingerprint": "f"})
    assert "weights" not in notes([a_result(), other]) and "model m" not in notes([a_result(), other])
