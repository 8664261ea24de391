"""What a recipe would build, counted without building it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from unmask.denoiser.build import build_denoiser, parameter_counts, token_space
from unmask.denoiser.network import TokenSpace
from unmask.errors import RecipeError, UnmaskError

if TYPE_CHECKING:
    from unmask.recipe import Recipe


def plan(recipe: Recipe, pairs: Path | None = None) -> dict[str, Any]:
    """Sizes and parameter counts; from the pairs if given, else from the parts themselves or the recipe's word."""
    space, dimension, source = _sizes(recipe, pairs)
    stock = _stock_config(recipe)
    with torch.device("meta"):
        denoiser = build_denoiser(recipe.denoiser, space, recipe.text.length, dimension, stock)
    trained, total = parameter_counts(denoiser)
    return {
        "recipe": recipe.name,
        "sizes_from": source,
        "vocabulary_size": denoiser.vocabulary_size,
        "dimension": dimension,
        "length": recipe.text.length,
        "blocks": denoiser.backbone.block_count,
        "hidden": denoiser.backbone.hidden,
        "parameters": total,
        "trained_parameters": trained,
        "token_table_parameters": denoiser.table.numel(),
    }


def _sizes(recipe: Recipe, pairs: Path | None) -> tuple[TokenSpace, int, str]:
    if pairs is not None:
        from unmask.pairs.dataset import PairsDataset

        dataset = PairsDataset.open(pairs)
        return token_space(dataset.tokenizer()), dataset.manifest.dimension, str(pairs)
    try:
        from unmask.encoders import load_encoder
        from unmask.text.tokens import load_tokenizer

        return token_space(load_tokenizer(recipe.tokenizer)), load_encoder(recipe.encoder).dimension, "the models"
    except UnmaskError as error:
        expected = recipe.expected
        if expected.vocabulary_size is None or expected.dimension is None:
            raise RecipeError(
                f"the sizes of {recipe.name} are not known ({error}); give --pairs, or state expected.vocabulary_size "
                "and expected.dimension in the recipe"
            ) from error
        # Which rows are special does not change the count.
        return TokenSpace(expected.vocabulary_size, 0, 1, (0,)), expected.dimension, "the recipe"


def _stock_config(recipe: Recipe) -> dict[str, Any]:
    from unmask.recipe import PretrainedBackbone

    section = recipe.denoiser.backbone
    if not isinstance(section, PretrainedBackbone):
        return {}
    if recipe.expected.stock_config:
        stated = dict(recipe.expected.stock_config)
        return stated if section.layers is None else {**stated, "num_hidden_layers": section.layers}
    from unmask.denoiser.build import backbone_folder
    from unmask.denoiser.pretrained import load_config

    found: dict[str, Any] = load_config(section, backbone_folder(section), 0.0).to_dict()
    return found
