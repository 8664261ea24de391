"""`unmask train`: from pairs to a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unmask.cli.console import note, print_json, print_table, progress_bar, say

if TYPE_CHECKING:
    from collections.abc import Callable


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe's file, or the name of a shipped one (unmask recipes).")],
    pairs: Annotated[Path | None, typer.Option(help="The folder that `unmask prepare` wrote.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the run goes; runs/NAME by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out where it stopped.")] = False,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Change one key, such as training.max_steps=100. Repeatable.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; all by default.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count the parameters of what would be built, train nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as a JSON line.")] = False,
) -> None:
    """Train a denoiser on the pairs that `unmask prepare` made from the same recipe.

    The run's folder holds log.jsonl (everything measured), state/ (to resume from), last/ and best/ (checkpoints that
    `unmask invert --model` takes). Ctrl-C stops cleanly and saves; --resume goes on bit for bit where the run ends by
    steps or samples (an end by minutes makes the learning rate follow the clock).

      unmask prepare recipes/minilm.yaml --text corpus/ --out data/minilm

      unmask train recipes/minilm.yaml --pairs data/minilm --out runs/minilm

    Several processes: accelerate launch --num_processes 4 -m unmask train ...
    """
    from unmask.errors import InputError
    from unmask.recipe import load_recipe
    from unmask.runtime import set_threads

    chosen = load_recipe(recipe, overrides)
    set_threads(threads)
    if dry_run:
        _print_counts(chosen, pairs, as_json)
        return
    if pairs is None:
        raise InputError(
            f"--pairs is missing: run `unmask prepare {recipe} --out data/{chosen.name}` and give its folder"
        )
    from unmask.training.loop import train as run_training

    folder = out or Path("runs") / chosen.name
    with progress_bar(f"training {chosen.name}", total=100) as advance:
        watch = print_event if as_json else event_writer(advance)
        run_training(chosen, pairs, folder, resume=resume, device=device, on_event=watch)
    if as_json:
        print_json({"event": "done", "run": str(folder)}, indent=None)
    else:
        say(f"trained: {folder}; try it with: unmask evaluate --model {folder} --texts FILE")


def print_event(event: dict[str, Any]) -> None:
    print_json(event, indent=None)


def event_writer(advance: Callable[..., None]) -> Callable[[dict[str, Any]], None]:
    """Turns the events of a run into a bar and a line now and then."""
    shown = 0.0

    def write(event: dict[str, Any]) -> None:
        nonlocal shown
        if event["event"] == "start":
            note(
                f"{event['trained_parameters']:,} of {event['parameters']:,} parameters trained on "
                f"{event['rows']:,} rows, {event['device']}, {event['dtype']}, from step {event['step']:,}"
            )
            if not event["validation_rows"]:
                note("no held-out rows in these pairs: nothing is validated and no best/ is kept, only last/")
        elif event["event"] == "step":
            advance(
                100 * event["share"] - shown,
                description=f"step {event['step']:,}  loss {event['loss']:.3f}  {event['rows_per_second']:.0f} rows/s",
            )
            shown = 100 * event["share"]
        elif event["event"] == "validation":
            figures = {
                name.removeprefix("validation_"): v for name, v in event.items() if name.startswith("validation_")
            }
            note(f"step {event['step']:,}: " + "  ".join(f"{name} {value:.4f}" for name, value in figures.items()))

    return write


def _print_counts(recipe: Any, pairs: Path | None, as_json: bool) -> None:
    from unmask.training.planning import plan

    found = plan(recipe, pairs)
    if as_json:
        print_json(found)
        return
    say(f"{recipe.name}: {recipe.summary}")
    print_table(
        [
            (name.replace("_", " "), f"{value:,}" if isinstance(value, int) else str(value))
            for name, value in found.items()
        ]
    )
