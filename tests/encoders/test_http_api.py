from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from unmask.encoders.http_api import TRIES_AGAIN, ApiEncoder, Pace
from unmask.errors import BudgetExhausted, EncoderError, MissingExtra

TEXTS = [f"text number {number}" for number in range(7)]


def connect(api: Any, model: str = "tiny", **settings: Any) -> ApiEncoder:
    return ApiEncoder(model, **{"url": api.url, "api_key_variable": "UNMASK_TEST_KEY", **settings})


def expected(texts: list[str], vector_of: Any, dimension: int = 8) -> np.ndarray:
    values = np.array([vector_of(text, dimension) for text in texts])
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.fixture
def vector_of(api: Any) -> Any:
    return lambda text, dimension: api.answer(
        "/v1/embeddings", f"Bearer {api.key}", {"model": "tiny", "input": [text], "dimensions": dimension}
    )[1]["data"][0]["embedding"]


def test_batches_are_sent_and_come_back_in_order(api: Any, vector_of: Any) -> None:
    api.change = lambda data: data[::-1]  # an answer may come in any order
    found = connect(api, batch_size=3).encode(TEXTS)
    assert [len(request["input"]) for request in api.requests] == [3, 3, 1]
    np.testing.assert_allclose(found, expected(TEXTS, vector_of), atol=1e-6)


def test_prompt_task_and_dimension_are_sent(api: Any, vector_of: Any) -> None:
    found = connect(api, prompt="query: ", task="text-matching", truncate_dim=4, normalize=False).encode(TEXTS[:1])
    assert api.requests[0]["input"] == ["query: " + TEXTS[0]]
    assert api.requests[0]["task"] == "text-matching"
    np.testing.assert_allclose(found[0], vector_of("query: " + TEXTS[0], 4), atol=1e-6)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(api: Any, status: int) -> None:
    api.failures = [status] * TRIES_AGAIN
    encoder = connect(api)
    assert encoder.encode(TEXTS[:2]).shape == (2, 8)
    assert len(api.requests) == TRIES_AGAIN + 1
    assert encoder.queries == 2


@pytest.mark.parametrize(("status", "words"), [(429, "lower requests_per_minute"), (500, "try later")])
def test_a_server_that_stays_busy_is_given_up(api: Any, status: int, words: str) -> None:
    api.failures = [status] * 100
    with pytest.raises(EncoderError, match=f"status {status}: the server is busy.*{words}"):
        connect(api).encode(TEXTS[:2])
    assert len(api.requests) == TRIES_AGAIN + 1


def test_the_budget_stops_before_it_is_overrun(api: Any) -> None:
    encoder = connect(api, budget=5, batch_size=2)
    encoder.encode(TEXTS[:3])
    sent = len(api.requests)
    with pytest.raises(BudgetExhausted, match=r"3 of the 5 texts .* 3 more .* raise the budget to 6"):
        encoder.encode(TEXTS[:3])
    assert len(api.requests) == sent
    assert encoder.encode(TEXTS[:2]).shape == (2, 8)  # what is left may be spent to the last text
    with pytest.raises(BudgetExhausted):
        encoder.encode(TEXTS[:1])
    assert encoder.queries == 5


def test_asking_for_the_dimension_counts_as_a_query(api: Any) -> None:
    encoder = connect(api, budget=0)
    with pytest.raises(BudgetExhausted):
        _ = encoder.dimension
    assert api.requests == []
    assert connect(api, truncate_dim=4).dimension == 4
    assert api.requests == []


def test_requests_keep_their_pace_when_a_try_is_repeated(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []
    monkeypatch.setattr(Pace, "wait", lambda self: waits.append(len(api.requests)))
    api.failures = [429, 429]
    connect(api, batch_size=4, requests_per_minute=60).encode(TEXTS)
    assert waits == [0, 1, 2, 3]


def test_pace_spreads_requests_evenly() -> None:
    now = [100.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    pace = Pace(30, clock=lambda: now[0], sleep=sleep)
    left = []
    for _ in range(4):
        pace.wait()
        left.append(now[0] - 100)
    assert left == [0, 2, 4, 6]
    now[0] += 60  # a long pause saves nothing up
    pace.wait()
    pace.wait()
    assert now[0] - 100 == 68
    with pytest.raises(EncoderError, match="requests_per_minute is 0"):
        Pace(0)


def without_last(data: list[dict[str, Any]]) -> Any:
    return data[:-1]


def with_nan(data: list[dict[str, Any]]) -> Any:
    data[1]["embedding"][2] = float("nan")
    return data


def with_null(data: list[dict[str, Any]]) -> Any:
    data[1]["embedding"][2] = None
    return data


def ragged(data: list[dict[str, Any]]) -> Any:
    data[1]["embedding"] = data[1]["embedding"][:-1]
    return data


def zero(data: list[dict[str, Any]]) -> Any:
    data[1]["embedding"] = [0.0] * 8
    return data


def web_page(data: list[dict[str, Any]]) -> Any:
    return "<html>welcome</html>"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without_last, "answered 3 texts with 2 vectors"),
        (with_nan, r"NaN or infinite values for 1 of 3 texts \(the first is number 1\)"),
        (with_null, r"NaN or infinite|not 3 equally long lists of numbers"),
        (ragged, "not 3 equally long lists of numbers"),
        (zero, "zero vector for 'text number 1'"),
        (web_page, "answered 3 texts with something else than vectors|gave no answer of an embeddings API"),
    ],
)
def test_a_wrong_answer_is_named(api: Any, change: Any, words: str) -> None:
    api.change = change
    with pytest.raises(EncoderError, match=words):
        connect(api).encode(TEXTS[:3])


def test_a_dimension_that_changes_is_named(api: Any) -> None:
    encoder = connect(api)
    encoder.encode(TEXTS[:1])
    api.dimension = 9
    with pytest.raises(EncoderError, match=r"shape \(2, 9\), expected \(2, 8\)"):
        encoder.encode(TEXTS[:2])


def test_a_wrong_key_is_named_by_its_variable_and_never_shown(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNMASK_TEST_KEY", "sk-secret")
    with pytest.raises(EncoderError, match=r"refused the key in UNMASK_TEST_KEY \(status 401\)") as caught:
        connect(api).encode(TEXTS[:1])
    assert "sk-secret" not in str(caught.value)


def test_a_missing_key_is_asked_for_unless_the_server_is_ones_own(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNMASK_TEST_KEY")
    with pytest.raises(EncoderError, match="UNMASK_TEST_KEY holds no key"):
        connect(api, url=None)
    api.key = "none"
    assert connect(api).encode(TEXTS[:1]).shape == (1, 8)


def test_an_unknown_model_and_a_wrong_path_are_named(api: Any) -> None:
    with pytest.raises(EncoderError, match=r"knows no model 'huge'.*no such model"):
        connect(api, model="huge").encode(TEXTS[:1])


def test_an_unreachable_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unmask.encoders.http_api.TRIES_AGAIN", 0)
    with pytest.raises(EncoderError, match=r"127\.0\.0\.1:9/v1/ cannot be reached"):
        ApiEncoder("tiny", url="http://127.0.0.1:9/v1").encode(TEXTS[:1])


def test_without_the_client_the_extra_is_named(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtra, match=r"pip install 'unmask\[api\]'"):
        connect(api)
