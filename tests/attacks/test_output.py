from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unmask.attacks.output import ResumableLines, source_identity
from unmask.errors import OutputError

SETTINGS = {"model": "m", "seed": 0}


def rows(start: int, stop: int) -> list[dict[str, Any]]:
    return [{"id": str(number), "text": f"täxt {number}"} for number in range(start, stop)]


def write_some(path: Path, count: int, batch_size: int = 4) -> ResumableLines:
    lines = ResumableLines(path, SETTINGS, batch_size)
    with lines:
        for start in range(lines.done, count, batch_size):
            lines.write(rows(start, min(start + batch_size, count)))
    return lines


def whole(path: Path, count: int) -> bytes:
    with ResumableLines(path, SETTINGS, 4) as lines:
        lines.write(rows(0, count))
        lines.finish()
    return path.read_bytes()


def test_a_finished_file_is_private_and_alone(tmp_path: Path) -> None:
    data = whole(tmp_path / "out.jsonl", 6)
    assert data.count(b"\n") == 6 and "täxt".encode() in data
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
    assert stat.S_IMODE((tmp_path / "out.jsonl").stat().st_mode) == 0o600


def test_the_partial_file_is_private_while_it_grows(tmp_path: Path) -> None:
    lines = write_some(tmp_path / "out.jsonl", 4)
    assert stat.S_IMODE(lines.partial.stat().st_mode) == 0o600
    assert not lines.path.exists()


@pytest.mark.parametrize("tail", [b"", b'{"id": "8", "te', b"\0\0\0\0\n", b'{"id": "8"}\n', b"{}\n{}\n{}\n"])
def test_resuming_keeps_whole_batches_and_gives_the_same_bytes(tmp_path: Path, tail: bytes) -> None:
    expected = whole(tmp_path / "expected.jsonl", 13)
    lines = write_some(tmp_path / "out.jsonl", 8)
    with lines.partial.open("ab") as handle:
        handle.write(tail)
    again = ResumableLines(tmp_path / "out.jsonl", SETTINGS, 4)
    with again:
        assert again.done == 8
        for start in (8, 12):
            again.write(rows(start, min(start + 4, 13)))
        again.finish()
    assert again.path.read_bytes() == expected


def test_other_settings_do_not_go_on_with_the_same_file(tmp_path: Path) -> None:
    lines = write_some(tmp_path / "out.jsonl", 8)
    before = lines.partial.read_bytes()
    with (
        pytest.raises(OutputError, match=r"begun with seed 0, this run has 1;.*--no-resume"),
        ResumableLines(lines.path, {**SETTINGS, "seed": 1}, 4),
    ):
        pass
    assert lines.partial.read_bytes() == before
    # The refusal let go of the file.
    with ResumableLines(lines.path, {**SETTINGS, "seed": 1}, 4, resume=False) as fresh:
        assert fresh.done == 0
    assert lines.partial.read_bytes() == b""


def test_a_partial_file_without_its_settings_is_not_guessed_at(tmp_path: Path) -> None:
    lines = write_some(tmp_path / "out.jsonl", 8)
    lines.settings_file.unlink()
    with pytest.raises(OutputError, match=r"is there without out\.jsonl\.partial\.json"), lines:
        pass


def test_a_complete_file_is_only_replaced_on_request_and_not_before_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    before = whole(path, 5)
    with pytest.raises(OutputError, match=r"exists already and is complete.*--no-resume"), ResumableLines(path, {}, 4):
        pass
    with ResumableLines(path, {}, 4, resume=False) as lines:
        lines.write(rows(0, 2))
        assert path.read_bytes() == before
        lines.finish()
    assert path.read_bytes().count(b"\n") == 2


def test_two_runs_do_not_write_the_same_file(tmp_path: Path) -> None:
    lines = ResumableLines(tmp_path / "out.jsonl", SETTINGS, 4)
    with lines:
        lines.write(rows(0, 4))
        with pytest.raises(OutputError, match="another process is writing"), ResumableLines(lines.path, SETTINGS, 4):
            pass
        lines.write(rows(4, 8))
        lines.finish()
    assert lines.path.read_bytes().count(b"\n") == 8


def test_places_that_cannot_be_written_say_why(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    for path, sentence in (
        (tmp_path / "missing" / "out.jsonl", "does not exist"),
        (tmp_path / "file" / "out.jsonl", "does not exist or is not a folder"),
    ):
        with pytest.raises(OutputError, match=sentence), ResumableLines(path, SETTINGS, 4):
            pass
    with (
        pytest.raises(OutputError, match="is a folder"),
        ResumableLines(tmp_path / "folder", SETTINGS, 4, resume=False),
    ):
        pass


def test_a_full_disk_loses_nothing_that_was_done(tmp_path: Path) -> None:
    lines = ResumableLines(tmp_path / "out.jsonl", SETTINGS, 4)
    with lines:
        lines.write(rows(0, 4))

        class FullDisk:
            """Takes ten bytes more, then nothing."""

            room = 10

            def __init__(self, handle: Any) -> None:
                self.handle = handle

            def write(self, data: memoryview) -> int:
                if not self.room:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                self.room = 0
                return int(self.handle.write(data[:10]))

            def close(self) -> None:
                self.handle.close()

        lines._handle = FullDisk(lines._handle)  # type: ignore[assignment]
        with pytest.raises(OutputError, match="no space left on the disk"):
            lines.write(rows(4, 8))
    again = ResumableLines(lines.path, SETTINGS, 4)
    with again:
        assert again.done == 4


def test_files_of_vectors_are_told_apart_by_size_and_content(tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    identities = []
    for data in (b"a" * 10, b"a" * 11, b"a" * 3_000_000, b"a" * 2_999_999 + b"b", b"b" + b"a" * 2_999_999):
        path.write_bytes(data)
        source = SimpleNamespace(place=path, origin=str(path), count=None)
        identities.append(source_identity(source))
        assert source_identity(source) == identities[-1]
    assert len({str(identity) for identity in identities}) == 5
    stores = [
        SimpleNamespace(place=tmp_path, origin=f"{tmp_path}[{name}]", count=n)
        for name, n in (("a", 1), ("a", 2), ("b", 2))
    ]
    assert len({str(source_identity(store)) for store in stores}) == 3
