"""Files of texts as users have them."""

from __future__ import annotations

import io
import sys

import pytest

from unmask.errors import InputError
from unmask.text_files import read_text_file


def write(folder, name: str, content: str | bytes):
    path = folder / name
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def test_plain_lines_and_records_give_the_same_texts(tmp_path) -> None:
    texts = ["one text", "שלום 🎉 日本", '{"no": "record"', "12345"]
    plain = write(tmp_path, "a.txt", "\n".join(texts) + "\n\n  \n")
    import json

    records = write(tmp_path, "a.jsonl", "\n".join(json.dumps({"text": text, "id": 1}) for text in texts))
    assert read_text_file(plain) == read_text_file(records) == texts


def test_records_are_recognised_without_a_suffix(tmp_path, monkeypatch) -> None:
    content = '\ufeff{"text": "one"}\r\n{"text": "two"}\r\n'
    assert read_text_file(write(tmp_path, "texts", content)) == ["one", "two"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    assert read_text_file("-") == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.txt", "", "holds no text"),
        ("a.txt", "\n \n", "holds no text"),
        ("a.txt", b"fine\nbad \xff byte", r"not UTF-8 in line 2 \(byte 5 of the line is 0xff\)"),
        ("a.jsonl", '{"text": "a"}\n{"tekst": "b", "id": 2}', "line 2 has no text under 'text' .*tekst, id"),
        ("a.jsonl", '{"text": null}', "line 1 has no text"),
        ("a.jsonl", "plain words", "line 1 is not JSON"),
        ("a.jsonl", '["a"]', "line 1 holds list"),
    ],
)
def test_each_bad_file_is_one_clear_sentence(tmp_path, name: str, content: str | bytes, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        read_text_file(write(tmp_path, name, content))


def test_a_folder_and_nothing_are_told_apart(tmp_path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        read_text_file(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        read_text_file(tmp_path / "none.txt")
