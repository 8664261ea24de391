"""Elasticsearch and OpenSearch by answers as their documentation has them: no server of either is at hand.

Their own clients judge the answers, by writing and reading what is read here.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from unmask.errors import InputError
from unmask.vectorstores import open_vectors
from unmask.vectorstores.base import LeftOut

MAPPING = {
    "notes": {
        "mappings": {
            "properties": {
                "held": {"type": "dense_vector", "dims": 5},
                "author": {"properties": {"name": {"type": "keyword"}}},
                "body": {"type": "text"},
            }
        }
    },
    "logs": {"mappings": {"properties": {"line": {"type": "text"}}}},
    "empty": {"mappings": {}},
}


class Answers:
    """A server's own state: what it holds, what it was asked, which scrolls are open."""

    def __init__(self, vectors: np.ndarray) -> None:
        self.hits = [
            {"_id": f"n{row}", "_source": {"held": vector.tolist(), "body": f"text {row}", "author": {"name": "x"}}}
            for row, vector in enumerate(vectors)
        ]
        self.asked: list[tuple[str, str, Any, str | None]] = []
        self.scrolls: dict[str, int] = {}
        self.knows_exclude_vectors = True

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if path == "/_mapping":
            return 200, MAPPING
        if method == "PUT" and path.startswith("/notes/_doc/"):
            name = path.removeprefix("/notes/_doc/")
            self.hits.append({"_index": "notes", "_id": name, "_source": body})
            return 201, {"_index": "notes", "_id": name, "result": "created"}
        if path == "/notes/_count":
            return 200, {"count": len(self.hits)}
        if path.startswith("/notes/_search?"):
            return self._first(body, parse_qs(urlsplit(path).query))
        if path == "/_search/scroll" and method == "DELETE":
            names = body["scroll_id"]
            for name in names if isinstance(names, list) else [names]:
                del self.scrolls[name]
            return 200, {"succeeded": True}
        if path == "/_search/scroll":
            return 200, self._page(body["scroll_id"])
        return 404, {"error": {"reason": f"no such place: {path}"}}

    def _first(self, body: Any, named: Mapping[str, list[str]]) -> tuple[int, Any]:
        if "exclude_vectors" in body["_source"] and not self.knows_exclude_vectors:
            return 400, {"error": {"reason": "unknown field [exclude_vectors]"}}
        self.size = int(body.get("size") or named["size"][0])
        name = f"scroll{len(self.asked)}"
        self.scrolls[name] = 0
        self.includes = body["_source"]["includes"]
        return 200, self._page(name)

    def _page(self, name: str) -> Any:
        start = self.scrolls[name]
        self.scrolls[name] = start + self.size
        wanted = {path.partition(".")[0] for path in self.includes}
        hits = [
            {**hit, "_source": {key: value for key, value in hit["_source"].items() if key in wanted}}
            for hit in self.hits[start : start + self.size]
        ]
        shards = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
        return {"_scroll_id": name, "timed_out": False, "_shards": shards, "hits": {"hits": hits}}


