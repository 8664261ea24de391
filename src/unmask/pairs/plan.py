"""What decides the bytes of a folder of pairs: two runs with equal plans write equal folders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unmask.files import sha256_of_json
from unmask.text.sources import describe_sources

if TYPE_CHECKING:
    from unmask.encoders.base import Encoder
    from unmask.recipe import Recipe
    from unmask.text.tokens import TextTokenizer

FORMAT = 1
# How the encoder is reached, not what it answers.
_FREE_OF_CHOICE = ("batch_size", "requests_per_minute", "budget", "api_key_variable", "url")


@dataclass(frozen=True)
class Progress:
    """How far preparing is."""

    stage: str
    done: int
    total: int | None
    per_second: float = 0.0


OnProgress = Callable[[Progress], None]


def sections_of(recipe: Recipe) -> dict[str, Any]:
    """The parts of a recipe that pairs depend on, without where things lie on this machine."""
    tree = recipe.model_dump(mode="json")
    text, encoder = tree["text"], tree["encoder"]
    for source in text["sources"]:
        source.pop("path")  # the names and sizes of the files stand in its place
    for name in _FREE_OF_CHOICE:
        encoder.pop(name)
    return {name: tree[name] for name in ("seed", "text", "tokenizer", "encoder", "pairs")}


def make_plan(recipe: Recipe, tokenizer: TextTokenizer, encoder: Encoder) -> dict[str, Any]:
    return {
        "format": FORMAT,
        **sections_of(recipe),
        "sources": describe_sources(recipe.text),
        "fingerprints": {"tokenizer": tokenizer.fingerprint, "encoder": encoder.fingerprint},
        "dimension": encoder.dimension,
    }


def plan_hash(plan: dict[str, Any]) -> str:
    return sha256_of_json(plan)
