"""The engine: what comes out is what the command line gives, whoever else is asking."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from unmask.attacks.decoders import ALL_DECODERS, SEARCH
from unmask.attacks.inverter import Inverter
from unmask.decoding import DecodeOptions
from unmask.records import DecodeStep
from unmask.search import SearchOptions
from unmask.serve.engine import BUSY, FEW, LATE, STEPS_OF_FEW, STOPPING, Engine, Limits
from unmask.serve.jobs import Asked, Job, ServerError


@pytest.fixture
def engine(inverter: Inverter) -> Iterator[Engine]:
    running = Engine(inverter, Limits(rows=8, searched=4, waiting=40))
    yield running
    running.stop(5)


READ = " ".join(["what", "was", "read"])
SEARCHED = SearchOptions(budget=60, rounds=4, drafts=4, tries=8)


def asked(vectors: np.ndarray, decoder: str, seed: int = 0, steps: int = 5, temperature: float = 0.0) -> Asked:
    options = DecodeOptions(steps=steps, seed=seed, temperature=temperature)
    search = SEARCHED if decoder == SEARCH else None
    return Asked(torch.from_numpy(vectors), tuple(range(len(vectors))), decoder, options, search)


def submit(engine: Engine, what: Asked, seconds: float = 60.0, is_watched: bool = True) -> Job:
    job = Job(what, time.monotonic() + seconds, asyncio.get_running_loop(), is_watched)
    engine.submit(job)
    return job


async def all_steps(job: Job) -> list[DecodeStep]:
    return [step async for step in job.steps()]


class Slow:
    """Lets a model take one step at a time, when it is told to."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_go, self.waits = threading.Semaphore(0), threading.Event()
        advance = engine._advance

        def wait_first(group) -> None:
            self.waits.set()
            self.may_go.acquire()
            self.waits.clear()
            advance(group)

        monkeypatch.setattr(engine, "_advance", wait_first)

    def go(self, steps: int = 1) -> None:
        self.may_go.release(steps)


@pytest.mark.parametrize("decoder", ALL_DECODERS.names)
def test_many_at_once_get_what_each_would_get_alone(
    engine: Engine, inverter: Inverter, vectors: np.ndarray, decoder: str
) -> None:
    wanted = [
        asked(vectors[start : start + count], decoder, seed, steps, temperature=0.7)
        for start, (count, seed, steps) in enumerate([(1, 0, 5), (2, 3, 5), (3, 0, 5), (1, 3, 2), (1, 0, 5), (8, 1, 4)])
    ]

    async def ask() -> list[list[DecodeStep]]:
        return await asyncio.gather(*(all_steps(submit(engine, what)) for what in wanted))

    for what, steps in zip(wanted, asyncio.run(ask()), strict=True):
        *_, alone = inverter.stream(what.vectors.numpy(), decoder=decoder, options=what.options, search=what.search)
        assert torch.equal(steps[-1].tokens, alone.tokens)
        assert [step.step for step in steps] == list(range(1, len(steps) + 1))
        assert all(step.step <= step.total_steps for step in steps)
        assert torch.equal(steps[-1].forward_passes, alone.forward_passes)
    assert engine.active == 0 and engine.waiting == 0 and engine.counts.vectors == sum(len(w.vectors) for w in wanted)


