"""Intervals: contain their value, shrink with n, cover the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unmask.errors import InputError
from unmask.metrics.bleu import bleu_of_sums, bleu_rows
from unmask.metrics.bootstrap import interval_of_sums, intervals_of_means


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=40), st.integers(0, 5))
def test_an_interval_contains_its_value_and_stays_within_the_data(values: list[float], seed: int) -> None:
    interval = intervals_of_means({"x": np.array(values)}, seed)["x"]
    assert interval.value == pytest.approx(np.mean(values))
    assert interval.low <= interval.value <= interval.high
    assert min(values) - 1e-9 <= interval.low
    assert interval.high <= max(values) + 1e-9


def test_ten_times_the_rows_make_it_narrower_by_the_root_of_ten() -> None:
    values = np.random.default_rng(0).normal(size=4_000)
    few, many = (intervals_of_means({"x": values[:n]})["x"] for n in (400, 4_000))
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(10**0.5, rel=0.15)


def test_it_covers_the_true_mean_about_95_times_in_100() -> None:
    random = np.random.default_rng(1)
    samples = random.exponential(size=(300, 100))  # 300 experiments of 100 rows, true mean 1
    intervals = intervals_of_means({str(i): row for i, row in enumerate(samples)}).values()
    covered = np.mean([interval.low <= 1 <= interval.high for interval in intervals])
    assert 0.89 <= covered <= 0.98


def test_a_seed_repeats_and_another_differs() -> None:
    values = {"x": np.random.default_rng(2).normal(size=50)}
    assert intervals_of_means(values, 3) == intervals_of_means(values, 3)
    assert intervals_of_means(values, 3) != intervals_of_means(values, 4)


def test_memory_bounds_do_not_change_the_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"x": np.random.default_rng(3).normal(size=200)}
    at_once = intervals_of_means(values)["x"]
    monkeypatch.setattr("unmask.metrics.bootstrap._CELLS_AT_ONCE", 1_000)
    in_parts = intervals_of_means(values)["x"]
    assert (in_parts.low, in_parts.high) == pytest.approx((at_once.low, at_once.high), abs=0.02)


def test_corpus_bleu_is_resampled_from_sums() -> None:
    true = [f"the cat number {i} sat on the mat" for i in range(60)]
    found = [text if i % 2 else text.replace("sat on", "ran from") for i, text in enumerate(true)]
    _, counts = bleu_rows(true, found)
    interval = interval_of_sums(counts, bleu_of_sums)
    assert 0 < interval.low < interval.value < interval.high < 100


def test_nothing_and_nan_are_refused() -> None:
    with pytest.raises(InputError, match="0 rows"):
        intervals_of_means({"x": np.array([])})
    with pytest.raises(InputError, match="NaN"):
        intervals_of_means({"x": np.array([1.0, np.nan])})
