"""`unmask serve` as a process: clients that vanish, a full queue, being killed, being asked to stop."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from unmask.serve.samples import HARD

LONG = {"decoder": "search", "search": {"budget": 100_000, "rounds": 10_000, "scorer": "surrogate"}}
PATIENCE = 60.0


class Running:
    def __init__(self, *options: str, token: str | None = None) -> None:
        environment = {**os.environ, **({} if token is None else {"UNMASK_TOKEN": token})}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "unmask", "serve", *options], stderr=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        found = re.search(r"at (http://\S+)", line)
        assert found, line
        self.url = found[1]
        self.http = httpx.Client(base_url=self.url, timeout=PATIENCE)
        self.until(lambda: self.http.get("/ready").status_code == 200)

    def until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < deadline, "it took too long"
            time.sleep(0.05)

    def vector(self) -> list[float]:
        found: list[float] = self.http.post("/encode", json={"text": HARD[0]}).json()["embedding"]
        return found

    def end(self) -> None:
        self.http.close()
        self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()


@contextmanager
def running(*options: str) -> Iterator[Running]:
    server = Running("--port", "0", *options)
    try:
        yield server
    finally:
        server.end()


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running("--queue", "2", "--rows", "4") as found:
        yield found


def test_a_client_that_disconnects_frees_its_place(server: Running) -> None:
    vector = server.vector()
    with httpx.stream("POST", f"{server.url}/invert/stream", json={"embedding": vector, **LONG}, timeout=60) as answer:
        next(answer.iter_lines())
        assert server.http.get("/queue").json()["active"] == 1
    server.until(lambda: server.http.get("/queue").json() == {"active": 0, "waiting": 0})
    assert re.search(r"unmask_left_total\S* 1", server.http.get("/metrics").text)
    assert server.http.post("/invert", json={"embedding": vector}).status_code == 200


def test_one_that_waits_for_its_answer_alone_frees_its_place_too(server: Running) -> None:
    left = re.compile(r"unmask_left_total\S* (\d+)")
    before = int(left.findall(server.http.get("/metrics").text)[0])
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/invert", json={"embedding": server.vector(), **LONG}, timeout=1.0)
    server.until(lambda: server.http.get("/queue").json() == {"active": 0, "waiting": 0})
    assert int(left.findall(server.http.get("/metrics").text)[0]) == before + 1


def test_a_full_queue_sends_away_and_says_when_to_come_again(server: Running) -> None:
    asked = {"embedding": server.vector(), **LONG}
    with httpx.Client(base_url=server.url, timeout=60, limits=httpx.Limits(max_connections=20)) as client:
        held, seen = [], []
        try:
            for _ in range(12):  # eight may be searched for together, two may wait
                stream = client.stream("POST", "/invert/stream", json=asked)
                answer = stream.__enter__()
                held.append(stream)
                seen.append(answer.status_code)
                if answer.status_code == 429:
                    answer.read()
                    assert int(answer.headers["retry-after"]) >= 1 and "waiting" in answer.json()["error"]
                    break
        finally:
            for stream in held:
                stream.__exit__(None, None, None)
    assert seen[-1] == 429 and seen[:-1] == [200] * (len(seen) - 1) and len(seen) > 2
    server.until(lambda: server.http.get("/queue").json() == {"active": 0, "waiting": 0})


def test_a_killed_server_that_is_started_again_answers() -> None:
    with running() as first:
        port = httpx.URL(first.url).port
        vector = first.vector()
        before = first.http.post("/invert", json={"embedding": vector}).json()["text"]
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
    with running("--port", str(port)) as second:
        assert second.http.post("/invert", json={"embedding": vector}).json()["text"] == before


def test_asked_to_stop_it_finishes_what_runs() -> None:
    with running() as server:
        asked = {"embedding": server.vector(), "decoder": "search", "search": {"budget": 200}}
        with httpx.stream("POST", f"{server.url}/invert/stream", json=asked, timeout=60) as answer:
            lines = answer.iter_lines()
            next(lines)
            server.process.send_signal(signal.SIGTERM)
            events = [json.loads(line.removeprefix("data: ")) for line in lines if line]
        assert events[-1]["done"] and events[-1]["found"]["text"]
        assert server.process.wait(PATIENCE) in (0, -signal.SIGTERM)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "without a token"),
        (["--alias", "other"], "expected NAME=MODEL"),
        (["--alias", "a=b"], "an alias stands for 'b', which is not served"),
        (["--port", "70000"], "the port is 70000"),
    ],
)
def test_settings_that_make_no_sense(options: list[str], message: str) -> None:
    done = subprocess.run([sys.executable, "-m", "unmask", "serve", *options], capture_output=True, text=True)
    assert done.returncode != 0 and message in done.stderr and "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_told_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "unmask", "serve", "--port", port], capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 1 and f"port {port}" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_description_holds_for_whatever_is_sent(server: Running, tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")), "run", f"{server.url}/openapi.json", "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
            "--max-examples", "15", "--seed", "1", "--exclude-path", "/ready", "--no-color", "--request-timeout", "60",
        ],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
