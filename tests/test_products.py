"""Products whose rows do not depend on one another, bit for bit."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import nn

from unmask import products
from unmask.products import is_steady, make_steady, steady_linear

INPUTS, OUTPUTS = 1536, 384  # as many inputs as a CPU may sum in several orders

needs_layout = pytest.mark.skipif(not products.can_lay_out(), reason="this torch cannot lay out weights for the CPU")


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(torch.bfloat16)


def weight_of(values: torch.Tensor) -> torch.Tensor:
    """As the weight of a layer that is only read with."""
    layer = nn.Linear(values.shape[1], values.shape[0], bias=False, dtype=values.dtype)
    make_steady(layer)
    layer.weight.copy_(values)
    return layer.weight


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
    weight = weight_of(weight)
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
    torch.testing.assert_close(
        steady_linear(rows, weight_of(weight), bias, back).float(), exact, rtol=2**-7, atol=2**-4
    )


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
    weight, rows = weight_of(drawn(OUTPUTS, INPUTS)), drawn(3, INPUTS, seed=1)
    first = steady_linear(rows, weight)
    weight.mul_(2)
    assert torch.equal(steady_linear(rows, weight), 2 * first)
    weight.data = drawn(OUTPUTS, INPUTS, seed=5)
    assert torch.equal(steady_linear(rows, weight), steady_linear(rows, weight_of(weight.data)))


@needs_layout
@torch.no_grad()
def test_nothing_is_kept_of_a_weight_that_is_gone() -> None:
    gc.collect()
    before = len(products._LAID_OUT)
    weight = weight_of(drawn(OUTPUTS, INPUTS))
    steady_linear(drawn(2, INPUTS), weight)
    assert len(products._LAID_OUT) == before + 1
    del weight
    gc.collect()
    assert len(products._LAID_OUT) == before


@torch.no_grad()
def test_a_weight_that_may_yet_be_trained_is_read_as_it_is() -> None:
    """A fused optimizer changes it without saying so."""
    table, rows = nn.Parameter(torch.randn(24, 8)), torch.randn(5, 8)
    optimizer = torch.optim.AdamW([table], lr=1.0, fused=True)
    products_of_table = []
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            assert not is_steady(rows, table)
            products_of_table.append(steady_linear(rows, table))
        table.grad = torch.randn_like(table)
        optimizer.step()
    assert not torch.equal(*products_of_table)


def test_a_gradient_passes() -> None:
    layer = nn.Linear(8, 4)
    make_steady(layer)
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(2, 8)).sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.abs().sum() > 0


@torch.no_grad()
def test_where_nothing_can_be_laid_out_torch_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "can_lay_out", lambda: False)
    rows, weight = drawn(4, INPUTS), weight_of(drawn(OUTPUTS, INPUTS, seed=1))
    assert torch.equal(steady_linear(rows, weight), nn.functional.linear(rows, weight))
    back = weight_of(weight.T.contiguous())
    assert torch.equal(steady_linear(rows, back, back=True), nn.functional.linear(rows, weight))


@needs_layout
@torch.no_grad()
def test_where_a_row_depends_on_its_place_torch_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_agreeing", lambda *shape: ())
    rows, weight = drawn(4, INPUTS), weight_of(drawn(OUTPUTS, INPUTS, seed=1))
    assert torch.equal(steady_linear(rows, weight), nn.functional.linear(rows, weight))
