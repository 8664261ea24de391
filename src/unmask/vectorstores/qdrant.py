"""Qdrant: a server page by page, or the folder that its client writes without one."""

from __future__ import annotations

import io
import json
import os
import pickle
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from unmask.errors import InputError, MissingExtra
from unmask.vectorstores.base import Fields, choose_collection, find_texts
from unmask.vectorstores.numbers import Numbers
from unmask.vectorstores.rows import Row, RowSource

PAGE = 500
PORT = 6333
KEY_VARIABLE = "QDRANT_API_KEY"
META, STORED = "meta.json", "storage.sqlite"


class QdrantSource(RowSource):
    """Points with a vector, perhaps of several by name, and a payload that may hold its text."""

    def __init__(self, origin: str, fields: Fields, numbers: Numbers, count: int | None) -> None:
        self.origin, self._key = origin, fields.vectors
        first = next(self._points(0), None)
        if first is None:
            raise InputError(f"{origin} holds no points, expected at least one; check the collection")
        payload = first[2] or {}
        words = [name for name, value in payload.items() if isinstance(value, str)]
        # A field may be missing in the first point and be there in others.
        self._text = fields.texts if fields.texts in payload else find_texts(words, fields.texts, origin)
        super().__init__(origin, numbers, count, True, self._text is not None)

    def _points(self, skip: int) -> Iterator[tuple[Any, Any, dict[str, Any] | None]]:
        """Id, vector or vectors by name, payload."""
        raise NotImplementedError

    def _rows(self, skip: int) -> Iterator[Row]:
        for name, vector, payload in self._points(skip):
            text = (payload or {}).get(getattr(self, "_text", None) or "")
            yield Row(str(name), self._chosen(vector), text if isinstance(text, str) else None)

    def _chosen(self, vector: Any) -> Any:
        if not isinstance(vector, dict):
            return vector
        if self._key is not None:
            if self._key not in vector:
                listed = ", ".join(vector) or "none"
                raise InputError(f"{self.origin} has no vector '{self._key}', it has: {listed}; change --key")
            return vector[self._key]
        if len(vector) > 1:
            raise InputError(
                f"{self.origin} has {len(vector)} vectors for each point; name one with --key: {', '.join(vector)}"
            )
        return next(iter(vector.values()), None)


class QdrantServer(QdrantSource):
    def __init__(self, place: str, fields: Fields, numbers: Numbers) -> None:
        try:
            from qdrant_client import QdrantClient
        except ImportError as error:
            raise MissingExtra(f"{place} is a Qdrant server: reading it", "qdrant") from error

        address = urlsplit(place)
        self.origin = place
        secure = address.scheme.endswith("s")
        url = f"{'https' if secure else 'http'}://{address.hostname or 'localhost'}:{address.port or PORT}"
        self._client = QdrantClient(url=url, api_key=os.environ.get(KEY_VARIABLE), check_compatibility=False)
        names = sorted(found.name for found in self._asked("get_collections").collections)
        asked = fields.collection or address.path.strip("/") or None
        self._name = choose_collection(names, names, asked, place, "collection")
        count = self._asked("count", collection_name=self._name).count
        super().__init__(place, fields, numbers, count)

    def _asked(self, what: str, **given: Any) -> Any:
        try:
            return getattr(self._client, what)(**given)
        except Exception as error:  # the client raises errors of several libraries
            raise InputError(
                f"{self.origin} does not answer as a Qdrant server ({str(error).splitlines()[0][:200]}); check host, "
                f"port and {KEY_VARIABLE}"
            ) from error

    def _points(self, skip: int) -> Iterator[tuple[Any, Any, dict[str, Any] | None]]:
        page, seen = None, 0
        while True:
            points, page = self._asked(
                "scroll", collection_name=self._name, limit=PAGE, offset=page, with_vectors=True, with_payload=True
            )
            for point in points:
                if seen >= skip:
                    yield point.id, point.vector, point.payload
                seen += 1
            if page is None:
                return


class QdrantFolder(QdrantSource):
    """Read from its SQLite file: the client itself would lock the folder, and unpickle what is in it."""

    def __init__(self, path: str, fields: Fields, numbers: Numbers) -> None:
        self.origin = path
        try:
            names = sorted(json.loads((Path(path) / META).read_text("utf-8"))["collections"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} cannot be read as a Qdrant folder ({META}: {error}); copy it again") from error
        name = choose_collection(names, names, fields.collection, path, "collection")
        self._file = Path(path) / "collection" / name / STORED
        ((count,),) = self._asked("select count(*) from points")
        super().__init__(f"{path}[{name}]", fields, numbers, count)

    def _asked(self, query: str) -> Iterator[Any]:
        try:
            with sqlite3.connect(f"{self._file.absolute().as_uri()}?mode=ro", uri=True) as connection:
                yield from connection.execute(query)
        except sqlite3.Error as error:
            raise InputError(
                f"{self._file} cannot be read as Qdrant's points ({error}); copy the folder again"
            ) from error

    def _points(self, skip: int) -> Iterator[tuple[Any, Any, dict[str, Any] | None]]:
        for (data,) in self._asked(f"select point from points order by rowid limit -1 offset {skip}"):
            held = _Inert(io.BytesIO(data)).read(self.origin)
            yield held.get("id"), held.get("vector"), held.get("payload")


class _Point:
    """Stands for the client's own class, of which only the values are wanted."""


class _Inert(pickle.Unpickler):
    """Reads plain values and points, and can call nothing: every other name is refused before it is looked up."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("qdrant_client.http.models.models", "PointStruct"):
            return _Point
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is no part of a point")

    def read(self, origin: str) -> dict[str, Any]:
        try:
            held = self.load().__dict__
            return held.get("__dict__", held)  # type: ignore[no-any-return]
        except Exception as error:
            raise InputError(
                f"{origin} holds a point that is not as Qdrant writes them ({error}); it was not read"
            ) from error
