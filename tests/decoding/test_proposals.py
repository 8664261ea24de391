from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unmask.decoding.options import DecodeOptions
from unmask.decoding.proposals import BLOCK, choose_boundary, read_logits
from unmask.errors import CheckpointError

PAD = 0
# One position: nothing decided with a PAD probability, a visible token, or a visible PAD.
chances = st.floats(0.001, 0.999)


def likelihood(log_pad: list[float], length: int) -> float:
    return sum(math.log1p(-math.exp(p)) for p in log_pad[:length]) + sum(log_pad[length:])


def as_row(values: list[float]) -> torch.Tensor:
    return torch.tensor([values])


@given(st.lists(chances, min_size=1, max_size=10), st.data())
def test_the_boundary_is_the_best_of_all_that_the_visible_tokens_allow(
    values: list[float], data: st.DataObject
) -> None:
    size = len(values)
    words_until = data.draw(st.integers(0, size))
    pads_from = data.draw(st.integers(words_until, size))
    is_open = torch.ones(1, size, dtype=torch.bool)
    is_pad = torch.zeros(1, size, dtype=torch.bool)
    if words_until:
        is_open[0, words_until - 1] = False
    if pads_from < size:
        is_open[0, pads_from], is_pad[0, pads_from] = False, True
    log_pad = [math.log(v) for v in values]
    counted = [p if o else None for p, o in zip(log_pad, is_open[0].tolist(), strict=True)]

    def score(length: int) -> float:
        terms = [(p, i) for i, p in enumerate(counted) if p is not None]
        return sum(math.log1p(-math.exp(p)) if i < length else p for p, i in terms)

    best = max(score(n) for n in range(words_until, pads_from + 1))
    found = int(choose_boundary(as_row(log_pad), is_open, is_pad))
    assert words_until <= found <= pads_from
    assert score(found) == pytest.approx(best, abs=1e-5)


def test_certain_and_impossible_padding_does_not_drown_what_is_visible() -> None:
    never, always = -math.inf, 0.0
    everything = torch.ones(1, 4, dtype=torch.bool)
    assert int(choose_boundary(as_row([never, never, always, always]), everything, ~everything)) == 2
    # Every open position is sure to be padding, yet a visible token stands at the third.
    is_open = torch.tensor([[True, True, False, True]])
    assert int(choose_boundary(as_row([always] * 4), is_open, torch.zeros_like(is_open))) == 3


def read(logits: torch.Tensor, options: DecodeOptions, uniforms: torch.Tensor | None = None, competes: bool = False):
    marks = torch.full((len(logits),), competes)
    return read_logits(logits.clone(), PAD, options, uniforms, marks)


def test_probabilities_are_those_of_the_whole_distribution() -> None:
    logits = torch.randn(50, 9, generator=torch.Generator().manual_seed(0)) * 4
    expected = logits.log_softmax(1)
    found = read(logits, DecodeOptions())
    assert torch.equal(found.words, expected[:, 1:].argmax(1) + 1)
    torch.testing.assert_close(found.word_log_probability, expected[:, 1:].amax(1))
    torch.testing.assert_close(found.pad_log_probability, expected[:, 0])
    assert torch.equal(found.takes_pad, expected.argmax(1) == 0)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_tempered_distribution(temperature: float) -> None:
    logits = torch.tensor([[3.0, 1.0, 0.5, 2.0, -1.0]])
    uniforms = (torch.arange(20_000) + 0.5) / 20_000
    options = DecodeOptions(temperature=temperature)
    drawn = read(logits.expand(20_000, 5), options, uniforms)
    expected = (logits[0, 1:] / temperature).softmax(0)
    torch.testing.assert_close(torch.bincount(drawn.words, minlength=5)[1:] / 20_000, expected, atol=1e-3, rtol=0)
    # Where PAD competes it takes its own share, and the tokens keep their proportions.
    drawn = read(logits.expand(20_000, 5), options, uniforms, competes=True)
    whole = (logits[0] / temperature).softmax(0)
    assert float(drawn.takes_pad.float().mean()) == pytest.approx(float(whole[0]), abs=1e-3)
    words = torch.bincount(drawn.words[~drawn.takes_pad], minlength=5)[1:] / 20_000
    torch.testing.assert_close(words, whole[1:], atol=1e-3, rtol=0)


def test_a_drawn_token_has_the_confidence_that_the_network_gave_it() -> None:
    logits = torch.randn(200, 9, generator=torch.Generator().manual_seed(0))
    uniforms = torch.rand(200, generator=torch.Generator().manual_seed(1))
    found = read(logits, DecodeOptions(temperature=3.0), uniforms)
    expected = logits.log_softmax(1).gather(1, found.words[:, None])[:, 0]
    torch.testing.assert_close(found.word_log_probability, expected)


def test_top_p_draws_from_the_smallest_set_that_reaches_it() -> None:
    probabilities = torch.tensor([[0.1, 0.4, 0.25, 0.15, 0.1]])  # of the tokens: .444, .278, .167, .111
    uniforms = (torch.arange(1000) + 0.5) / 1000
    for top_p, kept in ((0.3, {1}), (0.6, {1, 2}), (0.8, {1, 2, 3}), (1.0, {1, 2, 3, 4})):
        options = DecodeOptions(temperature=1.0, top_p=top_p)
        assert set(read(probabilities.log().expand(1000, 5), options, uniforms).words.tolist()) == kept


@pytest.mark.parametrize("top_p", [0.5, 1.0])
def test_extreme_uniforms_never_draw_what_is_impossible(top_p: float) -> None:
    logits = torch.full((3, 1000), -math.inf)
    logits[:, 300:700] = torch.randn(3, 400, generator=torch.Generator().manual_seed(0))
    uniforms = torch.tensor([0.0, 0.5, 1 - 2**-24])
    found = read(logits, DecodeOptions(temperature=1.0, top_p=top_p), uniforms)
    assert bool(((found.words >= 300) & (found.words < 700)).all())


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_output_that_is_not_a_number_is_an_error_and_not_a_text(value: float) -> None:
    logits = torch.zeros(2, 9)
    logits[1, 4] = value
    with pytest.raises(CheckpointError, match="not a number"):
        read(logits, DecodeOptions())


@pytest.mark.parametrize("vocabulary", [BLOCK - 1, BLOCK, 3 * BLOCK, 3 * BLOCK + 5])
def test_a_draw_from_blocks_is_the_draw_from_the_whole(vocabulary: int) -> None:
    generator = torch.Generator().manual_seed(vocabulary)
    logits = 3 * torch.randn(400, vocabulary, generator=generator)
    logits[:, torch.randperm(vocabulary, generator=generator)[: vocabulary // 2]] = -math.inf
    uniforms = torch.rand(400, generator=generator)
    uniforms[:2] = torch.tensor([0.0, 1 - 1e-7])
    found = read(logits, DecodeOptions(temperature=1.0), uniforms).words
    logits[:, PAD] = -math.inf
    running = logits.double().softmax(dim=1).cumsum(dim=1)
    before = (running - logits.double().softmax(dim=1)).gather(1, found[:, None])[:, 0]
    after = running.gather(1, found[:, None])[:, 0]
    assert bool((before - 1e-5 <= uniforms).all()) and bool((uniforms <= after + 1e-5).all())
    assert torch.isfinite(logits.gather(1, found[:, None])).all()
