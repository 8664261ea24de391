"""The application: endpoints, guards, and how errors are told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from unmask import __version__
from unmask.errors import UnmaskError
from unmask.serve.description import described
from unmask.serve.guards import Guards
from unmask.serve.jobs import ServerError
from unmask.serve.models import Models
from unmask.serve.routes import inversion, published, state
from unmask.serve.routes.page import add_page
from unmask.serve.schemas import EXAMPLE
from unmask.serve.settings import ServerSettings

log = logging.getLogger(__name__)
# Seconds that requests have to finish when the server stops.
PATIENCE = 30.0


def create_app(settings: ServerSettings | None = None) -> FastAPI:
    """The server as an ASGI application; its first model is loaded when it starts."""
    chosen = settings or ServerSettings()
    served = Models(chosen)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(_load_first(app, served))
        yield
        loading.cancel()
        with suppress(asyncio.CancelledError):
            await loading
        await asyncio.to_thread(served.stop, PATIENCE)

    app = FastAPI(
        title="unmask", version=__version__, description="How much of your text can be read back from your vectors?",
        lifespan=life, docs_url=None, redoc_url=None,
    )  # fmt: skip
    app.state.models, app.state.samples_given, app.state.example = served, 0, None
    for part in (inversion, published, state):
        app.include_router(part.router)
    add_page(app)
    app.openapi = lambda: described(app)  # type: ignore[method-assign]
    app.add_exception_handler(ServerError, _server_error)
    app.add_exception_handler(UnmaskError, _users_error)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _no_such_thing)
    app.add_exception_handler(Exception, _mistake)
    app.add_middleware(Guards, settings=chosen)  # type: ignore[arg-type]
    return app


async def _load_first(app: FastAPI, served: Models) -> None:
    try:
        engine = await served.get()
        vectors = await served.embed(engine, [EXAMPLE])
    except ServerError as error:
        log.error("the model could not be loaded: %s", error)
        return
    app.state.example = [round(value, 4) for value in vectors[0].tolist()]


def _said(status: int, message: str, retry_after: int | None = None) -> JSONResponse:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return JSONResponse({"error": message}, status_code=status, headers=headers)


async def _server_error(request: Request, error: Any) -> JSONResponse:
    return _said(error.status, str(error), error.retry_after)


async def _users_error(request: Request, error: Any) -> JSONResponse:
    return _said(400, str(error))


async def _unreadable(request: Request, error: Any) -> JSONResponse:
    """Where and why, without what was sent: that may be a text."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body") or "the body"
    return _said(422, f"{place}: {first['msg']}; see /openapi.json for what is expected")


async def _no_such_thing(request: Request, error: Any) -> JSONResponse:
    headers = dict(error.headers or {})
    return JSONResponse(
        {"error": f"{request.method} {request.url.path[:200]}: {error.detail}"}, error.status_code, headers
    )


async def _mistake(request: Request, error: Any) -> JSONResponse:
    return _said(500, "something went wrong in the server; its log says where")
