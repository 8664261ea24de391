"""Atomic writes and hashes: a file on disk is either whole or not there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from unmask.errors import InputError, OutputError

PRIVATE = 0o600  # of files that hold what was read back: for the user alone


def explain_write_failure(path: Path, error: OSError) -> OutputError:
    """The one sentence a user needs when a write fails."""
    if error.errno == errno.ENOSPC:
        return OutputError(f"no space left on the disk while writing {path}; free some space and run it again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(f"not allowed to write {path}; choose another place or change its permissions")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return OutputError(f"the folder {path.parent} does not exist or is not a folder; create it or choose another")
    if error.errno == errno.EISDIR:
        return OutputError(f"{path} is a folder, expected the name of a file; give a file name inside it")
    return OutputError(f"could not write {path}: {error.strerror or error}; choose another place")


def check_writable(path: Path | str) -> None:
    """Complain now about a file that could not be written once everything is computed."""
    path = Path(path)
    reason = errno.EISDIR if path.is_dir() else 0 if path.parent.is_dir() else errno.ENOENT
    if not reason and not os.access(path.parent, os.W_OK):
        reason = errno.EACCES
    if reason:
        raise explain_write_failure(path, OSError(reason, os.strerror(reason)))


@contextmanager
def atomic_writer(path: Path | str, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`; rename it onto `path` only if the block succeeds."""
    path = Path(path)
    temporary: str | None = None
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        with os.fdopen(descriptor, "wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise explain_write_failure(path, error) from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


def write_bytes(path: Path | str, data: bytes) -> None:
    with atomic_writer(path) as handle:
        handle.write(data)


def write_text(path: Path | str, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path | str, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False) + "\n")


def read_json(path: Path | str) -> Any:
    path = Path(path)
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the path") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not readable JSON ({error}); restore it or make it again") from error


def write_by_name(path: Path | str, write: Callable[[str], object]) -> None:
    """For libraries that only write to a file name: write beside, then rename."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(str(temporary))
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise explain_write_failure(path, error) from error
    except Exception as error:
        # safetensors reports a full disk as an error of its own, with the system's words and number in the text.
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise explain_write_failure(path, OSError(int(number[1]), os.strerror(int(number[1])))) from error
    finally:
        if temporary.exists():
            temporary.unlink()


def copy_file(source: Path, target: Path) -> None:
    write_by_name(target, lambda name: shutil.copyfile(source, name))


def make_folder(path: Path | str) -> Path:
    """Create a folder and its parents, or say why that is not possible."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_write_failure(path, error) from error
    return path


def try_lock(handle: IO[Any]) -> bool:
    """Lock an open file for this process; False if another one holds it. The lock dies with the process."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system: nothing to lock with
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sha256_of_file(path: Path | str) -> str:
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_of_json(value: Any) -> str:
    """A hash of a JSON-able value that does not depend on the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode("utf-8")).hexdigest()
