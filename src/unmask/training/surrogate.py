"""Teaching a surrogate, from the pairs that the inverter was trained on, what vector the encoder gives a text."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from unmask.denoiser.checkpoint import load_checkpoint
from unmask.errors import CheckpointError, InterruptedRun, PairsError
from unmask.files import make_folder, read_json, sha256_of_json, write_json
from unmask.metrics.ngrams import NgramModel
from unmask.recipe import OptimizerSection
from unmask.runtime import autocast, choose_device, choose_dtype, keep_freed_memory, stream_for
from unmask.search.fluency import STEM as FLUENCY
from unmask.search.fluency import load_fluency, save_fluency
from unmask.search.lens import STEM as LENS
from unmask.search.lens import fit_lens, load_lens, save_lens
from unmask.search.surrogate import (
    FINISHED,
    MANIFEST,
    Surrogate,
    SurrogateShape,
    load_surrogate,
    save_surrogate,
    surrogate_manifest,
)
from unmask.training.data import BatchSource, load_rows
from unmask.training.journal import Journal
from unmask.training.loop import only_run_in, stop_on_signals
from unmask.training.optimizer import MovingAverage, build_optimizer, learning_rate, set_learning_rate
from unmask.training.state import Progress, check_fresh, has_state, load_state, save_state

if TYPE_CHECKING:
    from unmask.denoiser.checkpoint import Checkpoint
    from unmask.pairs.dataset import PairsDataset

# Batches whose rows are sorted by length together: none is much longer than its texts.
LENGTH_POOL = 16
AVERAGE = 0.998
# Whose n-grams are counted; more do not fit into memory on a small machine.
MOST_COUNTED_TEXTS = 2_000_000
# Rows that say where it is wrong, as many for each dimension; they may be rows that it learned from, which it knows
# hardly better than others.
LENS_ROWS, LENS_ROWS_A_DIMENSION = 8192, 8


@dataclass(frozen=True)
class SurrogateTraining:
    """Everything that decides what comes out, beside the model and the pairs."""

    rows: int = 1_000_000  # texts that it learns from, again and again where there are fewer
    batch_size: int = 512
    rate: float = 2e-3
    seed: int = 0
    precision: str = "auto"
    shape: SurrogateShape = field(default_factory=SurrogateShape)

    @property
    def steps(self) -> int:
        return max(1, round(self.rows / self.batch_size))


@dataclass
class Teaching:
    """A run, built and checked before its first step."""

    choices: SurrogateTraining
    out: Path
    held: Checkpoint
    pairs: PairsDataset
    device: torch.device
    dtype: torch.dtype
    surrogate: Surrogate
    optimizer: torch.optim.Optimizer
    average: MovingAverage
    source: BatchSource
    journal: Journal
    section: OptimizerSection
    progress: Progress = field(default_factory=Progress)

    @property
    def is_complete(self) -> bool:
        return self.progress.step >= self.choices.steps

    @property
    def identity(self) -> str:
        """What must not change between the parts of one run."""
        told = {"choices": asdict(self.choices), "model": self.held.manifest["weights"]["sha256"]}
        return sha256_of_json({**told, "pairs": self.pairs.manifest.recipe_hash})


def train_surrogate(
    model: str | Path,
    pairs_folder: Path | str,
    out: Path | str,
    choices: SurrogateTraining | None = None,
    resume: bool = False,
    device: str = "auto",
    save_every: int = 200,
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> Path:
    """Train a surrogate for a model; returns its folder. Ctrl-C and SIGTERM save first."""
    out = make_folder(out)
    check_fresh(out, resume)
    with only_run_in(out):
        if resume and _is_finished(out) and not has_state(out / "state"):
            return _complete(model, pairs_folder, out, device, on_event)
        run = _prepare(model, pairs_folder, out, choices or SurrogateTraining(), device, on_event)
        if resume and has_state(out / "state"):
            run.progress = load_state(out / "state", run.surrogate, run.optimizer, run.average, run.identity)
        with stop_on_signals() as stopped:
            _advance(run, stopped, save_every)
    if not run.is_complete:
        raise InterruptedRun(f"stopped at step {run.progress.step}; everything is saved in {out}: go on with --resume")
    return out


def _prepare(
    model: str | Path, pairs_folder: Path | str, out: Path, choices: SurrogateTraining, device_name: str,
    on_event: Callable[[dict[str, Any]], None] | None,
) -> Teaching:  # fmt: skip
    from unmask.pairs.dataset import PairsDataset

    keep_freed_memory()
    held, pairs = load_checkpoint(model), PairsDataset.open(pairs_folder)
    _check_pairs_fit(held, pairs)
    device = choose_device(device_name)
    torch.manual_seed(choices.seed)
    tokenizer, denoiser = held.tokenizer, held.denoiser
    surrogate = Surrogate(
        choices.shape, tokenizer.vocabulary_size, denoiser.length, denoiser.dimension, tokenizer.pad_id
    )
    surrogate.begin_with(denoiser.table[: tokenizer.vocabulary_size])
    surrogate.to(device)
    section = OptimizerSection(
        learning_rate=choices.rate, betas=(0.9, 0.98), warmup_steps=min(200, max(1, choices.steps // 10)),
        cooldown="linear", final_share=0.0,
    )  # fmt: skip
    return Teaching(
        choices, out, held, pairs, device, choose_dtype(choices.precision, device), surrogate,
        build_optimizer(surrogate, section), MovingAverage(surrogate, AVERAGE),
        BatchSource(pairs, choices.batch_size, choices.seed, pool=LENGTH_POOL, whole_share=0.0),
        Journal(out / "log.jsonl", on_event), section,
    )  # fmt: skip


def _check_pairs_fit(held: Checkpoint, pairs: PairsDataset) -> None:
    of_pairs = (pairs.manifest.dimension, pairs.manifest.length, pairs.tokenizer().fingerprint[:12])
    of_model = (held.denoiser.dimension, held.denoiser.length, held.tokenizer.fingerprint[:12])
    if of_pairs != of_model:
        raise PairsError(
            f"{pairs.folder.root} was prepared for another model (dimension, length, tokenizer: {of_pairs}, expected "
            f"{of_model}); give the pairs that the model was trained on"
        )
    theirs, ours = pairs.manifest.encoder.get("fingerprint"), held.manifest["encoder"].get("fingerprint")
    if theirs != ours:
        raise PairsError(
            f"{pairs.folder.root} holds vectors of another encoder (fingerprint {str(theirs)[:12]}, expected "
            f"{str(ours)[:12]}); give the pairs that the model was trained on"
        )


def _advance(run: Teaching, stopped: Callable[[], bool], save_every: int) -> None:
    progress, steps = run.progress, run.choices.steps
    run.journal.write(event="start", step=progress.step, steps=steps, rows=run.pairs.count("train"))
    before, began, mark = progress.seconds, time.monotonic(), (time.monotonic(), progress.samples)
    for batch in run.source.batches(progress.step):
        if progress.step >= steps or stopped():
            break
        batch = batch.to(run.device)
        loss = _train_step(run, batch.ids, batch.vectors)
        progress.seconds = before + time.monotonic() - began
        if progress.step % 50 == 0:
            rate = round((progress.samples - mark[1]) / (time.monotonic() - mark[0]), 1)
            mark = (time.monotonic(), progress.samples)
            run.journal.write(
                event="step", step=progress.step, share=progress.step / steps, loss=float(loss), rows_per_second=rate
            )
        if progress.step % save_every == 0 and progress.step < steps:
            _save(run)
    if not (run.is_complete and _is_finished(run.out)):
        _save(run)
    if run.is_complete:
        _complete_with(run.out, run.pairs, run.device, run.dtype, run.held, run.journal)
    run.journal.write(event="end" if run.is_complete else "stop", **asdict(progress))


def _is_finished(out: Path) -> bool:
    manifest = surrogate_manifest(out)
    return manifest is not None and bool(manifest["progress"].get(FINISHED))


def _complete(
    model: str | Path, pairs_folder: Path | str, out: Path, device_name: str,
    on_event: Callable[[dict[str, Any]], None] | None,
) -> Path:  # fmt: skip
    """Give a surrogate whose training has come to its end what it lacks: one of before there were lenses has none."""
    from unmask.pairs.dataset import PairsDataset

    held, pairs, device = load_checkpoint(model), PairsDataset.open(pairs_folder), choose_device(device_name)
    _check_pairs_fit(held, pairs)
    _complete_with(out, pairs, device, choose_dtype("auto", device), held, Journal(out / "log.jsonl", on_event))
    return out


def _complete_with(
    out: Path, pairs: PairsDataset, device: torch.device, dtype: torch.dtype, held: Checkpoint, journal: Journal
) -> None:
    """n-grams and a lens, where they are missing or damaged; what is made enters the manifest at once."""
    fingerprint = held.manifest["encoder"].get("fingerprint")
    surrogate = load_surrogate(out, held.tokenizer, held.denoiser.dimension, held.denoiser.length, fingerprint)
    parts: dict[str, tuple[Callable[..., object], Callable[[], dict[str, Any] | None]]] = {
        FLUENCY: (load_fluency, lambda: save_fluency(out, _count_ngrams(pairs, held, journal))),
        LENS: (load_lens, lambda: _save_lens(out, surrogate.to(device), pairs, dtype, journal)),
    }
    for name, (load, make) in parts.items():
        manifest = read_json(out / MANIFEST)
        try:
            is_there = load(out, manifest) is not None
        except CheckpointError:
            is_there = False
        made = None if is_there else make()
        if made is not None:
            write_json(out / MANIFEST, manifest | {name: made})


def _save_lens(
    out: Path, surrogate: Surrogate, pairs: PairsDataset, dtype: torch.dtype, journal: Journal
) -> dict[str, Any] | None:
    """What its vectors are worth in which direction; None where there are too few rows to tell."""
    count = pairs.count("train")
    most = max(LENS_ROWS, LENS_ROWS_A_DIMENSION * surrogate.dimension)
    rows = np.linspace(0, count - 1, min(count, most)).astype(np.int64)
    opinions, told = _read(surrogate, pairs, "train", rows, surrogate.leave.weight.device, dtype)
    lens = fit_lens(opinions.mean(dim=1).cpu().numpy(), told.cpu().numpy())
    journal.write(event="lens", rows=len(rows), fitted=lens is not None)
    if lens is None:
        return None
    return {**save_lens(out, lens), "name": f"{len(rows)} training texts ({pairs.manifest.recipe_hash[:12]})"}


@torch.no_grad()
def _read(
    surrogate: Surrogate, pairs: PairsDataset, split: str, rows: np.ndarray, device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Its opinions (rows, opinions, dimension) of the texts of some pairs, and their vectors (rows, dimension)."""
    ids, vectors = (part.to(device) for part in load_rows(pairs, split, rows))
    with autocast(device, dtype):
        return torch.cat([surrogate.opinions(part) for part in ids.split(256)]), vectors


