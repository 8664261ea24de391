"""From a recipe to a network, fresh or empty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmask.denoiser.network import Denoiser, TokenSpace
from unmask.recipe import DenoiserSection, PretrainedBackbone

if TYPE_CHECKING:
    from unmask.text.tokens import TextTokenizer


def token_space(tokenizer: TextTokenizer) -> TokenSpace:
    return TokenSpace(tokenizer.vocabulary_size, tokenizer.mask_id, tokenizer.pad_id, tuple(tokenizer.forbidden_ids))


def backbone_folder(section: PretrainedBackbone) -> Path | str:
    """Where the stock weights are: the bundled model, a local folder or a hub name."""
    if section.name == "minilm":
        from unmask.encoders.minilm import bundled_model_folder

        return bundled_model_folder()
    return section.name


def build_denoiser(
    section: DenoiserSection,
    space: TokenSpace,
    length: int,
    dimension: int,
    stock_config: dict[str, Any] | None = None,
) -> Denoiser:
    """A network ready for training; with `stock_config`, an empty one for a checkpoint's weights to be put in."""
    if isinstance(section.backbone, PretrainedBackbone):
        from unmask.denoiser.pretrained import PretrainedTransformer, load_config, restore_config

        if stock_config is None:
            folder = backbone_folder(section.backbone)
            config = load_config(section.backbone, folder, section.dropout)
        else:
            folder, config = None, restore_config(stock_config)
        backbone: Any = PretrainedTransformer(config, space.vocabulary_size, folder, section.backbone.trust_remote_code)
        freeze(backbone, section.backbone)
    else:
        from unmask.denoiser.scratch import ScratchTransformer

        backbone = ScratchTransformer(section.backbone, space.vocabulary_size, length, section.dropout)
    return Denoiser(section, backbone, space, length, dimension)


def freeze(backbone: Any, section: PretrainedBackbone) -> None:
    """Take the pretrained parts that the recipe freezes out of training."""
    if section.freeze_backbone:
        backbone.model.requires_grad_(False)
    if section.freeze_embeddings or section.freeze_backbone:
        backbone.model.get_input_embeddings().requires_grad_(False)


def stock_config_of(denoiser: Denoiser) -> dict[str, Any] | None:
    """The stock model's configuration, kept in the checkpoint so that loading needs no hub."""
    config = getattr(denoiser.backbone, "config", None)
    if config is None:
        return None
    stored: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    stored.pop("_name_or_path", None)  # a place on the machine that trained
    return stored


def parameter_counts(denoiser: Denoiser) -> tuple[int, int]:
    """(trainable, total) parameters; the tied table counts once."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in denoiser.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)
