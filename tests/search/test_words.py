"""The words that a text lacks: not its own, and those that point where it falls short."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import torch

from unmask.denoiser.network import Denoiser
from unmask.search.edits import recalls
from unmask.search.ground import Ground, Wanted
from unmask.search.hypotheses import Hypothesis
from unmask.search.scorers import EncoderScorer, forbidden_tokens
from unmask.search.words import KEPT, Words, vocabularies_of, words_of
from unmask.text.tokens import TextTokenizer


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def test_a_word_that_points_where_the_text_falls_short_comes_first() -> None:
    random = np.random.default_rng(0)
    vectors = np.stack([unit(row) for row in random.normal(size=(20, 30))])
    words = Words(np.arange(100, 120), np.zeros(20), vectors)
    text, missing = unit(vectors[0] + vectors[1]), 7
    target = unit(vectors[0] + vectors[1] + vectors[missing])
    found, gains = words.wanted((100, 101), text, target)
    assert found[0] == 107 and gains[0] == gains.max() > 0
    assert {100, 101}.isdisjoint(found) and len(found) == len(gains) == 18


def test_a_text_that_lacks_nothing_still_gets_likely_words() -> None:
    words = Words(np.array([4, 5, 6]), np.array([-3.0, -1.0, -2.0]), np.eye(3))
    target = np.array([1.0, 0.0, 0.0])
    found, gains = words.wanted((9,), target, target)
    assert found == (5, 6, 4) and np.abs(gains).max() < 1e-6


def of_head(denoiser: Denoiser, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    vocabularies, likelihoods = vocabularies_of(denoiser, denoiser.condition(vectors))
    assert likelihoods is not None
    return vocabularies, likelihoods


def test_each_vector_has_its_own_words_and_none_that_is_forbidden(
    kit: ModuleType, tokenizer: TextTokenizer, taught: Denoiser
) -> None:
    texts = kit.sentences(6, seed=3)
    vectors = torch.from_numpy(kit.OrderedBag().encode(texts))
    reader = EncoderScorer(kit.OrderedBag(), tokenizer, taught)
    with torch.no_grad():
        together = words_of(*of_head(taught, vectors), reader)
        alone = words_of(*of_head(taught, vectors[2:3]), reader)
    assert together[2].ids.tolist() == alone[0].ids.tolist()
    allowed = ~forbidden_tokens(taught).numpy()
    for words, ids in zip(together, tokenizer.encode(texts), strict=True):
        likely = words.ids[np.isfinite(words.scores)]
        assert allowed[likely].all() and len(words.ids) <= KEPT
        assert words.vectors.shape == (len(words.ids), kit.DIMENSION)
        assert set(ids) <= set(likely.tolist())


def test_they_are_put_in_and_put_in_the_place_of_others() -> None:
    nowhere = np.log(np.full((2, 2), 0.1))
    wanted = Wanted((7, 8), np.array([0.02, 0.01]), nowhere, np.log(np.full((3, 2), 0.1)))
    ground = Ground(Hypothesis((1, 2), 0.5, -1.0), np.log(np.full((2, 2), 0.5)), [], [], [], wanted)
    edits = list(recalls(ground, np.random.default_rng(0)))
    assert {edit.tokens for edit in edits} == {
        (7, 2), (1, 7), (7, 1, 2), (1, 7, 2), (1, 2, 7), (8, 2), (1, 8), (8, 1, 2), (1, 8, 2), (1, 2, 8),
    }  # fmt: skip
    assert [edit.gain for edit in edits] == sorted((edit.gain for edit in edits), reverse=True)
    assert {7} <= set(edits[0].tokens)
