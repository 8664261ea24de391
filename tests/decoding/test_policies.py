"""What each decoder does that the others do not."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch

from unmask.decoding import DecodeOptions, decode
from unmask.decoding.loop import lower_others
from unmask.decoding.policy import lowest, time_of_share
from unmask.diffusion.schedules import CosineSchedule, ExponentialSchedule, LinearSchedule, Schedule
from unmask.records import DecodeStep

ROWS = 4000
WORDS = [7, 8, 9, 10, 11, 12, 13]


def story(
    kit: Any,
    decoder: str,
    rows: int = 1,
    sureness: list[float] | None = None,
    schedule: Schedule | None = None,
    **options: object,
) -> tuple[Any, list[DecodeStep]]:
    scripted = kit.ScriptedDenoiser(kit.script(WORDS, sureness))
    chosen = DecodeOptions(**options)  # type: ignore[arg-type]
    return scripted, list(decode(scripted, kit.AnyCondition(rows), decoder, chosen, schedule=schedule))  # type: ignore[arg-type]


def masked_counts(kit: Any, steps: list[DecodeStep]) -> list[int]:
    return [int((step.tokens[0] == kit.MASK).sum()) for step in steps]


def test_sequential_goes_left_to_right_and_stops_at_the_end_of_the_text(kit: Any) -> None:
    scripted, steps = story(kit, "sequential")
    assert [positions[0].nonzero()[0].item() for positions in scripted.asked] == list(range(len(WORDS) + 1))
    assert int(steps[-1].forward_passes) == len(WORDS) + 1
    assert [round(float(time) * kit.LENGTH) for time in scripted.times] == list(
        range(kit.LENGTH, kit.LENGTH - len(WORDS) - 1, -1)
    )
    assert steps[-1].is_new[0].tolist() == [False] * len(WORDS) + [True] * (kit.LENGTH - len(WORDS))


def test_rows_that_end_early_leave_the_pass(kit: Any) -> None:
    class TwoTexts(kit.ScriptedDenoiser):
        def features(self, ids, positions, condition, time, lexical_weight=None):  # type: ignore[no-untyped-def]
            super().features(ids, positions, condition, time)
            scripts = torch.stack(
                [kit.script([7, 8]) if 7 in row or row[0] == kit.MASK else kit.script(WORDS) for row in ids.tolist()]
            )
            return scripts[positions]

    scripted = TwoTexts(kit.script([7, 8]))
    steps = list(decode(scripted, kit.AnyCondition(2), "sequential"))  # type: ignore[arg-type]
    assert steps[-1].forward_passes.tolist() == [3, 3]


@pytest.mark.parametrize("schedule", [LinearSchedule(), CosineSchedule(), ExponentialSchedule(5.0)])
def test_euler_reveals_as_many_as_the_schedule_says(kit: Any, schedule: Schedule) -> None:
    steps = story(kit, "euler", rows=ROWS, schedule=schedule, steps=5)[1]
    for number, step in enumerate(steps[:-1], start=1):
        alpha = float(schedule.alpha(torch.tensor(1 - number / 5)))
        start = float(schedule.alpha(torch.tensor(1.0)))  # visible at t = 1 by the schedule, yet nothing is shown
        expected = (alpha - start) / (1 - start)
        shown = float((step.tokens != kit.MASK).float().mean())
        assert shown == pytest.approx(expected, abs=4 * math.sqrt(0.25 / (ROWS * kit.LENGTH)))
    assert not bool((steps[-1].tokens == kit.MASK).any())


def test_euler_asks_nothing_of_the_network_where_it_reveals_nothing(kit: Any) -> None:
    scripted, steps = story(kit, "euler", rows=50, steps=40)
    assert int(steps[-1].forward_passes.max()) <= kit.LENGTH
    assert int(steps[-1].forward_passes.sum()) == sum(len(ids) for ids in scripted.seen)


def test_resample_all_sets_every_position_at_each_step(kit: Any) -> None:
    scripted, steps = story(kit, "euler", steps=4, resample_all=True)
    assert all(bool(positions.all()) for positions in scripted.asked)
    assert [bool(step.is_new.all()) for step in steps] == [True] * 4


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_remasking_takes_the_lowest_share_and_rounds_it_fairly(kit: Any, share: float) -> None:
    sureness = [12.0] * kit.LENGTH
    sureness[2], sureness[5] = 4.0, 5.0
    # With one revealing step of all but nothing, the first step shows a known share.
    steps = story(kit, "euler_remask", rows=ROWS, sureness=sureness, steps=2, remask_share=share, resample_all=True)[1]
    hidden = steps[0].tokens == kit.MASK
    assert float(hidden.sum(1).float().mean()) == pytest.approx(share * kit.LENGTH, abs=4 * 0.5 / math.sqrt(ROWS))
    assert set(hidden.sum(1).tolist()) <= {math.floor(share * kit.LENGTH), math.ceil(share * kit.LENGTH)}
    least_first = hidden[:, 2] | ~hidden.any(1)
    assert bool(least_first.all())
    assert not bool((steps[-1].tokens == kit.MASK).any())


def test_remasking_by_threshold_takes_all_below_it_but_not_in_the_last_step(kit: Any) -> None:
    sureness = [12.0] * kit.LENGTH
    sureness[2] = sureness[5] = 3.0
    options = {"steps": 3, "remask_mode": "threshold", "remask_share": 0.6, "resample_all": True}
    steps = story(kit, "euler_remask", sureness=sureness, **options)[1]
    assert [(step.tokens[0] == kit.MASK).nonzero()[:, 0].tolist() for step in steps] == [[2, 5], [2, 5], []]


def test_a_visible_token_keeps_the_confidence_it_was_revealed_with(kit: Any) -> None:
    steps = story(kit, "euler_remask", rows=20, sureness=[3.0 + p / 4 for p in range(kit.LENGTH)], remask_share=0.0)[1]
    for before, after in itertools.pairwise(steps):
        kept = before.tokens != kit.MASK
        assert torch.equal(before.confidence[kept], after.confidence[kept])


def test_confidence_reveals_the_surest_first_words_and_padding_in_proportion(kit: Any) -> None:
    sureness = [2.0 + place / 2 for place in range(kit.LENGTH)]
    steps = story(kit, "confidence", sureness=sureness, steps=kit.LENGTH)[1]
    order = [int(step.is_new[0].nonzero()[0]) for step in steps]
    is_pad = (steps[-1].tokens[0] == kit.PAD).tolist()
    words, padding = ([place for place in order if is_pad[place] == kind] for kind in (False, True))
    assert words and padding
    assert words == sorted(words, reverse=True) and padding == sorted(padding, reverse=True)
    for seen in range(1, kit.LENGTH):
        share = sum(not is_pad[place] for place in order[:seen]) / seen
        assert abs(share - len(words) / kit.LENGTH) <= 1 / seen


def test_confidence_counts_fall_to_nothing_as_asked(kit: Any) -> None:
    assert masked_counts(kit, story(kit, "confidence", steps=4)[1]) == [9, 6, 3, 0]
    cosine = masked_counts(kit, story(kit, "confidence", steps=4, counts="cosine")[1])
    assert cosine == [math.floor(kit.LENGTH * math.cos(math.pi / 2 * i / 4) + 1e-4) for i in (1, 2, 3, 4)]
    # More steps than positions, or counts that would stand still, waste no pass.
    for options in ({"steps": 100}, {"steps": 100, "counts": "cosine"}, {"steps": kit.LENGTH - 1, "counts": "cosine"}):
        counts = [kit.LENGTH, *masked_counts(kit, story(kit, "confidence", **options)[1])]
        assert all(after < before for before, after in itertools.pairwise(counts))
        assert counts[-1] == 0


def test_two_stage_masks_the_least_sure_share_of_words_and_padding_again(kit: Any) -> None:
    sureness = [6.0 + place % 7 for place in range(kit.LENGTH)]
    scripted, steps = story(kit, "two_stage", sureness=sureness, steps=4, restart_t=0.5)
    first_stage = len(WORDS) + 1
    restarted = steps[first_stage - 1].tokens[0]
    assert (restarted == kit.MASK).nonzero()[:, 0].tolist() == [0, 1, 2, 3, 7, 8]
    assert len(steps) <= first_stage + 4 and steps[-1].total_steps == first_stage + 4
    assert steps[-1].tokens[0].tolist() == WORDS + [kit.PAD] * (kit.LENGTH - len(WORDS))
    assert float(scripted.times[first_stage][0]) <= 0.5 + 1e-6


@pytest.mark.parametrize("schedule", [LinearSchedule(), CosineSchedule(), ExponentialSchedule(5.0)])
def test_time_of_share_inverts_the_schedule(schedule: Schedule) -> None:
    times = torch.linspace(0.01, 0.99, 20)
    torch.testing.assert_close(time_of_share(schedule, 1 - schedule.alpha(times)), times, atol=1e-4, rtol=0)
    assert float(time_of_share(schedule, torch.ones(1))) == pytest.approx(1.0)


def test_lowest_takes_the_asked_number_among_the_marked_and_breaks_ties_to_the_left() -> None:
    values = torch.tensor([[0.1, 0.5, 0.5, 0.5, 0.0]])
    among = torch.tensor([[True, True, True, True, False]])
    assert lowest(values, among, torch.tensor([3]))[0].tolist() == [True, True, True, False, False]
    assert lowest(values, among, torch.tensor([9]))[0].tolist() == among[0].tolist()
    assert not bool(lowest(values, among, torch.tensor([0])).any())


def test_confidence_fills_different_words_before_the_same_one_twice(kit: Any) -> None:
    words = [7, 7, 7, 8, 9]
    sureness = [12.0, 11.0, 10.0, 6.0, 5.0] + [20.0] * (kit.LENGTH - 5)
    scripted = kit.ScriptedDenoiser(kit.script(words, sureness))
    first = next(iter(decode(scripted, kit.AnyCondition(1), "confidence", DecodeOptions(steps=2))))  # type: ignore[arg-type]
    shown = [token for token in first.tokens[0].tolist() if token not in (kit.MASK, kit.PAD)]
    assert sorted(shown) == [7, 8]


def test_a_penalty_keeps_words_from_coming_again(kit: Any) -> None:
    logits = kit.script([7, 7, 7], [3.0] * 3 + [20.0] * (kit.LENGTH - 3))
    logits[1, 8], logits[2, 9] = 2.0, 2.0
    free = [t for t in final(kit, logits) if t != kit.PAD]
    held = [t for t in final(kit, logits, repeat_penalty=1.5) if t != kit.PAD]
    assert free == [7, 7, 7] and held == [7, 8, 9]


def test_a_word_does_not_count_against_itself(kit: Any) -> None:
    """Positions that are asked anew while their own word stands there must not flee from it."""
    logits = kit.script([7, 8, 9], [1.0] * 3 + [20.0] * (kit.LENGTH - 3))
    options = DecodeOptions(steps=4, resample_all=True, repeat_penalty=1.5)
    steps = list(decode(kit.ScriptedDenoiser(logits), kit.AnyCondition(1), "euler", options))  # type: ignore[arg-type]
    assert all(step.tokens[0].tolist()[:3] == [7, 8, 9] for step in steps)


def final(kit: Any, logits: torch.Tensor, **options: Any) -> list[int]:
    *_, last = decode(kit.ScriptedDenoiser(logits), kit.AnyCondition(1), "sequential", DecodeOptions(**options))  # type: ignore[arg-type]
    return last.tokens[0].tolist()


def test_a_word_that_texts_repeat_may_come_again_and_another_may_not(kit: Any) -> None:
    logits = kit.script([7, 7, 8, 8], [3.0] * 4 + [20.0] * (kit.LENGTH - 4))
    logits[1, 9], logits[3, 10] = 2.0, 2.0
    scripted = kit.ScriptedDenoiser(logits)
    scripted.repeat_cost = torch.full((logits.shape[1],), 2.0)
    scripted.repeat_cost[7] = 0.5
    *_, last = decode(scripted, kit.AnyCondition(1), "sequential", DecodeOptions(repeat_penalty=1.0))  # type: ignore[arg-type]
    assert last.tokens[0].tolist()[:4] == [7, 7, 8, 10]
    *_, last = decode(scripted, kit.AnyCondition(1), "sequential", DecodeOptions(repeat_penalty=0.0))  # type: ignore[arg-type]
    assert last.tokens[0].tolist()[:4] == [7, 7, 8, 8]


def test_a_cost_by_word_counts_each_time_but_not_for_the_words_own_place() -> None:
    tokens = torch.tensor([[5, 5, 6, 0]]).expand(4, 4)
    amounts = torch.tensor([[0.5, 0.5, 2.0, 0.0]]).expand(4, 4)
    each, once = torch.zeros(4, 8), torch.zeros(4, 8)
    lower_others(each, tokens, amounts, torch.arange(4), each_time=True)
    lower_others(once, tokens, amounts, torch.arange(4), each_time=False)
    assert each[:, 5].tolist() == [-0.5, -0.5, -1.0, -1.0] and each[:, 6].tolist() == [-2.0, -2.0, 0.0, -2.0]
    assert once[:, 5].tolist() == [-0.5] * 4 and once[:, 6].tolist() == [-2.0, -2.0, 0.0, -2.0]
