"""Matrix products in bf16 on a CPU, each row of which comes out the same whatever rows are beside it.

The library behind torch sums in another order for another number of rows, where the CPU multiplies tiles; then a vector
would give other texts alone than among others. So only such numbers of rows are multiplied at once as sum in the same
order, which is tried out once for each size of a matrix; and the matrix is laid out for the CPU once, not every time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import nn
from torch.utils.weak import WeakIdKeyDictionary

# Rows that may be multiplied at once: those that agree with USUAL, which is fast and no great waste for fewer.
SIZES, USUAL = (2048, 1024, 512, 256, 128, 64, 32, 16), 128
# Numbers in a product at once; larger ones leave the cache.
MOST_NUMBERS = 1 << 22

_LAID_OUT: WeakIdKeyDictionary = WeakIdKeyDictionary()


class SteadyLinear(nn.Linear):
    """A layer that is not trained any more."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return steady_linear(rows, self.weight, self.bias)


def make_steady(network: nn.Module) -> None:
    """All linear layers of a network that is only read with from now on."""
    for module in network.modules():
        if type(module) is nn.Linear:
            module.__class__ = SteadyLinear


def steady_linear(
    rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, back: bool = False
) -> torch.Tensor:
    """`nn.functional.linear`: rows (..., inputs), weight (outputs, inputs), bias (outputs,); the same for every row.

    `back` is the way from a layer's outputs to its inputs: rows (..., outputs) @ weight.
    """
    if not is_steady(rows, weight):
        return nn.functional.linear(rows, weight.T if back else weight, bias)
    laid_out = _laid_out(weight, back)
    outputs, inputs = weight.shape[::-1] if back else weight.shape
    bias = None if bias is None else bias.to(torch.bfloat16)
    flat = rows.reshape(-1, inputs).to(torch.bfloat16)  # (rows, inputs)
    sizes = _agreeing(inputs, outputs, torch.get_num_threads())
    parts, start = [], 0
    while start < len(flat):
        left = len(flat) - start
        # The last ones are filled up: one product of a few too many is sooner made than several.
        size = min(size for size in sizes if size >= left) if left <= USUAL else max(s for s in sizes if s <= left)
        part = flat[start : start + size]
        if len(part) < size:
            part = nn.functional.pad(part, (0, 0, 0, size - len(part)))
        parts.append(_multiplied(part, laid_out, bias)[:left])
        start += size
    whole = parts[0] if len(parts) == 1 else torch.cat(parts) if parts else flat.new_empty(0, outputs)
    return whole.view(*rows.shape[:-1], outputs)


def is_steady(rows: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether a product is one of those that are made here; else it is torch's own."""
    if rows.device.type != "cpu" or torch.is_grad_enabled() or not _can_lay_out():
        return False
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu") == torch.bfloat16
    return rows.dtype == weight.dtype == torch.bfloat16


@cache
def _can_lay_out() -> bool:
    """Whether this torch and this CPU have what it takes; else products are as torch makes them."""
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkldnn.enabled:  # type: ignore[attr-defined]
        return False
    try:
        few = torch.ones(2, 2, dtype=torch.bfloat16)
        return bool((_multiplied(few, _in_order(few), few[0]) == 3).all())
    except (RuntimeError, AttributeError, NotImplementedError):
        return False


@dataclass(frozen=True)
class _LaidOut:
    """A weight as it was, in the CPU's order; both ways where both are used."""

    version: int
    place: int
    ways: dict[bool, torch.Tensor]


def _laid_out(weight: torch.Tensor, back: bool) -> torch.Tensor:
    """Kept as long as the weight lives, and made anew where it has changed."""
    known = _LAID_OUT.get(weight)
    version = -1 if weight.is_inference() else weight._version
    if known is None or (known.version, known.place) != (version, weight.data_ptr()):
        known = _LAID_OUT[weight] = _LaidOut(version, weight.data_ptr(), {})
    if back not in known.ways:
        given = weight.detach().to(torch.bfloat16)
        known.ways[back] = _in_order(given.T if back else given)
    return known.ways[back]


def _in_order(weight: torch.Tensor) -> torch.Tensor:
    laid_out: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)
    return laid_out


def _multiplied(rows: torch.Tensor, laid_out: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, laid_out, bias, "none", [], "")
    return product


@cache
def _agreeing(inputs: int, outputs: int, threads: int) -> tuple[int, ...]:
    """The numbers of rows, largest first, that with so many threads give bit for bit what USUAL gives."""
    fit = [size for size in SIZES if size <= USUAL or size * max(inputs, outputs) <= MOST_NUMBERS]
    drawn = torch.Generator().manual_seed(0)
    weight = torch.randn(outputs, inputs, generator=drawn).to(torch.bfloat16)
    rows = torch.randn(fit[0], inputs, generator=drawn).to(torch.bfloat16)
    laid_out = _in_order(weight)
    of_size = {size: torch.cat([_multiplied(part, laid_out, None) for part in rows.split(size)]) for size in fit}
    return tuple(size for size in fit if torch.equal(of_size[size], of_size[USUAL]))
