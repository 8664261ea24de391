"""Calibration, word frequency, fill-in and the training loss: figures that can be worked out by hand."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from unmask.benchmark.publishing import calibration, frequency, published
from unmask.benchmark.publishing.breakdown import _bucket
from unmask.benchmark.publishing.fill_in import _hidden, fill_in_accuracy
from unmask.benchmark.publishing.milestones import find_milestones, training_loss
from unmask.errors import InputError


def test_a_confidence_that_is_right_has_no_error() -> None:
    true, found = [[1, 2, 3, 4]] * 2, [[1, 2, 9, 9], [1, 2, 9, 9]]
    bins, errors = calibration.reliability(true, found, [[0.5] * 4] * 2, seed=0)
    (only,) = bins
    assert (only.low, only.high, only.tokens, only.confidence) == (0.5, 0.6, 8, 0.5)
    assert only.right["in_place"].value == 0.5
    assert errors["in_place"].value == pytest.approx(0)


def test_overconfidence_is_its_distance_and_place_does_not_count_in_the_text() -> None:
    bins, errors = calibration.reliability([[1, 2]], [[2, 1, 7]], [[1.0, 1.0, 0.05]], seed=0)
    assert [line.tokens for line in bins] == [1, 2]
    assert errors["in_place"].value == pytest.approx((2 * 1.0 + 0.05) / 3)
    assert errors["in_text"].value == pytest.approx(0.05 / 3)


def test_nothing_found_has_no_calibration() -> None:
    assert calibration.reliability([[1]], [[]], [[]], seed=0) == ([], {})


def test_tokens_are_counted_where_they_stand_and_as_often_as_they_were_found() -> None:
    rates = np.array([0.0, 20_000.0, 5.0])
    lines = list(frequency.by_frequency([[1, 1, 2], [2]], [[1, 2, 1], []], rates, seed=0))
    assert [(label, tokens) for label, _, tokens in lines] == [("10,000 and more", 2), ("< 10", 2)]
    common, rare = (shares for _, shares, _ in lines)
    assert (common["in_place"].value, common["in_text"].value) == (0.5, 1.0)
    assert (rare["in_place"].value, rare["in_text"].value) == (0.0, 0.5)


def test_occurrences_are_counted_without_padding(tokenizer) -> None:
    ids = np.array([[4, 4, tokenizer.pad_id], [5, 4, tokenizer.pad_id]])
    pairs = SimpleNamespace(count=lambda split: 2, rows=lambda split, rows: (ids[rows], None))
    rates = frequency.per_million(pairs, tokenizer)
    assert (rates[4], rates[5], rates[tokenizer.pad_id]) == (750_000, 250_000, 0)


@pytest.mark.parametrize(
    ("size", "length", "label"), [(1, 32, "1 to 4"), (32, 32, "29 to 32"), (3, 5, "3"), (9, 9, "9")]
)
def test_buckets_of_lengths(size: int, length: int, label: str) -> None:
    assert _bucket(size, length) == label


def test_a_tenth_is_hidden_and_at_least_one() -> None:
    held_out = SimpleNamespace(ids=[(1, 2, 3), tuple(range(20))])
    hidden = [_hidden(held_out, row, 24, 0.1, seed=0) for row in (0, 1)]
    assert [mask.sum() for mask in hidden] == [1, 2]
    assert not hidden[0][3:].any() and not hidden[1][20:].any()


def test_fill_in_counts_the_hidden_tokens_alone(tokenizer, encoder, monkeypatch) -> None:
    from unmask.benchmark.held_out import hold_out
    from unmask.benchmark.publishing import fill_in

    class Oracle:
        """Knows every token but the last two of each text."""

        def __init__(self, *parts: object) -> None:
            self.is_finished = False

        def join(self, vectors, rows, shown) -> None:
            self.shown, self.rows = shown, rows

        def advance(self):
            self.is_finished = True
            true = tokenizer.pad([held_out.ids[row] for row in self.rows], 8).ids
            found = true.clone()
            found[:, 2:] = tokenizer.mask_id
            return SimpleNamespace(tokens=found)

    held_out = hold_out(["the cat sat on", "a dog ran under"] * 10, tokenizer, encoder, 8)
    denoiser = SimpleNamespace(length=8, mask_id=tokenizer.mask_id)
    inverter = SimpleNamespace(tokenizer=tokenizer, denoiser=denoiser, schedule=None, dtype=None)
    monkeypatch.setattr(fill_in, "Decoding", Oracle)
    filled = fill_in_accuracy(inverter, held_out, share=0.1)
    assert 0 < filled.value < 1
    assert fill_in_accuracy(inverter, held_out, share=1.0).value == pytest.approx(0.5)


def test_the_training_loss_is_read_without_the_warm_up_and_without_repetition(tmp_path) -> None:
    events = [
        {"event": "step", "step": 1, "loss": 0.0},
        {"event": "step", "step": 2, "loss": 5.0},
        {"event": "saved", "step": 2},
        {"event": "step", "step": 2, "loss": 4.0},
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events) + '{"event": "st')
    assert training_loss(tmp_path) == [(2, 4.0)]
    assert training_loss(tmp_path / "nowhere") == []


def test_milestones_come_in_the_order_of_their_steps(tmp_path) -> None:
    for name in ("step-100", "step-20", "notes"):
        (tmp_path / "milestones" / name).mkdir(parents=True)
    assert list(find_milestones(tmp_path)) == [20, 100]
    with pytest.raises(InputError, match="has no folder milestones"):
        find_milestones(tmp_path / "milestones")


def test_published_values_are_shown_as_printed() -> None:
    assert published.DECODERS["sequential"].cells() == ["77.3", "12.3", "0.83", "45.2"]
    assert published.DECODERS["random"].cells()[0] == "0.02"
    assert published.NOTHING.cells() == ["–"] * 4
