"""A file of results that survives being stopped: written batch by batch, finished by a rename."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

from unmask.errors import OutputError
from unmask.files import PRIVATE, explain_write_failure, read_json, try_lock, write_json

if TYPE_CHECKING:
    from unmask.vectorstores.base import VectorSource

# Recovered text is as sensitive as what it was recovered from.
SAMPLES, SAMPLE_BYTES = 16, 1 << 16


class ResumableLines:
    """`path`, written as `path.partial` with the run's settings beside it until it is complete.

    Only whole batches count as done, so that the batches after a resume, and with them the last bits of every result,
    are those of a run that was never stopped.
    """

    def __init__(self, path: Path, settings: dict[str, Any], batch_size: int, resume: bool = True) -> None:
        self.path, self.settings, self.batch_size, self.resume = path, settings, batch_size, resume
        self.partial = path.with_name(path.name + ".partial")
        self.settings_file = path.with_name(path.name + ".partial.json")
        self.done = 0
        self._handle: BinaryIO | None = None

    def __enter__(self) -> ResumableLines:
        try:
            self._open()
        except OSError as error:
            self._close()
            raise explain_write_failure(self.path, error) from error
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def write(self, records: Iterable[dict[str, Any]]) -> int:
        """Append a batch of records; returns how many."""
        assert self._handle is not None, "the file is not open"
        lines = [json.dumps(record, ensure_ascii=False).encode("utf-8") + b"\n" for record in records]
        try:
            left = memoryview(b"".join(lines))
            while left:
                left = left[self._handle.write(left) :]
        except OSError as error:
            raise explain_write_failure(self.partial, error) from error
        self.done += len(lines)
        return len(lines)

    def finish(self) -> None:
        """Make the partial file the result."""
        assert self._handle is not None, "the file is not open"
        try:
            os.fsync(self._handle.fileno())
            os.replace(self.partial, self.path)
            self.settings_file.unlink(missing_ok=True)
        except OSError as error:
            raise explain_write_failure(self.path, error) from error

    def _open(self) -> None:
        if self.path.exists() and self.resume:
            raise OutputError(
                f"{self.path} exists already and is complete; choose another --out, or --no-resume to replace it"
            )
        if self.path.is_dir():
            raise IsADirectoryError(21, "is a folder", str(self.path))
        descriptor = os.open(self.partial, os.O_RDWR | os.O_CREAT, PRIVATE)
        # Unbuffered: what was written stands in the file even if the process is killed the moment after.
        handle = self._handle = os.fdopen(descriptor, "r+b", buffering=0)
        self._lock(handle)
        os.chmod(self.partial, PRIVATE)
        if self.resume and os.fstat(handle.fileno()).st_size:
            self._check_settings()
            self.done, size = _whole_batches(handle, self.batch_size)
            handle.truncate(size)
        else:
            handle.truncate(0)
            write_json(self.settings_file, self.settings)
        handle.seek(0, os.SEEK_END)

    def _close(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def _lock(self, handle: BinaryIO) -> None:
        if not try_lock(handle):
            raise OutputError(
                f"another process is writing {self.partial}; wait until it is done, or choose another --out"
            )

    def _check_settings(self) -> None:
        if not self.settings_file.is_file():
            raise OutputError(
                f"{self.partial} is there without {self.settings_file.name}, which says what it was made with; "
                "remove it, or start over with --no-resume"
            )
        held, wanted = read_json(self.settings_file), json.loads(json.dumps(self.settings))
        different = [name for name in sorted({*held, *wanted}) if held.get(name) != wanted.get(name)]
        if different:
            name = different[0]
            others = f" ({len(different) - 1} more settings differ)" if len(different) > 1 else ""
            raise OutputError(
                f"{self.partial} was begun with {name} {_short(held.get(name))}, "
                f"this run has {_short(wanted.get(name))}{others}; give the same settings, choose another --out, or "
                "start over with --no-resume"
            )


def source_identity(source: VectorSource) -> dict[str, Any]:
    """What tells one source of vectors from another without reading all of it: a file's size and a hash of samples, how
    many vectors a store has."""
    path = source.place
    if path is None or not path.is_file():
        return {"name": source.origin, "vectors": source.count}
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        for number in range(SAMPLES):
            handle.seek(max(size - SAMPLE_BYTES, 0) * number // (SAMPLES - 1))
            digest.update(handle.read(SAMPLE_BYTES))
    return {"name": path.name, "bytes": size, "samples_sha256": digest.hexdigest()}


def _whole_batches(handle: BinaryIO, batch_size: int) -> tuple[int, int]:
    """How many lines of whole batches the file holds, and how many bytes they are."""
    lines = done = size = done_size = 0
    with os.fdopen(handle.fileno(), "rb", closefd=False) as buffered:
        buffered.seek(0)
        for line in buffered:
            # After a power cut a file can end in half a line or in zeros.
            if not (line.startswith(b"{") and line.endswith(b"}\n")):
                break
            lines, size = lines + 1, size + len(line)
            if lines % batch_size == 0:
                done, done_size = lines, size
    return done, done_size


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
