"""What there is, and how the server does."""

from __future__ import annotations

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse

from unmask.attacks.decoders import ALL_DECODERS
from unmask.runtime import choose_device, stream_for
from unmask.serve.routes import errors, models_of
from unmask.serve.samples import EASY, HARD
from unmask.serve.schemas import (
    Choice,
    HealthAnswer,
    ModelAnswer,
    ModelsAnswer,
    QueueAnswer,
    RandomAnswer,
    ReadyAnswer,
)
from unmask.serve.telemetry import prometheus

router = APIRouter(tags=["state"])


@router.get("/models", responses=errors())
async def models(request: Request) -> ModelsAnswer:
    """The models that are served, and the ways of decoding."""
    served = models_of(request)
    lines = []
    for name in served.names:
        engine = served.loaded.get(name)
        known = {} if engine is None else {
            "dimension": engine.inverter.dimension, "length": engine.inverter.denoiser.length,
            "encoder": engine.inverter.encoder().name,
            "has_surrogate": engine.inverter.surrogate_of("encoder") is not None,
        }  # fmt: skip
        aliases = [alias for alias, of in served.settings.aliases.items() if of == name]
        lines.append(ModelAnswer(name=name, aliases=aliases, loaded=engine is not None, **known))
    return ModelsAnswer(
        models=lines, decoders=[Choice(name=entry.name, summary=entry.summary) for entry in ALL_DECODERS]
    )


@router.get("/random", responses=errors(404, 422))
async def random(
    request: Request,
    model: str = Query("", max_length=500),
    hard: bool = Query(False, description="Long, or full of names and numbers."),
    seed: int | None = Query(None, ge=0, le=2**31 - 1, description="The same sentence for the same seed."),
) -> RandomAnswer:
    """A sentence to try."""
    models_of(request).name_of(model)
    state = request.app.state
    state.samples_given += 1
    chosen = HARD if hard else EASY
    stream = stream_for(state.samples_given if seed is None else seed, 13)
    return RandomAnswer(text=chosen[int(stream.integers(len(chosen)))])


def queue_of(request: Request) -> QueueAnswer:
    engines = models_of(request).loaded.values()
    return QueueAnswer(active=sum(e.active for e in engines), waiting=sum(e.waiting for e in engines))


@router.get("/queue", responses=errors())
async def queue(request: Request) -> QueueAnswer:
    """How many requests are worked on, and how many wait."""
    return queue_of(request)


@router.get("/health")
async def health(request: Request) -> HealthAnswer:
    """Whether the server lives; it does so before its model is loaded."""
    served = models_of(request)
    device = next((str(e.inverter.device) for e in served.loaded.values()), None)
    return HealthAnswer(
        status="ok" if served.loaded else "loading", device=device or str(choose_device(served.settings.device)),
        models=served.names, queue=queue_of(request),
    )  # fmt: skip


@router.get("/ready", responses={503: {"model": ReadyAnswer, "description": "The model is being loaded."}})
async def ready(request: Request) -> JSONResponse:
    """Whether requests are answered at once: 200, or 503 while the first model is loaded."""
    served = models_of(request)
    is_ready = served.names[0] in served.loaded
    return JSONResponse(ReadyAnswer(ready=is_ready).model_dump(), status_code=200 if is_ready else 503)


@router.get("/metrics", responses=errors(), response_class=PlainTextResponse)
async def metrics(request: Request) -> PlainTextResponse:
    """Counts for Prometheus."""
    return PlainTextResponse(prometheus(models_of(request).loaded), media_type="text/plain; version=0.0.4")
