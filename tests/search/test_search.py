"""The search: what it finds, what it spends, and that rows do not touch each other."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch

from unmask.decoding import DecodeOptions
from unmask.denoiser.network import Denoiser
from unmask.errors import EncoderError, InputError
from unmask.records import DecodeStep
from unmask.search import SearchOptions, search
from unmask.search.edits import MAKERS
from unmask.search.scorers import EncoderScorer
from unmask.text.tokens import TextTokenizer

DECODE = DecodeOptions(steps=4)


def texts_of(step: DecodeStep, tokenizer: TextTokenizer) -> list[str]:
    return tokenizer.decode_all(step.tokens.tolist())


def run(kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser, vectors: np.ndarray, keys=None, **choices):
    encoder = kit.OrderedBag()
    scorer = EncoderScorer(encoder, tokenizer, denoiser)
    together = choices.pop("together", 64)
    steps = list(
        search(denoiser, scorer, torch.from_numpy(vectors), SearchOptions(**choices), DECODE, keys, together=together)
    )
    return steps, encoder


def test_fifty_short_texts_are_found_exactly(kit: ModuleType, tokenizer: TextTokenizer, taught: Denoiser) -> None:
    texts, budget = kit.sentences(50), 20_000
    steps, encoder = run(
        kit, tokenizer, taught, kit.OrderedBag().encode(texts), budget=budget, rounds=2000, patience=12,
        restarts=60, alternatives=18,
    )  # fmt: skip
    last = steps[-1]
    assert texts_of(last, tokenizer) == texts
    assert last.is_verified is not None and last.is_verified.all()
    assert last.encoder_calls is not None and encoder.queries == last.encoder_calls.sum()
    assert last.encoder_calls.max() <= budget


@pytest.mark.parametrize("budget", [0, 1, 2, 17, 100])
def test_a_budget_is_kept_for_each_vector_as_the_encoder_counts(
    kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser, budget: int
) -> None:
    vectors = kit.OrderedBag().encode(kit.sentences(5))
    steps, encoder = run(kit, tokenizer, denoiser, vectors, budget=budget)
    calls = steps[-1].encoder_calls
    assert calls is not None and calls.max() <= budget and encoder.queries == calls.sum()
    assert all(texts_of(steps[-1], tokenizer)), "there is a text even where nothing was asked"


def test_a_row_comes_out_the_same_alone_and_in_any_company(
    kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser
) -> None:
    vectors = kit.OrderedBag().encode(kit.sentences(6, longest=9))
    whole, _ = run(kit, tokenizer, denoiser, vectors, budget=200)
    few, _ = run(kit, tokenizer, denoiser, vectors, budget=200, together=2)
    assert torch.equal(whole[-1].tokens, few[-1].tokens)
    for row in range(len(vectors)):
        alone, _ = run(kit, tokenizer, denoiser, vectors[row : row + 1], keys=[row], budget=200)
        assert torch.equal(alone[-1].tokens[0], whole[-1].tokens[row])
        assert alone[-1].encoder_calls[0] == whole[-1].encoder_calls[row]


def test_the_best_cosine_never_falls(kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser) -> None:
    vectors = kit.OrderedBag().encode(kit.sentences(4))
    steps, _ = run(kit, tokenizer, denoiser, vectors, budget=300)
    cosines = torch.stack([step.cosine for step in steps if step.cosine is not None])  # (steps, rows)
    assert len(steps) > 2 and (cosines.diff(dim=0) >= 0).all()


@pytest.mark.parametrize("kind", ["random", "averaged", "noised", "of longer texts"])
def test_vectors_that_no_text_has_end_by_themselves_and_unverified(
    kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser, kind: str
) -> None:
    stream = np.random.default_rng(0)
    vectors = kit.OrderedBag().encode(kit.sentences(8))
    if kind == "random":
        vectors = stream.normal(size=vectors.shape).astype(np.float32)
    elif kind == "averaged":
        vectors = (vectors[:4] + vectors[4:]) / 2
    elif kind == "of longer texts":
        sentences = kit.sentences(20)
        texts = [" ".join(sentences[start : start + 5]) for start in range(0, 20, 5)]
        assert min(len(text.split()) for text in texts) > denoiser.length
        vectors = kit.OrderedBag().encode(texts)
    else:
        vectors = vectors + stream.normal(size=vectors.shape).astype(np.float32) * vectors.std()
    steps, _ = run(kit, tokenizer, denoiser, vectors, budget=100_000, patience=3)
    assert steps[-1].is_verified is not None and not steps[-1].is_verified.any()


def test_no_vectors_are_no_work(kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser) -> None:
    steps, encoder = run(kit, tokenizer, denoiser, np.zeros((0, kit.DIMENSION), dtype=np.float32))
    assert steps == [] and encoder.queries == 0


def test_an_encoder_of_another_dimension_is_refused(
    kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser
) -> None:
    encoder = kit.OrderedBag()
    encoder.dimension = 10
    with pytest.raises(EncoderError, match="gives 10-d vectors, this model reads 64-d"):
        EncoderScorer(encoder, tokenizer, denoiser)


class Failing:
    """Answers so many times, then never again."""

    def __init__(self, encoder, answers: int) -> None:
        self.encoder, self.answers = encoder, answers
        self.name, self.dimension = encoder.name, encoder.dimension

    def encode(self, texts):
        self.answers -= 1
        if self.answers < 0:
            raise EncoderError("the connection was lost; try again later")
        return self.encoder.encode(texts)


def test_an_encoder_that_fails_in_the_middle_leaves_the_best_so_far(
    kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = kit.OrderedBag().encode(kit.sentences(3))
    scorer = EncoderScorer(Failing(kit.OrderedBag(), 12), tokenizer, denoiser)  # type: ignore[arg-type]
    steps = list(search(denoiser, scorer, torch.from_numpy(vectors), SearchOptions(), DECODE))
    assert all(texts_of(steps[-1], tokenizer)) and "answers no more" in caplog.text
    assert steps[-1].cosine is not None and steps[-1].cosine.isfinite().all()


def test_answers_that_vary_do_not_pass_for_the_text(
    kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser
) -> None:
    class Wavering(kit.OrderedBag):
        def encode(self, texts):
            exact = super().encode(texts)
            return exact + np.random.default_rng(self.queries).normal(size=exact.shape).astype(np.float32) * 0.05

    encoder = Wavering()
    texts = kit.sentences(4)
    vectors = kit.OrderedBag().encode(texts)
    scorer = EncoderScorer(encoder, tokenizer, denoiser)
    steps = list(search(denoiser, scorer, torch.from_numpy(vectors), SearchOptions(budget=300), DECODE))
    assert steps[-1].encoder_calls is not None and encoder.queries == steps[-1].encoder_calls.sum()
    assert steps[-1].is_verified is not None
    found = zip(texts_of(steps[-1], tokenizer), texts, steps[-1].is_verified.tolist(), strict=True)
    assert all(text == true for text, true, is_verified in found if is_verified)


def test_rounds_end_a_search(kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser) -> None:
    vectors = kit.OrderedBag().encode(kit.sentences(3))
    calls = [run(kit, tokenizer, denoiser, vectors, budget=5000, rounds=rounds)[1].queries for rounds in (1, 4)]
    assert calls[0] < calls[1] < 5000


def test_what_is_done_with_is_let_go(kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser) -> None:
    from unmask.search.loop import Search
    from unmask.search.stream import searched

    running = Search(denoiser, EncoderScorer(kit.OrderedBag(), tokenizer, denoiser), SearchOptions(budget=400), DECODE)
    vectors = torch.from_numpy(kit.OrderedBag().encode(kit.sentences(6)))
    learnt = []
    for _ in searched(running, vectors, together=2):
        learnt.append(max(len(target.orders.rows) for target in running.targets))
    assert max(learnt) > 32 and learnt[-1] == 0
    assert all(target.best is not None and len(target.grounds) <= 1 for target in running.targets)
    assert not any(target.seen or target.vectors or target.children for target in running.targets)


@pytest.mark.parametrize("kind", [*MAKERS, "order"])
def test_a_kind_that_is_left_out_is_not_tried(
    kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser, kind: str
) -> None:
    from unmask.search.loop import Search
    from unmask.search.scorers import SurrogateScorer
    from unmask.search.surrogate import Surrogate, SurrogateShape

    vectors = torch.from_numpy(kit.OrderedBag().encode(kit.sentences(2)))
    scorer = EncoderScorer(kit.OrderedBag(), tokenizer, denoiser)
    shape = SurrogateShape(layers=1, hidden=16, heads=2, feed_forward=16, spread=16, opinions=2)
    surrogate = Surrogate(shape, tokenizer.vocabulary_size, kit.LENGTH, kit.DIMENSION, tokenizer.pad_id)
    screen = SurrogateScorer(surrogate, denoiser)  # it says nothing of use, but single words can be read with it
    for without, expected in (((), True), ((kind,), False)):
        running = Search(denoiser, scorer, SearchOptions(without=without, budget=2000, drafts=4), DECODE, screen=screen)
        running.join(vectors, [0, 1])
        for _ in range(4):
            running.advance()
        assert any(target.tried[kind] for target in running.targets) == expected


@pytest.mark.parametrize("choice", ["rounds", "beam", "drafts", "tries", "alternatives", "patience"])
def test_options_that_make_no_sense_are_refused(choice: str) -> None:
    with pytest.raises(InputError, match=f"{choice} is 0, expected at least 1"):
        SearchOptions(**{choice: 0})
    with pytest.raises(InputError, match="budget is -1"):
        SearchOptions(budget=-1)
    with pytest.raises(InputError, match="restarts is -1"):
        SearchOptions(restarts=-1)


def test_an_unknown_kind_of_edits_is_refused() -> None:
    with pytest.raises(InputError, match="without is swaps, expected kinds of edits: substitution"):
        SearchOptions(without=("swaps",))


class Picky:
    """Refuses every text with a certain word, and counts what it is sent."""

    def __init__(self, encoder, word: str) -> None:
        self.encoder, self.word, self.sent = encoder, word, 0
        self.name, self.dimension = encoder.name, encoder.dimension

    def encode(self, texts):
        self.sent += len(texts)
        if any(self.word in text.split() for text in texts):
            raise EncoderError("a text was refused; leave it out")
        return self.encoder.encode(texts)


def test_texts_without_an_answer_do_not_end_the_search_and_what_was_sent_counts(
    kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser, caplog: pytest.LogCaptureFixture
) -> None:
    sentences = kit.sentences(4)
    encoder = Picky(kit.OrderedBag(), sentences[0].split()[0])
    scorer = EncoderScorer(encoder, tokenizer, denoiser)  # type: ignore[arg-type]
    vectors = torch.from_numpy(kit.OrderedBag().encode(sentences))
    *_, last = search(denoiser, scorer, vectors, SearchOptions(budget=300), DECODE)
    assert last.encoder_calls is not None and encoder.sent == last.encoder_calls.sum()
    assert encoder.encoder.queries > 100 and scorer.failure is None
    assert "failed on 1 texts" in caplog.text and "answers no more" not in caplog.text


def test_an_encoder_that_never_answers_is_given_up_soon(
    kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser, caplog: pytest.LogCaptureFixture
) -> None:
    class Gone(kit.OrderedBag):
        def encode(self, texts):
            self.queries += 1
            raise EncoderError("nobody is there")

    encoder = Gone()
    scorer = EncoderScorer(encoder, tokenizer, denoiser)
    vectors = torch.from_numpy(kit.OrderedBag().encode(kit.sentences(2)))
    *_, last = search(denoiser, scorer, vectors, SearchOptions(drafts=2), DECODE)
    assert encoder.queries < 12 and "answers no more" in caplog.text and scorer.failure == "nobody is there"
    assert all(texts_of(last, tokenizer)) and last.is_verified is not None and not last.is_verified.any()


def test_one_failure_does_not_lose_a_text(kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser) -> None:
    class Stumbling(kit.OrderedBag):
        stumbled = False

        def encode(self, texts):
            if not self.stumbled:
                self.stumbled = True
                raise EncoderError("try again")
            return super().encode(texts)

    scorer = EncoderScorer(Stumbling(), tokenizer, denoiser)
    vectors, sent = scorer.vectors([tuple(tokenizer.encode(["the old boat"])[0])])
    assert np.isfinite(vectors).all() and sent.tolist() == [2]


def test_only_drafts_are_compared_where_nothing_may_be_edited(
    kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser
) -> None:
    from unmask.search.loop import Search
    from unmask.search.options import EDITS

    encoder = kit.OrderedBag()
    options = SearchOptions(budget=100, without=EDITS, restarts=100, rounds=200)
    running = Search(denoiser, EncoderScorer(encoder, tokenizer, denoiser), options, DECODE)
    running.join(torch.from_numpy(kit.OrderedBag().encode(kit.sentences(3))), [0, 1, 2])
    while running.active:
        running.advance()
    assert all(set(target.tried) == {"draft"} for target in running.targets)
    assert 60 < encoder.queries <= 300


def test_a_search_may_begin_with_given_texts(kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser) -> None:
    texts = kit.sentences(6)
    scrambled = [tuple(reversed(row)) for row in tokenizer.encode(texts)]
    scorer = EncoderScorer(kit.OrderedBag(), tokenizer, denoiser)
    vectors = torch.from_numpy(kit.OrderedBag().encode(texts))
    steps = list(search(denoiser, scorer, vectors, SearchOptions(budget=3000), DECODE, beginnings=scrambled))
    first = [[token for token in row if token != tokenizer.pad_id] for row in steps[0].tokens.tolist()]
    assert first == [list(row) for row in scrambled]
    assert sum(a == b for a, b in zip(texts_of(steps[-1], tokenizer), texts, strict=True)) >= 4


def test_together_must_be_at_least_one(kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser) -> None:
    with pytest.raises(InputError, match="together is 0"):
        run(kit, tokenizer, denoiser, kit.OrderedBag().encode(kit.sentences(1)), together=0)
