"""From a recipe to a network, fresh or empty."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmask.denoiser.backbone import Backbone
from unmask.denoiser.network import Denoiser, TokenSpace
from unmask.recipe import DenoiserSection, PretrainedBackbone, ScratchBackbone

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
    if section.backbone.layers == 0:
        backbone: Backbone = _build_table(section.backbone, space, stock_config)
    elif isinstance(section.backbone, PretrainedBackbone):
        backbone = _build_pretrained(section.backbone, space, section.dropout, stock_config)
    else:
        from unmask.denoiser.scratch import ScratchTransformer

        backbone = ScratchTransformer(section.backbone, space.vocabulary_size, length, section.dropout)
    return Denoiser(section, backbone, space, length, dimension)


def _build_pretrained(
    section: PretrainedBackbone, space: TokenSpace, dropout: float, stock_config: dict[str, Any] | None
) -> Backbone:
    from unmask.denoiser.pretrained import PretrainedTransformer, load_config, restore_config

    if stock_config is None:
        folder: Path | str | None = backbone_folder(section)
        config = load_config(section, backbone_folder(section), dropout)
    else:
        folder, config = None, restore_config(stock_config)
    backbone = PretrainedTransformer(config, space.vocabulary_size, folder, section.trust_remote_code)
    if section.freeze_backbone:
        backbone.model.requires_grad_(False)
    if section.freeze_embeddings or section.freeze_backbone:
        backbone.table.requires_grad_(False)
    return backbone


def _build_table(
    section: PretrainedBackbone | ScratchBackbone, space: TokenSpace, stock_config: dict[str, Any] | None
) -> Backbone:
    """A stock model is only needed while its rows are taken; a checkpoint is read without its library."""
    from unmask.denoiser.table import TokenTable

    if isinstance(section, ScratchBackbone):
        return TokenTable(section.hidden, space.vocabulary_size)
    if stock_config is not None:
        return TokenTable.like(stock_config, space.vocabulary_size)
    from unmask.denoiser.pretrained import load_config, stock_table

    folder = backbone_folder(section)
    config = load_config(section, folder, 0.0)
    backbone = TokenTable.like(config.to_dict(), space.vocabulary_size)
    backbone.take(stock_table(config, folder, section.trust_remote_code))
    backbone.table.requires_grad_(not (section.freeze_embeddings or section.freeze_backbone))
    return backbone


def parameter_counts(denoiser: Denoiser) -> tuple[int, int]:
    """(trainable, total) parameters; the tied table counts once."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in denoiser.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)
