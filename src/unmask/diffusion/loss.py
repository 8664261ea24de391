"""Cross-entropy at the hidden positions, and the lexical head's multi-label softmax."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

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


def _exponentials(rows: torch.Tensor, table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """exp(logits - shift) in the kept memory, its sums over the vocabulary, and the shift (0 unless it is needed)."""
    logits = torch.mm(rows, table.T, out=_logits_buffer(len(rows), len(table), rows))  # (rows, vocabulary)
    ones = torch.ones((len(table), 1), dtype=rows.dtype, device=rows.device)
    if rows.dtype != torch.float16:
        sums = logits.exp_() @ ones  # (rows, 1)
        if bool(((sums > 1e-20) & (sums < 1e20)).all()):
            return logits, sums.float(), torch.zeros_like(sums, dtype=torch.float32)
        logits = torch.mm(rows, table.T, out=logits)
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
            of_wide = exponentials.T @ (rows.float() * share).to(rows.dtype)  # (vocabulary, hidden + SPARE)
            of_table = of_wide[:, :hidden].float()
            grad_table = of_table if grad_table is None else grad_table.add_(of_table)
            grad_table.index_add_(0, target, rows[:, :hidden].float() * -weight)
            grad_bias += of_wide[:, hidden]
            grad_bias.index_add_(0, target, -weight[:, 0])
        if grad_table is None:
            grad_table = torch.zeros(table.shape, device=table.device)
        ctx.save_for_backward(grad_features, grad_table, grad_bias)
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        grad_features, grad_table, grad_bias = ctx.saved_tensors
        scale = grad_outputs[0]
        # In place: nobody else holds these, and a second tensor of the table's size is worth avoiding.
        return grad_features.mul_(scale), grad_table.mul_(scale), grad_bias.mul_(scale), None, None


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


def multi_label_softmax(scores: torch.Tensor, ids: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Mean over rows of the mean -log softmax of the tokens that occur.

    scores: (batch, vocabulary); ids: (batch, length); counted: (batch, length) bool, the tokens that count.
    """
    log_probabilities = functional.log_softmax(scores.float(), dim=-1)
    chosen = log_probabilities.gather(1, ids) * counted  # (batch, length)
    return -(chosen.sum(1) / counted.sum(1).clamp(min=1)).mean()
