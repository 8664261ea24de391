"""`unmask export`: a smaller copy of a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unmask.cli.console import print_json, say


def export(
    model: Annotated[str, typer.Argument(help="A run of `unmask train`, a checkpoint's folder, or a shipped name.")],
    out: Annotated[Path, typer.Option(help="The folder of the copy; made if need be.")],
    storage: Annotated[
        str, typer.Option(help="fp32, fp16, or int8: bytes with one scale per row of each matrix.")
    ] = "int8",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a smaller copy of a trained model, for shipping or sharing.

    int8 is a quarter of the size; what it costs is for `unmask evaluate` to say, once on each copy. A surrogate beside
    the model (unmask train-surrogate) goes with it.

      unmask export runs/minilm --out models/minilm --storage int8
    """
    from unmask.denoiser.checkpoint import checkpoint_files, export_checkpoint, find_checkpoint
    from unmask.search.surrogate import copy_surrogate, surrogate_files

    folder = export_checkpoint(model, out, storage)
    copy_surrogate(find_checkpoint(model), folder)
    size = sum(path.stat().st_size for path in [*checkpoint_files(folder), *surrogate_files(folder)])
    if as_json:
        print_json({"model": str(folder), "storage": storage, "bytes": size})
    else:
        say(f"{folder}: {size / 1e6:.1f} MB as {storage}")
