"""Pinecone: no server can be had, so one of ours answers as its documentation says, and its own client judges it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from unmask.errors import InputError
from unmask.vectorstores import open_vectors
from unmask.vectorstores.base import LeftOut

PAGE = 5


class Index:
    """What an index holds, by namespace and id, and what it was asked."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, dict[str, Any]]] = {}
        self.asked: list[tuple[str, str, str | None]] = []
        self.deleted: set[str] = set()  # since their ids were listed

    def answer(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> tuple[int, Any]:
        place = urlsplit(path)
        named = parse_qs(place.query)
        space = self.held.get(named.get("namespace", [""])[0].replace("__default__", ""), {})
        self.asked.append((method, place.path, headers.get("api-key")))
        if headers.get("api-key") != "secret":
            return 401, {"code": 16, "message": "Invalid API Key"}
        if place.path == "/vectors/upsert":
            records = self.held.setdefault((body.get("namespace") or "").replace("__default__", ""), {})
            records.update({record["id"]: record for record in body["vectors"]})
            return 200, {"upsertedCount": len(body["vectors"])}
        if place.path == "/describe_index_stats":
            spaces = {name: {"vectorCount": len(records)} for name, records in self.held.items()}
            return 200, {"namespaces": spaces, "dimension": 5, "totalVectorCount": 0, "indexFullness": 0}
        if place.path == "/vectors/list":
            start = int(named.get("paginationToken", ["0"])[0])
            names = sorted(space)[start : start + PAGE]
            more = {"pagination": {"next": str(start + PAGE)}} if start + PAGE < len(space) else {}
            return 200, {"vectors": [{"id": name} for name in names], **more, "usage": {"readUnits": 1}}
        if place.path == "/vectors/fetch":
            wanted = {name: space[name] for name in named["ids"] if name in space and name not in self.deleted}
            return 200, {"vectors": wanted, "namespace": "", "usage": {"readUnits": 1}}
        return 404, {"message": f"no such place: {path}"}


@pytest.fixture
def index(answering: Any, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Index, str]]:
    """Written by Pinecone's own client."""
    from pinecone import Pinecone

    held = Index()
    monkeypatch.setenv("PINECONE_API_KEY", "secret")
    with answering(held.answer) as place:
        client = Pinecone(api_key="secret").Index(host=f"http://{place}")
        rows = [
            {"id": f"n{row:02}", "values": vector.tolist(), "metadata": {"body": f"text {row}", "row": row}}
            for row, vector in enumerate(vectors)
        ]
        client.upsert(vectors=rows, namespace="notes")
        client.upsert(vectors=rows[:3])
        # What our server answers is understood by the client too.
        assert [name for page in client.list(namespace="notes") for name in _names(page)] == sorted(held.held["notes"])
        fetched = client.fetch(ids=["n03"], namespace="notes").vectors["n03"]
        np.testing.assert_allclose(fetched.values, vectors[3], rtol=1e-6)
        held.asked.clear()
        yield held, place


def _names(page: Any) -> list[str]:
    return [item if isinstance(item, str) else item.id for item in getattr(page, "vectors", page)]


def test_every_record_of_a_namespace_comes_back_and_none_is_written(
    index: tuple[Index, str], vectors: np.ndarray
) -> None:
    held, place = index
    source = open_vectors(f"pinecone://{place}/notes")
    assert (source.count, source.dimension, source.has_ids, source.has_texts) == (23, 5, True, True)
    batches = list(source.batches(10))
    np.testing.assert_array_equal(np.concatenate([batch.values for batch in batches]), vectors)
    assert [name for batch in batches for name in batch.ids] == [f"n{row:02}" for row in range(23)]
    assert batches[0].texts is not None and batches[0].texts[3] == "text 3"
    assert [name for batch in source.batches(9, skip=20) for name in batch.ids] == ["n20", "n21", "n22"]
    assert {(method, path) for method, path, _ in held.asked} == {
        ("POST", "/describe_index_stats"), ("GET", "/vectors/list"), ("GET", "/vectors/fetch"),
    }  # fmt: skip


def test_namespaces_are_chosen_and_the_one_without_a_name_has_one(index: tuple[Index, str]) -> None:
    _, place = index
    with pytest.raises(InputError, match=r"2 namespaces that hold vectors.*--collection: notes, __default__"):
        open_vectors(f"pinecone://{place}")
    assert open_vectors(f"pinecone://{place}/__default__").count == 3
    assert open_vectors(f"pinecone://{place}", collection="notes").count == 23
    with pytest.raises(InputError, match="no namespace 'other'"):
        open_vectors(f"pinecone://{place}/other")
    with pytest.raises(InputError, match="drop --key"):
        open_vectors(f"pinecone://{place}/notes", key="values")


