"""The options that say which encoder, the same for every command that takes one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from unmask.encoders.base import Encoder

EncoderName = Annotated[
    str, typer.Option("--encoder", help="A name from `unmask encoders`, a model's folder, or its hub name.")
]
Model = Annotated[str | None, typer.Option(help="The model behind `sentence-transformers` or `api`.")]
Prompt = Annotated[str | None, typer.Option(help="Text before each text, or the name of a prompt of the model's.")]
Task = Annotated[str | None, typer.Option(help="The task whose adapter the model is to wear.")]
TruncateDim = Annotated[int | None, typer.Option(help="Keep only so many of the first dimensions.")]
BatchSize = Annotated[int | None, typer.Option(help="Texts at a time.")]
Precision = Annotated[str | None, typer.Option(help="auto, fp32, bf16 or fp16.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; all if left out.")]
TrustRemoteCode = Annotated[bool, typer.Option("--trust-remote-code", help="Run program code that the model brings.")]
Url = Annotated[str | None, typer.Option(help="api: the server, such as http://localhost:8080/v1.")]
KeyVariable = Annotated[str | None, typer.Option(help="api: environment variable that holds the key.")]
RequestsPerMinute = Annotated[int | None, typer.Option(help="api: send no more requests than this in a minute.")]
Budget = Annotated[int | None, typer.Option(help="api: send no more texts than this.")]


def open_encoder(name: str, device: str, trust_remote_code: bool, **settings: Any) -> Encoder:
    """The encoder that the options describe; an option that was left out is None."""
    from unmask.encoders import load_encoder

    return load_encoder(name, device=device, trust_remote_code=trust_remote_code or None, **settings)