def test_one_that_comes_later_joins_at_the_next_step(
    engine: Engine, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(engine, monkeypatch)

    async def ask() -> None:
        first = submit(engine, asked(vectors[:1], "confidence")).steps()
        slow.go()
        await anext(first)
        later = submit(engine, asked(vectors[1:2], "confidence")).steps()
        slow.go(2)
        assert (await anext(later)).step == 1
        assert (await anext(first)).step == 2
        slow.go(100)
        await first.aclose()
        await later.aclose()

    asyncio.run(ask())


def test_few_beside_many_wait_for_more_and_no_longer_than_that(
    inverter: Inverter, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(inverter, Limits(rows=32))
    slow, many = Slow(engine, monkeypatch), vectors[: FEW + 1]

    async def ask() -> None:
        first = submit(engine, asked(many, "confidence", steps=8)).steps()
        slow.go()
        await anext(first)
        await asyncio.to_thread(slow.waits.wait)  # who comes now has missed the second step
        job = submit(engine, asked(vectors[:1], "confidence", steps=8))
        later = job.steps()
        slow.go(1 + STEPS_OF_FEW)
        seen = [(await anext(first)).step for _ in range(1 + STEPS_OF_FEW)]
        assert seen[-1] == 2 + STEPS_OF_FEW and job.taken == 0
        slow.go()
        assert (await anext(later)).step == 1 and engine.active == 2
        slow.go(100)
        await first.aclose()
        await later.aclose()

    try:
        asyncio.run(ask())
    finally:
        slow.go(100)
        engine.stop(5)


@pytest.mark.parametrize("decoder", ["confidence", SEARCH])
def test_who_does_not_watch_is_told_the_last_step_alone(engine: Engine, vectors: np.ndarray, decoder: str) -> None:
    what = asked(vectors[:2], decoder)

    async def ask() -> list[list[DecodeStep]]:
        return await asyncio.gather(*(all_steps(submit(engine, what, is_watched=is_so)) for is_so in (True, False)))

    watched, (only,) = asyncio.run(ask())
    assert len(watched) > 1
    assert only.step == watched[-1].step and torch.equal(only.tokens, watched[-1].tokens)


def test_who_leaves_frees_the_place_at_the_next_step(
    engine: Engine, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(engine, monkeypatch)

    async def ask() -> None:
        leaving = submit(engine, asked(vectors[:8], "confidence")).steps()
        slow.go()
        await anext(leaving)
        waiting = submit(engine, asked(vectors[8:16], "confidence"))
        assert engine.waiting == 1
        await leaving.aclose()
        slow.go(100)
        assert (await all_steps(waiting))[-1].step <= 5
        assert engine.counts.left == 1 and engine.counts.vectors == 8

    asyncio.run(ask())


def test_a_search_that_is_left_ends(engine: Engine, vectors: np.ndarray) -> None:
    async def ask() -> None:
        steps = submit(engine, asked(vectors[:4], SEARCH)).steps()
        await anext(steps)
        await steps.aclose()
        other = submit(engine, asked(vectors[4:5], SEARCH))
        assert (await all_steps(other))[-1].compared_texts is not None
        assert engine.active == 0

    asyncio.run(ask())


def test_a_full_queue_says_so_and_when_to_come_again(
    engine: Engine, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(engine, monkeypatch)

    async def ask() -> None:
        running = submit(engine, asked(vectors[:8], "confidence")).steps()
        slow.go()
        await anext(running)
        jobs = [submit(engine, asked(vectors[:8], "confidence")) for _ in range(40)]
        with pytest.raises(ServerError, match="40 requests are waiting") as refused:
            submit(engine, asked(vectors[:1], "confidence"))
        assert refused.value.status == BUSY and refused.value.retry_after and refused.value.retry_after >= 1
        for job in jobs:
            job.is_cancelled = True
        slow.go(1000)
        assert [step async for step in running]

    asyncio.run(ask())
    assert engine.counts.refused == 1


def test_a_request_has_its_time_waiting_included(
    engine: Engine, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(engine, monkeypatch)

    async def ask() -> None:
        running = submit(engine, asked(vectors[:8], "confidence"))
        late = submit(engine, asked(vectors[:8], "confidence"), seconds=0.0)
        slow.go(1000)
        with pytest.raises(ServerError, match="not done within") as refused:
            await all_steps(late)
        assert refused.value.status == LATE
        assert await all_steps(running)

    asyncio.run(ask())


def test_stopping_finishes_what_runs_and_takes_nothing_on(inverter: Inverter, vectors: np.ndarray) -> None:
    engine = Engine(inverter)

    async def ask() -> None:
        job = submit(engine, asked(vectors[:2], "confidence"))
        await asyncio.to_thread(engine.stop, 30)
        assert len(await all_steps(job)) >= 1
        with pytest.raises(ServerError, match="stopping") as refused:
            submit(engine, asked(vectors[:2], "confidence"))
        assert refused.value.status == STOPPING

    asyncio.run(ask())


def test_an_error_ends_its_own_request_and_no_other(
    engine: Engine, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from unmask.serve import groups

    def broken(*_: object) -> None:
        raise RuntimeError(READ)

    async def ask() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(groups.DecodingGroup, "join", broken)
            with pytest.raises(ServerError, match="something went wrong") as failed:
                await all_steps(submit(engine, asked(vectors[:2], "euler")))
        assert failed.value.status == 500 and READ not in caplog.text and "a request failed" in caplog.text
        assert await all_steps(submit(engine, asked(vectors[:2], "euler")))

    asyncio.run(ask())


def test_a_search_that_nobody_could_join_is_not_gone_on_with(
    engine: Engine, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unmask.search.loop import Search

    async def ask() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(Search, "_begin", lambda *_: 1 / 0)
            with pytest.raises(ServerError, match="something went wrong"):
                await all_steps(submit(engine, asked(vectors[:2], SEARCH)))
        found = await all_steps(submit(engine, asked(vectors[:1], SEARCH)))
        assert found[-1].tokens.shape[0] == 1 and engine.active == 0

    asyncio.run(ask())


def test_who_still_waits_for_other_work_when_the_server_stops_is_told(
    engine: Engine, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(engine, monkeypatch)

    async def ask() -> None:
        job = submit(engine, asked(vectors[:2], "confidence"))
        await asyncio.to_thread(slow.waits.wait)
        left = engine.call(lambda: 1)
        await asyncio.to_thread(engine.stop, 0.1)
        with pytest.raises(ServerError, match="stopped before") as told:
            left.result(5)
        assert told.value.status == STOPPING
        with pytest.raises(ServerError, match="stopped before"):
            await all_steps(job)

    try:
        asyncio.run(ask())
    finally:
        slow.go(100)


def test_other_work_with_the_model_is_done_between_steps(engine: Engine) -> None:
    assert engine.call(lambda: threading.current_thread().name).result(5) == "unmask-engine"
    with pytest.raises(ZeroDivisionError):
        engine.call(lambda: 1 / 0).result(5)
