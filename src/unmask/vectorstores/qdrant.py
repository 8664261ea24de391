"""Qdrant: a server page by page, or the folder that its client writes without one."""

from __future__ import annotations

import io
import itertools
import json
import os
import pickle
import sqlite3
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unmask.errors import InputError, MissingExtra
from unmask.vectorstores.base import Fields, address_of, choose_collection, find_texts, first_line, text_names
from unmask.vectorstores.numbers import Numbers
from unmask.vectorstores.rows import LOOKED_AT, Row, RowSource
from unmask.vectorstores.sqlite_reading import ask

PAGE = 500
PORT = 6333
KEY_VARIABLE = "QDRANT_API_KEY"
MODELS = "qdrant_client.http.models.models"
META, STORED = "meta.json", "storage.sqlite"


class QdrantSource(RowSource):
    """Points with a vector, perhaps of several by name, and a payload that may hold its text."""

    def __init__(self, origin: str, fields: Fields, numbers: Numbers, count: int | None) -> None:
        self.origin, self._key = origin, fields.vectors
        first = list(itertools.islice(self._points(0), LOOKED_AT))
        if not first:
            raise InputError(f"{origin} holds no points, expected at least one; check the collection")
        named = {name: None for _, vector, _ in first if isinstance(vector, dict) for name in vector}
        if self._key is not None and self._key not in named:
            listed = ", ".join(named) or "one without a name"
            raise InputError(f"{origin} has no vector '{self._key}', it has: {listed}; change --key")
        self._text = find_texts(text_names(payload for _, _, payload in first), fields.texts, origin)
        super().__init__(origin, numbers, count, True, self._text is not None)

    @abstractmethod
    def _points(self, skip: int) -> Iterator[tuple[Any, Any, dict[str, Any] | None]]:
        """Id, vector or vectors by name, payload."""

    def _rows(self, skip: int) -> Iterator[Row]:
        for name, vector, payload in self._points(skip):
            text = payload.get(self._text or "") if isinstance(payload, dict) else None
            yield Row(str(name), self._chosen(vector), text if isinstance(text, str) else None)

    def _chosen(self, vector: Any) -> Any:
        if not isinstance(vector, dict):
            return vector
        if self._key is not None:
            return vector.get(self._key)
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

        scheme, host, port, path = address_of(place, PORT)
        self.origin = place
        url = f"{'https' if scheme.endswith('s') else 'http'}://{host}:{port}"
        self._client = QdrantClient(url=url, api_key=os.environ.get(KEY_VARIABLE), check_compatibility=False)
        names = sorted(found.name for found in self._asked("get_collections").collections)
        asked = fields.collection or path or None
        self._name = choose_collection(names, names, asked, place, "collection")
        count = self._asked("count", collection_name=self._name).count
        super().__init__(place, fields, numbers, count)

    def _asked(self, what: str, **given: Any) -> Any:
        try:
            return getattr(self._client, what)(**given)
        except Exception as error:  # the client raises errors of several libraries
            raise InputError(
                f"{self.origin} does not answer as a Qdrant server ({first_line(error)}); check host, "
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
            yield from ask(self._file, query)
        except (sqlite3.Error, OSError) as error:
            raise InputError(
                f"{self._file} cannot be read as Qdrant's points ({error}); copy the folder again"
            ) from error

    def _points(self, skip: int) -> Iterator[tuple[Any, Any, dict[str, Any] | None]]:
        for (data,) in self._asked(f"select point from points order by rowid limit -1 offset {skip}"):
            held = _Inert(data).read(self.origin)
            yield held.get("id"), held.get("vector"), held.get("payload")


class _Inert(pickle.Unpickler):
    """Reads plain values and points, and can call nothing: every other name is refused before it is looked up."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        # Stands for the client's own classes, of which only the values are wanted; a new one for each point, since a
        # pickle may set what a class has.
        self._inert = type("Inert", (), {})

    def find_class(self, module: str, name: str) -> Any:
        if module == MODELS and name in ("PointStruct", "SparseVector"):
            return self._inert
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is no part of a point")

    def read(self, origin: str) -> dict[str, Any]:
        try:
            held = self.load().__dict__
            return dict(held.get("__dict__", held))
        except Exception as error:
            raise InputError(
                f"{origin} holds a point that is not as Qdrant writes them ({error}); it was not read"
            ) from error
