"""Pinecone: one namespace of an index, its ids page by page and then what they name, over its HTTP interface."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

from unmask.errors import InputError
from unmask.vectorstores.base import Fields, address_of, choose_collection, find_texts, text_names
from unmask.vectorstores.http_json import NoAnswer, ask_json, require_sendable
from unmask.vectorstores.numbers import Numbers
from unmask.vectorstores.rows import LOOKED_AT, Row, RowSource

KEY, VERSION = "PINECONE_API_KEY", "2025-10"
PORT, LOCAL_PORT = 443, 5081
LOCAL = ("localhost", "127.0.0.1", "::1")  # its emulator, which speaks no TLS; a key is sent nowhere else without
PAGE = 100
# Characters of the ids that are fetched by one address: servers and proxies take eight thousand.
LONGEST_QUERY = 6000
UNNAMED = "__default__"  # how an index calls the namespace without a name


class Pinecone(RowSource):
    """Records with values, and metadata that may hold their text."""

    def __init__(self, place: str, fields: Fields, numbers: Numbers) -> None:
        _, host, port, path = address_of(place, 0)
        is_local = host in LOCAL
        self.origin = place
        self._url = f"{'http' if is_local else 'https'}://{host}:{port or (LOCAL_PORT if is_local else PORT)}"
        if fields.vectors is not None:
            raise InputError(f"{place} has one vector for each record and no names for them; drop --key")
        key = os.environ.get(KEY, "").strip()
        if not key:
            raise InputError(f"{place} needs a key, expected in {KEY}; set it to one that may read this index")
        self._headers = {"api-key": require_sendable(KEY, key), "x-pinecone-api-version": VERSION}
        told = self._ask("POST", "/describe_index_stats", {})
        try:
            held = {name or UNNAMED: int(said["vectorCount"]) for name, said in told.get("namespaces", {}).items()}
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise self._unusable("what it sent does not list its namespaces") from error
        full = [name for name, count in held.items() if count]
        self._namespace = choose_collection(list(held), full, fields.collection or path or None, place, "namespace")
        if not held[self._namespace]:
            raise InputError(f"{place}[{self._namespace}] holds no records, expected some; choose another --collection")
        first = list(itertools.islice(self._records(0), LOOKED_AT))
        if not any(found.get("values") for _, found in first):
            raise InputError(
                f"{place}[{self._namespace}] holds sparse records, expected dense ones: those alone can be read back; "
                "choose another index"
            )
        self._text = find_texts(text_names(found.get("metadata") for _, found in first), fields.texts, place)
        super().__init__(f"{place}[{self._namespace}]", numbers, held[self._namespace], True, self._text is not None)

    def _rows(self, skip: int) -> Iterator[Row]:
        for name, found in self._records(skip):
            text = _metadata(found).get(self._text or "")
            # Sparse records have no values.
            yield Row(name, found.get("values") or None, text if isinstance(text, str) else None)

    def _records(self, skip: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each id with its record, which is empty where it was deleted since its id was listed."""
        for names in self._pages(skip):
            for part in _by_length(names):
                fetched = self._ask("GET", "/vectors/fetch", named=[("ids", name) for name in part])
                records = fetched.get("vectors")
                if not isinstance(records, dict):
                    raise self._unusable("what it sent holds no records")
                for name in part:
                    found = records.get(name) or {}
                    if not isinstance(found, dict):
                        raise self._unusable("what it sent holds something else in place of a record")
                    yield name, found

    def _pages(self, skip: int) -> Iterator[list[str]]:
        """Ids in the order that the server lists them in, after the first `skip`."""
        token: str | None = None
        while True:
            more = [] if token is None else [("paginationToken", token)]
            page = self._ask("GET", "/vectors/list", named=[("limit", str(PAGE)), *more])
            try:
                names = [str(record["id"]) for record in page.get("vectors", [])]
                token = (page.get("pagination") or {}).get("next")
            except (KeyError, TypeError, AttributeError) as error:
                raise self._unusable("what it sent is no list of ids") from error
            if skip < len(names):
                yield names[skip:]
            skip = max(0, skip - len(names))
            if not token:
                return

    def _ask(
        self, method: str, path: str, body: Any = None, named: Sequence[tuple[str, str]] | None = None
    ) -> dict[str, Any]:
        query = "" if named is None else "?" + urlencode([("namespace", self._namespace), *named], errors="replace")
        try:
            return ask_json(method, self._url + path + query, self._headers, body)
        except NoAnswer as error:
            raise self._unusable(str(error)) from error

    def _unusable(self, why: str) -> InputError:
        return InputError(
            f"{self.origin} does not answer as a Pinecone index ({why}); check the index's host, as its console shows "
            f"it, and {KEY} (ids can be listed of serverless indexes alone)"
        )


def _metadata(record: dict[str, Any]) -> dict[str, Any]:
    found = record.get("metadata")
    return found if isinstance(found, dict) else {}


def _by_length(names: Sequence[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for name in names:
        if part and len(urlencode([("ids", each) for each in (*part, name)], errors="replace")) > LONGEST_QUERY:
            yield part
            part = []
        part.append(name)
    if part:
        yield part
