"""The n-gram model: a distribution after any context, one that knows its training text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unmask.errors import InputError
from unmask.metrics.ngrams import NgramModel
from unmask.metrics.perplexity import perplexity

VOCABULARY = 40
CONTEXTS = [[], [0], [39], [7, 7, 7], [1, 2, 3, 4, 5, 6], [30, 31, 32]]


def language(rows: int, seed: int = 0) -> list[list[int]]:
    """Texts with an order to learn: mostly each token is followed by the next one. Tokens from 30 on never occur."""
    random = np.random.default_rng(seed)
    texts = []
    for _ in range(rows):
        text = [int(random.integers(30))]
        while len(text) < 3 + random.integers(8):
            text.append((text[-1] + 1) % 30 if random.random() < 0.8 else int(random.integers(30)))
        texts.append(text)
    return texts


@pytest.fixture(scope="module")
def model() -> NgramModel:
    return NgramModel.train(language(400), VOCABULARY, "test")


@pytest.mark.parametrize("context", CONTEXTS)
def test_probabilities_sum_to_one_and_none_is_zero(model: NgramModel, context: list[int]) -> None:
    probabilities = model.next_probabilities(context)
    assert probabilities.sum() == pytest.approx(1, abs=1e-9)
    assert (probabilities > 0).all()


def test_rare_tokens_share_a_symbol_and_still_sum_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unmask.metrics.ngrams._OWN_SYMBOLS", 10)
    small = NgramModel.train(language(400), VOCABULARY, "small")
    for context in CONTEXTS:
        assert small.next_probabilities(context).sum() == pytest.approx(1, abs=1e-9)
    assert len(np.unique(small.next_probabilities([1, 2]).round(12))) <= 11


def test_a_text_costs_the_sum_of_its_tokens(model: NgramModel) -> None:
    text = [3, 4, 5, 29, 0, 35]
    nats, tokens = model.negative_log_likelihood([""] * 2, [text, []])
    stepwise = [-np.log(model.next_probabilities(text[:place])[token]) for place, token in enumerate(text)]
    assert nats[0] == pytest.approx(sum(stepwise))
    assert (nats[1], tokens.tolist()) == (0, [6, 0])


def test_held_out_text_is_likelier_than_the_same_tokens_shuffled(model: NgramModel) -> None:
    texts = language(100, seed=1)
    random = np.random.default_rng(2)
    shuffled = [random.permutation(text).tolist() for text in texts]
    whole, broken = (perplexity(model, [""] * len(ids), ids) for ids in (texts, shuffled))
    assert whole.high < broken.low
    assert whole.value < VOCABULARY


def test_more_text_makes_a_better_model(model: NgramModel) -> None:
    held_out = language(100, seed=1)
    small = NgramModel.train(language(10), VOCABULARY, "small")
    assert perplexity(model, [""] * 100, held_out).value < perplexity(small, [""] * 100, held_out).value


def test_what_is_saved_comes_back(model: NgramModel, tmp_path: Path) -> None:
    assert not NgramModel.is_saved_in(tmp_path / "lm")
    model.save(tmp_path / "lm")
    again = NgramModel.load(tmp_path / "lm")
    assert NgramModel.is_saved_in(tmp_path / "lm")
    assert (again.name, again.vocabulary_size) == ("test", VOCABULARY)
    for context in CONTEXTS:
        assert (again.next_probabilities(context) == model.next_probabilities(context)).all()


def test_a_damaged_or_foreign_model_is_named(model: NgramModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    (tmp_path / "ngrams.npz").write_bytes((tmp_path / "ngrams.npz").read_bytes()[:200])
    with pytest.raises(InputError, match=r"ngrams\.npz cannot be read"):
        NgramModel.load(tmp_path)
    (tmp_path / "ngrams.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match="format 99"):
        NgramModel.load(tmp_path)


def test_bad_input_is_named(model: NgramModel) -> None:
    with pytest.raises(InputError, match="0 tokens"):
        NgramModel.train([[], []], VOCABULARY, "empty")
    with pytest.raises(InputError, match="expected 0 to 39"):
        model.negative_log_likelihood([""], [[1, 40]])
    with pytest.raises(InputError, match="without any token"):
        perplexity(model, [""], [[]])


@pytest.mark.parametrize("least", [(1, 1, 1, 1), (1, 2, 3, 4), (1, 3, 10**6, 10**6), (2, 10**6, 3, 3)])
def test_packed_it_still_sums_to_one_and_knows_its_language(model: NgramModel, least: tuple[int, ...]) -> None:
    small = NgramModel.unpacked(model.packed(least), "packed")
    for context in CONTEXTS:
        assert small.next_probabilities(context).sum() == pytest.approx(1, abs=1e-9)
    texts, random = language(100, seed=1), np.random.default_rng(2)
    if least[1] < 10**6:
        shuffled = [random.permutation(text).tolist() for text in texts]
        assert perplexity(small, [""] * 100, texts).high < perplexity(small, [""] * 100, shuffled).low


def test_packing_loses_little_and_once_only(model: NgramModel) -> None:
    texts = language(100, seed=1)
    whole, once = model, NgramModel.unpacked(model.packed((1, 1, 1, 1)), "once")
    again = NgramModel.unpacked(once.packed((1, 1, 1, 1)), "again")
    nats = [kept.negative_log_likelihood([], texts)[0] for kept in (whole, once, again)]
    assert nats[1].sum() < 1.01 * nats[0].sum()
    assert (nats[1] == nats[2]).all()


def test_rare_ngrams_left_out_make_it_smaller(model: NgramModel) -> None:
    sizes = [
        sum(part.nbytes for part in model.packed(least).values())
        for least in ((1, 1, 1, 1), (1, 2, 2, 2), (1, 2, 3, 4))
    ]
    assert sizes[0] > sizes[1] > sizes[2]


def test_the_same_text_costs_the_same_in_any_company(model: NgramModel) -> None:
    texts = [*language(20), [5, 6, 7], [5, 6, 7], [], [39]]
    together, _ = model.negative_log_likelihood([], texts)
    assert together.tolist() == [float(model.negative_log_likelihood([], [text])[0][0]) for text in texts]
