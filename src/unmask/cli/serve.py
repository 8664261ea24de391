"""`unmask serve`: the page, and the models behind HTTP."""

from __future__ import annotations

import os
import socket
import webbrowser
from typing import Annotated

import typer

from unmask.cli.console import note
from unmask.errors import InputError, OutputError

TOKEN = "UNMASK_TOKEN"

Model = Annotated[
    list[str] | None, typer.Option(help="A name from `unmask models`, or a folder; may be given several times.")
]
Alias = Annotated[
    list[str] | None, typer.Option(metavar="NAME=MODEL", help="Another name of a model that clients may ask for.")
]
Host = Annotated[str, typer.Option(help="Where to listen; anything but this machine needs a token.")]
Port = Annotated[int, typer.Option(help="0 takes any that is free.")]
NoToken = Annotated[bool, typer.Option("--no-token", help="Let others in without a token.")]
Origin = Annotated[
    list[str] | None, typer.Option(help="Another page that may send requests, such as https://mine.example.")
]
Queue = Annotated[int, typer.Option(min=1, help="Requests that may wait; the next is told to come again (429).")]
TimeLimit = Annotated[float, typer.Option(min=0.1, help="Seconds that a request may take, waiting included.")]
Rows = Annotated[int, typer.Option(min=1, help="Vectors that share forward passes.")]


def serve(
    model: Model = None,
    alias: Alias = None,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    no_token: NoToken = False,
    origin: Origin = None,
    queue: Queue = 128,
    time_limit: TimeLimit = 120.0,
    rows: Rows = 256,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser, where there is one.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; all if left out.")] = None,
) -> None:
    """Serve a page, and models over HTTP: texts to vectors and back, step by step.

        unmask serve --open
        unmask serve --model minilm --alias jinaai/jina-embeddings-v3=minilm
        UNMASK_TOKEN=... unmask serve --host 0.0.0.0

    Only this machine can reach it unless --host says otherwise; then every request must bear the token in UNMASK_TOKEN.
    The page is at /, what can be asked over HTTP at /docs. Ctrl-C finishes what runs and ends.
    """
    import uvicorn

    from unmask.runtime import keep_freed_memory, set_threads
    from unmask.serve.app import PATIENCE, create_app
    from unmask.serve.engine import Limits
    from unmask.serve.settings import ServerSettings

    settings = ServerSettings(
        models=tuple(dict.fromkeys(model or ["minilm"])), aliases=dict(_pair(text) for text in alias or []), host=host,
        port=port, token=os.environ.get(TOKEN) or None, needs_token=not no_token, origins=tuple(origin or ()),
        limits=Limits(rows=rows, waiting=queue, seconds=time_limit), device=device, precision=precision,
    )  # fmt: skip
    keep_freed_memory()
    set_threads(threads)
    config = uvicorn.Config(
        create_app(settings), host=host, port=port, log_level="warning", access_log=False,
        timeout_graceful_shutdown=int(PATIENCE), server_header=False,
    )  # fmt: skip
    listening = _bound(host, port)
    place, chosen = listening.getsockname()[:2]
    shown = f"[{place}]" if ":" in place else place
    listening.listen()  # before it is said: who comes too early waits until the server answers
    address = f"http://{shown}:{chosen}"
    note(f"serving {', '.join(settings.models)} at {address} (Ctrl-C ends it)")
    if open_page:
        webbrowser.open(address)
    uvicorn.Server(config).run(sockets=[listening])


def _pair(text: str) -> tuple[str, str]:
    name, separator, model = text.partition("=")
    if not (name and separator and model):
        raise InputError(f"the alias is '{text}', expected NAME=MODEL, such as jinaai/jina-embeddings-v3=minilm")
    return name, model


def _bound(host: str, port: int) -> socket.socket:
    """Before the model is loaded: a port that is taken is told at once."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except OSError as error:
        raise OutputError(
            f"cannot listen on {host}, port {port} ({error.strerror}); choose another with --port, or stop what listens"
        ) from error
    return found
