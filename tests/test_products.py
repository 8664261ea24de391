"""Products whose rows do not depend on one another, bit for bit."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import nn

from unmask import products
from unmask.products import make_steady, steady_linear

INPUTS, OUTPUTS = 1536, 384  # as many inputs as a CPU may sum in several orders

needs_layout = pytest.mark.skipif(not products.can_lay_out(), reason="this torch cannot lay out weights for the CPU")


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(torch.bfloat16)


@needs_layout
@pytest.mark.parametrize("back", [False, True], ids=["there", "back"])
@torch.no_grad()
def test_a_row_is_the_same_whatever_is_beside_it(back: bool) -> None:
    weight = drawn(INPUTS, OUTPUTS, seed=1) if back else drawn(OUTPUTS, INPUTS, seed=1)
    rows, bias = drawn(1400, INPUTS), drawn(OUTPUTS, seed=2)
    # Sums that nearly cancel show in which order they were made.
    half, order = INPUTS // 2, torch.randperm(INPUTS // 2, generator=torch.Generator().manual_seed(4))
    rows[:, half:], of_inputs = rows[:, order], weight.T if back else weight
    of_inputs[:, half:] = -of_inputs[:, order]
    whole = torch.cat([steady_linear(part, weight, bias, back) for part in rows.split(products.USUAL)])
    for count in (1, 2, 7, 16, 33, 37, 64, 79, 128, 200, 331, 511, 513, 699, 1025, 1300, 1400):
        torch.testing.assert_close(steady_linear(rows[-count:], weight, bias, back), whole[-count:], rtol=0, atol=0)
    torch.testing.assert_close(whole.float(), bias.float().expand_as(whole), rtol=2**-7, atol=2**-6)


@needs_layout
@pytest.mark.parametrize("back", [False, True], ids=["there", "back"])
@torch.no_grad()
def test_it_is_the_product(back: bool) -> None:
    weight = drawn(INPUTS, OUTPUTS, seed=1) if back else drawn(OUTPUTS, INPUTS, seed=1)
    rows, bias = drawn(150, INPUTS), drawn(OUTPUTS, seed=2)
    exact = rows.float() @ (weight if back else weight.T).float() + bias.float()
    torch.testing.assert_close(steady_linear(rows, weight, bias, back).float(), exact, rtol=2**-7, atol=2**-4)


@needs_layout
@torch.no_grad()
def test_the_same_layer_under_autocast_in_any_shape() -> None:
    layer = nn.Linear(40, 24)
    rows = torch.randn(3, 5, 40, generator=torch.Generator().manual_seed(3))
    exact = layer(rows)
    make_steady(layer)
    assert torch.equal(layer(rows), exact)  # nothing is lowered unasked
    with torch.autocast("cpu", torch.bfloat16):
        lowered = layer(rows)
        alone = layer(rows[1, 2])
        none = layer(rows[:0])
    assert lowered.dtype == torch.bfloat16 and lowered.shape == (3, 5, 24) and none.shape == (0, 5, 24)
    assert torch.equal(alone, lowered[1, 2])
    torch.testing.assert_close(lowered.float(), exact, rtol=2**-6, atol=2**-6)


@needs_layout
@torch.no_grad()
def test_a_weight_that_changes_is_laid_out_anew() -> None:
    weight, rows = drawn(OUTPUTS, INPUTS), drawn(3, INPUTS, seed=1)
    first = steady_linear(rows, weight)
    weight.mul_(2)
    assert torch.equal(steady_linear(rows, weight), 2 * first)
    weight.data = drawn(OUTPUTS, INPUTS, seed=5)
    assert torch.equal(steady_linear(rows, weight), steady_linear(rows, weight.clone()))


@needs_layout
@torch.no_grad()
def test_nothing_is_kept_of_a_weight_that_is_gone() -> None:
    gc.collect()
    before = len(products._LAID_OUT)
    weight = drawn(OUTPUTS, INPUTS)
    steady_linear(drawn(2, INPUTS), weight)
    assert len(products._LAID_OUT) == before + 1
    del weight
    gc.collect()
    assert len(products._LAID_OUT) == before


def test_a_gradient_passes() -> None:
    layer = nn.Linear(8, 4)
    make_steady(layer)
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(2, 8)).sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.abs().sum() > 0


@torch.no_grad()
def test_where_nothing_can_be_laid_out_torch_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "can_lay_out", lambda: False)
    rows, weight = drawn(4, INPUTS), drawn(OUTPUTS, INPUTS, seed=1)
    assert torch.equal(steady_linear(rows, weight), nn.functional.linear(rows, weight))
    assert torch.equal(steady_linear(rows, weight.T.contiguous(), back=True), nn.functional.linear(rows, weight))
