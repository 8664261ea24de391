"""Elasticsearch and OpenSearch: an index, page by page, over their common HTTP interface."""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from unmask.errors import InputError
from unmask.vectorstores.base import Fields, address_of, choose_collection, choose_column, find_texts
from unmask.vectorstores.http_json import NoAnswer, ask_json, require_sendable
from unmask.vectorstores.numbers import Numbers
from unmask.vectorstores.rows import Row, RowSource

# A search with the encoder may spend an hour on a page before it asks for the next.
PAGE, PORT, KEPT = 100, 9200, "1h"
KEY, USER, PASSWORD = "ELASTIC_API_KEY", "ELASTIC_USER", "ELASTIC_PASSWORD"
SECURE = ("elasticsearchs", "opensearchs")
VECTORS, TEXTS = ("dense_vector", "knn_vector"), ("text", "keyword", "match_only_text")
BAD_REQUEST = 400


class Elastic(RowSource):
    """Documents with a field of vectors: dense_vector of the one, knn_vector of the other."""

    def __init__(self, place: str, fields: Fields, numbers: Numbers) -> None:
        scheme, host, port, path = address_of(place, PORT)
        self.origin = place
        self._url = f"{'https' if scheme in SECURE else 'http'}://{host}:{port}"
        try:
            held = {
                name: dict(_fields_in(index["mappings"].get("properties", {})))
                for name, index in self._ask("GET", "/_mapping").items()
            }
        except (KeyError, TypeError, AttributeError) as error:
            raise self._unusable("what it sent is no list of indices") from error
        usable = [name for name, kinds in held.items() if any(kind in VECTORS for kind in kinds.values())]
        self._index = choose_collection(list(held), usable, fields.collection or path or None, place, "index")
        kinds = held[self._index]
        candidates = [name for name, kind in kinds.items() if kind in VECTORS]
        self._field = choose_column(kinds, candidates, fields.vectors, place, "field")
        words = [name for name, kind in kinds.items() if kind in TEXTS]
        self._text = find_texts(words, fields.texts, place)
        count = self._ask("GET", f"/{quote(self._index)}/_count").get("count")
        super().__init__(f"{place}[{self._index}]", numbers, count, True, self._text is not None)

    def _rows(self, skip: int) -> Iterator[Row]:
        for number, hit in enumerate(self._hits()):
            if number >= skip:
                shown = hit.get("_source") or {}
                text = _inside(shown, self._text) if self._text else None
                yield Row(hit["_id"], _inside(shown, self._field), text if isinstance(text, str) else None)

    def _hits(self) -> Iterator[dict[str, Any]]:
        """From a snapshot that the server keeps while it is read."""
        page = self._first_page()
        try:
            while hits := self._whole(page):
                yield from hits
                page = self._ask("POST", "/_search/scroll", {"scroll": KEPT, "scroll_id": page["_scroll_id"]})
        except KeyError as error:
            raise self._unusable("what it sent is no page of a search") from error
        finally:
            with contextlib.suppress(InputError):  # the server forgets it by itself after a while
                self._ask("DELETE", "/_search/scroll", {"scroll_id": page.get("_scroll_id")})

    def _whole(self, page: dict[str, Any]) -> list[dict[str, Any]]:
        """A page's documents, if every part of the index answered."""
        if page.get("timed_out") or page.get("_shards", {}).get("failed"):
            raise self._unusable("a part of the index did not answer, so that documents would be missing")
        try:
            hits: list[dict[str, Any]] = page["hits"]["hits"]
        except (KeyError, TypeError) as error:
            raise self._unusable("what it sent is no page of a search") from error
        return hits

    def _first_page(self) -> dict[str, Any]:
        """Recent servers leave vectors out of what they show unless told not to, which older ones do not understand."""
        place = f"/{quote(self._index)}/_search?scroll={KEPT}&allow_partial_search_results=false"
        shown = [self._field, *([self._text] if self._text else [])]
        asked: dict[str, Any] = {
            "size": PAGE,
            "sort": ["_doc"],
            "_source": {"includes": shown, "exclude_vectors": False},
        }
        found = self._ask("POST", place, asked, may_refuse=True)
        if found is None:
            found = self._ask("POST", place, {**asked, "_source": {"includes": shown}})
        return dict(found)

    def _ask(self, method: str, path: str, body: Any = None, may_refuse: bool = False) -> Any:
        """The server's answer; None for a request that it does not understand, where it `may_refuse`."""
        try:
            return ask_json(method, self._url + path, _headers(), body)
        except NoAnswer as error:
            if may_refuse and error.status == BAD_REQUEST:
                return None
            raise self._unusable(str(error)) from error

    def _unusable(self, why: str) -> InputError:
        return InputError(
            f"{self.origin} does not answer as Elasticsearch or OpenSearch ({why}); check host and port, and {KEY}, or "
            f"{USER} and {PASSWORD}"
        )


def _headers() -> dict[str, str]:
    if key := os.environ.get(KEY, "").strip():
        return {"authorization": f"ApiKey {require_sendable(KEY, key)}"}
    if user := os.environ.get(USER):
        both = f"{user}:{os.environ.get(PASSWORD, '')}".encode()
        return {"authorization": f"Basic {base64.b64encode(both).decode()}"}
    return {}


def _fields_in(properties: dict[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Every field with its type, those of objects by their path."""
    for name, held in properties.items():
        if held.get("type") == "nested":
            continue  # many to a document: there is no one vector
        if "type" in held and held["type"] != "object":
            yield before + name, held["type"]
        yield from _fields_in(held.get("properties", {}), f"{before}{name}.")


def _inside(document: Any, path: str) -> Any:
    """The value at a path, each part of which may be written with dots or as an object."""
    if not isinstance(document, dict):
        return None
    if path in document:
        return document[path]
    parts = path.split(".")
    tried = ((".".join(parts[:end]), ".".join(parts[end:])) for end in range(1, len(parts)))
    return next((_inside(document[first], rest) for first, rest in tried if first in document), None)
