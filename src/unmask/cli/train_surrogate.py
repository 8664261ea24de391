"""`unmask train-surrogate`: a stand-in for the encoder, for searches that may not ask it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unmask.cli.console import note, progress_bar, say
from unmask.cli.train import print_event

if TYPE_CHECKING:
    from collections.abc import Callable


def train_surrogate(
    model: Annotated[str, typer.Argument(help="The model that the search will run: a name, run or folder.")],
    pairs: Annotated[Path, typer.Option(help="The folder that `unmask prepare` wrote for it.")],
    out: Annotated[
        Path | None, typer.Option(help="Where it goes; beside the model, where the search finds it by itself.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Texts to learn from.")] = 1_000_000,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts in a step.")] = 512,
    rate: Annotated[float, typer.Option(help="Greatest learning rate; it falls to 0.")] = 2e-3,
    seed: Annotated[int, typer.Option(help="Of the fresh weights and of the order of the rows.")] = 0,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the run in --out, or give a finished one what it lacks."),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; all by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as a JSON line.")] = False,
) -> None:
    """Teach a small network what vectors the encoder gives, from pairs alone.

    Whoever holds pairs but not the encoder can then search all the same: texts are compared with the vector by way of
    this stand-in, and the encoder is never called.

        unmask train-surrogate runs/minilm --pairs data/minilm

        unmask invert vectors.npy --model runs/minilm --decoder search --scorer surrogate

    Ctrl-C stops cleanly and saves; --resume goes on.
    """
    from unmask.denoiser.checkpoint import find_checkpoint, shipped_folder
    from unmask.errors import InputError
    from unmask.runtime import set_threads
    from unmask.search.surrogate import FOLDER
    from unmask.training.surrogate import SurrogateTraining
    from unmask.training.surrogate import train_surrogate as run_training

    set_threads(threads)
    source = find_checkpoint(model)
    if out is None and source.resolve().parent == shipped_folder().resolve():
        raise InputError(
            f"'{model}' is part of the installation, so its surrogate needs a place of its own: give --out"
        )
    if not 0 < rate < float("inf"):
        raise InputError(f"--rate is {rate}, expected more than 0, such as 0.002; change it")
    choices = SurrogateTraining(rows=rows, batch_size=batch_size, rate=rate, seed=seed)
    with progress_bar("training a surrogate", total=100) as advance:
        watch: Callable[[dict[str, Any]], None] = print_event if as_json else _writer(advance)
        folder = run_training(source, pairs, out or source / FOLDER, choices, resume, device, on_event=watch)
    if not as_json:
        say(f"trained: {folder}; use it with: --decoder search --scorer {folder if out else 'surrogate'}")


def _writer(advance: Callable[..., None]) -> Callable[[dict[str, Any]], None]:
    shown = 0.0

    def write(event: dict[str, Any]) -> None:
        nonlocal shown
        if event["event"] == "step":
            description = (
                f"step {event['step']:,}  1 - cosine {event['loss']:.3f}  {event['rows_per_second']:.0f} rows/s"
            )
            advance(100 * event["share"] - shown, description=description)
            shown = 100 * event["share"]
        elif event["event"] == "lens" and not event["fitted"]:
            note(f"{event['rows']:,} rows are too few to say where it is wrong; with more the search finds more")
        elif event["event"] == "validation" and "cosine" in event:
            note(f"step {event['step']:,}: cosine with the encoder {event['cosine']:.4f} on held-out rows")

    return write
