"""The length head: how long the text is, said before anything else of it."""

from __future__ import annotations

import pytest
import torch

from unmask.decoding import DECODERS, DecodeOptions
from unmask.decoding.loop import decode
from unmask.denoiser.build import build_denoiser
from unmask.denoiser.length import median_length
from unmask.denoiser.network import Denoiser, TokenSpace
from unmask.recipe import DenoiserSection, LengthHeadSection, LexicalSection, ScratchBackbone

VOCABULARY, LENGTH, DIMENSION, ROWS, PAD, MASK = 50, 8, 6, 7, 0, 48
SPACE = TokenSpace(VOCABULARY, mask_id=MASK, pad_id=PAD, forbidden_ids=(1, 2, MASK))


def make(lexical: bool) -> Denoiser:
    torch.manual_seed(0)
    section = DenoiserSection(
        backbone=ScratchBackbone(kind="scratch", layers=2, hidden=16, heads=2, feed_forward=24),
        lexical=LexicalSection(enabled=lexical, candidates=4, hidden=12),
        length_head=LengthHeadSection(enabled=True, hidden=12),
    )
    denoiser = build_denoiser(section, SPACE, LENGTH, DIMENSION).eval()
    for parameter in denoiser.parameters():
        parameter.data += 0.5 * torch.randn_like(parameter)
    return denoiser


@pytest.fixture(params=[False, True], ids=["alone", "with the lexical head"])
def denoiser(request: pytest.FixtureRequest) -> Denoiser:
    return make(request.param)


def vectors() -> torch.Tensor:
    return torch.randn(ROWS, DIMENSION, generator=torch.Generator().manual_seed(3)) * 4


def test_the_median_has_half_of_the_probability_below_it() -> None:
    shares = torch.tensor([[0.0, 0.2, 0.2, 0.3, 0.3], [0.9, 0.1, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]])
    assert median_length(shares.log()).tolist() == [3, 1, 4]  # no text is empty


@torch.no_grad()
def test_padding_is_never_predicted_and_lengths_differ_by_vector(denoiser: Denoiser) -> None:
    condition = denoiser.condition(vectors())
    assert condition.lengths is not None and len(set(condition.lengths.tolist())) > 1
    everywhere = torch.ones(ROWS, LENGTH, dtype=torch.bool)
    logits = denoiser(torch.full((ROWS, LENGTH), MASK), everywhere, condition)
    assert torch.isneginf(logits[:, [PAD, *SPACE.forbidden_ids]]).all()


@pytest.mark.parametrize("name", DECODERS.names)
@pytest.mark.parametrize("choices", [{}, {"temperature": 0.8}, {"resample_all": True}, {"remask_share": 0.9}], ids=str)
def test_every_decoder_writes_texts_of_the_given_lengths(denoiser: Denoiser, name: str, choices: dict) -> None:
    condition = denoiser.condition(vectors())
    assert condition.lengths is not None
    for step in decode(denoiser, condition, name, DecodeOptions(steps=5, **choices)):
        pads = (step.tokens == PAD).sum(dim=1)
        assert (LENGTH - pads).tolist() == condition.lengths.tolist()
    assert not (step.tokens == MASK).any()
    behind = torch.arange(LENGTH) >= condition.lengths[:, None]
    assert torch.equal(step.tokens == PAD, behind)
