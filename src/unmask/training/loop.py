"""The training run: from a recipe and a folder of pairs to a checkpoint."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from unmask.denoiser.build import build_denoiser, parameter_counts, token_space
from unmask.denoiser.checkpoint import save_checkpoint
from unmask.denoiser.network import Denoiser
from unmask.diffusion.schedules import build_schedule
from unmask.errors import CheckpointError, InterruptedRun, PairsError
from unmask.files import make_folder, sha256_of_json, write_json
from unmask.runtime import choose_device, choose_dtype, keep_freed_memory
from unmask.training.data import BatchSource
from unmask.training.journal import Journal
from unmask.training.optimizer import MovingAverage, build_optimizer, learning_rate, set_learning_rate
from unmask.training.state import Progress, has_state, load_state, save_state
from unmask.training.step import LossParts, LossSettings, batch_loss
from unmask.training.validation import Validation

if TYPE_CHECKING:
    from unmask.pairs.dataset import PairsDataset
    from unmask.recipe import Recipe

log = logging.getLogger(__name__)

Event = dict[str, Any]


class LossModule(nn.Module):
    """The denoiser's loss as a module's forward pass, which is what data-parallel wrappers can wrap."""

    def __init__(self, denoiser: Denoiser, settings: LossSettings) -> None:
        super().__init__()
        self.denoiser, self.settings = denoiser, settings

    def forward(
        self, ids: torch.Tensor, vectors: torch.Tensor, generator: torch.Generator, lexical_only: bool
    ) -> LossParts:
        return batch_loss(self.denoiser, ids, vectors, self.settings, generator, lexical_only)


@dataclass
class Run:
    """Everything a training run holds."""

    recipe: Recipe
    pairs: PairsDataset
    out: Path
    device: torch.device
    dtype: torch.dtype
    denoiser: Denoiser
    module: nn.Module
    optimizer: torch.optim.Optimizer
    average: MovingAverage
    batches: BatchSource
    validation: Validation | None
    journal: Journal
    accelerator: Any = None
    progress: Progress = field(default_factory=Progress)

    @property
    def is_main(self) -> bool:
        return self.accelerator is None or bool(self.accelerator.is_main_process)

    @property
    def rows_per_step(self) -> int:
        section = self.recipe.training
        return section.batch_size * section.accumulate * self.batches.processes


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
    if has_state(out / "state") and not resume:
        raise CheckpointError(
            f"{out} holds a training run already; go on with --resume, or give another --out (nothing was changed)"
        )
    run = prepare_run(recipe, pairs_folder, out, device, on_event)
    if resume and has_state(out / "state"):
        run.progress = load_state(out / "state", run.denoiser, run.optimizer, run.average, recipe_hash(recipe))
    with stop_on_signals() as stopped:
        _advance(run, stopped)
    if stopped():
        raise InterruptedRun(f"stopped at step {run.progress.step}; everything is saved in {out}: go on with --resume")
    return out


def recipe_hash(recipe: Recipe) -> str:
    """What must not change between the parts of one run; where it ends may."""
    tree = recipe.model_dump(mode="json")
    for name in ("max_steps", "max_samples", "max_minutes", "log_every", "validate_every", "save_every"):
        tree["training"].pop(name)
    return sha256_of_json({name: tree[name] for name in ("seed", "denoiser", "schedule", "training")})


def prepare_run(
    recipe: Recipe, pairs_folder: Path | str, out: Path, device_name: str, on_event: Callable[[Event], None] | None
) -> Run:
    """Build everything a run needs; nothing is trained yet."""
    from unmask.pairs.dataset import PairsDataset

    keep_freed_memory()
    pairs = PairsDataset.open(pairs_folder)
    check_pairs_fit(pairs, recipe)
    accelerator = start_accelerator(device_name)
    device = accelerator.device if accelerator else choose_device(device_name)
    dtype = choose_dtype(recipe.training.precision, device)
    torch.manual_seed(recipe.seed)
    tokenizer = pairs.tokenizer()
    denoiser = build_denoiser(recipe.denoiser, token_space(tokenizer), pairs.manifest.length, pairs.manifest.dimension)
    denoiser.set_vector_statistics(torch.as_tensor(pairs.manifest.mean), torch.as_tensor(pairs.manifest.spread))
    denoiser.to(device)
    section = recipe.training
    settings = LossSettings(
        build_schedule(recipe.schedule),
        dtype,
        recipe.denoiser.conditioning.null_dropout,
        recipe.denoiser.lexical.loss_weight,
    )
    module: nn.Module = LossModule(denoiser, settings)
    optimizer = build_optimizer(denoiser, section.optimizer)
    if section.compile:
        denoiser.backbone.compile()
    processes, rank = 1, 0
    if accelerator:
        module, processes, rank = accelerator.prepare(module), accelerator.num_processes, accelerator.process_index
    validation = Validation.from_pairs(
        pairs, section.validation_rows, section.validation_decode_rows, section.batch_size, dtype
    )
    return Run(
        recipe, pairs, out, device, dtype, denoiser, module, optimizer, MovingAverage(denoiser, section.ema),
        BatchSource(pairs, section.batch_size * section.accumulate, recipe.seed, rank, processes),
        validation, Journal(out / "log.jsonl", on_event), accelerator,
    )  # fmt: skip


def check_pairs_fit(pairs: PairsDataset, recipe: Recipe) -> None:
    """Texts may come from anywhere; what the network's shape and meaning rest on must be the recipe's."""
    held = pairs.manifest
    differing = [
        f"{name} {found}, the recipe says {wanted}"
        for name, found, wanted in (
            ("length", held.length, recipe.text.length),
            ("tokenizer", held.plan.get("tokenizer"), recipe.tokenizer.model_dump(mode="json")),
        )
        if found != wanted and not (name == "tokenizer" and found is None)
    ]
    if differing:
        raise PairsError(
            f"{pairs.folder.root} was prepared for another recipe: {'; '.join(differing)}; "
            "prepare pairs with this recipe, or train with the other one"
        )


def start_accelerator(device_name: str) -> Any:
    """accelerate's process group where several processes were launched, else nothing."""
    import os

    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    from unmask.errors import MissingExtra

    try:
        from accelerate import Accelerator, DistributedDataParallelKwargs
    except ImportError as error:
        raise MissingExtra("training in several processes", "distributed") from error
    # A lexical warm-up and a null condition leave parameters without a gradient now and then.
    return Accelerator(
        cpu=device_name == "cpu", kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)]
    )


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


