"""Text to (tokens, vector) pairs on disk; a run that is cut short is taken up where it stopped."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmask.errors import PairsError, RecipeError
from unmask.pairs.drafts import DraftWriter
from unmask.pairs.folder import TOKENIZER, PairsFolder, locked
from unmask.pairs.manifest import PairsManifest, make_manifest, read_manifest, write_manifest
from unmask.pairs.plan import OnProgress, make_plan
from unmask.pairs.selection import select_rows
from unmask.pairs.vectors import VectorWriter, write_statistics
from unmask.text.sources import check_sources
from unmask.text.tokens import load_tokenizer

if TYPE_CHECKING:
    from unmask.encoders.base import Encoder
    from unmask.recipe import Recipe


def prepare(
    recipe: Recipe, out: Path | str, on_progress: OnProgress | None = None, encoder: Encoder | None = None
) -> PairsManifest:
    """Make a folder of pairs, or what is missing of it; `encoder` stands in for the one the recipe names."""
    check_sources(recipe.text)
    folder = PairsFolder(out)
    report = on_progress or (lambda progress: None)
    with locked(folder.root):
        folder.make_work()
        tokenizer = load_tokenizer(recipe.tokenizer)
        if encoder is None:
            from unmask.encoders import load_encoder

            encoder = load_encoder(recipe.encoder)
        _check_length(recipe, encoder)
        plan = make_plan(recipe, tokenizer, encoder)
        folder.claim(plan)
        if not folder.is_complete:
            tokenizer.save(folder.root / TOKENIZER)
            drafts = 0 if folder.selection.is_file() else DraftWriter(folder, recipe, tokenizer).write_missing(report)
            selection = select_rows(folder, recipe.pairs, drafts, report)
            if not selection["shards"]["train"]:
                raise PairsError(
                    f"no training row is left ({_reasons(selection)}); give more text, or lower pairs.validation_share "
                    "and pairs.test_share"
                )
            VectorWriter(folder, tokenizer, encoder, recipe.pairs.vector_dtype, report).write_missing(
                selection["shards"]
            )
            write_statistics(folder, len(selection["shards"]["train"]), encoder.dimension)
            write_manifest(folder, make_manifest(
                recipe, plan, _describe(recipe, encoder),
                {"name": tokenizer.name, "fingerprint": tokenizer.fingerprint}, selection,
            ))  # fmt: skip
        shutil.rmtree(folder.work, ignore_errors=True)
    return read_manifest(folder)


def _check_length(recipe: Recipe, encoder: Encoder) -> None:
    if encoder.max_tokens is not None and encoder.max_tokens < recipe.text.length:
        raise RecipeError(
            f"text.length is {recipe.text.length}, but encoder '{encoder.name}' reads only {encoder.max_tokens} "
            "tokens: the rest would not be in the vector; lower text.length"
        )


def _describe(recipe: Recipe, encoder: Encoder) -> dict[str, Any]:
    return {
        "name": encoder.name,
        "fingerprint": encoder.fingerprint,
        "dimension": encoder.dimension,
        "section": recipe.encoder.model_dump(mode="json"),
    }


def _reasons(selection: dict[str, Any]) -> str:
    dropped = selection["counts"].get("dropped", {})
    return ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count) or "nothing was dropped"
