"""The denoiser's own promises: what it may predict, what it sees, and that rows do not touch each other."""

from __future__ import annotations

import pytest
import torch

from unmask.denoiser.attention import attend
from unmask.denoiser.build import build_denoiser
from unmask.denoiser.conditioning import Condition
from unmask.denoiser.network import Denoiser, TokenSpace
from unmask.errors import VectorError
from unmask.recipe import ConditioningSection, DenoiserSection, LexicalSection, ScratchBackbone

VOCABULARY, LENGTH, DIMENSION, ROWS = 50, 8, 6, 5
SPACE = TokenSpace(VOCABULARY, mask_id=48, pad_id=0, forbidden_ids=(1, 2, 48))
EVERYWHERE = torch.ones(ROWS, LENGTH, dtype=torch.bool)

VARIANTS = {
    "paper": (ConditioningSection(), LexicalSection()),
    "paper with time": (ConditioningSection(time=True), LexicalSection()),
    "prefix only": (ConditioningSection(adaln=False, prefix=3), LexicalSection()),
    "both": (ConditioningSection(prefix=2), LexicalSection()),
    "lexical": (ConditioningSection(prefix=1), LexicalSection(enabled=True, candidates=7, hidden=12)),
    "lexical scores only": (ConditioningSection(), LexicalSection(enabled=True, candidates=0, hidden=12)),
}


def make(variant: str, stir: bool = True) -> Denoiser:
    conditioning, lexical = VARIANTS[variant]
    torch.manual_seed(0)
    section = DenoiserSection(
        backbone=ScratchBackbone(kind="scratch", layers=2, hidden=16, heads=2, feed_forward=24),
        conditioning=conditioning,
        lexical=lexical,
    )
    denoiser = build_denoiser(section, SPACE, LENGTH, DIMENSION).eval()
    if stir:  # zero gates hide what a test of the whole should see
        for parameter in denoiser.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    return denoiser


def some_ids(seed: int = 0) -> torch.Tensor:
    ids = torch.randint(3, 48, (ROWS, LENGTH), generator=torch.Generator().manual_seed(seed))
    return torch.where(torch.rand(ids.shape, generator=torch.Generator().manual_seed(seed)) < 0.5, 48, ids)


@pytest.fixture(params=list(VARIANTS))
def denoiser(request: pytest.FixtureRequest) -> Denoiser:
    return make(request.param)


TIME = torch.linspace(0.1, 1, ROWS)


@torch.no_grad()
def test_what_is_forbidden_is_never_possible_and_pad_is(denoiser: Denoiser) -> None:
    logits = denoiser(some_ids(), EVERYWHERE, denoiser.condition(torch.randn(ROWS, DIMENSION)), TIME)
    assert torch.isneginf(logits[:, list(SPACE.forbidden_ids)]).all()
    others = [i for i in range(VOCABULARY) if i not in SPACE.forbidden_ids]
    assert torch.isfinite(logits[:, others]).all()


@torch.no_grad()
def test_a_row_in_a_batch_equals_the_row_alone(denoiser: Denoiser) -> None:
    vectors, ids = torch.randn(ROWS, DIMENSION), some_ids()
    together = denoiser(ids, EVERYWHERE, denoiser.condition(vectors), TIME).view(ROWS, LENGTH, -1)
    for row in range(ROWS):
        one = slice(row, row + 1)
        alone = denoiser(ids[one], EVERYWHERE[one], denoiser.condition(vectors[one]), TIME[one])
        torch.testing.assert_close(together[row], alone, atol=2e-4, rtol=1e-4)


