"""Answers of an encoder that is paid for: what was asked once is never sent again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from unmask.errors import InputError
from unmask.files import make_folder, sha256_of_json

FORMAT = 1
AT_ONCE = 500  # keys of one question to the file; SQLite has a limit


class Answers:
    """A file of vectors by a hash of encoder and text; the texts themselves are not in it."""

    def __init__(self, file: Path, fingerprint: str) -> None:
        self._file, self._fingerprint = file, fingerprint
        make_folder(file.parent)
        with self._opened() as connection:
            (held,) = connection.execute("PRAGMA user_version").fetchone()
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if held != FORMAT and (held or tables):
                raise InputError(
                    f"{file} holds other data than answers of format {FORMAT} (it says {held}); name another file"
                )
            connection.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, vector BLOB NOT NULL)")
            connection.execute(f"PRAGMA user_version = {FORMAT}")

    def known(self, kind: str, texts: Sequence[str]) -> list[np.ndarray | None]:
        """Vectors (dimension,) float32 of texts that were asked before in this way."""
        keys = [self._key(kind, text) for text in texts]
        found: dict[str, np.ndarray] = {}
        with self._opened() as connection:
            for start in range(0, len(keys), AT_ONCE):
                part = keys[start : start + AT_ONCE]
                question = f"SELECT key, vector FROM answers WHERE key IN ({', '.join('?' * len(part))})"
                found |= {key: np.frombuffer(held, dtype="<f4") for key, held in connection.execute(question, part)}
        return [found.get(key) for key in keys]

    def keep(self, kind: str, texts: Sequence[str], vectors: np.ndarray) -> None:
        """vectors: (texts, dimension)."""
        rows = [
            (self._key(kind, text), vector.astype("<f4").tobytes()) for text, vector in zip(texts, vectors, strict=True)
        ]
        with self._opened() as connection:
            connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)

    def _key(self, kind: str, text: str) -> str:
        return sha256_of_json([self._fingerprint, kind, text])

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Changes are all kept or all dropped."""
        try:
            with closing(sqlite3.connect(self._file)) as connection, connection:
                yield connection
        except sqlite3.Error as error:
            raise InputError(f"{self._file} cannot hold answers ({error}); name another file") from error
