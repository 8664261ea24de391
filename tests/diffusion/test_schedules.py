"""Properties of the schedules: endpoints, order, weights, and what the masks really do."""

from __future__ import annotations

import pytest
import torch

from unmask.diffusion.masking import mask_batch, mask_everything, spread_uniform
from unmask.diffusion.schedules import SCHEDULE_KINDS, SMALLEST_TIME, ExactCount, build_schedule, decoding_schedule
from unmask.recipe import ScheduleSection

TIMES = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
MASK = 99


def schedule_of(kind: str, **values: float):
    return build_schedule(ScheduleSection(kind=kind, **values))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


WITH_ALPHA = [kind for kind in SCHEDULE_KINDS if schedule_of(kind).has_alpha]


@pytest.mark.parametrize("kind", WITH_ALPHA)
def test_alpha_starts_at_one_and_falls(kind: str) -> None:
    schedule = schedule_of(kind)
    assert schedule.alpha(torch.tensor(0.0)).item() == pytest.approx(1)
    values = schedule.alpha(TIMES)
    assert (values.diff() < 0).all()
    assert ((values >= 0) & (values <= 1)).all()


@pytest.mark.parametrize(
    ("kind", "end"), [("linear", 0.0), ("cosine", 0.0), ("exponential", 0.0067379), ("paper", 0.0067379)]
)
def test_alpha_ends_where_the_design_says(kind: str, end: float) -> None:
    assert schedule_of(kind).alpha(torch.tensor(1.0)).item() == pytest.approx(end, abs=1e-6)


@pytest.mark.parametrize("kind", [kind for kind in WITH_ALPHA if kind != "paper"])
def test_weight_is_the_bound_s_by_finite_differences(kind: str) -> None:
    schedule, step = schedule_of(kind), 1e-5
    slope = (schedule.alpha(TIMES + step) - schedule.alpha(TIMES - step)) / (2 * step)
    expected = -slope / (1 - schedule.alpha(TIMES))
    torch.testing.assert_close(schedule.weight(TIMES), expected, rtol=1e-6, atol=1e-8)


def test_the_paper_s_weight_belongs_to_another_schedule() -> None:
    paper, linear, exponential = schedule_of("paper"), schedule_of("linear"), schedule_of("exponential")
    torch.testing.assert_close(paper.weight(TIMES), linear.weight(TIMES))
    torch.testing.assert_close(paper.alpha(TIMES), exponential.alpha(TIMES))
    assert (paper.weight(TIMES) > exponential.weight(TIMES)).all()


@pytest.mark.parametrize("kind", list(SCHEDULE_KINDS))
def test_measured_masked_fraction_is_one_minus_alpha(kind: str) -> None:
    schedule = schedule_of(kind, full_mask_share=0.0)
    masked = mask_batch(torch.zeros(4000, 32, dtype=torch.long), MASK, schedule, generator())
    measured = masked.positions.float().mean(dim=1)
    expected = 1 - schedule.alpha(masked.time)
    assert (measured - expected).mean().abs() < 0.01
    for low in (0.0, 0.25, 0.5, 0.75):
        inside = (masked.time > low) & (masked.time <= low + 0.25)
        assert (measured[inside].mean() - expected[inside].mean()).abs() < 0.02


@pytest.mark.parametrize("ratio", [0.1, 0.2, 0.4, 0.8, 1.0])
def test_fixed_masks_its_ratio_at_any_time(ratio: float) -> None:
    masked = mask_batch(torch.zeros(2000, 32, dtype=torch.long), MASK, schedule_of("fixed", ratio=ratio), generator())
    assert masked.positions.float().mean().item() == pytest.approx(ratio, abs=0.01)


def test_exact_k_masks_every_count_equally_and_some_rows_whole() -> None:
    length, rows = 8, 4000
    masked = mask_batch(
        torch.zeros(rows, length, dtype=torch.long), MASK, schedule_of("exact_k", full_mask_share=0.2), generator()
    )
    shares = torch.bincount(masked.positions.sum(1), minlength=length + 1).float() / rows
    assert shares[0] == 0
    torch.testing.assert_close(shares[1:length], torch.full((length - 1,), 0.8 / length), atol=0.01, rtol=0)
    assert shares[length].item() == pytest.approx(0.2 + 0.8 / length, abs=0.01)


def test_exact_k_weights_are_a_mean_over_masked_tokens_then_rows() -> None:
    masked = mask_batch(torch.zeros(50, 16, dtype=torch.long), MASK, schedule_of("exact_k"), generator())
    torch.testing.assert_close(masked.weights.sum(1), torch.full((50,), 1 / 50))
    assert (masked.weights[~masked.positions] == 0).all()


