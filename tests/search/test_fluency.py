"""How likely texts are: what lies on disk, and what the search makes of it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from unmask.decoding import DecodeOptions
from unmask.denoiser.network import Denoiser
from unmask.errors import CheckpointError
from unmask.metrics.ngrams import NgramModel
from unmask.search import SearchOptions, search
from unmask.search.fluency import Fluency, load_fluency, save_fluency
from unmask.search.hypotheses import value_of
from unmask.search.loop import Search
from unmask.search.options import LENGTH, WORDS
from unmask.search.scorers import EncoderScorer
from unmask.text.tokens import TextTokenizer

DECODE = DecodeOptions(steps=4)


@pytest.fixture(scope="module")
def counted(kit: ModuleType, tokenizer: TextTokenizer) -> NgramModel:
    """Its texts have an order that the toy language itself has not."""
    texts = [sorted(ids) for ids in tokenizer.encode(kit.sentences(500, seed=9))]
    return NgramModel.train(texts, tokenizer.vocabulary_size, "counted")


def test_it_tells_texts_from_their_words_in_another_order(
    kit: ModuleType, tokenizer: TextTokenizer, counted: NgramModel
) -> None:
    texts = [tuple(sorted(ids)) for ids in tokenizer.encode(kit.sentences(50, seed=10))]
    backwards = [tuple(reversed(text)) for text in texts]
    fluency = Fluency(counted)
    assert fluency.log_likelihoods(texts).mean() > fluency.log_likelihoods(backwards).mean() + 0.5
    assert fluency.log_likelihoods([]).shape == (0,)


def test_saved_and_loaded_it_says_the_same(
    kit: ModuleType, tokenizer: TextTokenizer, counted: NgramModel, tmp_path: Path
) -> None:
    manifest = {"fluency": save_fluency(tmp_path, counted)}
    again = {"fluency": save_fluency(tmp_path, counted)}
    assert manifest == again and len(list(tmp_path.iterdir())) == 1
    first, second = (load_fluency(tmp_path, manifest) for _ in range(2))
    assert first is not None and second is not None
    texts = [tuple(ids) for ids in tokenizer.encode(kit.sentences(20, seed=11))]
    assert (first.log_likelihoods(texts) == second.log_likelihoods(texts)).all()
    assert load_fluency(tmp_path, {}) is None


def test_a_damaged_file_is_named(counted: NgramModel, tmp_path: Path) -> None:
    manifest = {"fluency": save_fluency(tmp_path, counted)}
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="missing or damaged"):
        load_fluency(tmp_path, manifest)
    path.unlink()
    with pytest.raises(CheckpointError, match="missing or damaged"):
        load_fluency(tmp_path, manifest)


@pytest.mark.parametrize("without", [(), (LENGTH,), (WORDS,)])
def test_what_it_and_the_heads_say_is_what_edits_are_judged_by(
    kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser, counted: NgramModel, without: tuple[str, ...]
) -> None:
    vectors, fluency = torch.from_numpy(kit.OrderedBag().encode(kit.sentences(4))), Fluency(counted)
    scorer = EncoderScorer(kit.OrderedBag(), tokenizer, denoiser)
    scorer.word_weight = 0.3
    running = Search(denoiser, scorer, SearchOptions(budget=300, rounds=4, without=without), DECODE, fluency=fluency)
    running.join(vectors, range(4))
    lengths, words = _said_by_heads(denoiser, vectors, without)
    assert denoiser.repeat_cost is None, "or a word that comes again costs"
    held = 0
    while running.active:
        running.advance()
        for target in running.active:
            for text in target.beam:
                tokens, held = list(text.tokens), held + 1
                expected = 0.0 if lengths is None else scorer.length_weight * lengths[target.number, len(tokens)]
                if words is not None:
                    expected += 0.3 * np.mean([words[target.number, token] for token in tokens])
                assert np.isclose(text.likelihood, fluency.log_likelihoods([text.tokens])[0])
                assert np.isclose(text.expected, expected, atol=1e-4)
    assert held > 10, "nothing was looked at"
    assert running.likelihood_weight == scorer.fluency_weight
    assert all(target.expected is None for target in running.targets), "it is let go of in the end"


def _said_by_heads(
    denoiser: Denoiser, vectors: torch.Tensor, without: tuple[str, ...]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """How much less likely than the likeliest each length is, and how likely each word; in nats, by vector."""
    condition = denoiser.condition(vectors)
    lengths = None if LENGTH in without else denoiser.log_lengths(vectors, condition)
    if WORDS in without or denoiser.lexical is None or condition.summary is None:
        words = None
    else:
        scores = denoiser.lexical.scores(condition.summary, denoiser.table) + denoiser.forbidden
        scores[:, denoiser.pad_id] = -torch.inf
        words = scores.log_softmax(dim=1).clamp(min=-12).numpy()
    return None if lengths is None else (lengths - lengths.amax(dim=1, keepdim=True)).numpy(), words


def test_left_out_it_changes_nothing(
    kit: ModuleType, tokenizer: TextTokenizer, denoiser: Denoiser, counted: NgramModel
) -> None:
    vectors = torch.from_numpy(kit.OrderedBag().encode(kit.sentences(4)))

    def found(options: SearchOptions, fluency: Fluency | None) -> list[list[int]]:
        scorer = EncoderScorer(kit.OrderedBag(), tokenizer, denoiser)
        *_, last = search(denoiser, scorer, vectors, options, DECODE, fluency=fluency)
        tokens: list[list[int]] = last.tokens.tolist()
        return tokens

    left_out = SearchOptions(budget=120, without=("fluency",))
    assert found(left_out, Fluency(counted)) == found(SearchOptions(budget=120), None)


def test_how_likely_a_length_is_depends_on_the_vector(kit: ModuleType, taught: Denoiser) -> None:
    texts = kit.sentences(40, shortest=2, longest=9)
    vectors = torch.from_numpy(kit.OrderedBag().encode(texts))
    said = taught.log_lengths(vectors, taught.condition(vectors))
    assert said is not None and torch.allclose(said.exp().sum(dim=1), torch.ones(40))
    expected = (said.exp() * torch.arange(said.shape[1])).sum(dim=1)
    lengths = torch.tensor([float(len(text.split())) for text in texts])
    assert torch.corrcoef(torch.stack([expected, lengths]))[0, 1] > 0.6


def test_a_likelier_length_is_worth_more_the_farther_the_text_is() -> None:
    def gained(cosine: float) -> float:
        return value_of(cosine, -5.0, 0.0, 0.1) - value_of(cosine, -5.0, -3.0, 0.1)

    assert gained(0.7) > gained(0.9) > gained(0.99) > gained(1.0) == 0
