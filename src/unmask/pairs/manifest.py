"""What a finished folder of pairs says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unmask.errors import PairsError
from unmask.files import read_json, write_json
from unmask.pairs.folder import MANIFEST, SPLITS, STATISTICS, PairsFolder, differing
from unmask.pairs.plan import FORMAT, plan_hash, sections_of

if TYPE_CHECKING:
    from unmask.recipe import Recipe


@dataclass(frozen=True)
class PairsManifest:
    """Everything about a folder of pairs but the pairs."""

    recipe_name: str
    recipe_hash: str
    plan: dict[str, Any]  # all that decided the folder's bytes
    length: int
    dimension: int
    encoder: dict[str, Any]  # name, fingerprint, dimension, and the recipe's section
    tokenizer: dict[str, Any]  # name and fingerprint
    shards: dict[str, list[int]]  # rows of each shard, for each split
    counts: dict[str, dict[str, int]]  # rows by kind and domain; texts dropped, by reason
    mean: np.ndarray  # (dimension,) float32, over the training split
    spread: np.ndarray  # (dimension,) float32

    def count(self, split: str) -> int:
        return sum(self.shards[split])

    @property
    def rows(self) -> dict[str, int]:
        return {split: self.count(split) for split in SPLITS}

    def differences_from(self, recipe: Recipe) -> list[str]:
        """What a recipe asks of its pairs that this folder is not; text files themselves are not looked at."""
        wanted = sections_of(recipe)
        held = {name: self.plan.get(name) for name in wanted}
        return list(differing(held, wanted))

    def as_tree(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "recipe": self.recipe_name,
            "recipe_hash": self.recipe_hash,
            "rows": self.rows,
            "length": self.length,
            "dimension": self.dimension,
            "encoder": self.encoder,
            "tokenizer": self.tokenizer,
            "shards": self.shards,
            "counts": self.counts,
            "plan": self.plan,
        }


def write_manifest(folder: PairsFolder, manifest: PairsManifest) -> None:
    write_json(folder.root / MANIFEST, manifest.as_tree())


def read_manifest(folder: PairsFolder) -> PairsManifest:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not folder.is_complete:
        started = (folder.root / "plan.json").is_file()
        advice = "go on with the same unmask prepare command" if started else "make it with unmask prepare"
        state = "is not finished" if started else "is no folder of pairs"
        raise PairsError(f"{folder.root} {state} (it has no {MANIFEST}); {advice}")
    tree = read_json(folder.root / MANIFEST)
    if tree.get("format") != FORMAT:
        raise PairsError(
            f"{folder.root} has pairs format {tree.get('format')}, this version reads {FORMAT}; prepare it again"
        )
    try:
        arrays = load_file(str(folder.root / STATISTICS))
        return PairsManifest(
            tree["recipe"], tree["recipe_hash"], tree["plan"], tree["length"], tree["dimension"], tree["encoder"],
            tree["tokenizer"], tree["shards"], tree["counts"], arrays["mean"], arrays["spread"],
        )  # fmt: skip
    except (OSError, SafetensorError, KeyError) as error:
        raise PairsError(f"{folder.root} is damaged ({error!r}); copy it again or prepare it again") from error


def make_manifest(
    recipe: Recipe, plan: dict[str, Any], encoder: dict[str, Any], tokenizer: dict[str, Any], selection: dict[str, Any]
) -> PairsManifest:
    """A manifest whose statistics are still on disk only."""
    nothing = np.empty(0, np.float32)
    return PairsManifest(
        recipe.name, plan_hash(plan), plan, recipe.text.length, plan["dimension"], encoder, tokenizer,
        selection["shards"], selection["counts"], nothing, nothing,
    )  # fmt: skip
