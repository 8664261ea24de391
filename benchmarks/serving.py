"""Speed of the server: many clients at once, against one at a time, and against the offline batch of the same decoder.

    python benchmarks/serving.py [--clients 32] [--vectors 1024] [--decoder confidence] [--steps 12] [--json]
    python benchmarks/serving.py --minutes 10

The first form measures throughput; each request is for one vector. The second is mixed load for so many minutes:
clients that vanish in the middle, bodies that are too large or no JSON, vectors of a wrong dimension, beside those that
are right; it reports unintended statuses and how the server's memory grew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from unmask.attacks.inverter import Inverter
from unmask.runtime import keep_freed_memory, set_threads
from unmask.serve.samples import EASY, HARD

WANTED_SHARE, WANTED_TIMES, WANTED_GROWTH = 0.6, 5.0, 0.05
SETTLED_AFTER = 0.1  # of the run: until then a process still takes what it will need
WORDS = (
    "keys", "letter", "garden", "river", "bridge", "teacher", "winter", "morning", "under", "behind", "waits", "sings",
)  # fmt: skip


def sentences(count: int) -> list[str]:
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=draw.randint(6, 14))) for _ in range(count)]


@asynccontextmanager
async def serving(model: str, *options: str) -> AsyncIterator[tuple[httpx.AsyncClient, int]]:
    """A server of its own process, loaded; and that process's id."""
    process = subprocess.Popen(
        [sys.executable, "-m", "unmask", "serve", "--port", "0", "--model", model, *options],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    found = re.search(r"http://\S+", process.stderr.readline())
    assert found is not None, "the server did not start"
    limits = httpx.Limits(max_connections=256)
    try:
        async with httpx.AsyncClient(base_url=found[0], timeout=120, limits=limits) as client:
            while (await client.get("/ready")).status_code != 200:
                await asyncio.sleep(0.2)
            yield client, process.pid
    finally:
        process.terminate()
        process.wait()


async def answer_to(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The status and the body of the next answer on a connection that stays open."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None, head
    return int(head.split(maxsplit=2)[1]), await reader.readexactly(int(length[1]))


async def rate(address: httpx.URL, bodies: list[bytes], clients: int) -> tuple[float, list[float]]:
    """Vectors a second, and each request's seconds.

    The clients are sockets and no more: what they take of the cores that the model computes on is taken from it.
    """
    head = f"POST /invert HTTP/1.1\r\nhost: {address.netloc.decode()}\r\ncontent-type: application/json\r\n"
    left = [f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
    taken = list[float]()

    async def one_client() -> None:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        while left:
            request = left.pop()
            began = time.perf_counter()
            writer.write(request)
            status, body = await answer_to(reader)
            taken.append(time.perf_counter() - began)
            assert status == 200, body
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one_client() for _ in range(clients)))
    return len(bodies) / (time.perf_counter() - began), taken


async def as_the_page_asks(client: httpx.AsyncClient, steps: int) -> tuple[list[float], list[float]]:
    """For one sentence after the other: seconds to its first step, and from the text to the compared result."""
    to_step, to_result = list[float](), list[float]()
    for text in [*EASY, *HARD]:
        began = time.perf_counter()
        answer = await client.post("/encode", json={"text": text})
        body = {"embedding": answer.json()["embedding"], "steps": steps, "text": text, "check": True}
        embedded, is_first = time.perf_counter(), True
        async with client.stream("POST", "/invert/stream", json=body) as streamed:
            async for _ in streamed.aiter_lines():
                if is_first:
                    to_step.append(time.perf_counter() - embedded)
                    is_first = False
        to_result.append(time.perf_counter() - began)
    return to_step, to_result


async def throughput(arguments: argparse.Namespace) -> dict[str, Any]:
    inverter = Inverter.from_pretrained(arguments.model)
    vectors = inverter.encoder().encode(sentences(arguments.vectors))
    choices = {"decoder": arguments.decoder, "steps": arguments.steps}
    inverter.invert(vectors[:64], **choices)
    began = time.perf_counter()
    inverter.invert(vectors, batch_size=64, **choices)
    offline = len(vectors) / (time.perf_counter() - began)
    bodies = [json.dumps({"embedding": vector.tolist(), **choices}).encode() for vector in vectors]
    async with serving(arguments.model) as (client, _):
        address = client.base_url
        await rate(address, bodies[:64], arguments.clients)
        together, taken = await rate(address, bodies, arguments.clients)
        alone, _ = await rate(address, bodies[: max(16, arguments.vectors // 8)], 1)
        to_step, to_result = await as_the_page_asks(client, arguments.steps)
    return {
        "clients": arguments.clients, "vectors": len(vectors), **choices, "offline_vectors_per_second": offline,
        "server_vectors_per_second": together, "one_at_a_time_vectors_per_second": alone,
        "share_of_offline": together / offline, "times_one_at_a_time": together / alone,
        "p50_seconds": float(np.quantile(taken, 0.5)), "p99_seconds": float(np.quantile(taken, 0.99)),
        "first_step_seconds": [float(np.median(to_step)), max(to_step)],
        "result_seconds": [float(np.median(to_result)), max(to_result)],
    }  # fmt: skip


def memory_of(process: int) -> float:
    """Resident MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


async def vanish(client: httpx.AsyncClient, vector: list[float]) -> int:
    body = {"embedding": vector, "decoder": "search", "search": {"budget": 5000}}
    async with client.stream("POST", "/invert/stream", json=body) as answer:
        async for _ in answer.aiter_lines():
            break
    return answer.status_code


async def mixed(arguments: argparse.Namespace) -> dict[str, Any]:
    """Every kind of request, with the statuses that are meant for it."""
    vectors = Inverter.from_pretrained(arguments.model).encoder().encode(sentences(64)).tolist()
    draw = random.Random(1)
    right, busy = {200, 429}, {429}
    async with serving(arguments.model, "--queue", "64") as (client, process):
        kinds: list[tuple[str, set[int], Callable[[], Awaitable[int]]]] = [
            ("right", right, lambda: post(client, "/invert", json={"embedding": draw.choice(vectors)})),
            ("stream", right, lambda: post(client, "/decode", json={"embedding": draw.choice(vectors), "steps": 8})),
            ("batch", right, lambda: post(client, "/invert/batch", json={"embeddings": draw.sample(vectors, 16)})),
            ("encode", right, lambda: post(client, "/encode", json={"text": draw.choice(sentences(64))})),
            ("vanishing", right, lambda: vanish(client, draw.choice(vectors))),
            ("too large", {413}, lambda: post(client, "/invert", content=b" " * (33 * 2**20))),
            ("no JSON", {422}, lambda: post(client, "/invert", content=b"{\x80")),
            ("wrong dimension", {400} | busy, lambda: post(client, "/invert", json={"embedding": [0.1] * 7})),
        ]  # fmt: skip
        statuses: Counter[str] = Counter()
        unintended: Counter[str] = Counter()
        until = time.monotonic() + 60 * arguments.minutes
        began, memory = time.monotonic(), list[tuple[float, float]]()

        async def one_client() -> None:
            while time.monotonic() < until:
                name, intended, ask = draw.choice(kinds)
                status = await ask()
                statuses[f"{name} {status}"] += 1
                if status not in intended:
                    unintended[f"{name} {status}"] += 1

        async def watch() -> None:
            while time.monotonic() < until:
                memory.append((time.monotonic() - began, memory_of(process)))
                await asyncio.sleep(1)

        await asyncio.gather(watch(), *(one_client() for _ in range(arguments.clients)))
        queue = (await client.get("/queue")).json()
    settled = [held for at, held in memory if at > SETTLED_AFTER * 60 * arguments.minutes]
    third = max(1, len(settled) // 3)
    growth = float(np.median(settled[-third:]) / np.median(settled[:third]) - 1)
    return {
        "minutes": arguments.minutes, "clients": arguments.clients, "statuses": dict(sorted(statuses.items())),
        "unintended": dict(unintended), "memory_mib": [round(settled[0]), round(settled[-1])],
        "memory_growth": growth, "wanted_growth": WANTED_GROWTH, "left_in_the_queue": queue,
    }  # fmt: skip


async def post(client: httpx.AsyncClient, path: str, **body: Any) -> int:
    return (await client.post(path, **body)).status_code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--vectors", type=int, default=1024)
    parser.add_argument("--decoder", default="confidence")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--minutes", type=float, default=0.0, help="mixed load for so long instead")
    parser.add_argument("--json", action="store_true", dest="as_json")
    arguments = parser.parse_args()
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    keep_freed_memory()
    set_threads(None)
    figures = asyncio.run(mixed(arguments) if arguments.minutes else throughput(arguments))
    if arguments.as_json or arguments.minutes:
        print(json.dumps(figures, indent=None if arguments.as_json else 2))
        return
    print(f"offline         {figures['offline_vectors_per_second']:.1f} vectors/s, batches of 64")
    print(f"server          {figures['server_vectors_per_second']:.1f} vectors/s, {arguments.clients} clients")
    print(f"one at a time   {figures['one_at_a_time_vectors_per_second']:.1f} vectors/s")
    print(f"of offline      {figures['share_of_offline']:.2f} (wanted: {WANTED_SHARE})")
    print(f"against one     {figures['times_one_at_a_time']:.1f} times (wanted: {WANTED_TIMES:g})")
    print("first step      median {:.3f} s, most {:.3f} s".format(*figures["first_step_seconds"]))
    print("page's result   median {:.3f} s, most {:.3f} s".format(*figures["result_seconds"]))
    print(f"latency         p50 {figures['p50_seconds']:.3f} s, p99 {figures['p99_seconds']:.3f} s")


if __name__ == "__main__":
    main()
