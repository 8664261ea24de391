"""A file on disk is either whole or not there, and a failed write says what to do."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from unmask import files
from unmask.errors import InputError, OutputError


def test_a_write_that_fails_half_way_leaves_the_old_file_and_no_debris(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    files.write_text(path, "old")
    with pytest.raises(RuntimeError), files.atomic_writer(path) as handle:
        handle.write(b"half of the n")
        raise RuntimeError("killed")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.json"]


def test_a_writer_that_needs_a_name_is_atomic_too(tmp_path: Path) -> None:
    path = tmp_path / "weights"

    def half(name: str) -> None:
        Path(name).write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OutputError, match="no space left"):
        files.write_by_name(path, half)
    assert os.listdir(tmp_path) == []
    files.write_by_name(path, lambda name: Path(name).write_text("whole"))
    assert path.read_text() == "whole" and os.listdir(tmp_path) == ["weights"]


def test_a_reader_never_sees_the_new_file_before_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "result"
    with files.atomic_writer(path) as handle:
        handle.write(b"new")
        handle.flush()
        assert not path.exists()
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EACCES, "choose another place or change its permissions"),
        (errno.EROFS, "choose another place or change its permissions"),
        (errno.ENOENT, "create it or choose another"),
        (errno.EISDIR, "give a file name inside it"),
        (errno.EIO, "choose another place"),
    ],
)
def test_every_reason_for_a_failed_write_names_the_path_and_a_next_step(number: int, advice: str) -> None:
    message = str(files.explain_write_failure(Path("out/vectors.npy"), OSError(number, os.strerror(number))))
    assert "out" in message and advice in message


@pytest.mark.parametrize("name", ["missing/file.json", ".", "a-file/below"])
def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "a-file").write_text("")
    with pytest.raises(OutputError):
        files.write_json(tmp_path / name, {})


def test_folders_are_made_with_their_parents_and_a_file_in_the_way_is_explained(tmp_path: Path) -> None:
    made = files.make_folder(tmp_path / "a" / "b")
    assert made.is_dir() and files.make_folder(made) == made
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        files.make_folder(tmp_path / "file" / "c")


def test_json_comes_back_as_it_was_and_keeps_other_scripts_readable(tmp_path: Path) -> None:
    value = {"text": "Grüße, 你好", "numbers": [1, 2.5, None]}
    files.write_json(tmp_path / "a.json", value)
    assert files.read_json(tmp_path / "a.json") == value
    assert "你好" in (tmp_path / "a.json").read_text("utf-8")


@pytest.mark.parametrize(
    ("content", "message"), [(None, "does not exist"), (b"{", "not readable JSON"), (b"\xff", "not readable")]
)
def test_json_that_cannot_be_read_names_the_file(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        files.read_json(path)
    assert str(path) in str(caught.value)


def test_hashes_are_those_of_the_content(tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    (tmp_path / "a").write_bytes(content)
    assert files.sha256_of_file(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    shuffled: Callable[[list[str]], dict[str, int]] = lambda keys: {key: len(key) for key in keys}
    assert files.sha256_of_json(shuffled(["a", "bb"])) == files.sha256_of_json(shuffled(["bb", "a"]))
    assert files.sha256_of_json({"a": 1}) != files.sha256_of_json({"a": 2})


def test_a_place_that_cannot_be_written_is_named_before_the_work(tmp_path: Path) -> None:
    files.check_writable(tmp_path / "new.json")
    for path, message in ((tmp_path, "is a folder"), (tmp_path / "none" / "a", "does not exist or is not a folder")):
        with pytest.raises(OutputError, match=message):
            files.check_writable(path)
    assert list(tmp_path.iterdir()) == []
