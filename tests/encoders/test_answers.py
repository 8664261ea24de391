"""Answers that were paid for: kept by encoder, kind and text, without the text."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from unmask.encoders.answers import AT_ONCE, Answers
from unmask.errors import InputError


def test_vectors_come_back_to_the_bit_and_only_for_what_was_asked(tmp_path: Path) -> None:
    texts = [f"secret text {number}" for number in range(2 * AT_ONCE + 1)]
    vectors = np.random.default_rng(0).normal(size=(len(texts), 5)).astype(np.float32)
    Answers(tmp_path / "answers", "one").keep("quickly", texts, vectors)
    held = Answers(tmp_path / "answers", "one")
    known = held.known("quickly", ["another", *texts, texts[0]])
    assert known[0] is None
    assert np.array_equal(np.stack([*known[1:]]), np.concatenate([vectors, vectors[:1]]))  # type: ignore[list-item]
    assert held.known("exactly", texts[:2]) == [None, None]
    assert Answers(tmp_path / "answers", "two").known("quickly", texts[:2]) == [None, None]
    assert b"secret" not in (tmp_path / "answers").read_bytes()


def test_an_interrupted_batch_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    held = Answers(tmp_path / "answers", "one")
    with pytest.raises(ValueError, match="zip"):
        held.keep("quickly", ["a", "b"], np.zeros((1, 3), dtype=np.float32))
    assert held.known("quickly", ["a", "b"]) == [None, None]


def test_a_file_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    text, database = tmp_path / "notes.txt", tmp_path / "other.sqlite"
    text.write_text("not a database, but long enough to look like one\n" * 40)
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE mine (name TEXT)")
    for file in (text, database):
        before = file.read_bytes()
        with pytest.raises(InputError, match="name another file"):
            Answers(file, "one")
        assert file.read_bytes() == before
    with pytest.raises(InputError, match="cannot hold answers"):
        Answers(tmp_path, "one")