def test_records_without_values_and_those_deleted_meanwhile_are_left_out(index: tuple[Index, str]) -> None:
    held, place = index
    held.held["notes"]["n01"] = {"id": "n01", "sparseValues": {"indices": [1], "values": [1.0]}}
    held.deleted = {"n20"}
    left_out = LeftOut()
    source = open_vectors(f"pinecone://{place}/notes")
    kept = [name for batch in source.batches(50, left_out=left_out) for name in batch.ids]
    assert len(kept) == 21 and left_out.named == {"null in place of a vector": ["n01", "n20"]}


def test_many_long_ids_are_fetched_by_several_addresses(index: tuple[Index, str], monkeypatch: Any) -> None:
    held, place = index
    monkeypatch.setattr("unmask.vectorstores.pinecone.LONGEST_QUERY", 20)
    names = [name for batch in open_vectors(f"pinecone://{place}/notes").batches(50) for name in batch.ids]
    assert len(set(names)) == 23
    assert sum(path == "/vectors/fetch" for _, path, _ in held.asked) >= 12


def test_a_key_is_needed_is_not_shown_and_is_sent_without_tls_to_this_machine_alone(
    index: tuple[Index, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, place = index
    monkeypatch.setenv("PINECONE_API_KEY", "wrong-key")
    with pytest.raises(InputError, match=r"status 401, Invalid API Key.*PINECONE_API_KEY") as told:
        open_vectors(f"pinecone://{place}/notes")
    assert "wrong-key" not in str(told.value)
    monkeypatch.setenv("PINECONE_API_KEY", "two\nlines")
    with pytest.raises(InputError, match="holds characters that no key has") as told:
        open_vectors(f"pinecone://{place}/notes")
    assert "lines" not in str(told.value)
    monkeypatch.delenv("PINECONE_API_KEY")
    with pytest.raises(InputError, match="needs a key, expected in PINECONE_API_KEY"):
        open_vectors(f"pinecone://{place}/notes")
    asked: list[str] = []
    monkeypatch.setenv("PINECONE_API_KEY", "secret")
    monkeypatch.setattr(
        "unmask.vectorstores.pinecone.ask_json", lambda method, url, *_: asked.append(url) or {"namespaces": {}}
    )
    with pytest.raises(InputError, match="no namespace 'notes'"):
        open_vectors("pinecone://notes-1.svc.pinecone.io/notes")
    assert asked == ["https://notes-1.svc.pinecone.io:443/describe_index_stats"]


def test_a_key_goes_along_no_redirect_and_past_no_proxy(
    index: tuple[Index, str], answering: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, place = index
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # where nobody answers
    monkeypatch.delenv("no_proxy", raising=False)
    assert open_vectors(f"pinecone://{place}/notes").count == 23
    held.asked.clear()
    to_the_index = {"location": f"http://{place}/describe_index_stats"}
    refused = pytest.raises(InputError, match=f"sends one on to {place}, which was not asked for")
    with answering(lambda *_: (307, to_the_index)) as elsewhere, refused:
        open_vectors(f"pinecone://{elsewhere}/notes")
    assert held.asked == []


@pytest.mark.parametrize("busy", [1, 3, 4])
def test_a_busy_server_is_asked_again(
    index: tuple[Index, str], answering: Any, monkeypatch: pytest.MonkeyPatch, busy: int
) -> None:
    held, _ = index
    pauses: list[float] = []
    monkeypatch.setattr("unmask.vectorstores.http_json.sleep", pauses.append)
    refusals = iter([(429, {"error": {"code": "RESOURCE_EXHAUSTED", "message": "too many read units"}})] * busy)
    with answering(lambda *asked: next(refusals, None) or held.answer(*asked)) as place:
        if busy < 4:
            assert open_vectors(f"pinecone://{place}/notes").count == 23
        else:
            with pytest.raises(InputError, match="status 429, too many read units"):
                open_vectors(f"pinecone://{place}/notes")
    assert pauses == [1, 4, 16][:busy]


def test_what_holds_no_dense_vectors_says_so(index: tuple[Index, str]) -> None:
    held, place = index
    held.held["empty"] = {}
    held.held["sparse"] = {"a": {"id": "a", "sparseValues": {"indices": [1], "values": [1.0]}, "metadata": []}}
    with pytest.raises(InputError, match="holds no records, expected some; choose another --collection"):
        open_vectors(f"pinecone://{place}/empty")
    with pytest.raises(InputError, match="holds sparse records, expected dense ones"):
        open_vectors(f"pinecone://{place}/sparse")
    held.held["odd"] = {"a": "no record"}  # type: ignore[dict-item]
    with pytest.raises(InputError, match="something else in place of a record"):
        open_vectors(f"pinecone://{place}/odd")


@pytest.mark.parametrize("wrong", [[], {}, {"namespaces": 1}, {"namespaces": {"a": 1}}])
def test_an_answer_of_something_else_is_one_sentence(answering: Any, monkeypatch: Any, wrong: Any) -> None:
    monkeypatch.setenv("PINECONE_API_KEY", "secret")
    with (
        answering(lambda *_: (200, wrong)) as place,
        pytest.raises(InputError, match=r"as a Pinecone index|has no namespace"),
    ):
        open_vectors(f"pinecone://{place}/notes")