def _advance(run: Run, stopped: Callable[[], bool]) -> None:
    section = run.recipe.training
    trained, total = parameter_counts(run.denoiser)
    if run.is_main:
        write_json(run.out / "recipe.json", run.recipe.model_dump(mode="json"))
        run.journal.write(
            event="start", step=run.progress.step, parameters=total, trained_parameters=trained, device=str(run.device),
            dtype=str(run.dtype).removeprefix("torch."), rows=run.pairs.count("train"), recipe=run.recipe.name,
        )  # fmt: skip
    before, began = run.progress.seconds, time.monotonic()
    mark = (began, run.progress.samples)
    share = 0.0
    for ids, vectors in run.batches.batches(run.progress.step):
        share = done_share(run)
        if share >= 1 or stopped():
            break
        parts, norm = train_step(run, ids, vectors, share)
        run.progress.seconds = before + time.monotonic() - began
        step = run.progress.step
        if step % section.log_every == 0 and run.is_main:
            mark = _log_step(run, parts, norm, share, mark)
        if step % section.validate_every == 0 and run.is_main:
            validate(run)
        if step % section.save_every == 0 and run.is_main:
            save(run)
    if run.is_main:
        if share >= 1 and run.progress.step % section.validate_every:
            validate(run)
        save(run)
        run.journal.write(event="stop" if share < 1 else "end", **asdict(run.progress))


