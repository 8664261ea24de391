"""What holds for every decoder there is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from unmask.decoding import DECODERS, DecodeOptions, Decoding, decode
from unmask.denoiser.conditioning import Condition
from unmask.denoiser.network import Denoiser
from unmask.diffusion.schedules import ExponentialSchedule
from unmask.errors import UnknownName, VectorError
from unmask.records import DecodeStep

every_decoder = pytest.mark.parametrize("decoder", DECODERS.names)
OPTIONS = {
    "likeliest": DecodeOptions(steps=5),
    "drawn": DecodeOptions(steps=5, temperature=1.0, seed=3),
    "nucleus": DecodeOptions(steps=5, temperature=1.5, top_p=0.8, seed=3),
    "cosine_threshold": DecodeOptions(
        steps=7, temperature=0.7, counts="cosine", remask_mode="threshold", remask_share=0.3
    ),
    "resampled": DecodeOptions(steps=4, temperature=1.0, resample_all=True),
    "guided": DecodeOptions(steps=5, guidance=0.7),
}
every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())


def run(denoiser: Denoiser, vectors: torch.Tensor, decoder: str, options: DecodeOptions, keys: list[int]) -> DecodeStep:
    *_, last = decode(denoiser, vectors, decoder, options, keys)
    return last


@every_decoder
@every_option
def test_a_row_comes_out_the_same_alone_in_any_batch_and_in_any_order(
    denoiser: Denoiser, vectors: torch.Tensor, decoder: str, options: DecodeOptions
) -> None:
    keys = [10, 11, 12, 13, 14, 15, 16]
    together = run(denoiser, vectors, decoder, options, keys)
    turned = run(denoiser, vectors.flip(0), decoder, options, keys[::-1])
    assert torch.equal(together.tokens, turned.tokens.flip(0))
    for size in (1, 3):
        for start in range(0, 7, size):
            part = run(denoiser, vectors[start : start + size], decoder, options, keys[start : start + size])
            assert torch.equal(part.tokens, together.tokens[start : start + size])
            assert torch.equal(part.forward_passes, together.forward_passes[start : start + size])
            torch.testing.assert_close(part.confidence, together.confidence[start : start + size])


@every_decoder
@every_option
def test_rows_that_join_later_come_out_as_if_alone(
    denoiser: Denoiser, vectors: torch.Tensor, decoder: str, options: DecodeOptions
) -> None:
    expected = run(denoiser, vectors, decoder, options, list(range(7)))
    decoding = Decoding(denoiser, decoder, options)
    decoding.join(vectors[:3], [0, 1, 2])
    decoding.advance()
    decoding.advance()
    decoding.join(denoiser.condition(vectors[3:]), [3, 4, 5, 6])
    while not decoding.is_finished:
        last = decoding.advance()
    assert torch.equal(last.tokens, expected.tokens)
    assert torch.equal(last.forward_passes, expected.forward_passes)


@every_decoder
def test_rows_that_are_taken_out_leave_the_others_alone(
    denoiser: Denoiser, vectors: torch.Tensor, decoder: str
) -> None:
    expected = run(denoiser, vectors, decoder, OPTIONS["drawn"], list(range(7)))
    decoding = Decoding(denoiser, decoder, OPTIONS["drawn"])
    decoding.join(vectors, range(7))
    decoding.advance()
    decoding.keep(torch.tensor([5, 1]))
    while not decoding.is_finished:
        last = decoding.advance()
    assert torch.equal(last.tokens, expected.tokens[[5, 1]])


@every_decoder
@every_option
def test_steps_tell_a_consistent_story(
    kit: Any, denoiser: Denoiser, vectors: torch.Tensor, decoder: str, options: DecodeOptions
) -> None:
    before = torch.full((7, kit.LENGTH), kit.MASK)
    passes = torch.zeros(7, dtype=torch.int64)
    for number, step in enumerate(decode(denoiser, vectors, decoder, options), start=1):
        assert step.step == number <= step.total_steps
        visible = step.tokens != kit.MASK
        assert torch.equal(step.confidence > 0, visible)
        assert bool((step.confidence <= 1.0001).all())
        appeared = visible & (step.tokens != before)
        assert not bool((appeared & ~step.is_new).any())
        assert not bool((step.is_new & ~visible).any())
        spent = step.forward_passes - passes
        assert bool(((spent == 0) | (spent == (2 if options.guidance else 1))).all())
        assert not bool((step.is_new.any(1) & (spent == 0)).any())
        # Words, then padding, also while there are holes.
        last_word = torch.where(visible & (step.tokens != kit.PAD), torch.arange(kit.LENGTH), -1).amax(1)
        first_pad = torch.where(visible & (step.tokens == kit.PAD), torch.arange(kit.LENGTH), kit.LENGTH).amin(1)
        assert bool((last_word < first_pad).all())
        before, passes = step.tokens, step.forward_passes
    assert bool((before != kit.MASK).all())


@every_decoder
@every_option
def test_no_special_token_is_ever_produced(
    kit: Any, vectors: torch.Tensor, decoder: str, options: DecodeOptions
) -> None:
    pushy = kit.make_denoiser()
    pushy.backbone.bias[list(kit.SPACE.forbidden_ids)] = 1e6
    forbidden = torch.tensor(kit.SPACE.forbidden_ids)
    for step in decode(pushy, vectors, decoder, options):
        visible = step.tokens[step.tokens != kit.MASK]
        assert not bool(torch.isin(visible, forbidden).any())
    assert not bool(torch.isin(step.tokens, forbidden).any())


@every_decoder
@every_option
def test_a_clear_script_is_read_out(kit: Any, decoder: str, options: DecodeOptions) -> None:
    words = [7, 8, 7, 20, 31]
    scripted = kit.ScriptedDenoiser(kit.script(words, [40.0] * kit.LENGTH))
    *_, last = decode(scripted, kit.AnyCondition(2), decoder, options)  # type: ignore[arg-type]
    assert last.tokens.tolist() == [words + [kit.PAD] * (kit.LENGTH - 5)] * 2
    assert bool((last.confidence > 0.99).all())


@every_decoder
def test_a_text_may_fill_the_whole_length_or_nothing(kit: Any, decoder: str) -> None:
    for words in ([5 + place for place in range(kit.LENGTH)], []):
        scripted = kit.ScriptedDenoiser(kit.script(words))
        *_, last = decode(scripted, kit.AnyCondition(1), decoder, DecodeOptions())  # type: ignore[arg-type]
        assert last.tokens[0].tolist() == words + [kit.PAD] * (kit.LENGTH - len(words))


@every_decoder
def test_seeds_and_keys_decide_what_is_drawn(denoiser: Denoiser, vectors: torch.Tensor, decoder: str) -> None:
    def tokens(seed: int, keys: list[int]) -> torch.Tensor:
        return run(denoiser, vectors, decoder, DecodeOptions(temperature=2.0, seed=seed), keys).tokens

    first = tokens(0, list(range(7)))
    assert torch.equal(first, tokens(0, list(range(7))))
    assert not torch.equal(first, tokens(1, list(range(7))))
    assert not torch.equal(first, tokens(0, list(range(100, 107))))


@every_decoder
def test_tokens_that_are_given_stay_and_bind_the_end(
    kit: Any, denoiser: Denoiser, vectors: torch.Tensor, decoder: str
) -> None:
    given = torch.full((7, kit.LENGTH), kit.MASK)
    given[:, 6], given[:, 9] = 30, kit.PAD
    decoding = Decoding(denoiser, decoder, DecodeOptions(steps=4, remask_share=0.0, restart_t=1e-6, temperature=1.0))
    decoding.join(vectors, range(7), given)
    while not decoding.is_finished:
        last = decoding.advance()
    assert bool((last.tokens[:, 6] == 30).all() & (last.tokens[:, 9:] == kit.PAD).all())
    assert not bool((last.tokens[:, :6] == kit.PAD).any())


@every_decoder
def test_logits_are_asked_only_where_something_is_masked(kit: Any, decoder: str) -> None:
    scripted = kit.ScriptedDenoiser(kit.script([7, 8, 9]))
    *_, last = decode(scripted, kit.AnyCondition(3), decoder, DecodeOptions(remask_share=0.2))  # type: ignore[arg-type]
    for ids, positions in zip(scripted.seen, scripted.asked, strict=True):
        assert not bool((positions & (ids != kit.MASK)).any())
        assert bool(positions.any(1).all()), "a row that asks for nothing should not be in the pass"
    assert sum(len(ids) for ids in scripted.seen) == int(last.forward_passes.sum())


@every_decoder
def test_a_denoiser_with_time_and_one_with_a_lexical_head_decode_in_bf16_too(
    kit: Any, vectors: torch.Tensor, decoder: str
) -> None:
    for variant in (kit.make_denoiser(time=True), kit.make_denoiser(lexical=True)):
        schedule = ExponentialSchedule(5.0)
        *_, last = decode(variant, vectors, decoder, DecodeOptions(), schedule=schedule, dtype=torch.bfloat16)
        assert bool((last.tokens != kit.MASK).all())


@every_decoder
def test_the_head_in_pieces_gives_what_it_gives_whole(
    denoiser: Denoiser, vectors: torch.Tensor, decoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(denoiser, vectors, decoder, OPTIONS["drawn"], list(range(7)))
    monkeypatch.setattr("unmask.decoding.loop.positions_at_once", lambda vocabulary_size, device: 5)
    pieces = run(denoiser, vectors, decoder, OPTIONS["drawn"], list(range(7)))
    assert torch.equal(whole.tokens, pieces.tokens)


@every_decoder
@every_option
def test_few_words_that_are_all_of_them_give_what_all_give(
    kit: Any, denoiser: Denoiser, vectors: torch.Tensor, decoder: str, options: DecodeOptions
) -> None:
    every = torch.tensor([token for token in range(kit.VOCABULARY) if token != kit.PAD]).repeat(len(vectors), 1)
    of_few = replace(denoiser.condition(vectors), vocabulary=every)
    for penalty in (0.0, 2.0):
        chosen = replace(options, repeat_penalty=penalty)
        *_, few = decode(denoiser, of_few, decoder, chosen)
        *_, all_of_them = decode(denoiser, vectors, decoder, chosen)
        assert torch.equal(few.tokens, all_of_them.tokens)
        torch.testing.assert_close(few.confidence, all_of_them.confidence)


@every_decoder
@every_option
def test_a_text_is_made_of_the_few_words_of_its_own_row(
    kit: Any, denoiser: Denoiser, vectors: torch.Tensor, decoder: str, options: DecodeOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    few = torch.stack([torch.arange(5 + row, 26 + row, 4) for row in range(len(vectors))])  # (rows, few)
    condition, chosen = replace(denoiser.condition(vectors), vocabulary=few), replace(options, repeat_penalty=2.0)
    *_, together = decode(denoiser, condition, decoder, chosen)
    assert all(set(text) <= {kit.PAD, *own} for text, own in zip(together.tokens.tolist(), few.tolist(), strict=True))
    *_, alone = decode(denoiser, condition.select(torch.tensor([4])), decoder, chosen, [4])
    assert torch.equal(alone.tokens[0], together.tokens[4])
    monkeypatch.setattr("unmask.decoding.loop.positions_at_once", lambda vocabulary_size, device: 5)
    *_, in_pieces = decode(denoiser, condition, decoder, chosen)
    assert torch.equal(in_pieces.tokens, together.tokens)


def test_given_words_that_are_not_among_the_few_stay(kit: Any, denoiser: Denoiser, vectors: torch.Tensor) -> None:
    few = torch.tensor([[6, 9, 11]]).repeat(len(vectors), 1)
    decoding = Decoding(denoiser, "confidence", DecodeOptions(repeat_penalty=2.0))
    given = torch.full((len(vectors), kit.LENGTH), kit.MASK)
    given[:, 2] = 30
    decoding.join(replace(denoiser.condition(vectors), vocabulary=few), range(len(vectors)), given)
    while not decoding.is_finished:
        last = decoding.advance()
    assert (last.tokens[:, 2] == 30).all()
    assert set(last.tokens.flatten().tolist()) <= {kit.PAD, 6, 9, 11, 30}


def test_rows_that_know_other_things_do_not_join_and_nothing_is_lost(denoiser: Denoiser, vectors: torch.Tensor) -> None:
    decoding, condition = Decoding(denoiser), denoiser.condition(vectors)
    decoding.join(condition, range(7))
    with pytest.raises(AssertionError, match="two kinds"):
        decoding.join(replace(condition, vocabulary=torch.tensor([[6, 9]]).repeat(7, 1)), range(7, 14))
    assert decoding.state is not None and len(decoding.state) == 7


def chances(decoding: Decoding, condition: Condition, place: int, kit: Any) -> torch.Tensor:
    """Log probability of every word at one place of an empty text; (vocabulary,)."""
    decoding.join(condition, [0])
    said = decoding.alternatives(place, kit.VOCABULARY)
    return torch.tensor([chance for _, chance in sorted(said)]).log()


def test_guidance_moves_on_from_what_is_written_without_the_vector(
    kit: Any, denoiser: Denoiser, vectors: torch.Tensor
) -> None:
    given, nothing = denoiser.condition(vectors[:1]), denoiser.condition_of_none()
    plain = chances(Decoding(denoiser), given, 3, kit)
    without = chances(Decoding(denoiser), nothing, 3, kit)
    guided = chances(Decoding(denoiser, options=DecodeOptions(guidance=0.5)), given, 3, kit)
    allowed = plain.isfinite()
    expected = (plain + 0.5 * (plain - without))[allowed].log_softmax(dim=0)
    torch.testing.assert_close(guided[allowed], expected, atol=1e-4, rtol=1e-4)
    assert (guided - plain)[allowed].abs().max() > 0.1
    assert torch.equal(guided.isfinite(), allowed)


@every_decoder
def test_guidance_does_nothing_to_what_is_written_without_a_vector_and_costs_twice(
    denoiser: Denoiser, decoder: str
) -> None:
    nothing = denoiser.condition_of_none()
    *_, plain = decode(denoiser, nothing, decoder, DecodeOptions(steps=5))
    *_, guided = decode(denoiser, nothing, decoder, DecodeOptions(steps=5, guidance=2.0))
    assert torch.equal(plain.tokens, guided.tokens)
    assert torch.equal(2 * plain.forward_passes, guided.forward_passes)


def test_a_network_that_knows_no_null_vector_is_not_guided(kit: Any, vectors: torch.Tensor) -> None:
    denoiser = kit.make_denoiser()
    denoiser.vector.null_vector.zero_()
    with pytest.raises(VectorError, match=r"null_dropout was 0.*leave guidance at 0"):
        next(decode(denoiser, vectors, options=DecodeOptions(guidance=0.1)))


def test_an_unknown_decoder_is_named_with_its_neighbour(denoiser: Denoiser, vectors: torch.Tensor) -> None:
    with pytest.raises(UnknownName, match="did you mean 'confidence'"):
        next(decode(denoiser, vectors, "confidense"))


def test_the_lexical_weight_stands_in_for_the_gate(kit: Any, vectors: torch.Tensor) -> None:
    denoiser = kit.make_denoiser(lexical=True)
    denoiser.bias_gate.fill_(0.7)

    def confidence(weight: float | None) -> torch.Tensor:
        return next(iter(decode(denoiser, vectors, "confidence", DecodeOptions(lexical_weight=weight)))).confidence

    assert torch.equal(confidence(None), confidence(denoiser.bias_gate.item()))
    assert not torch.equal(confidence(None), confidence(2.0))
    chosen = confidence(0.2)
    denoiser.lexical_weight = 0.2  # as a recipe says it
    assert torch.equal(confidence(None), chosen)
