"""Milvus: what Milvus Lite keeps in a folder, or a server, page by page."""

from __future__ import annotations

import contextlib
import logging
import os
import weakref
from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import Any

from unmask.errors import InputError, MissingExtra
from unmask.vectorstores.base import Fields, address_of, choose_collection, find_texts, first_line, text_names
from unmask.vectorstores.copies import copied
from unmask.vectorstores.numbers import Numbers
from unmask.vectorstores.rows import LOOKED_AT, Row, RowSource

PAGE, PORT = 1_000, 19530
TOKEN_VARIABLE = "MILVUS_TOKEN"
SECURE, NOT_LOADED = "milvuss", "NotLoad"
# Milvus Lite lacks a call that its client makes, and both say so at length; without it the pages come all the same.
TALKATIVE = ("pymilvus", "grpc._server")
VECTORS, TEXTS = ("FLOAT_VECTOR",), ("VARCHAR", "TEXT")


class Milvus(RowSource):
    """A collection's vectors with their primary keys and a field of text."""

    def __init__(self, place: str, fields: Fields, numbers: Numbers) -> None:
        try:
            from pymilvus import MilvusClient
        except ImportError as error:
            raise MissingExtra(f"{place} is a Milvus store: reading it", "milvus") from error

        for name in TALKATIVE:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.origin, asked = place, fields.collection
        self._release: weakref.finalize[..., Milvus] | None = None
        if "://" in place:
            scheme, host, port, path = address_of(place, PORT)
            asked = asked or path or None
            where = f"{'https' if scheme == SECURE else 'http'}://{host}:{port}"
        else:
            # The client locks the folder that it opens, and writes into it; even at the end, when it is told to go.
            copy, target = copied(place)
            where = str(target)
            weakref.finalize(self, _let_go, copy, where)
        with self._failing_clearly():
            self._client = MilvusClient(where, token=os.environ.get(TOKEN_VARIABLE, ""))
            names = sorted(self._client.list_collections())
            self._name = choose_collection(names, names, asked, place, "collection")
            was_absent = str(self._client.get_load_state(self._name)["state"]) == NOT_LOADED
            self._client.load_collection(self._name)
            if was_absent:  # a server's memory is as it was afterwards; what somebody else is loading stays
                self._release = weakref.finalize(self, _released, self._client, self._name)
            told = self._client.describe_collection(self._name)
            count = int(self._client.get_collection_stats(self._name)["row_count"])
            held = {field["name"]: field for field in told["fields"]}
            self._choose_fields(held, bool(told.get("enable_dynamic_field")), fields)
        super().__init__(
            f"{place}[{self._name}]" if "://" not in place else place, numbers, count, True, bool(self._text)
        )

    def close(self) -> None:
        if self._release is not None:
            self._release()

    def _choose_fields(self, held: dict[str, dict[str, Any]], is_open: bool, fields: Fields) -> None:
        kinds = {name: str(getattr(field["type"], "name", field["type"])) for name, field in held.items()}
        candidates = [name for name, kind in kinds.items() if kind in VECTORS]
        if fields.vectors is not None and fields.vectors not in candidates:
            listed = ", ".join(candidates) or "none"
            raise InputError(f"{self.origin} has no vectors '{fields.vectors}', it has: {listed}; change --key")
        if fields.vectors is None and len(candidates) != 1:
            listed = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
            raise InputError(
                f"{self.origin} has {len(candidates)} fields of float vectors, expected one ({listed}); name it with "
                "--key"
            )
        self._vectors = fields.vectors or candidates[0]
        self._id = next(name for name, field in held.items() if field.get("is_primary"))
        words = [name for name, kind in kinds.items() if kind in TEXTS and name != self._id]
        if is_open:  # texts may stand in fields that the schema does not know
            first = self._client.query(self._name, limit=LOOKED_AT, output_fields=["*"])
            words += [name for name in text_names(first) if name not in held]
        self._text = find_texts(words, fields.texts, self.origin)

    def _rows(self, skip: int) -> Iterator[Row]:
        wanted = [self._id, self._vectors, *([self._text] if self._text else [])]
        seen = 0
        with self._failing_clearly():
            pages = self._client.query_iterator(self._name, batch_size=PAGE, output_fields=wanted)
            while page := pages.next():
                for row in page:
                    if seen >= skip:
                        yield Row(str(row[self._id]), row[self._vectors], row.get(self._text) if self._text else None)
                    seen += 1
            pages.close()

    @contextlib.contextmanager
    def _failing_clearly(self) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # the client raises errors of several libraries
            raise InputError(
                f"{self.origin} cannot be read as a Milvus store ({first_line(error)}); check the place, that nothing "
                f"is writing into it, and {TOKEN_VARIABLE} for a server"
            ) from error


def _released(client: Any, name: str) -> None:
    with contextlib.suppress(Exception):  # it is a courtesy, and the server may be gone
        client.release_collection(name)


def _let_go(copy: TemporaryDirectory[str], where: str) -> None:
    """Stop what serves a copy before it goes: at its end it would write all of it once more."""
    with contextlib.suppress(Exception):
        from milvus_lite.server_manager import server_manager_instance

        server_manager_instance.release_server(where)
    copy.cleanup()
