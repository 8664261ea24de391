"""The endpoints, on the model that ships: what they answer, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from unmask.attacks.inverter import Inverter
from unmask.serve.app import create_app
from unmask.serve.samples import EASY, HARD
from unmask.serve.settings import ServerSettings

HOME = "http://127.0.0.1:8080"
TEXT = "The keys are under the blue flower pot."


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    settings = ServerSettings(aliases={"jinaai/jina-embeddings-v3": "minilm"}, vectors=40, upload=500_000)
    with TestClient(create_app(settings), base_url=HOME) as found:
        yield found


@pytest.fixture(scope="module")
def inverter() -> Inverter:
    return Inverter.from_pretrained("minilm")


@pytest.fixture(scope="module")
def vector(client: TestClient) -> list[float]:
    found: list[float] = client.post("/encode", json={"text": TEXT}).json()["embedding"]
    return found


def events(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line]


def test_a_text_becomes_its_encoders_vector(client: TestClient, inverter: Inverter, vector: list[float]) -> None:
    assert np.allclose(vector, inverter.encoder().encode([TEXT.lower()])[0], atol=1e-2)
    answer = client.post("/encode", json={"text": "word " * 100}).json()
    assert answer["was_cut"] and len(answer["tokens"]) == inverter.denoiser.length == len(answer["text"].split())


@pytest.mark.parametrize(("decoder", "steps"), [("confidence", 8), ("euler", 5), ("sequential", 4)])
def test_what_comes_back_is_what_the_command_line_gives(
    client: TestClient, inverter: Inverter, vector: list[float], decoder: str, steps: int
) -> None:
    asked = {"embedding": vector, "decoder": decoder, "steps": steps, "seed": 3, "temperature": 0.5}
    (expected,) = inverter.invert(np.array(vector, np.float32), decoder=decoder, steps=steps, seed=3, temperature=0.5)
    found = client.post("/invert", json=asked).json()
    assert found["text"] == expected.text and found["forward_passes"] == expected.cost.forward_passes
    assert [token["id"] for token in found["tokens"]] == list(expected.token_ids)
    assert found["cosine"] is None and found["comparison"] is None
    streamed = events(client.post("/invert/stream", json=asked))
    assert streamed[-1]["found"]["text"] == expected.text
    assert [event["done"] for event in streamed] == [False] * (len(streamed) - 1) + [True]
    progress = [event["progress"] for event in streamed]
    assert progress == sorted(progress) and progress[-1] == 1.0
    assert all(token["state"] != "masked" for token in streamed[-1]["tokens"])


def test_steps_show_what_is_hidden_and_what_is_new(client: TestClient, vector: list[float]) -> None:
    first, *_, last = events(client.post("/invert/stream", json={"embedding": vector, "steps": 8}))
    assert {"masked", "new"} == {token["state"] for token in first["tokens"]}
    assert all(token["text"] == "[MASK]" for token in first["tokens"] if token["state"] == "masked")
    assert (
        "".join(token["text"] for token in last["tokens"]).split()
        == "".join([t["text"] for t in last["found"]["tokens"]]).split()
    )


def test_a_token_that_a_step_set_is_the_likeliest_of_the_alternatives(client: TestClient, vector: list[float]) -> None:
    steps = events(client.post("/invert/stream", json={"embedding": vector, "decoder": "confidence", "steps": 6}))
    ids = [None if token["state"] == "masked" else token["id"] for token in steps[1]["tokens"]]
    new = [place for place, token in enumerate(steps[2]["tokens"]) if token["state"] == "new"]
    sure = []
    for place in new:
        asked = {"embedding": vector, "tokens": ids, "place": place}
        named = client.post("/alternatives", json=asked).json()["alternatives"]
        chances = [one["probability"] for one in named]
        assert len(named) == 8 and chances == sorted(chances, reverse=True) and 0 < sum(chances) <= 1.001
        sure.append(named[0]["id"] == steps[2]["tokens"][place]["id"])
        assert steps[2]["tokens"][place]["id"] in [one["id"] for one in named]
    assert sure and all(sure)
    bad = {"embedding": vector, "tokens": ids, "place": len(ids)}
    assert "a place among them" in client.post("/alternatives", json=bad).json()["error"]


def test_with_the_true_text_the_answer_is_compared(client: TestClient, vector: list[float]) -> None:
    found = client.post("/invert", json={"embedding": vector, "text": TEXT, "check": True}).json()
    assert 0.3 < found["cosine"] <= 1.0001
    compared = found["comparison"]
    assert {token["state"] for token in compared["true"]} <= {"right", "moved", "missing"}
    assert compared["exact"] == (found["text"] == TEXT.lower())
    assert 0 < compared["token_f1"] <= 1


def test_with_the_encoder_in_the_loop(client: TestClient, vector: list[float]) -> None:
    asked = {"embedding": vector, "decoder": "search", "search": {"budget": 150}, "text": TEXT}
    streamed = events(client.post("/invert/stream", json=asked))
    cosines = [event["cosine"] for event in streamed]
    assert len(streamed) > 2 and cosines == sorted(cosines)
    assert 0 < streamed[-1]["encoder_calls"] <= 150 and streamed[-1]["found"]["verified"] in (True, False)
    blind = client.post("/invert", json={**asked, "search": {"budget": 20, "scorer": "surrogate"}}).json()
    assert blind["encoder_calls"] == 0 and blind["cosine"] is None


def test_many_vectors_come_back_line_by_line(client: TestClient, inverter: Inverter) -> None:
    vectors = inverter.encoder().encode(list(EASY + HARD))
    ids = [f"note {number}" for number in range(len(vectors))]
    asked = {"embeddings": vectors.tolist(), "ids": ids, "decoder": "euler", "steps": 6}
    answer = client.post("/invert/batch", json=asked)
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["id"] for line in lines] == ids
    expected = inverter.invert(np.asarray(asked["embeddings"], np.float32), decoder="euler", steps=6)
    assert [line["text"] for line in lines] == [row.text for row in expected]


def test_clients_of_the_published_demo_are_served(client: TestClient, vector: list[float]) -> None:
    name = "jinaai/jina-embeddings-v3"
    assert client.post("/encode", json={"text": TEXT, "model": name}).json()["embedding"] == vector
    for steps, expected in (({}, 32), ({"steps": 0}, 1), ({"steps": 1000}, 32), ({"steps": 4}, 4)):
        streamed = events(client.post("/decode", json={"embedding": vector, "model": name, **steps}))
        assert len(streamed) <= expected and streamed[-1]["done"] is True
        assert set(streamed[0]) - {"cosine_similarity", "done"} == {"step", "total", "tokens", "text", "progress"}
        assert {token["s"] for event in streamed for token in event["tokens"]} <= {"m", "c", "u"}
        assert all(t["t"] == "[MASK]" for event in streamed for t in event["tokens"] if t["s"] == "m")
        assert 0 <= streamed[0]["progress"] <= streamed[-1]["progress"] == 1
        assert -1 <= streamed[-1]["cosine_similarity"] <= 1.0001
    assert client.get("/random", params={"model": name, "hard": "true"}).json()["text"] in HARD
    assert client.get("/random").json()["text"] in EASY
    assert client.get("/queue").json() == {"active": 0, "waiting": 0}
    health = client.get("/health").json()
    assert health["status"] == "ok" and health["models"] == ["minilm"] and health["queue"]["waiting"] == 0


def test_a_defence_changes_the_vector_as_it_says(client: TestClient, vector: list[float]) -> None:
    noised = client.post("/defend", json={"embedding": vector, "noise": 1.0, "seed": 1}).json()
    assert noised["cosine"] == pytest.approx(0.707, abs=0.08) and len(noised["embedding"]) == len(vector)
    cut = client.post("/defend", json={"embedding": vector, "dimensions": 100, "precision": "binary"}).json()
    assert sum(value != 0 for value in cut["embedding"]) == 100


def test_what_there_is(client: TestClient) -> None:
    answer = client.get("/models").json()
    (model,) = answer["models"]
    assert model["dimension"] == 384 and model["encoder"] == "minilm" and model["has_surrogate"]
    assert {"confidence", "search"} <= {decoder["name"] for decoder in answer["decoders"]}
    assert client.get("/ready").json() == {"ready": True}
    counts = client.get("/metrics").text
    assert 'unmask_requests_total{model="minilm"}' in counts and TEXT not in counts


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/invert", {"embedding": [0.5] * 768}, 400, "384"),
        ("/invert", {"embedding": []}, 422, "embedding"),
        ("/invert", {"embedding": [0.1] * 384, "decoder": "euller"}, 400, "euler"),
        ("/invert", {"embedding": [0.1] * 384, "step": 3}, 422, "step"),
        ("/invert", {"embedding": [0.1] * 384, "steps": 0}, 422, "steps"),
        ("/invert", {"embedding": [0.1] * 384, "model": "minilmm"}, 404, "did you mean 'minilm'"),
        ("/invert", {"embedding": ["a"] * 384}, 422, "embedding"),
        ("/invert", {"embedding": [1e300] * 384}, 400, ""),
        ("/invert", {"embedding": [0.0] * 384}, 400, ""),
        ("/invert/batch", {"embeddings": [[0.1] * 384, [0.1] * 3]}, 400, ""),
        ("/invert/batch", {"embeddings": [[0.1] * 384], "ids": ["a", "b"]}, 400, "2 ids for 1 vectors"),
        ("/invert/batch", {"embeddings": [[0.1] * 3] * 41}, 413, "41 vectors were sent, 40 may be"),
        ("/encode", {"text": ""}, 422, "text"),
        ("/encode", {"text": " "}, 400, "no tokens"),
        ("/encode", {"text": "a" * 5000}, 413, "5000 characters"),
        ("/defend", {"embedding": [0.1], "noise": -1}, 422, "noise"),
        ("/defend", {"embedding": [0.1], "dimensions": 2}, 400, "the vectors have 1"),
        ("/defend", {"embedding": [1e300]}, 400, "1e+06"),
    ],
)
def test_bad_requests_are_told_in_one_sentence(
    client: TestClient, path: str, body: dict[str, Any], status: int, message: str
) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"] and message in answer.json()["error"]
    assert "Traceback" not in answer.text and "\n" not in answer.json()["error"]


def test_bodies_that_are_no_json_too_large_or_not_for_this(client: TestClient) -> None:
    assert client.post("/invert", content=b"{").status_code == 422
    assert client.post("/invert", content=b"\x80\x04pickled", headers={"content-type": "text/plain"}).status_code == 422
    large = b" " * 600_000
    assert client.post("/invert", content=large).status_code == 413
    assert client.post("/invert", content=iter([large[:300_000]] * 2)).status_code == 413
    assert client.get("/nothing").json()["error"].startswith("GET /nothing")
    assert client.get("/invert").status_code == 405


def test_pages_of_others_may_not_send_requests(client: TestClient) -> None:
    body = {"text": TEXT}
    assert client.post("/encode", json=body, headers={"origin": "https://evil.example"}).status_code == 403
    assert client.post("/encode", json=body, headers={"origin": "null"}).status_code == 403
    assert client.post("/encode", json=body, headers={"origin": HOME}).status_code == 200
    assert client.get("/health", headers={"host": "evil.example"}).status_code == 403
    headers = client.get("/health").headers
    assert "unsafe" not in headers["content-security-policy"] and headers["x-content-type-options"] == "nosniff"


def test_a_token_is_asked_for_where_there_is_one() -> None:
    settings = ServerSettings(host="0.0.0.0", token="a-long-enough-token", origins=("https://mine.example",))
    with TestClient(create_app(settings), base_url="http://there.example") as client:
        assert client.get("/queue").status_code == 401
        assert client.get("/queue", headers={"authorization": "Bearer wrong"}).status_code == 401
        assert client.get("/queue", headers={"authorization": "Bearer a-long-enough-token"}).status_code == 200
        assert client.get("/health").status_code == 200
        headers = {"authorization": "Bearer a-long-enough-token", "origin": "https://mine.example"}
        assert client.post("/defend", json={"embedding": [1.0]}, headers=headers).status_code == 200