def done_share(run: Run) -> float:
    """How much of the run is behind us, by whichever end comes first."""
    section, progress = run.recipe.training, run.progress
    shares = [
        progress.step / section.max_steps if section.max_steps else 0.0,
        progress.samples / section.max_samples if section.max_samples else 0.0,
        progress.seconds / (60 * section.max_minutes) if section.max_minutes else 0.0,
    ]
    share = max(shares)
    if run.accelerator is not None:
        # Clocks differ between processes, and all must leave the loop at the same step.
        from accelerate.utils import broadcast

        share = float(broadcast(torch.tensor(share, device=run.device)))
    return share


def train_step(run: Run, ids: torch.Tensor, vectors: torch.Tensor, share: float) -> tuple[LossParts, torch.Tensor]:
    """One step of the optimiser over `accumulate` parts of the batch."""
    section, step = run.recipe.training, run.progress.step
    run.module.train()
    # Dropout and masks are functions of (seed, step, process): a resumed run draws the same.
    torch.manual_seed(run.recipe.seed * 1_000_003 + step * 64 + run.batches.rank)
    generator = torch.Generator(run.device).manual_seed(run.recipe.seed * 2_000_003 + step * 64 + run.batches.rank)
    lexical_only = run.denoiser.lexical is not None and step < run.recipe.denoiser.lexical.warmup_steps
    pieces = zip(ids.chunk(section.accumulate), vectors.chunk(section.accumulate), strict=True)
    parts: LossParts | None = None
    for piece_ids, piece_vectors in pieces:
        parts = run.module(
            piece_ids.to(run.device, non_blocking=True),
            piece_vectors.to(run.device, non_blocking=True),
            generator,
            lexical_only,
        )
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
    run.progress.step += 1
    run.progress.samples += run.rows_per_step
    return parts, norm


def rate_of_step(recipe: Recipe, step: int, share: float) -> float:
    """The learning rate; the network's own warm-up begins when the lexical head's is over."""
    lexical = recipe.denoiser.lexical
    head_steps = lexical.warmup_steps if lexical.enabled else 0
    if step < head_steps:
        return lexical.warmup_learning_rate * min(1.0, (step + 1) / 50)
    return learning_rate(recipe.training.optimizer, step - head_steps, share)


def _log_step(
    run: Run, parts: LossParts, norm: torch.Tensor, share: float, mark: tuple[float, int]
) -> tuple[float, int]:
    now, samples = time.monotonic(), run.progress.samples
    values = {"loss": float(parts.denoising.detach()), "gradient_norm": float(norm)}
    if parts.lexical is not None:
        values["lexical_loss"] = float(parts.lexical.detach())
    if not all(value == value and abs(value) != float("inf") for value in values.values()):
        raise CheckpointError(
            f"the loss is not a number at step {run.progress.step} ({values}); lower training.optimizer.learning_rate "
            "and go on from the last saved step with --resume"
        )
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
    run.average.swap()
    try:
        figures = run.validation.measure(run.denoiser)
        run.journal.write(event="validation", step=run.progress.step, samples=run.progress.samples, **figures)
        if run.progress.best_loss is None or figures["validation_loss"] < run.progress.best_loss:
            run.progress.best_loss, run.progress.best_step = figures["validation_loss"], run.progress.step
            write_model(run, run.out / "best", figures)
    finally:
        run.average.swap()


def save(run: Run) -> None:
    """The state to resume from, and the averaged weights as `last`."""
    run.average.swap()
    try:
        write_model(run, run.out / "last", {})
    finally:
        run.average.swap()
    save_state(run.out / "state", run.denoiser, run.optimizer, run.average, run.progress, recipe_hash(run.recipe))
    run.journal.write(event="saved", step=run.progress.step)


def write_model(run: Run, folder: Path, figures: dict[str, float]) -> None:
    save_checkpoint(
        folder, run.denoiser, run.pairs.tokenizer(), run.recipe, run.pairs.manifest.encoder,
        {"step": run.progress.step, "samples": run.progress.samples, "seconds": run.progress.seconds, **figures},
    )  # fmt: skip
