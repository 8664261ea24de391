"""Everything a training run holds, built and checked before the first step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from unmask.denoiser.build import build_denoiser, token_space
from unmask.denoiser.network import Denoiser
from unmask.diffusion.schedules import build_schedule
from unmask.errors import PairsError
from unmask.files import sha256_of_json
from unmask.runtime import choose_device, choose_dtype, keep_freed_memory
from unmask.training.data import Batch, BatchSource
from unmask.training.journal import Journal
from unmask.training.optimizer import MovingAverage, build_optimizer
from unmask.training.phases import Part, Phase, phase_at, phases_of
from unmask.training.state import Progress
from unmask.training.step import LossParts, LossSettings, batch_loss
from unmask.training.validation import Validation

if TYPE_CHECKING:
    from unmask.pairs.dataset import PairsDataset
    from unmask.recipe import Recipe

Event = dict[str, Any]


class LossModule(nn.Module):
    """The denoiser's loss as a module's forward pass, which is what data-parallel wrappers can wrap."""

    def __init__(self, denoiser: Denoiser, settings: LossSettings) -> None:
        super().__init__()
        self.denoiser, self.settings = denoiser, settings

    def forward(self, batch: Batch, generator: torch.Generator, part: Part) -> LossParts:
        return batch_loss(self.denoiser, batch, self.settings, generator, part)


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
    sources: dict[Part, BatchSource]  # the batches of each phase
    validation: Validation | None
    journal: Journal
    accelerator: Any = None
    progress: Progress = field(default_factory=Progress)
    settled: set[Part] = field(default_factory=set)  # heads that have been frozen
    failure: str | None = None  # why the run cannot go on; said once all processes have left the loop

    @property
    def identity(self) -> str:
        return run_hash(self.recipe, self.pairs)

    @property
    def is_main(self) -> bool:
        return self.accelerator is None or bool(self.accelerator.is_main_process)

    @property
    def phases(self) -> list[Phase]:
        return phases_of(self.recipe)

    @property
    def phase(self) -> Phase:
        """The one that the present step belongs to."""
        return phase_at(self.phases, self.progress.step)

    @property
    def head_steps(self) -> int:
        """Steps at the beginning that train heads alone."""
        return self.recipe.denoiser.head_steps

    @property
    def head_samples(self) -> int:
        return sum(phase.steps * self._rows_per_step(phase) for phase in self.phases if phase.steps is not None)

    def prepare_heads(self) -> None:
        """Which part of the lexical head works at this step; a head keeps its averaged weights, where it is frozen."""
        denoiser, step, lexical = self.denoiser, self.progress.step, self.recipe.denoiser.lexical
        if denoiser.lexical is not None:
            denoiser.lexical.is_looking = step >= min(lexical.looks_after, lexical.head_steps)
            if lexical.freeze and step >= lexical.head_steps:
                self._settle(Part.WORDS)
        if denoiser.neighbours is not None and self.recipe.denoiser.neighbours.freeze and step >= self.head_steps:
            self._settle(Part.NEIGHBOURS)

    def _settle(self, part: Part) -> None:
        if part not in self.settled:
            freeze = self.denoiser.freeze_heads if part is Part.WORDS else self.denoiser.freeze_neighbours
            self.average.settle(freeze())
            self.settled.add(part)

    @property
    def rows_per_step(self) -> int:
        return self._rows_per_step(self.phase)

    def _rows_per_step(self, phase: Phase) -> int:
        return phase.batch_size * self.sources[phase.part].processes

    def remaining_batches(self) -> Iterator[Batch]:
        """The batches from the present step on, without end."""
        step = self.progress.step
        for phase in self.phases:
            if phase.steps is None or step < phase.first + phase.steps:
                local = max(0, step - phase.first)
                left = None if phase.steps is None else phase.steps - local
                yield from islice(self.sources[phase.part].batches(local), left)


def run_hash(recipe: Recipe, pairs: PairsDataset) -> str:
    """What must not change between the parts of one run: the recipe but for its end, and the pairs."""
    tree = recipe.model_dump(mode="json")
    for name in ("max_steps", "max_samples", "max_minutes", "log_every", "validate_every", "save_every", "milestones"):
        tree["training"].pop(name)
    kept = {name: tree[name] for name in ("seed", "denoiser", "schedule", "training")}
    return sha256_of_json({**kept, "pairs": pairs.manifest.recipe_hash})


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
    if denoiser.repeat_cost is not None:
        denoiser.set_repeat_statistics(*map(torch.from_numpy, pairs.token_counts(denoiser.vocabulary_size)))
    denoiser.to(device)
    section = recipe.training
    settings = LossSettings(
        build_schedule(recipe.schedule),
        dtype,
        recipe.denoiser.conditioning.null_dropout,
        recipe.denoiser.lexical.loss_weight,
        recipe.denoiser.length_head.loss_weight,
        section.softmax_sample,
    )
    module: nn.Module = LossModule(denoiser, settings)
    optimizer = build_optimizer(denoiser, section.optimizer)
    if section.compile:
        denoiser.backbone.compile()
    processes, rank = 1, 0
    if accelerator:
        module, processes, rank = accelerator.prepare(module), accelerator.num_processes, accelerator.process_index
    validation = Validation.from_pairs(pairs, section, settings.schedule, dtype)
    return Run(
        recipe, pairs, out, device, dtype, denoiser, module, optimizer, MovingAverage(denoiser, section.ema),
        _sources(pairs, recipe, rank, processes), validation, Journal(out / "log.jsonl", on_event), accelerator,
    )  # fmt: skip


def _sources(pairs: PairsDataset, recipe: Recipe, rank: int, processes: int) -> dict[Part, BatchSource]:
    section, found = recipe.training, {}
    for phase in phases_of(recipe):
        # Seeds of their own: no part should meet the rows in the order in which another has just seen them.
        seed = recipe.seed + {Part.NETWORK: 0, Part.WORDS: 1, Part.NEIGHBOURS: 2}[phase.part]
        # The lexical head has no use for positions, so its texts may be as long as they are.
        pool = 0 if phase.part is Part.WORDS else section.length_pool
        found[phase.part] = BatchSource(pairs, phase.batch_size, seed, rank, processes, pool, section.whole_share)
    return found


def check_pairs_fit(pairs: PairsDataset, recipe: Recipe) -> None:
    """Texts may come from anywhere; what the network's shape and meaning rest on must be the recipe's."""
    held = pairs.manifest
    relevant, harmless = ("encoder", "tokenizer", "text.length"), ("encoder.precision",)
    lines = held.differences_from(recipe)
    differing = [line for line in lines if line.startswith(relevant) and not line.startswith(harmless)]
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
