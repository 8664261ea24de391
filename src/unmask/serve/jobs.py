"""One request's vectors on their way through a model: asked for here, worked on in the model's own thread."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import torch

from unmask.decoding import DecodeOptions
from unmask.records import DecodeStep
from unmask.search import SearchOptions


class ServerError(Exception):
    """Why a request has no answer, with the status that says so."""

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


@dataclass(frozen=True, eq=False)
class Asked:
    """What is to be done with some vectors."""

    vectors: torch.Tensor  # (rows, dimension)
    row_keys: tuple[int, ...]  # of their random streams
    decoder: str
    options: DecodeOptions
    search: SearchOptions | None = None


@dataclass(eq=False)
class Job:
    """Steps come out as they are made, or the last one alone; who no longer wants them cancels."""

    asked: Asked
    deadline: float  # by time.monotonic()
    loop: asyncio.AbstractEventLoop
    is_watched: bool = True  # whether anyone looks at steps before the last
    taken: int = 0  # steps that were made of it
    is_cancelled: bool = False
    is_at_end: bool = False  # whether the step that came out last is the last one
    _events: asyncio.Queue[tuple[DecodeStep, bool] | ServerError] = field(default_factory=asyncio.Queue)

    @property
    def rows(self) -> int:
        return len(self.asked.vectors)

    @property
    def is_late(self) -> bool:
        return time.monotonic() > self.deadline

    def tell(self, event: tuple[DecodeStep, bool] | ServerError) -> None:
        """From any thread: a step and whether it is the last, or why there are no more."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, nobody listens
            self.loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def steps(self) -> AsyncGenerator[DecodeStep, None]:
        """To the last; leaving early cancels what is left."""
        try:
            while not self.is_at_end:
                event = await self._events.get()
                if isinstance(event, ServerError):
                    raise event
                step, self.is_at_end = event
                yield step
        finally:
            self.is_cancelled = True
