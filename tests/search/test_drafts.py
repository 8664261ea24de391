"""Drafts that listen: what those before were off by, the next one makes up for."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch

from unmask.decoding import DecodeOptions
from unmask.denoiser.network import Denoiser
from unmask.search import SearchOptions
from unmask.search.drafts import FIRST
from unmask.search.hypotheses import DRAFT, Target
from unmask.search.loop import Search
from unmask.search.options import EDITS, FEEDBACK
from unmask.search.scorers import EncoderScorer
from unmask.text.tokens import TextTokenizer

ONLY_DRAFTS = {"without": EDITS, "restarts": 0}


def target_of(vector: np.ndarray) -> Target:
    return Target(0, 0, vector, np.random.default_rng(0), 1.0, None)


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def test_the_aim_goes_to_the_other_side_and_comes_back_when_nothing_is_off() -> None:
    random = np.random.default_rng(0)
    vector, off = (unit(random.normal(size=20)) for _ in range(2))
    target = target_of(vector)
    assert target.aim == pytest.approx(vector)
    target.listen(unit(vector + 0.5 * off))
    once = (target.aim - vector) @ off
    target.listen(unit(vector + 0.5 * off))
    assert (target.aim - vector) @ off < once < 0
    for _ in range(60):
        target.listen(vector)
    assert target.aim == pytest.approx(vector, abs=1e-4)


def searching(
    kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser, texts: list[str], **choices: object
) -> Search:
    running = Search(
        denoiser, EncoderScorer(kit.OrderedBag(), tokenizer, denoiser), SearchOptions(**choices), DecodeOptions(steps=4)
    )
    running.join(torch.from_numpy(kit.OrderedBag().encode(texts)), range(len(texts)))
    return running


def test_each_is_a_step_and_at_most_a_call(kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser) -> None:
    running = searching(kit, tokenizer, denoiser, kit.sentences(6), drafts=10)
    calls = [target.calls for target in running.targets]
    assert max(calls) <= FIRST
    for _ in range(10 - FIRST):
        running.advance()
        now = [target.calls for target in running.targets]
        assert all(before <= after <= before + 1 for before, after in zip(calls, now, strict=True))
        assert not any(target.grounds for target in running.targets), "nothing is edited yet"
        calls = now
    running.advance()
    assert any(target.tried["substitution"] for target in running.targets)


def test_one_that_came_before_costs_nothing_and_is_listened_to(
    kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser
) -> None:
    running = searching(kit, tokenizer, denoiser, kit.sentences(8), drafts=40, **ONLY_DRAFTS)
    seen = 0
    for _ in range(30):
        before = [(target.calls, target.aim) for target in running.targets]
        running.advance()
        for target, (calls, aim) in zip(running.targets, before, strict=True):
            if target.calls == calls and not target.is_done:
                seen += 1
                assert not np.array_equal(target.aim, aim)
    assert seen, "no draft came twice, so this shows nothing"


def test_they_come_nearer_than_those_they_listen_to(
    kit: ModuleType, tokenizer: TextTokenizer, taught: Denoiser
) -> None:
    texts = kit.sentences(40, shortest=5, longest=9, seed=21)
    running = searching(kit, tokenizer, taught, texts, drafts=20, **ONLY_DRAFTS)
    first = np.array([target.cosine for target in running.targets])
    while running.active:
        running.advance()
    assert max(target.calls for target in running.targets) <= 20 + 2
    gains = np.array([target.cosine for target in running.targets]) - first
    assert (gains >= 0).all() and (gains > 0.01).mean() > 0.3


@pytest.mark.parametrize("length", [0.2, 5.0])
def test_vectors_of_any_length_are_written_of_as_they_are(
    kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser, length: float
) -> None:
    running = searching(kit, tokenizer, denoiser, [])
    asked: list[torch.Tensor] = []
    read = denoiser.condition

    def listen_in(vectors: torch.Tensor, *rest: object) -> object:
        asked.append(vectors)
        return read(vectors, *rest)

    denoiser.condition = listen_in  # type: ignore[method-assign]
    try:
        vectors = torch.from_numpy(kit.OrderedBag().encode(kit.sentences(3)))
        running.join(length * vectors / vectors.norm(dim=1, keepdim=True), range(3))
        for _ in range(running.options.drafts):
            running.advance()
    finally:
        del denoiser.condition
    assert len(asked) > 10
    torch.testing.assert_close(torch.cat(asked).norm(dim=1), torch.full((sum(map(len, asked)),), length))


def test_without_feedback_all_are_drawn_at_once(kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser) -> None:
    running = searching(kit, tokenizer, denoiser, kit.sentences(4), drafts=12, without=(FEEDBACK,))
    drafts = [target.calls for target in running.targets]
    assert max(drafts) > FIRST
    running.advance()
    assert all(target.tried[DRAFT] <= 12 and target.grounds for target in running.targets if not target.is_done)


def test_drawn_of_vectors_that_are_elsewhere_they_come_out_as_alone(
    kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser
) -> None:
    writer = searching(kit, tokenizer, denoiser, [], draft_temperature=1.0).writer
    condition = denoiser.condition(torch.from_numpy(kit.OrderedBag().encode(kit.sentences(4))))
    numbers = [(1, 0), (1, 3), (2, 0), (1, 0)]
    together = writer.again(condition, [5, 6, 7, 8], numbers)
    for row, number in enumerate(numbers):
        assert writer.again(condition.select(torch.tensor([row])), [5 + row], [number]) == [together[row]]
    others = writer.again(condition, [5, 6, 7, 8], [(2, 5)] * 4)
    assert [text for text, _ in others] != [text for text, _ in together], "the seeds say nothing"


def test_a_surrogates_word_is_not_listened_to(kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser) -> None:
    running = searching(kit, tokenizer, denoiser, [], drafts=12)
    running.scorer.is_encoder = False  # type: ignore[misc]
    by_surrogate = Search(denoiser, running.scorer, running.options, DecodeOptions())
    assert running.writer.most_again == 12 - FIRST and by_surrogate.writer.most_again == 0


def test_a_search_that_begins_with_a_given_text_writes_none(
    kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser
) -> None:
    texts = kit.sentences(3)
    running = Search(
        denoiser,
        EncoderScorer(kit.OrderedBag(), tokenizer, denoiser),
        SearchOptions(restarts=0),
        DecodeOptions(steps=4),
    )
    vectors = torch.from_numpy(kit.OrderedBag().encode(texts))
    running.join(vectors, range(3), [tuple(reversed(ids)) for ids in tokenizer.encode(texts)])
    for _ in range(3):
        running.advance()
    assert all(target.tried[DRAFT] == 1 for target in running.targets)