@pytest.mark.parametrize("kind", ["linear", "exponential", "cosine", "fixed"])
def test_total_weight_is_that_of_a_mean_over_tokens_in_expectation(kind: str) -> None:
    schedule = schedule_of(kind, ratio=0.4)
    masked = mask_batch(torch.zeros(20000, 32, dtype=torch.long), MASK, schedule, generator())
    # ∫ w (1-α) dt = 1 - α(1) for a bound's weight over t in (0, 1) summed as -α'.
    expected = 1.0 if not schedule.has_alpha else 1 - schedule.alpha(torch.tensor(1.0)).item()
    assert masked.weights.sum().item() == pytest.approx(expected, rel=0.05)


def test_masked_ids_are_the_mask_and_the_others_are_untouched() -> None:
    ids = torch.randint(0, 50, (64, 32), generator=generator(1))
    masked = mask_batch(ids, MASK, schedule_of("linear"), generator())
    assert (masked.ids[masked.positions] == MASK).all()
    assert torch.equal(masked.ids[~masked.positions], ids[~masked.positions])
    assert (masked.time >= SMALLEST_TIME).all()


def test_one_seed_gives_one_mask_and_another_seed_another() -> None:
    ids = torch.zeros(16, 32, dtype=torch.long)
    first, again, other = (mask_batch(ids, MASK, schedule_of("exact_k"), generator(s)) for s in (3, 3, 4))
    assert torch.equal(first.positions, again.positions)
    assert not torch.equal(first.positions, other.positions)


def test_full_mask_hides_everything() -> None:
    ids = torch.arange(12).view(3, 4)
    masked = mask_everything(ids, MASK)
    assert (masked.ids == MASK).all() and masked.positions.all()
    assert masked.weights.sum().item() == pytest.approx(1)


def test_uniform_numbers_are_spread_over_the_batch() -> None:
    values = spread_uniform(100, generator(), torch.device("cpu")).sort().values
    assert (values.diff() - 0.01).abs().max() < 1e-5
    assert values.min() >= 0 and values.max() < 1


@pytest.mark.parametrize("kind", list(SCHEDULE_KINDS))
def test_every_schedule_can_be_followed_by_a_sampler(kind: str) -> None:
    schedule = decoding_schedule(schedule_of(kind))
    assert schedule.has_alpha
    assert schedule.alpha(torch.tensor(0.0)).item() == pytest.approx(1)


def test_exact_counts_stay_in_range_at_the_edges() -> None:
    counts = ExactCount(0.0).counts(torch.tensor([0.0, 0.999999, 1.0]), torch.full((3,), 32))
    assert counts.min() == 1 and counts.max() == 32


def test_only_counted_tokens_enter_the_loss() -> None:
    ids = torch.ones(60, 16, dtype=torch.long)
    counted = torch.arange(16).expand(60, 16) < 9
    for kind in ("exact_k", "linear"):
        masked = mask_batch(ids, MASK, schedule_of(kind), generator(), counted)
        assert not (masked.positions & ~counted).any() and (masked.weights[~counted] == 0).all()
        assert ((masked.ids == MASK) & ~counted).any(), "what is not counted is hidden all the same"
    exact = mask_batch(ids, MASK, schedule_of("exact_k"), generator(), counted)
    rows = exact.positions.any(dim=1)
    torch.testing.assert_close(exact.weights.sum(1)[rows] * 60, torch.ones(int(rows.sum())))


@pytest.mark.parametrize("kind", ["exact_k", "linear", "fixed"])
def test_only_what_is_maskable_is_hidden_and_its_number_is_the_length(kind: str) -> None:
    lengths = torch.arange(1, 33).repeat(200)  # (rows,)
    maskable = torch.arange(32) < lengths[:, None]  # (rows, 32)
    ids = torch.full(maskable.shape, 7)
    masked = mask_batch(ids, MASK, schedule_of(kind), generator(), maskable=maskable)
    assert not (masked.positions & ~maskable).any() and torch.equal(masked.ids == MASK, masked.positions)
    if kind == "exact_k":
        hidden = masked.positions.sum(1)
        assert hidden.min() == 1 and torch.equal(masked.time, hidden / lengths)
        assert all((hidden[lengths == length] == length).any() for length in range(1, 33))
        torch.testing.assert_close(masked.weights.sum(1), torch.full((len(ids),), 1 / len(ids)))


def test_everything_that_is_maskable_is_hidden() -> None:
    maskable = torch.tensor([[True, True, False], [True, False, False]])
    masked = mask_everything(torch.tensor([[5, 6, 0], [7, 0, 0]]), MASK, maskable)
    assert masked.ids.tolist() == [[MASK, MASK, 0], [MASK, 0, 0]]
    assert masked.weights.sum().item() == pytest.approx(1)
