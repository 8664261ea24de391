"""The models behind the server, by name: each with its own thread, loaded when it is first asked for."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

from unmask.errors import UnmaskError
from unmask.registry import nearest_name
from unmask.serve.engine import Engine
from unmask.serve.jobs import Asked, Job, ServerError

if TYPE_CHECKING:
    from unmask.serve.settings import ServerSettings


class Models:
    """`get` gives the engine of a model; nothing else loads one."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self._engines: dict[str, Engine] = {}
        self._loading = threading.Lock()

    @property
    def names(self) -> list[str]:
        return list(self.settings.models)

    @property
    def loaded(self) -> dict[str, Engine]:
        return dict(self._engines)

    def name_of(self, asked: str | None) -> str:
        """What a request calls a model, as the name it is served by."""
        if not asked:
            return self.names[0]
        name = self.settings.aliases.get(asked, asked)
        if name not in self.names:
            guess = nearest_name(asked, [*self.names, *self.settings.aliases])
            hint = f"; did you mean '{guess}'?" if guess else ""
            raise ServerError(404, f"no model '{asked}' is served here; there is {', '.join(self.names)}{hint}")
        return name

    async def get(self, asked: str | None = None) -> Engine:
        name = self.name_of(asked)
        known = self._engines.get(name)
        return await asyncio.to_thread(self._load, name) if known is None else known

    def _load(self, name: str) -> Engine:
        from unmask.attacks.inverter import Inverter

        with self._loading:
            if name not in self._engines:
                try:
                    settings = self.settings
                    inverter = Inverter.from_pretrained(name, device=settings.device, precision=settings.precision)
                    inverter.encoder()
                except UnmaskError as error:
                    raise ServerError(503, str(error), 30) from error
                self._engines[name] = Engine(inverter, settings.limits)
            return self._engines[name]

    def submit(self, engine: Engine, asked: Asked, is_watched: bool) -> Job:
        deadline = time.monotonic() + engine.limits.seconds
        job = Job(asked, deadline, asyncio.get_running_loop(), is_watched)
        engine.submit(job)
        return job

    async def embed(self, engine: Engine, texts: list[str]) -> Any:
        """Vectors (texts, dimension) of texts, by the model's own encoder."""
        try:
            return await asyncio.wrap_future(engine.call(lambda: engine.inverter.encoder().encode(texts)))
        except UnmaskError as error:
            raise ServerError(502, str(error), 5) from error

    def stop(self, patience: float) -> None:
        until = time.monotonic() + patience
        for engine in self._engines.values():
            engine.stop(max(0.0, until - time.monotonic()))
