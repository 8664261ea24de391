"""`unmask calibrate`: what a model's confidence is worth, for audits of stores without texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unmask.cli.console import note, print_table, say
from unmask.cli.evaluate import Stages


def calibrate(
    model: Annotated[str, typer.Argument(help="A name from `unmask models`, a run or a checkpoint's folder.")],
    texts: Annotated[
        list[Path],
        typer.Option(help="Texts that the model was not trained on: files or folders; repeatable. At least 3 domains."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Where it goes; beside the model, where `unmask audit` finds it.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Texts of each domain.")] = 150,
    budget: Annotated[list[int] | None, typer.Option(min=1, help="Encoder calls; repeatable.  [160]")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the texts and the attacks.")] = 0,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all if left out.")] = None,
) -> None:
    """Learn from known texts how many of the words are right that a model reads with some confidence.

    An audit of a store without texts can then say about how much of what it read is right. The domains are the records'
    `domain`, or the names of the files; each is left out in turn to see how far off the prediction is for a new one.

        unmask calibrate runs/minilm --texts held_out/

    The attackers are those of `unmask audit`; one that asks the encoder takes about a second a text.
    """
    from unmask.attacks.inverter import Inverter
    from unmask.audit.calibration import calibrate as run_calibration
    from unmask.audit.calibration import save_calibration
    from unmask.audit.rungs import BUDGETS
    from unmask.benchmark.held_out import read_labelled_texts
    from unmask.denoiser.checkpoint import CALIBRATION
    from unmask.files import check_writable
    from unmask.runtime import set_threads

    set_threads(threads)
    inverter = Inverter.from_pretrained(model)
    path = out or inverter.folder / CALIBRATION
    check_writable(path)
    with Stages() as stages:
        found = run_calibration(
            inverter, read_labelled_texts(texts), limit=limit, seed=seed, budgets=tuple(budget or BUDGETS),
            on_progress=stages,
        )  # fmt: skip
    save_calibration(path, found, inverter)
    print_table(
        [
            (name, f"{fit.texts:,} texts of {len(fit.domains)} domains", f"off by {fit.miss:.1%} for one left out")
            for name, fit in found.fits.items()
        ]
    )
    if out is not None:
        note("`unmask audit` looks for it beside the model")
    say(f"calibrated: {path}")
