"""Chroma: a folder or a server, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from unmask.errors import InputError, MissingExtra
from unmask.vectorstores.base import Fields, address_of, choose_collection, first_line
from unmask.vectorstores.copies import copied
from unmask.vectorstores.numbers import Numbers
from unmask.vectorstores.rows import Row, RowSource

PAGE = 1000
PORT = 8000


class Chroma(RowSource):
    """A collection's embeddings with their documents, or with a field of their metadata in place of those."""

    def __init__(self, place: str, fields: Fields, numbers: Numbers) -> None:
        self.origin = place
        if fields.vectors is not None:
            raise InputError(
                f"a Chroma collection has one vector for each entry, no key '{fields.vectors}'; leave --key out"
            )
        asked = fields.collection
        if "://" in place:
            _, host, port, path = address_of(place, PORT)
            asked = asked or path or None
            client = _client_of_server(host, port, place)
        else:
            client = self._client_of_folder(place)
        try:
            names = sorted(_name(found) for found in client.list_collections())
            name = choose_collection(names, names, asked, place, "collection")
            self._held = client.get_collection(name, embedding_function=None)
            count = self._held.count()
        except InputError:
            raise
        except Exception as error:  # the client raises errors of many libraries
            raise self._unreadable(error) from error
        if not count:
            raise InputError(f"{place} has nothing in its collection '{name}', expected at least one vector")
        self._texts = fields.texts
        super().__init__(f"{place}[{name}]" if "://" not in place else place, numbers, count, True, True)

    def _client_of_folder(self, folder: str) -> Any:
        chromadb, settings = _library(folder)
        # The client writes into the folder that it opens.
        self._copy, target = copied(folder)
        try:
            return chromadb.PersistentClient(path=str(target), settings=settings)
        except Exception as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> InputError:
        why = first_line(error)
        return InputError(f"{self.origin} cannot be read as a Chroma store ({why}); check it with Chroma's own client")

    def _rows(self, skip: int) -> Iterator[Row]:
        include = ["embeddings", "documents"] if self._texts is None else ["embeddings", "metadatas"]
        while True:
            try:
                page = self._held.get(limit=PAGE, offset=skip, include=include)
            except Exception as error:
                raise self._unreadable(error) from error
            names = page["ids"]
            if not names:
                return
            for place, name in enumerate(names):
                yield Row(name, page["embeddings"][place], self._text(page, place))
            skip += len(names)

    def _text(self, page: Any, place: int) -> str | None:
        if self._texts is None:
            return None if page["documents"] is None else page["documents"][place]
        text = ((page["metadatas"] or [])[place] or {}).get(self._texts)
        return text if isinstance(text, str) else None


def _library(place: str) -> tuple[Any, Any]:
    try:
        import chromadb
        from chromadb.config import Settings
    except ImportError as error:
        raise MissingExtra(f"{place} is a Chroma store: reading it", "chroma") from error
    return chromadb, Settings(anonymized_telemetry=False)


def _client_of_server(host: str, port: int, place: str) -> Any:
    chromadb, settings = _library(place)
    try:
        return chromadb.HttpClient(host=host, port=port, settings=settings)
    except Exception as error:
        raise InputError(
            f"{place} does not answer as a Chroma server ({first_line(error)}); check host and port"
        ) from error


def _name(collection: Any) -> str:
    return str(getattr(collection, "name", collection))
