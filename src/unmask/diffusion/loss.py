"""Cross-entropy at the hidden positions, and the lexical head's multi-label softmax."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

# Rows whose logits exist at one time: a bound on memory that an ordinary batch on a CPU does not reach.
CHUNK_ROWS = 4096
# Columns beside the table that carry the bias through the matrix product: added on its own it would cost one more
# pass over the logits. One is used; products of a multiple of 16 are faster.
SPARE = 16
# Stands for -inf: its product with a probability of zero must stay zero.
NEVER = -1e4

# The logits' memory, kept from step to step: taking it anew costs more than the exponentials that fill it.
_logits_memory: dict[tuple[torch.device, torch.dtype], torch.Tensor] = {}


def _logits_buffer(rows: int, vocabulary: int, like: torch.Tensor) -> torch.Tensor:
    key = (like.device, like.dtype)
    held = _logits_memory.get(key)
    if held is None or held.numel() < rows * vocabulary:
        held = _logits_memory[key] = torch.empty(rows * vocabulary, dtype=like.dtype, device=like.device)
    return held[: rows * vocabulary].view(rows, vocabulary)


def _widen_table(table: torch.Tensor, bias: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    wide = torch.zeros((len(table), table.shape[1] + SPARE), dtype=dtype, device=table.device)
    wide[:, : table.shape[1]] = table
    wide[:, table.shape[1]] = bias.clamp(min=NEVER)
    return wide  # (vocabulary, hidden + SPARE)


def _widen_rows(rows: torch.Tensor) -> torch.Tensor:
    wide = nn.functional.pad(rows, (0, SPARE))
    wide[:, rows.shape[1]] = 1
    return wide  # (rows, hidden + SPARE)


def _logits(rows: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    return torch.mm(rows, table.T, out=_logits_buffer(len(rows), len(table), rows))  # (rows, vocabulary)


def _exponentials(rows: torch.Tensor, table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """exp(logits - shift) in the kept memory, its sums over the vocabulary, and the shift (0 unless it is needed)."""
    logits = _logits(rows, table)
    ones = torch.ones((len(table), 1), dtype=rows.dtype, device=rows.device)
    if rows.dtype != torch.float16:
        sums = logits.exp_() @ ones  # (rows, 1)
        if bool(((sums > 1e-20) & (sums < 1e20)).all()):
            return logits, sums.float(), torch.zeros_like(sums, dtype=torch.float32)
        logits = _logits(rows, table)
    # The greatest logit is subtracted only where it must be: finding it is one more pass.
    shift = logits.amax(dim=1, keepdim=True)  # (rows, 1)
    logits.sub_(shift).exp_()
    return logits, (logits @ ones).float(), shift.float()


class _LinearCrossEntropy(torch.autograd.Function):
    """Weighted sum of -log softmax(x W' + b)[target], with gradients made in the forward pass.

    Only the exponentials are ever written at the width of the vocabulary; the division by their sum, the weight and
    the target's -1 all go to the narrow factors of the products.
    """

    @staticmethod
    def forward(
        ctx: Any,
        features: torch.Tensor,  # (rows, hidden)
        table: torch.Tensor,  # (vocabulary, hidden)
        bias: torch.Tensor,  # (vocabulary,)
        targets: torch.Tensor,  # (rows,)
        weights: torch.Tensor,  # (rows,)
    ) -> torch.Tensor:
        hidden = table.shape[1]
        total = torch.zeros((), device=features.device)
        grad_features = torch.empty_like(features)
        grad_table: torch.Tensor | None = None
        grad_bias = torch.zeros((len(bias),), device=bias.device)
        wide_table = _widen_table(table, bias, features.dtype)
        for start in range(0, len(features), CHUNK_ROWS):
            part = slice(start, start + CHUNK_ROWS)
            target, weight = targets[part], weights[part, None].float()  # weight: (chunk, 1)
            rows = _widen_rows(features[part])  # (chunk, hidden + SPARE)
            exponentials, sums, shift = _exponentials(rows, wide_table)
            of_target = (rows.float() * wide_table[target].float()).sum(1, keepdim=True)  # (chunk, 1)
            total += (weight * (sums.log() + shift - of_target)).sum()
            share = weight / sums  # (chunk, 1)
            pulled = (exponentials @ wide_table[:, :hidden]).float() * share  # (chunk, hidden)
            grad_features[part] = (pulled - table[target].float() * weight).to(features.dtype)
            grad_bias.index_add_(0, target, -weight[:, 0])
            if not ctx.needs_input_grad[1]:
                grad_bias += (exponentials.T @ share.to(rows.dtype))[:, 0]
                continue
            of_wide = exponentials.T @ (rows.float() * share).to(rows.dtype)  # (vocabulary, hidden + SPARE)
            of_table = of_wide[:, :hidden].float()
            grad_table = of_table if grad_table is None else grad_table.add_(of_table)
            grad_table.index_add_(0, target, rows[:, :hidden].float() * -weight)
            grad_bias += of_wide[:, hidden]
        if grad_table is None and ctx.needs_input_grad[1]:
            grad_table = torch.zeros(table.shape, device=table.device)
        ctx.save_for_backward(grad_features, grad_bias, *([] if grad_table is None else [grad_table]))
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        grad_features, grad_bias, *grad_table = ctx.saved_tensors
        scale = grad_outputs[0]
        # In place: nobody else holds these, and a second tensor of the table's size is worth avoiding.
        of_table = grad_table[0].mul_(scale) if grad_table else None
        return grad_features.mul_(scale), of_table, grad_bias.mul_(scale), None, None


def linear_cross_entropy(
    features: torch.Tensor,
    table: torch.Tensor,
    bias: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Σ weight · cross-entropy of the tied output head; matrix products in `dtype`, sums in fp32."""
    with torch.autocast(features.device.type, enabled=False):
        result: torch.Tensor = _LinearCrossEntropy.apply(features.to(dtype), table, bias, targets, weights)  # type: ignore[no-untyped-call]
    return result


def multi_label_softmax(scores: torch.Tensor, columns: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Mean over rows of the mean -log softmax of the tokens that occur; rows without any say nothing.

    scores: (batch, vocabulary); columns: (batch, length); counted: (batch, length) bool, the tokens that count.
    """
    scores = scores.float()
    occurring = counted.sum(1)  # (batch,)
    chosen = (scores.gather(1, columns.masked_fill(~counted, 0)) * counted).sum(1) / occurring.clamp(min=1)
    losses = (scores.logsumexp(dim=1) - chosen) * (occurring > 0)  # (batch,)
    return losses.sum() / (occurring > 0).sum().clamp(min=1)


@dataclass(frozen=True)
class Columns:
    """The part of the vocabulary that one step's softmax is taken over."""

    ids: torch.Tensor  # (columns,)
    correction: torch.Tensor  # (columns,); log of the tokens that a column stands for
    places: torch.Tensor  # (vocabulary,); the column of each token, -1 without one

    def of(self, targets: torch.Tensor) -> torch.Tensor:
        return self.places[targets]


def choose_columns(
    in_play: list[torch.Tensor], never: torch.Tensor, sample: int, generator: torch.Generator
) -> Columns:
    """All tokens in play and a uniform sample of the others, each of which stands for its share of them.

    The sum of exponentials over the columns, corrected, is then right on average: tokens that are never in play are
    still pushed down; a sample of 0 takes all of them. never: (vocabulary,) bool, tokens left out whatever happens.
    """
    marked = torch.zeros_like(never)
    for ids in in_play:
        marked[ids.flatten()] = True
    marked &= ~never
    others = (~marked & ~never).nonzero()[:, 0]
    sure = marked.nonzero()[:, 0]
    # Filled up to a multiple of the sample: memory of ever new sizes would be torn into pieces that nothing fits.
    count = sample + -len(sure) % sample if sample else len(others)
    drawn = others[torch.randperm(len(others), generator=generator, device=never.device)[:count]]
    ids = torch.cat([sure, drawn])  # (columns,)
    correction = torch.zeros(len(ids), device=never.device)
    correction[len(sure) :] = math.log(len(others) / max(len(drawn), 1)) if len(others) else 0.0
    places = torch.full(never.shape, -1, dtype=torch.long, device=never.device)
    places[ids] = torch.arange(len(ids), device=never.device)
    return Columns(ids, correction, places)
