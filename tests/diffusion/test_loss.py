"""The fused output head against the plain one."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from unmask.diffusion import loss
from unmask.diffusion.loss import choose_columns, linear_cross_entropy, multi_label_softmax


def problem(scale: float = 1.0, rows: int = 40, hidden: int = 24, vocabulary: int = 301):
    generator = torch.Generator().manual_seed(0)
    features = (torch.randn(rows, hidden, generator=generator) * scale).requires_grad_()
    table = torch.randn(vocabulary, hidden, generator=generator).requires_grad_()
    bias = torch.randn(vocabulary, generator=generator).requires_grad_()
    forbidden = torch.zeros(vocabulary)
    forbidden[[3, 7]] = -torch.inf
    targets = torch.randint(10, vocabulary, (rows,), generator=generator)
    weights = torch.rand(rows, generator=generator)
    return features, table, bias, forbidden, targets, weights


def plain(features, table, bias, targets, weights):
    return (functional.cross_entropy(features @ table.T + bias, targets, reduction="none") * weights).sum()


@pytest.mark.parametrize("scale", [1.0, 30.0])  # at 30 plain exponentials overflow
def test_value_and_gradients_equal_the_plain_head(scale: float) -> None:
    features, table, bias, forbidden, targets, weights = problem(scale)
    fused = linear_cross_entropy(features, table, bias + forbidden, targets, weights, torch.float32) * 2
    expected = plain(features, table, bias + forbidden, targets, weights) * 2
    assert fused.item() == pytest.approx(expected.item(), rel=1e-5)
    for found, wanted in zip(
        torch.autograd.grad(fused, (features, table, bias)),
        torch.autograd.grad(expected, (features, table, bias)),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_table_that_is_not_trained_costs_no_gradient_and_changes_no_other() -> None:
    features, table, bias, forbidden, targets, weights = problem()
    expected = torch.autograd.grad(
        linear_cross_entropy(features, table, bias + forbidden, targets, weights, torch.float32), (features, bias)
    )
    frozen = table.detach()
    fused = linear_cross_entropy(features, frozen, bias + forbidden, targets, weights, torch.float32)
    for found, wanted in zip(torch.autograd.grad(fused, (features, bias)), expected, strict=True):
        torch.testing.assert_close(found, wanted)


def test_parts_of_rows_give_the_same_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    features, table, bias, forbidden, targets, weights = problem()
    whole = linear_cross_entropy(features, table, bias + forbidden, targets, weights, torch.float32)
    grads = torch.autograd.grad(whole, (features, table, bias))
    monkeypatch.setattr(loss, "CHUNK_ROWS", 7)
    parts = linear_cross_entropy(features, table, bias + forbidden, targets, weights, torch.float32)
    assert parts.item() == pytest.approx(whole.item(), rel=1e-6)
    for found, wanted in zip(torch.autograd.grad(parts, (features, table, bias)), grads, strict=True):
        torch.testing.assert_close(found, wanted)


def test_bf16_is_close() -> None:
    features, table, bias, forbidden, targets, weights = problem()
    low = linear_cross_entropy(features, table, bias + forbidden, targets, weights, torch.bfloat16)
    exact = plain(features, table, bias + forbidden, targets, weights)
    assert low.item() == pytest.approx(exact.item(), rel=0.01)
    found, wanted = (torch.autograd.grad(x, features)[0] for x in (low, exact))
    assert ((found - wanted).norm() / wanted.norm()).item() < 0.02


def test_forbidden_ids_get_no_gradient() -> None:
    features, table, bias, forbidden, targets, weights = problem()
    linear_cross_entropy(features, table, bias + forbidden, targets, weights, torch.float32).backward()
    assert table.grad is not None and bias.grad is not None
    assert (table.grad[[3, 7]] == 0).all() and (bias.grad[[3, 7]] == 0).all()
    assert (table.grad[11] != 0).any()


def test_no_rows_cost_nothing() -> None:
    features, table, bias, _, _, _ = problem()
    empty = linear_cross_entropy(
        features[:0], table, bias, torch.zeros(0, dtype=torch.long), torch.zeros(0), torch.float32
    )
    assert empty.item() == 0
    empty.backward()


def test_multi_label_softmax_is_the_mean_over_occurring_tokens() -> None:
    scores = torch.randn(3, 20)
    ids = torch.tensor([[1, 2, 0, 0], [5, 5, 6, 0], [7, 0, 0, 0]])
    expected = torch.stack(
        [-torch.log_softmax(scores[row], 0)[ids[row][ids[row] != 0]].mean() for row in range(3)]
    ).mean()
    assert multi_label_softmax(scores, ids, ids != 0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_multi_label_softmax_leaves_out_rows_that_say_nothing() -> None:
    scores = torch.randn(2, 20)
    ids = torch.tensor([[1, 2], [0, 0]])
    alone = multi_label_softmax(scores[:1], ids[:1], ids[:1] != 0)
    assert multi_label_softmax(scores, ids, ids != 0).item() == pytest.approx(alone.item(), rel=1e-6)


def drawn_columns(seed: int, sample: int = 50):
    never = torch.zeros(301, dtype=torch.bool)
    never[[3, 7]] = True
    in_play = [torch.tensor([[10, 11, 3], [12, 10, 11]])]
    return choose_columns(in_play, never, sample, torch.Generator().manual_seed(seed))


def test_columns_hold_what_is_in_play_once_and_nothing_forbidden() -> None:
    columns = drawn_columns(0)
    ids = columns.ids.tolist()
    assert len(ids) == len(set(ids)) == 100 and {10, 11, 12} <= set(ids) and not {3, 7} & set(ids)
    assert torch.equal(columns.ids[columns.of(torch.tensor([12, 10]))], torch.tensor([12, 10]))
    assert (columns.of(torch.tensor([3, 7])) == -1).all()


def test_corrected_columns_give_the_sum_over_the_vocabulary_on_average() -> None:
    logits = torch.randn(301, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    allowed = torch.ones(301, dtype=torch.bool)
    allowed[[3, 7]] = False
    sums = [(logits[c.ids] + c.correction).exp().sum().item() for c in map(drawn_columns, range(400))]
    assert sum(sums) / len(sums) == pytest.approx(logits[allowed].exp().sum().item(), rel=0.01)


def test_no_sample_means_the_whole_vocabulary() -> None:
    columns = drawn_columns(0, sample=0)
    assert len(columns.ids) == 299 and (columns.correction == 0).all()
