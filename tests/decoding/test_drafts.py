"""Several texts for each vector, and which of them stays."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch

from unmask.decoding import DECODERS, DecodeOptions, Decoding, decode
from unmask.decoding.loop import JUDGING_PASSES
from unmask.denoiser.network import Denoiser
from unmask.records import DecodeStep

STEPS, DRAFTS = 4, 5


def steps_of(denoiser: Any, vectors: torch.Tensor, decoder: str = "confidence", **choices: Any) -> list[DecodeStep]:
    return list(decode(denoiser, vectors, decoder, DecodeOptions(**{"steps": STEPS, "drafts": DRAFTS, **choices})))


def judged(denoiser: Denoiser, vectors: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    decoding = Decoding(denoiser, "confidence")
    decoding.join(vectors, range(len(vectors)))
    return decoding.log_likelihood(tokens)[0]


@pytest.mark.parametrize("decoder", DECODERS.names)
def test_the_likeliest_draft_stays_and_more_drafts_are_never_less_likely(
    denoiser: Denoiser, vectors: torch.Tensor, decoder: str
) -> None:
    found = [steps_of(denoiser, vectors, decoder, drafts=count)[-1].tokens for count in (1, 2, 9)]
    one, two, nine = (judged(denoiser, vectors, tokens) for tokens in found)
    assert bool((two >= one).all()) and bool((nine >= two).all()) and bool((nine > one).any())


def test_the_first_draft_is_the_text_without_drafts(denoiser: Denoiser, vectors: torch.Tensor) -> None:
    alone = steps_of(denoiser, vectors, drafts=1)
    together = steps_of(denoiser, vectors)
    for step, same in zip(alone, together, strict=False):
        assert torch.equal(step.tokens, same.tokens)
    judged_first = together[len(alone)]
    assert torch.equal(judged_first.tokens, alone[-1].tokens) and not judged_first.is_new.any()


def test_a_row_comes_out_the_same_alone_and_in_any_batch(denoiser: Denoiser, vectors: torch.Tensor) -> None:
    options, keys = DecodeOptions(steps=STEPS, drafts=3, seed=5), list(range(7))
    *_, together = decode(denoiser, vectors, "confidence", options, keys)
    *_, turned = decode(denoiser, vectors.flip(0), "confidence", options, keys[::-1])
    assert torch.equal(turned.tokens.flip(0), together.tokens)
    for row in keys:
        *_, alone = decode(denoiser, vectors[row : row + 1], "confidence", options, [row])
        assert torch.equal(alone.tokens[0], together.tokens[row])
        assert torch.equal(alone.forward_passes[0], together.forward_passes[row])


def test_steps_count_on_and_passes_add_up(denoiser: Denoiser, vectors: torch.Tensor) -> None:
    steps = steps_of(denoiser, vectors)
    assert [step.step for step in steps] == list(range(1, len(steps) + 1))
    assert all(step.total_steps >= step.step for step in steps) and steps[-1].total_steps == len(steps)
    passes = torch.stack([step.forward_passes for step in steps])
    assert bool((passes.diff(dim=0) >= 0).all())
    alone = steps_of(denoiser, vectors, drafts=1)[-1].forward_passes
    assert torch.equal(passes[-1], DRAFTS * (alone + JUDGING_PASSES))


def test_reading_from_left_to_right_tells_what_the_network_says_of_each_block(kit: ModuleType) -> None:
    scripted = kit.ScriptedDenoiser(kit.script([10, 11, 12]))
    decoding = Decoding(scripted, "confidence")
    decoding.join(kit.AnyCondition(2), [0, 1])
    tokens = torch.full((2, kit.LENGTH), kit.PAD)
    tokens[:, :3] = torch.tensor([[10, 11, 12], [10, 20, 12]])
    found, passes = decoding.log_likelihood(tokens)
    assert passes == len(scripted.asked) and torch.stack(scripted.asked).sum(0).eq(1).all()
    for seen, asked in zip(scripted.seen, scripted.asked, strict=True):
        first = asked[0].nonzero()[0, 0]
        assert bool((seen[:, first:] == kit.MASK).all()) and not bool((seen[:, :first] == kit.MASK).any())
    says = kit.script([10, 11, 12]).log_softmax(dim=1)
    expected = torch.stack([says[torch.arange(kit.LENGTH), row].sum() for row in tokens])
    torch.testing.assert_close(found, expected)
    assert found[0] > found[1]
