"""The training run: from a recipe and a folder of pairs to a checkpoint."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from unmask.denoiser.build import parameter_counts
from unmask.denoiser.checkpoint import save_checkpoint
from unmask.errors import CheckpointError, InterruptedRun, OutputError
from unmask.files import make_folder, try_lock, write_json
from unmask.runtime import is_main_process, stream_for
from unmask.training.data import Batch
from unmask.training.optimizer import set_learning_rate
from unmask.training.phases import rate_of_step
from unmask.training.run import Event, Run, prepare_run
from unmask.training.state import Progress, check_fresh, has_state, load_state, save_state
from unmask.training.step import LossParts

if TYPE_CHECKING:
    from unmask.recipe import Recipe


def train(
    recipe: Recipe,
    pairs_folder: Path | str,
    out: Path | str,
    resume: bool = False,
    device: str = "auto",
    on_event: Callable[[Event], None] | None = None,
) -> Path:
    """Train until the recipe's end; returns the run's folder. Ctrl-C and SIGTERM save first."""
    out = make_folder(out)
    check_fresh(out, resume)
    with only_run_in(out):
        run = prepare_run(recipe, pairs_folder, out, device, on_event)
        if resume and has_state(out / "state"):
            run.progress = load_state(out / "state", run.denoiser, run.optimizer, run.average, run.identity)
        with stop_on_signals() as stopped:
            finished = _advance(run, stopped)
    if not finished:
        raise InterruptedRun(f"stopped at step {run.progress.step}; everything is saved in {out}: go on with --resume")
    return out


@contextmanager
def only_run_in(out: Path) -> Iterator[None]:
    """Two runs in one folder would overwrite each other's state; of several processes of one run the first counts."""
    if not is_main_process():
        yield
        return
    with (out / ".lock").open("w") as handle:
        if not try_lock(handle):
            raise OutputError(f"another process is training in {out}; wait for it, or give another --out")
        yield


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a flag that the loop reads between steps; a second one acts at once."""
    seen: list[int] = []

    def note(number: int, frame: Any) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)

    try:
        held = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: the caller handles signals
        held = {}
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)


def _advance(run: Run, stopped: Callable[[], bool]) -> bool:
    """Train until the end or a signal, and save; whether the end was reached."""
    section = run.recipe.training
    if run.is_main:
        _log_start(run)
    before, began = run.progress.seconds, time.monotonic()
    mark = (began, run.progress.samples)
    share = 0.0
    for batch in run.remaining_batches():
        share, of_network, must_stop = agree(run, stopped() or run.failure is not None)
        if share >= 1 or must_stop:
            break
        parts, norm = train_step(run, batch, of_network)
        run.progress.seconds = before + time.monotonic() - began
        step = run.progress.step
        if step <= run.head_steps:
            run.progress.head_seconds = run.progress.seconds
        if step % section.log_every == 0 and run.is_main:
            mark = _log_step(run, parts, norm, share, mark)
        if run.failure is None and run.is_main:
            if step % section.validate_every == 0:
                validate(run)
            if step % section.save_every == 0:
                save(run)
            if step - run.head_steps in section.milestones:
                keep_milestone(run)
    if run.failure is not None:
        raise CheckpointError(run.failure)
    if run.is_main:
        if share >= 1 and run.progress.step % section.validate_every:
            validate(run)
        save(run)
        run.journal.write(event="stop" if share < 1 else "end", **asdict(run.progress))
    return share >= 1


def _log_start(run: Run) -> None:
    trained, total = parameter_counts(run.denoiser)
    write_json(run.out / "recipe.json", run.recipe.model_dump(mode="json"))
    run.journal.write(
        event="start", step=run.progress.step, parameters=total, trained_parameters=trained, device=str(run.device),
        dtype=str(run.dtype).removeprefix("torch."), rows=run.pairs.count("train"), recipe=run.recipe.name,
        validation_rows=0 if run.validation is None else len(run.validation.ids),
    )  # fmt: skip


def done_share(run: Run) -> float:
    """How much of the run is behind us, by whichever end comes first."""
    return share_of(run, run.progress)


def network_share(run: Run) -> float:
    """The same of what comes after the heads' own steps."""
    steps, progress = run.head_steps, run.progress
    if progress.step <= steps:
        return 0.0
    before = share_of(run, Progress(step=steps, samples=run.head_samples, seconds=progress.head_seconds))
    return max(0.0, (share_of(run, progress) - before) / max(1 - before, 1e-9))


