"""Questions to a SQLite file that leave nothing beside it, whatever its journal."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

LOG = "-wal"


def ask(path: Path, query: str, *values: Any) -> Iterator[Any]:
    """The rows of an answer.

    A file with a write-ahead log is copied first: SQLite would write beside it to read it. One without is opened as
    something that does not change, since even reading would otherwise make a log.
    """
    with ExitStack() as open_things:
        log = path.with_name(path.name + LOG)
        if log.is_file():
            folder = Path(open_things.enter_context(tempfile.TemporaryDirectory(prefix="unmask-sqlite-")))
            for file in (path, log):
                shutil.copyfile(file, folder / file.name)
            address = (folder / path.name).as_uri()
        else:
            address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        connection = open_things.enter_context(closing(sqlite3.connect(address, uri=True)))
        yield from connection.execute(query, values)
