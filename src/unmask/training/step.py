"""The loss of one batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from unmask.denoiser.network import Denoiser
from unmask.diffusion.loss import Columns, choose_columns, linear_cross_entropy, multi_label_softmax
from unmask.diffusion.masking import MaskedBatch, mask_batch
from unmask.diffusion.schedules import Schedule
from unmask.runtime import autocast
from unmask.training.data import Batch
from unmask.training.phases import Part


@dataclass(frozen=True)
class LossSettings:
    """What the loss takes from the recipe."""

    schedule: Schedule
    dtype: torch.dtype
    null_dropout: float
    lexical_weight: float
    length_weight: float = 0.0
    softmax_sample: int = 0


@dataclass(frozen=True)
class LossParts:
    total: torch.Tensor
    denoising: torch.Tensor
    lexical: torch.Tensor | None
    length: torch.Tensor | None = None


def batch_loss(
    denoiser: Denoiser,
    batch: Batch,
    settings: LossSettings,
    generator: torch.Generator,
    part: Part = Part.NETWORK,
) -> LossParts:
    """Mask a batch's ids, condition on its vectors, and compare."""
    ids, is_word = batch.ids, batch.ids != denoiser.pad_id  # (batch, length)
    given = denoiser.ends_are_given
    masked = mask_batch(
        ids, denoiser.mask_id, settings.schedule, generator,
        None if batch.is_whole or given else is_word, is_word if given else None,
    )  # fmt: skip
    draw = torch.rand(len(ids), generator=generator, device=ids.device)
    is_null = draw < settings.null_dropout if settings.null_dropout else None  # (batch,)
    with autocast(ids.device, settings.dtype):
        standard = denoiser.standardise(batch.vectors, is_null)  # (batch, dimension)
        summary = denoiser.summarise(standard)  # (batch, hidden)
        frozen = denoiser.heads_are_frozen
        length = None if frozen else _length_loss(denoiser, standard, summary, is_word)
        if part is Part.WORDS and summary is not None:
            columns = _columns(denoiser, [ids], True, settings, generator)
            words = _lexical_loss(denoiser, summary, ids, columns, _rows_of(denoiser, columns))
            return LossParts(_add(words, settings.length_weight, length), torch.zeros_like(words), words, length)
        without_network = part is Part.NEIGHBOURS
        if without_network:
            condition = denoiser.condition_of_heads(standard, summary)
        else:
            condition = denoiser.condition_from(standard, summary)
        in_play = [ids] if condition.candidate_ids is None else [ids, condition.candidate_ids]
        columns = _columns(denoiser, in_play, given or not batch.is_whole, settings, generator)
        # Taken once for both losses: each taking has a gradient of the whole table's size.
        rows = _rows_of(denoiser, columns)  # (columns, hidden)
        lexical = None if frozen or summary is None else _lexical_loss(denoiser, summary, ids, columns, rows)
        if without_network:
            features = denoiser.features_of_heads(masked.ids, masked.positions, condition)  # (masked, hidden)
        else:
            features = denoiser.features(masked.ids, masked.positions, condition, masked.time)
    denoising = cross_entropy_at(denoiser, features, ids, masked, settings.dtype, columns, rows)
    total = _add(_add(denoising, settings.lexical_weight, lexical), settings.length_weight, length)
    return LossParts(total, denoising, lexical, length)


def _add(total: torch.Tensor, weight: float, part: torch.Tensor | None) -> torch.Tensor:
    return total if part is None else total + weight * part


def _length_loss(
    denoiser: Denoiser, standard: torch.Tensor, summary: torch.Tensor | None, is_word: torch.Tensor
) -> torch.Tensor | None:
    if denoiser.length_head is None:
        return None
    return nn.functional.cross_entropy(denoiser.length_head(standard, summary).float(), is_word.sum(dim=1))


def cross_entropy_at(
    denoiser: Denoiser,
    features: torch.Tensor,
    ids: torch.Tensor,
    masked: MaskedBatch,
    dtype: torch.dtype,
    columns: Columns | None = None,
    rows: torch.Tensor | None = None,
) -> torch.Tensor:
    """The weighted cross-entropy at the hidden positions of a masked batch; `rows` are the table's at `columns`."""
    table, bias, targets = denoiser.table, denoiser.output_bias(), ids[masked.positions]
    if columns is not None and rows is not None:
        table, bias, targets = rows, bias[columns.ids] + columns.correction, columns.of(targets)
    return linear_cross_entropy(features, table, bias, targets, masked.weights[masked.positions], dtype)


def _rows_of(denoiser: Denoiser, columns: Columns | None) -> torch.Tensor:
    return denoiser.table if columns is None else denoiser.table[columns.ids]


def _columns(
    denoiser: Denoiser,
    in_play: list[torch.Tensor],
    without_pad: bool,
    settings: LossSettings,
    generator: torch.Generator,
) -> Columns | None:
    """The tokens of this step's softmax. PAD is none of them where a batch was cut to its length: that would tell."""
    if not settings.softmax_sample and not without_pad:
        return None
    never = denoiser.forbidden != 0  # (vocabulary,)
    if without_pad:
        never[denoiser.pad_id] = True
    return choose_columns(in_play, never, settings.softmax_sample, generator)


def _lexical_loss(
    denoiser: Denoiser, summary: torch.Tensor, ids: torch.Tensor, columns: Columns | None, rows: torch.Tensor
) -> torch.Tensor:
    assert denoiser.lexical is not None
    is_word = ids != denoiser.pad_id  # (batch, length)
    if columns is None:
        return multi_label_softmax(denoiser.lexical.scores(summary, rows), ids, is_word)
    bias = (denoiser.lexical.bias[columns.ids] + columns.correction).to(summary.dtype)  # (columns,)
    scores = nn.functional.linear(summary, rows, bias)  # (batch, columns)
    return multi_label_softmax(scores, columns.of(ids).clamp(min=0), is_word)