def share_of(run: Run, progress: Progress) -> float:
    section = run.recipe.training
    return max(
        progress.step / section.max_steps if section.max_steps else 0.0,
        progress.samples / section.max_samples if section.max_samples else 0.0,
        progress.seconds / (60 * section.max_minutes) if section.max_minutes else 0.0,
    )


def agree(run: Run, stop: bool) -> tuple[float, float, bool]:
    """Both shares and any wish to stop, the greatest among all processes: all must leave the loop at the same step."""
    mine = [done_share(run), network_share(run), float(stop)]
    if run.accelerator is None:
        return mine[0], mine[1], stop
    told = torch.tensor([mine], device=run.device, dtype=torch.float64)
    share, of_network, wish = run.accelerator.gather(told).amax(dim=0).tolist()
    return share, of_network, wish > 0


def train_step(run: Run, batch: Batch, share: float) -> tuple[LossParts, torch.Tensor]:
    """One step of the optimiser over `accumulate` parts of the batch."""
    section, step, part = run.recipe.training, run.progress.step, run.phase.part
    run.module.train()
    # Dropout and masks are functions of (seed, step, process), of a stream each: a resumed run draws the same.
    rank = run.sources[part].rank
    of_dropout, of_masks = stream_for(run.recipe.seed, 2, step, rank).integers(2**62, size=2).tolist()
    torch.manual_seed(of_dropout)
    generator = torch.Generator(run.device).manual_seed(of_masks)
    run.prepare_heads()
    parts: LossParts | None = None
    for piece in batch.chunk(section.accumulate):
        parts = run.module(piece.to(run.device), generator, part)
        loss = parts.total / section.accumulate
        if run.accelerator is None:
            loss.backward()
        else:
            run.accelerator.backward(loss)
    assert parts is not None
    norm = nn.utils.clip_grad_norm_(run.denoiser.parameters(), section.optimizer.clip_norm)
    set_learning_rate(run.optimizer, rate_of_step(run.recipe, step, share))
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    run.average.update(step)
    run.progress.samples += run.rows_per_step
    run.progress.step += 1
    return parts, norm


def _log_step(
    run: Run, parts: LossParts, norm: torch.Tensor, share: float, mark: tuple[float, int]
) -> tuple[float, int]:
    now, samples = time.monotonic(), run.progress.samples
    values = {"loss": float(parts.denoising.detach()), "gradient_norm": float(norm)}
    if parts.lexical is not None:
        values["lexical_loss"] = float(parts.lexical.detach())
    if parts.length is not None:
        values["length_loss"] = float(parts.length.detach())
    if not all(value == value and abs(value) != float("inf") for value in values.values()):
        run.failure = (
            f"the loss is not a number at step {run.progress.step} ({values}); lower training.optimizer.learning_rate "
            "and go on from the last saved step with --resume"
        )
        return mark
    rate = round((samples - mark[1]) / (now - mark[0]), 1)
    run.journal.write(
        event="step", step=run.progress.step, samples=samples, share=round(share, 5), **values,
        learning_rate=run.optimizer.param_groups[0]["lr"], rows_per_second=rate,
        seconds=round(run.progress.seconds, 1),
    )  # fmt: skip
    return now, samples


def validate(run: Run) -> None:
    """Measure the averaged weights; keep them as `best` if no earlier ones had a lower loss."""
    if run.validation is None:
        return
    with run.average.in_use():
        figures = run.validation.measure(run.denoiser)
        run.journal.write(event="validation", step=run.progress.step, samples=run.progress.samples, **figures)
        if run.progress.best_loss is None or not figures["validation_loss"] >= run.progress.best_loss:
            run.progress.best_loss, run.progress.best_step = figures["validation_loss"], run.progress.step
            write_model(run, run.out / "best", figures)


def save(run: Run) -> None:
    """The state to resume from, and the averaged weights as `last`."""
    with run.average.in_use():
        write_model(run, run.out / "last", {})
    save_state(run.out / "state", run.denoiser, run.optimizer, run.average, run.progress, run.identity)
    run.journal.write(event="saved", step=run.progress.step)


def keep_milestone(run: Run) -> None:
    """The averaged weights as they are now, in a folder that nothing overwrites."""
    with run.average.in_use():
        write_model(run, run.out / "milestones" / f"step-{run.progress.step}", {}, "fp16")


def write_model(run: Run, folder: Path, figures: dict[str, float], storage: str = "fp32") -> None:
    save_checkpoint(
        folder, run.denoiser, run.pairs.tokenizer(), run.recipe, run.pairs.manifest.encoder,
        {"step": run.progress.step, "samples": run.progress.samples, "seconds": run.progress.seconds, **figures},
        storage,
    )  # fmt: skip