def _count_ngrams(pairs: PairsDataset, held: Checkpoint, journal: Journal) -> NgramModel:
    """What texts of this kind are like, whatever their vectors."""
    rows = min(pairs.count("train"), MOST_COUNTED_TEXTS)
    name = f"n-grams of {rows} training texts ({pairs.manifest.recipe_hash[:12]})"
    journal.write(event="counting n-grams", texts=rows)
    return NgramModel.train(pairs.texts("train", rows), held.tokenizer.vocabulary_size, name)


def _train_step(run: Teaching, ids: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """1 - cosine, each opinion's over its own half of the rows."""
    choices, step = run.choices, run.progress.step
    generator = torch.Generator(run.device).manual_seed(int(stream_for(choices.seed, 10, step).integers(2**62)))
    with autocast(run.device, run.dtype):
        opinions = run.surrogate.opinions(ids)  # (batch, opinions, dimension)
    wanted = torch.nn.functional.normalize(vectors, dim=1)[:, None]  # (batch, 1, dimension)
    distances = 1 - (opinions * wanted).sum(dim=-1)  # (batch, opinions)
    heard = torch.rand(distances.shape, generator=generator, device=run.device) < 0.5
    loss = (distances * heard).sum() / heard.sum().clamp(min=1)
    if not torch.isfinite(loss):
        raise CheckpointError(
            f"the loss is not a number at step {step}; lower --rate and go on from the last saved step with --resume"
        )
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.surrogate.parameters(), run.section.clip_norm)
    set_learning_rate(run.optimizer, learning_rate(run.section, step, step / choices.steps))
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    run.average.update(step)
    run.progress.step, run.progress.samples = step + 1, run.progress.samples + len(ids)
    return loss.detach()


def _save(run: Teaching) -> None:
    """The averaged weights with what they are worth, and the state to resume from."""
    progress = run.progress
    with run.average.in_use():
        figures = validate(run.surrogate, run.pairs, run.device, run.dtype)
        done = {"step": progress.step, "samples": progress.samples, "seconds": progress.seconds}
        done |= {FINISHED: run.is_complete, **figures}
        save_surrogate(run.out, run.surrogate, run.held.tokenizer, run.pairs.manifest.encoder, done)
    save_state(run.out / "state", run.surrogate, run.optimizer, run.average, progress, run.identity)
    run.journal.write(event="validation", step=progress.step, **figures)


def validate(surrogate: Surrogate, pairs: PairsDataset, device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """How near its vectors are to the encoder's, on rows it did not learn from; nothing where there are none."""
    rows = min(1024, pairs.count("validation"))
    if not rows:
        return {}
    opinions, vectors = _read(surrogate, pairs, "validation", np.arange(rows), device, dtype)
    mean = opinions.mean(dim=1)  # (rows, dimension)
    near = torch.nn.functional.cosine_similarity(mean, vectors)
    return {"cosine": float(near.mean()), "agreement": float(mean.norm(dim=1).mean())}
