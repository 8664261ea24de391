"""`unmask prepare`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unmask.cli.console import note, print_json, print_table, progress_bar, say

if TYPE_CHECKING:
    from unmask.pairs.manifest import PairsManifest
    from unmask.pairs.plan import Progress

# Between two lines of progress where there is no terminal to draw a bar on.
_SECONDS_BETWEEN_NOTES = 30.0


def prepare(
    recipe: Annotated[str, typer.Argument(help="A recipe's name or its YAML file; see `unmask recipes`.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the pairs, data/NAME by default; an unfinished one is gone on with."),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option("--text", help="File, folder or quoted pattern of text, instead of the recipe's own source."),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Change one key, such as pairs.max_rows=1000. Repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was made as one JSON object.")] = False,
) -> None:
    """Make (tokens, vector) pairs for training.

    Text is cut into pieces of a few tokens, each is embedded, and both are written side by side. Text files hold one
    text per line (.txt), JSONL with a `text` key (.jsonl), or a `text` column (.parquet).

      unmask prepare minilm --text my-texts.jsonl --out data/minilm

      unmask prepare minilm --text corpus/ --out data/minilm --set pairs.max_rows=100000

    May be stopped at any moment: the same command goes on where it stopped. Texts are split into training, validation
    and test by their content, and what nearly repeats a held-out text is left out of training.
    """
    from unmask.errors import InterruptedRun
    from unmask.pairs.prepare import prepare as prepare_pairs
    from unmask.recipe import load_recipe
    from unmask.text.sources import with_text

    chosen = load_recipe(recipe, overrides)
    if text is not None:
        chosen = with_text(chosen, text)
    folder = out or Path("data") / chosen.name
    try:
        with _progress() as report:
            manifest = prepare_pairs(chosen, folder, report)
    except KeyboardInterrupt as error:
        raise InterruptedRun(
            f"stopped; what is done is kept in {folder}, the same command goes on from there"
        ) from error
    if as_json:
        print_json({"folder": str(folder), **manifest.as_tree()})
    else:
        _show(folder, manifest)
        note(f"next: unmask train {recipe} --pairs {folder}")


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal, a line now and then elsewhere."""
    with progress_bar("preparing") as advance:
        shown, noted_at = 0, time.monotonic()

        def report(progress: Progress) -> None:
            nonlocal shown, noted_at
            rate = f", {progress.per_second:,.0f} a second" if progress.per_second else ""
            advance(progress.done - shown, total=progress.total, description=f"{progress.stage}{rate}")
            shown = progress.done
            if not sys.stderr.isatty() and time.monotonic() - noted_at > _SECONDS_BETWEEN_NOTES:
                noted_at = time.monotonic()
                note(f"{progress.stage}: {progress.done:,} of {progress.total or 0:,}{rate}")

        yield report


def _show(folder: Path, manifest: PairsManifest) -> None:
    say(f"{folder}: {manifest.dimension}-d vectors of {manifest.encoder['name']}, up to {manifest.length} tokens")
    print_table([(split, f"{rows:,}") for split, rows in manifest.rows.items()], ("part", "rows"))
    for title in ("kinds", "dropped"):
        counts = manifest.counts.get(title, {})
        if counts:
            say()
            print_table([(name, f"{count:,}") for name, count in counts.items()], (title, ""))