@torch.no_grad()
def test_logits_at_some_positions_are_those_of_all_positions(denoiser: Denoiser) -> None:
    ids, condition = some_ids(), denoiser.condition(torch.randn(ROWS, DIMENSION))
    whole = denoiser(ids, EVERYWHERE, condition, TIME).view(ROWS, LENGTH, -1)
    positions = ids == SPACE.mask_id
    torch.testing.assert_close(denoiser(ids, positions, condition, TIME), whole[positions], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_vector_matters_and_the_null_vector_hides_it(denoiser: Denoiser) -> None:
    ids, first, second = some_ids(), torch.randn(ROWS, DIMENSION), torch.randn(ROWS, DIMENSION)
    hidden = torch.ones(ROWS, dtype=torch.bool)

    def logits(vectors: torch.Tensor, is_null: torch.Tensor | None = None) -> torch.Tensor:
        return denoiser(ids, EVERYWHERE, denoiser.condition(vectors, is_null), TIME)

    assert not torch.allclose(logits(first), logits(second), atol=1e-3)
    torch.testing.assert_close(logits(first, hidden), logits(second, hidden))


@torch.no_grad()
def test_a_condition_can_be_split_and_joined(denoiser: Denoiser) -> None:
    ids, condition = some_ids(), denoiser.condition(torch.randn(ROWS, DIMENSION))
    assert condition.batch_size == ROWS
    order = torch.tensor([3, 1, 4, 0, 2])
    joined = Condition.concatenate([condition.select(order[:2]), condition.select(order[2:])])
    expected = denoiser(ids, EVERYWHERE, condition, TIME).view(ROWS, LENGTH, -1)[order]
    found = denoiser(ids[order], EVERYWHERE, joined, TIME[order]).view(ROWS, LENGTH, -1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_vectors_are_standardised_by_the_training_set() -> None:
    denoiser = make("paper")
    vectors = torch.randn(ROWS, DIMENSION)
    plain = denoiser(some_ids(), EVERYWHERE, denoiser.condition(vectors))
    denoiser.set_vector_statistics(torch.full((DIMENSION,), 2.0), torch.full((DIMENSION,), 5.0))
    moved = denoiser(some_ids(), EVERYWHERE, denoiser.condition(vectors * 5 + 2))
    torch.testing.assert_close(moved, plain, atol=1e-4, rtol=1e-4)


def test_a_constant_dimension_does_not_divide_by_zero() -> None:
    denoiser = make("paper")
    denoiser.set_vector_statistics(torch.zeros(DIMENSION), torch.zeros(DIMENSION))
    assert torch.isfinite(denoiser.standardise(torch.zeros(1, DIMENSION))).all()


def test_noise_in_a_number_that_never_varied_is_not_made_larger() -> None:
    denoiser = make("paper")
    spread = torch.ones(DIMENSION)
    spread[2] = 0
    denoiser.set_vector_statistics(torch.zeros(DIMENSION), spread)
    vectors = torch.randn(ROWS, DIMENSION)
    vectors[:, 2] = 0
    clean, noisy = denoiser.standardise(vectors), vectors.clone()
    noisy[:, 2] = 1e-3
    assert torch.equal(denoiser.standardise(noisy), clean)
    assert torch.equal(clean, vectors)


def test_a_wrong_dimension_is_named() -> None:
    with pytest.raises(VectorError, match=r"expects 6-d vectors, got shape \(2, 7\)"):
        make("paper").condition(torch.zeros(2, 7))


@torch.no_grad()
def test_scratch_starts_as_the_identity_of_its_blocks() -> None:
    denoiser = make("paper", stir=False)
    ids = some_ids()
    embedded = denoiser.backbone.tokens(ids) + denoiser.backbone.places.weight[:LENGTH]
    condition = denoiser.condition(torch.randn(ROWS, DIMENSION))
    torch.testing.assert_close(denoiser.backbone(ids, condition.modulation, None), embedded)


@torch.no_grad()
def test_candidates_are_the_head_s_best_allowed_tokens() -> None:
    denoiser = make("lexical")
    vectors = torch.randn(ROWS, DIMENSION)
    scores = denoiser.lexical_scores(denoiser.standardise(vectors))
    scores[:, [*SPACE.forbidden_ids, SPACE.pad_id]] = -torch.inf
    chosen = denoiser.condition(vectors).candidate_ids
    assert chosen is not None
    torch.testing.assert_close(chosen.sort().values, scores.topk(7, dim=1).indices.sort().values)


@torch.no_grad()
def test_coverage_tells_a_spent_candidate_from_a_missing_one() -> None:
    denoiser = make("lexical")
    condition = denoiser.condition(torch.randn(ROWS, DIMENSION))
    assert condition.candidate_ids is not None
    ids = torch.full((ROWS, LENGTH), SPACE.mask_id)
    ids[:, 0] = condition.candidate_ids[:, 0]
    before = denoiser(ids, EVERYWHERE, condition)
    denoiser.uses_coverage = False
    assert not torch.allclose(before, denoiser(ids, EVERYWHERE, condition), atol=1e-3)
    ids[:, 0] = SPACE.mask_id
    without = denoiser(ids, EVERYWHERE, condition)
    denoiser.uses_coverage = True
    torch.testing.assert_close(denoiser(ids, EVERYWHERE, condition), without)


def test_the_lexical_bias_enters_through_its_gate() -> None:
    denoiser = make("lexical scores only")
    vectors = torch.randn(ROWS, DIMENSION)
    assert denoiser.bias_gate is not None
    with torch.no_grad():
        denoiser.bias_gate.fill_(0.0)
        closed = denoiser(some_ids(), EVERYWHERE, denoiser.condition(vectors))
        denoiser.bias_gate.fill_(1.0)
        opened = denoiser(some_ids(), EVERYWHERE, denoiser.condition(vectors))
        scores = denoiser.lexical_scores(denoiser.standardise(vectors)) - denoiser.lexical.bias
    difference = (opened - closed).nan_to_num(0.0).view(ROWS, LENGTH, -1)
    allowed = [i for i in range(VOCABULARY) if i not in SPACE.forbidden_ids]
    expected = scores[:, None, :].expand(ROWS, LENGTH, -1)
    torch.testing.assert_close(difference[..., allowed], expected[..., allowed], atol=1e-3, rtol=1e-3)


def test_plain_attention_equals_the_fused_one() -> None:
    queries, keys, values = (torch.randn(2, 3, 5, 8) for _ in range(3))
    expected = torch.nn.functional.scaled_dot_product_attention(queries, keys, values)
    torch.testing.assert_close(attend(queries, keys, values), expected, atol=1e-5, rtol=1e-5)
