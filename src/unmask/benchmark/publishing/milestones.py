"""The checkpoints that a training run kept on its way, measured alike, with the training loss beside."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from unmask.benchmark.publishing import published
from unmask.benchmark.publishing.markdown import headings_of, lay_out, metric_cells, notes, number, present
from unmask.benchmark.publishing.results import Result
from unmask.benchmark.publishing.setting import Setting, Table
from unmask.errors import InputError
from unmask.training.journal import read_journal

NAME = "milestones"
FOLDER, LOG = "milestones", "log.jsonl"
LOSS = "training loss"  # the label of the line that holds the curve
POINTS = 200  # of the curve
_STEP = re.compile(r"step-(\d+)")


def find_milestones(run: Path) -> dict[int, Path]:
    """Checkpoint folders by step."""
    folder = run / FOLDER
    if not folder.is_dir():
        raise InputError(f"{run} has no folder {FOLDER}/ with checkpoints step-N; give the folder of a training run")
    found = {int(match[1]): path for path in folder.iterdir() if (match := _STEP.fullmatch(path.name))}
    if not found:
        raise InputError(f"{folder} holds no checkpoint step-N, expected at least one; let the run go on, or train one")
    return dict(sorted(found.items()))


def training_loss(run: Path) -> list[tuple[int, float]]:
    """(step, loss) of the denoiser; the lexical head's own warm-up has none."""
    path = run / LOG
    if not path.is_file():
        return []
    steps = [event for event in read_journal(path) if event.get("event") == "step"]
    # A run that was killed and went on has logged some steps twice: the later line counts.
    by_step = {int(event["step"]): float(event["loss"]) for event in steps}
    return [(step, loss) for step, loss in sorted(by_step.items()) if loss]


def check(setting: Setting) -> None:
    if setting.run is None:
        raise InputError("milestones of which run? give its folder: unmask bench milestones RUN")
    find_milestones(setting.run)


def measure_milestones(setting: Setting) -> Iterator[Result]:
    assert setting.run is not None
    losses = training_loss(setting.run)
    decoder = setting.decoder
    head_steps = 0
    for step, folder in find_milestones(setting.run).items():
        opened = setting.open(folder, with_language_model=True)
        evaluation = opened.evaluate(opened.attack(decoder), step=step)
        progress = opened.inverter.manifest.get("progress", {})
        counted = {name: float(progress[name]) for name in ("samples", "seconds") if name in progress}
        # The heads' own steps come first; before they are over there is no network to speak of.
        head_steps = min(step, opened.inverter.recipe.denoiser.head_steps)
        counted |= {"step": step - head_steps, "head_steps": head_steps} | _loss_before(losses, step)
        yield Result.of(NAME, f"step {step}", evaluation, **counted)
    thinned = losses[:: max(1, -(-len(losses) // POINTS))]
    if thinned:
        curve = {"steps": [step - head_steps for step, _ in thinned], "losses": [loss for _, loss in thinned]}
        yield Result(NAME, LOSS, len(losses), setting.seed, details={"curve": curve})


def _loss_before(losses: Sequence[tuple[int, float]], step: int) -> dict[str, float]:
    """The mean of the last few logged losses: one batch alone says little."""
    before = [loss for logged, loss in losses if logged <= step][-10:]
    return {"training_loss": sum(before) / len(before)} if before else {}


def of_checkpoints(results: Sequence[Result]) -> list[Result]:
    return [result for result in results if result.label != LOSS]


def markdown(results: Sequence[Result]) -> str:
    kept = of_checkpoints(results)
    names = present(kept)
    headings = ["step", "rows", "training loss", *headings_of(names)]
    rows = [
        [
            number(result.numbers["step"], 0),
            number(result.numbers.get("samples"), 0),
            number(result.numbers.get("training_loss"), 3),
            *metric_cells(result, names),
        ]
        for result in kept
    ]
    theirs = lay_out(
        ["step", *published.HEADINGS],
        [[f"{step:,}", *line.cells()] for step, line in published.MILESTONES.items()],
    )
    head_steps = max(result.numbers["head_steps"] for result in kept)
    decoder = f"Decoder {kept[0].details['decoder']}; the training loss is the mean of the last ten that were logged."
    if head_steps:
        decoder += f" Steps are the network's, after {head_steps:,.0f} of its heads alone; rows count both."
    return "\n\n".join([lay_out(headings, rows), f"{notes(kept)}\n{decoder}", theirs, published.CAVEAT])


TABLE = Table(measure_milestones, markdown, check=check)
