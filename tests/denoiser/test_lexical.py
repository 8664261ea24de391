"""The lexical head, and what it sees when it looks again."""

from __future__ import annotations

import math

import pytest
import torch

from unmask.denoiser.build import build_denoiser
from unmask.denoiser.lexical import LexicalHead, mean_row, repeat_costs
from unmask.denoiser.network import TokenSpace
from unmask.recipe import DenoiserSection, LexicalSection, ScratchBackbone

VOCABULARY, HIDDEN, DIMENSION, ROWS = 40, 12, 6, 5


def head(looks: int) -> LexicalHead:
    torch.manual_seed(0)
    return LexicalHead(DIMENSION, 16, HIDDEN, VOCABULARY, looks)


def problem() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(ROWS, DIMENSION, generator=generator),
        torch.randn(VOCABULARY, HIDDEN, generator=generator),
    )


def test_the_mean_row_is_what_a_text_of_those_scores_would_hold() -> None:
    _, table = problem()
    summary, bias = torch.randn(ROWS, HIDDEN) * 3, torch.randn(VOCABULARY)
    expected = (summary @ table.T + bias).softmax(dim=1) @ table
    torch.testing.assert_close(mean_row(summary, table, bias), expected)


def test_great_scores_do_not_overflow() -> None:
    _, table = problem()
    assert mean_row(torch.full((ROWS, HIDDEN), 1e4), table, torch.zeros(VOCABULARY)).isfinite().all()


def test_untrained_looks_change_nothing_and_trained_ones_do() -> None:
    standard, table = problem()
    plain, looking = head(0), head(2)
    looking.load_state_dict(plain.state_dict(), strict=False)
    assert torch.equal(plain(standard, table), looking(standard, table))
    for look in looking.looks:
        torch.nn.init.normal_(look.layers[-1].weight)
    assert not torch.allclose(plain(standard, table), looking(standard, table))
    looking.is_looking = False
    assert torch.equal(plain(standard, table), looking(standard, table))


def test_every_look_and_the_first_guess_learn() -> None:
    standard, table = problem()
    looking = head(2)
    for look in looking.looks:
        torch.nn.init.normal_(look.layers[-1].weight)
    looking(standard, table.requires_grad_()).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for n, p in looking.named_parameters() if n != "bias")


@pytest.mark.parametrize("trained", [True, False])
def test_the_gate_of_the_scores_learns_or_stays(trained: bool) -> None:
    section = DenoiserSection(
        backbone=ScratchBackbone(kind="scratch", layers=1, hidden=HIDDEN, heads=2, feed_forward=16),
        lexical=LexicalSection(enabled=True, hidden=8, candidates=3, bias_start=0.5, bias_trained=trained),
    )
    space = TokenSpace(VOCABULARY, mask_id=VOCABULARY - 1, pad_id=0, forbidden_ids=(VOCABULARY - 1,))
    denoiser = build_denoiser(section, space, 4, DIMENSION)
    assert denoiser.bias_gate is not None and denoiser.bias_gate.item() == 0.5
    ids = torch.full((ROWS, 4), space.mask_id)
    denoiser(ids, ids > 0, denoiser.condition(problem()[0])).clamp(min=-9).sum().backward()
    assert (denoiser.bias_gate.grad is not None) == trained


def test_rows_do_not_touch_each_other() -> None:
    standard, table = problem()
    looking = head(2)
    for look in looking.looks:
        torch.nn.init.normal_(look.layers[-1].weight)
    together = looking(standard, table)
    alone = torch.cat([looking(row[None], table) for row in standard])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_coming_again_costs_what_the_training_texts_say() -> None:
    texts, occurrences = torch.tensor([1000, 1000, 1000, 0]), torch.tensor([1500, 1050, 1000, 0])
    costs = repeat_costs(occurrences, texts)
    assert costs.tolist() == pytest.approx([0.7, 3.0, 4.0, -math.log(0.06)], abs=0.05)
    assert float(repeat_costs(torch.tensor([9000]), torch.tensor([1000]))) == 0  # it nearly always comes again