@pytest.fixture
def server(vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch, answering: Any) -> Iterator[tuple[Answers, str]]:
    answers = Answers(vectors)

    def answer(method: str, path: str, body: Any, headers: Mapping[str, str]) -> tuple[int, Any]:
        answers.asked.append((method, path, body, headers.get("authorization")))
        return answers.answer(method, path, body)

    for name in ("ELASTIC_API_KEY", "ELASTIC_USER", "ELASTIC_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("unmask.vectorstores.elastic.PAGE", 4)
    with answering(answer) as place:
        yield answers, place


@pytest.mark.parametrize("package", ["elasticsearch", "opensearchpy"])
def test_their_own_clients_write_and_read_what_is_read_here(
    server: tuple[Answers, str], vectors: np.ndarray, package: str
) -> None:
    answers, place = server
    answers.hits.clear()
    vendor, helpers = pytest.importorskip(package), pytest.importorskip(f"{package}.helpers")
    client = (vendor.Elasticsearch if package == "elasticsearch" else vendor.OpenSearch)(f"http://{place}")
    for row, vector in enumerate(vectors):
        document = {"held": vector.tolist(), "body": f"text {row}"}
        client.index(index="notes", id=f"n{row}", **{"document" if package == "elasticsearch" else "body": document})
    query = {"_source": {"includes": ["held", "body"]}}
    read = list(helpers.scan(client, index="notes", query=query, size=7))
    (batch,) = open_vectors(f"elasticsearch://{place}/notes").batches(50)
    assert list(batch.ids) == [hit["_id"] for hit in read]
    assert list(batch.texts or ()) == [hit["_source"]["body"] for hit in read]
    np.testing.assert_array_equal(batch.values, np.array([hit["_source"]["held"] for hit in read], np.float32))
    np.testing.assert_array_equal(batch.values, vectors)
    assert answers.scrolls == {}


@pytest.mark.parametrize("is_recent", [True, False])
def test_every_document_comes_back_and_its_scroll_is_closed(
    server: tuple[Answers, str], vectors: np.ndarray, is_recent: bool
) -> None:
    answers, place = server
    answers.knows_exclude_vectors = is_recent
    source = open_vectors(f"elasticsearch://{place}/notes")
    assert source.count == 23 and source.dimension == 5
    batches = list(source.batches(10))
    assert [len(batch) for batch in batches] == [10, 10, 3]
    np.testing.assert_array_equal(np.concatenate([batch.values for batch in batches]), vectors)
    assert [name for batch in batches for name in batch.ids] == [f"n{row}" for row in range(23)]
    assert batches[0].texts is not None and batches[0].texts[3] == "text 3"
    assert [name for batch in source.batches(9, skip=20) for name in batch.ids] == ["n20", "n21", "n22"]
    assert answers.scrolls == {}
    assert {(method, path.split("?")[0]) for method, path, *_ in answers.asked} == {
        ("GET", "/_mapping"), ("GET", "/notes/_count"), ("POST", "/notes/_search"), ("POST", "/_search/scroll"),
        ("DELETE", "/_search/scroll"),
    }  # fmt: skip


def test_the_index_is_found_if_only_one_holds_vectors_and_fields_have_paths(server: tuple[Answers, str]) -> None:
    _, place = server
    assert open_vectors(f"opensearch://{place}").origin.endswith("[notes]")
    with pytest.raises(InputError, match="no index 'other', it has: notes, logs, empty"):
        open_vectors(f"opensearch://{place}/other")
    with pytest.raises(InputError, match=r"no field 'x', it has: held, author\.name, body; change --key"):
        open_vectors(f"opensearch://{place}", key="x")
    with pytest.raises(InputError, match="has 0 fields of vectors"):
        open_vectors(f"opensearch://{place}/logs")
    source = open_vectors(f"opensearch://{place}", texts="author.name")
    assert next(source.batches(1)).texts == ("x",)


def test_documents_may_write_paths_with_dots_and_may_lack_fields(server: tuple[Answers, str]) -> None:
    answers, place = server
    answers.hits[0]["_source"] = {**answers.hits[0]["_source"], "author.name": "dotted"}
    answers.hits[1]["_source"].pop("author")
    answers.hits[2].pop("_source")
    answers.knows_exclude_vectors = True
    left_out = LeftOut()
    answers.hits[2]["_source"] = {}
    source = open_vectors(f"opensearch://{place}", texts="author.name")
    batches = list(source.batches(50, left_out=left_out))
    assert batches[0].texts is not None and batches[0].texts[1] is None
    assert left_out.named == {"null in place of a vector": ["n2"]}


@pytest.mark.parametrize(
    "wrong", [{"timed_out": True}, {"_shards": {"failed": 1}}, {"hits": None}, {"_scroll_id": None}]
)
def test_a_page_that_is_not_whole_is_not_taken_for_the_store(
    server: tuple[Answers, str], monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    answers, place = server
    page = answers._page
    monkeypatch.setattr(answers, "_page", lambda name: {**page(name), **wrong})
    with pytest.raises(InputError, match="does not answer as Elasticsearch or OpenSearch"):
        open_vectors(f"elasticsearch://{place}/notes")


@pytest.mark.parametrize("sent", [[], {"status": "ok"}, {"notes": 1}])
def test_an_answer_of_something_else_is_one_sentence(
    server: tuple[Answers, str], monkeypatch: pytest.MonkeyPatch, sent: Any
) -> None:
    answers, place = server
    monkeypatch.setattr(answers, "answer", lambda *_: (200, sent))
    with pytest.raises(InputError, match="does not answer as Elasticsearch or OpenSearch"):
        open_vectors(f"elasticsearch://{place}/notes")


def test_keys_come_from_the_environment_and_wrong_ones_are_one_sentence(
    server: tuple[Answers, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, place = server
    monkeypatch.setenv("ELASTIC_USER", "ann")
    monkeypatch.setenv("ELASTIC_PASSWORD", "secret")
    open_vectors(f"opensearch://{place}")
    assert answers.asked[-1][3] == "Basic " + base64.b64encode(b"ann:secret").decode()
    monkeypatch.setenv("ELASTIC_API_KEY", "key")
    open_vectors(f"opensearch://{place}")
    assert answers.asked[-1][3] == "ApiKey key"
    monkeypatch.setattr(answers, "answer", lambda *_: (401, {"error": {"reason": "missing authentication"}}))
    with pytest.raises(InputError, match=r"status 401, missing authentication.*ELASTIC_API_KEY") as told:
        open_vectors(f"opensearch://{place}")
    assert "secret" not in str(told.value)
    monkeypatch.setenv("ELASTIC_API_KEY", "top\nsecret")
    with pytest.raises(InputError, match="ELASTIC_API_KEY holds characters that no key has") as told:
        open_vectors(f"opensearch://{place}")
    assert "secret" not in str(told.value)
    monkeypatch.delenv("ELASTIC_API_KEY")
    with pytest.raises(InputError, match=r"has options \(api_key\), expected none") as told:
        open_vectors(f"opensearch://{place}/notes?api_key=topsecret")
    assert "topsecret" not in str(told.value)
    with pytest.raises(InputError, match="does not answer as Elasticsearch or OpenSearch"):
        open_vectors("elasticsearch://127.0.0.1:1/notes")
