"""Trainings that differ in one thing: the same pairs, the same rows, the same seed, each then measured alike."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unmask.benchmark.publishing.fill_in import fill_in_accuracy
from unmask.benchmark.publishing.results import Result
from unmask.benchmark.publishing.setting import Setting
from unmask.errors import InputError, InterruptedRun, OutputError
from unmask.files import make_folder, read_json, sha256_of_json, write_json
from unmask.recipe import Recipe, load_recipe
from unmask.training.journal import read_journal

MARK = "variant.json"  # in a variant's folder: what is trained there, and whether it is finished
FILL_IN = "fill_in"
# Rows that a head alone trains on for the cost of one of the network's; and of one of the neighbour head's, where that
# is the network.
LEXICAL_ROWS, NEIGHBOUR_ROWS = 50, 3
LEXICAL_ROWS_WITHOUT_BLOCKS = 3


@dataclass(frozen=True)
class Variant:
    label: str
    overrides: tuple[str, ...]

    @property
    def folder_name(self) -> str:
        return re.sub(r"\W+", "-", self.label).strip("-")


Variants = Callable[[Setting], list[Variant]]


def recipe_of(setting: Setting, variant: Variant) -> Recipe:
    """The recipe with the variant's changes and the common budget.

    A row of a head alone counts for what it costs, and such rows take a quarter of the budget at most, for each head.
    The rate is constant and falls at the end of the network's own steps.
    """
    changes = [*setting.overrides, *variant.overrides]
    recipe = load_recipe(setting.recipe, changes)
    training, lexical, neighbours = recipe.training, recipe.denoiser.lexical, recipe.denoiser.neighbours
    left, head_steps = float(setting.rows), {}
    lexical_rows = LEXICAL_ROWS if recipe.denoiser.has_blocks else LEXICAL_ROWS_WITHOUT_BLOCKS
    for name, head, rows_for_one in (
        ("lexical", lexical, lexical_rows),
        ("neighbours", neighbours, NEIGHBOUR_ROWS),
    ):
        rows = (head.warmup_batch or training.batch_size) * training.accumulate
        head_steps[name] = min(head.head_steps, max(1, setting.rows * rows_for_one // 4 // rows))
        left -= head_steps[name] * rows / rows_for_one
    network_steps = max(1, round(left / (training.batch_size * training.accumulate)))
    steps = sum(head_steps.values()) + network_steps
    budget = {
        "training.max_steps": steps,
        "training.max_samples": "null",
        "training.max_minutes": "null",
        "training.validate_every": steps,
        "training.milestones": "[]",
        "training.optimizer.warmup_steps": min(training.optimizer.warmup_steps, network_steps // 10),
        "training.optimizer.cooldown": "late",
        "denoiser.lexical.looks_after": min(lexical.looks_after, head_steps["lexical"] // 2),
        **{f"denoiser.{name}.warmup_steps": count for name, count in head_steps.items()},
    }
    return load_recipe(setting.recipe, [*changes, *(f"{key}={value}" for key, value in budget.items())])


def plan_of(variants: Variants) -> Callable[[Setting], list[tuple[str, str]]]:
    def plan(setting: Setting) -> list[tuple[str, str]]:
        chosen = variants(setting)
        for variant in chosen:
            recipe_of(setting, variant)
        return [(variant.label, " ".join(variant.overrides) or "as in the recipe") for variant in chosen]

    return plan


def check(setting: Setting) -> None:
    if setting.pairs is None:
        raise InputError(
            f"the training pairs are missing: run unmask prepare {setting.recipe} and give its folder with --pairs"
        )


def measure_variants(setting: Setting, table: str, variants: Variants, with_fill_in: bool = False) -> Iterator[Result]:
    """Train what is not trained yet, then measure all from full mask."""
    decoder = setting.decoder
    chosen = variants(setting)
    # All before the first: a recipe that is edited meanwhile must not change half of the variants.
    recipes = [recipe_of(setting, variant) for variant in chosen]
    runs = [train_variant(setting, table, *pair) for pair in zip(chosen, recipes, strict=True)]
    for variant, run in zip(chosen, runs, strict=True):
        # The run's last averaged weights: all variants have then seen the same rows.
        opened = setting.open(run / "last", with_language_model=True)
        evaluation = opened.evaluate(
            opened.attack(decoder), overrides=list(variant.overrides), recipe=setting.recipe, rows=setting.rows
        )
        result = Result.of(table, variant.label, evaluation, **_numbers(run))
        if with_fill_in:
            filled = fill_in_accuracy(opened.inverter, opened.held_out, seed=setting.seed)
            result = replace(result, metrics=result.metrics | {FILL_IN: filled})
        yield result


def train_variant(setting: Setting, table: str, variant: Variant, recipe: Recipe) -> Path:
    """The folder of the finished run; one that is finished already is left as it is."""
    from unmask.training.loop import train

    assert setting.pairs is not None
    run = make_folder(setting.out / table / variant.folder_name)
    identity = sha256_of_json({"recipe": recipe.model_dump(mode="json"), "pairs": setting.pairs.manifest.recipe_hash})
    mark = read_json(run / MARK) if (run / MARK).is_file() else {"identity": identity, "finished": False}
    if mark["identity"] != identity:
        raise OutputError(
            f"{run} holds a training with other pairs, rows or recipe; give another --out, or delete that folder"
        )
    if mark["finished"]:
        return run
    write_json(run / MARK, mark)
    stage, shown = f"training: {variant.label}", 0

    def watch(event: dict[str, Any]) -> None:
        nonlocal shown
        shown = min(100, int(100 * event.get("share", shown / 100)))
        setting.on_progress(stage, shown, 100)

    try:
        train(recipe, setting.pairs.folder.root, run, resume=True, device=setting.device, on_event=watch)
    except InterruptedRun as error:
        raise InterruptedRun(
            f"stopped while training '{variant.label}'; everything is saved: run the same command again to go on"
        ) from error
    write_json(run / MARK, {**mark, "finished": True})
    # What is measured is `last`; a dozen optimisers' moments would fill a disk.
    for name in ("state", "best"):
        shutil.rmtree(run / name, ignore_errors=True)
    return run


def _numbers(run: Path) -> dict[str, float]:
    """What the run's log says of its size and its end."""
    events = read_journal(run / "log.jsonl")
    named = (
        ("start", "parameters", "parameters"),
        ("start", "trained_parameters", "trained_parameters"),
        ("end", "samples", "rows"),
        ("end", "seconds", "training_seconds"),
        ("validation", "validation_loss", "validation_loss"),
    )
    found = {}
    for kind, key, name in named:
        values = [event[key] for event in events if event.get("event") == kind and key in event]
        if values:
            found[name] = float(values[-1])
    return found


def budget_note(results: Sequence[Result]) -> str:
    details = results[0].details
    return (
        f"Each trained on {details['rows']:,} rows of the same pairs with recipe {details['recipe']}, warm-ups "
        f"shortened to fit; {LEXICAL_ROWS} rows of the lexical head alone count as one "
        f"({LEXICAL_ROWS_WITHOUT_BLOCKS} where the network has no blocks), {NEIGHBOUR_ROWS} of the neighbour head "
        f"alone. Decoder {details['decoder']}. An equal number of rows is not an equal number of minutes."
    )
