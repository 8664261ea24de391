"""Matrix products in bf16 on a CPU, each row of which comes out the same whatever rows are beside it.

The library behind torch sums in another order for another number of rows, where the CPU multiplies tiles; then a vector
would give other texts alone than among others. So only such numbers of rows are multiplied at once as sum in the same
order, which is tried out once for each shape of a matrix; and the matrix is laid out for the CPU once, not every time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import nn
from torch.utils.weak import WeakIdKeyDictionary

# So many rows are always multiplied at once: fast, and no great waste for fewer. Others where they agree with it.
USUAL = 128
# Multiples of the one up to the other: rows are filled up to one of these, a waste, but a single product.
STEP, MOST = 64, 1024
SMALLER = (16, 32, 48)
# Numbers in a product at once; larger ones leave the cache.
MOST_NUMBERS = 1 << 22

_LAID_OUT: WeakIdKeyDictionary = WeakIdKeyDictionary()  # of every steady weight, how it is laid out, once it is used


class SteadyLinear(nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return steady_linear(input, self.weight, self.bias)


def make_steady(network: nn.Module) -> None:
    """All matrices of a network that is only read with from now on: an optimizer may change a weight unseen."""
    for module in network.modules():
        if type(module) is nn.Linear:
            module.__class__ = SteadyLinear
    for weight in network.parameters():
        if weight.dim() == 2:
            _LAID_OUT.setdefault(weight, None)


def steady_linear(
    rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, back: bool = False
) -> torch.Tensor:
    """`nn.functional.linear`, where the weight is a steady one the same for every row: rows (..., inputs), weight
    (outputs, inputs), bias (outputs,).

    `back` is the way from a layer's outputs to its inputs: rows (..., outputs) @ weight.
    """
    outputs, inputs = weight.shape[::-1] if back else weight.shape
    if not is_steady(rows, weight) or not _agreeing(inputs, outputs, torch.get_num_threads(), USUAL):
        return nn.functional.linear(rows, weight.T if back else weight, bias)
    laid_out, lowered_bias = _laid_out(weight, back), None if bias is None else bias.to(torch.bfloat16)
    flat = rows.reshape(-1, inputs).to(torch.bfloat16)  # (rows, inputs)
    parts, start = [], 0
    while start < len(flat):
        left = len(flat) - start
        size = rows_at_once(left, inputs, outputs)
        part = flat[start : start + size]
        if len(part) < size:
            part = nn.functional.pad(part, (0, 0, 0, size - len(part)))
        parts.append(_multiplied(part, laid_out, lowered_bias)[:left])
        start += size
    whole = parts[0] if len(parts) == 1 else torch.cat(parts) if parts else flat.new_empty(0, outputs)
    return whole.view(*rows.shape[:-1], outputs)


def is_steady(rows: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether a product is one of those that are made here; else it is torch's own."""
    if rows.device.type != "cpu" or weight not in _LAID_OUT or torch.is_grad_enabled() or not can_lay_out():
        return False
    if rows.dtype == torch.float64:  # which autocast leaves as it is
        return False
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu") == torch.bfloat16
    return rows.dtype == weight.dtype == torch.bfloat16


def rows_at_once(left: int, inputs: int, outputs: int) -> int:
    """How many rows are multiplied next, of so many that are left or filled up."""
    sizes = _agreeing(inputs, outputs, torch.get_num_threads(), USUAL if left <= USUAL else MOST)
    enough = next((size for size in sizes if left <= size < max(left, USUAL) + STEP), None)
    return enough or max(size for size in sizes if size <= left)


@cache
def can_lay_out() -> bool:
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
    """Kept as long as the weight lives, and made anew where it is seen to have changed."""
    known: _LaidOut | None = _LAID_OUT[weight]
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


def _multiplied(rows: torch.Tensor, laid_out: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, laid_out, bias, "none", [], "")
    return product


@cache
def _agreeing(inputs: int, outputs: int, threads: int, most: int) -> tuple[int, ...]:
    """The numbers of rows up to `most`, smallest first, that with so many threads give bit for bit what USUAL gives.

    Every sum of the trial would be 0, were nothing rounded: what comes out is the order of summing alone, which most
    sums of other numbers would not show.
    """
    drawn, half = torch.Generator().manual_seed(0), -(-inputs // 2)
    order = torch.randperm(half, generator=drawn)
    weight, rows = (torch.randn(STEP, half, generator=drawn).to(torch.bfloat16) for _ in range(2))
    rows = torch.cat([rows, rows[:, order]], dim=1)[:, :inputs]  # (STEP, inputs)
    weight = torch.cat([weight, -weight[:, order]], dim=1)[:, :inputs]  # (STEP, inputs)
    laid_out = _in_order(weight.repeat(-(-outputs // STEP), 1)[:outputs])
    usual = _multiplied(rows.repeat(USUAL // STEP, 1), laid_out)[:STEP]
    found = list(_agreeing(inputs, outputs, threads, USUAL)) if most > USUAL else []
    for size in range(USUAL + STEP, most + 1, STEP) if most > USUAL else (*SMALLER, STEP, USUAL):
        if size > USUAL and size * max(inputs, outputs) > MOST_NUMBERS:
            break
        times = -(-size // STEP)
        if torch.equal(_multiplied(rows.repeat(times, 1)[:size], laid_out), usual.repeat(times, 1)[:size]):
            found.append(size)
    return tuple(found) if USUAL in found else ()  # none where even its own rows depend on their place
