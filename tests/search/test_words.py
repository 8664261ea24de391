"""The words that a text lacks: not its own, and those that a vector names that errs the other way."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch

from unmask.denoiser.network import Denoiser
from unmask.search.edits import recalls
from unmask.search.ground import Ground, Wanted
from unmask.search.hypotheses import Hypothesis
from unmask.search.scorers import forbidden_tokens
from unmask.search.words import MOVED, WANTED, aimed, vocabularies_of, wanted
from unmask.text.tokens import TextTokenizer


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def test_a_vector_is_moved_as_far_whatever_the_text_and_away_from_it() -> None:
    random = np.random.default_rng(0)
    vector = unit(random.normal(size=30))
    for distance in (0.05, 0.5):
        text = unit(vector + distance * unit(random.normal(size=30)))
        found = aimed(vector, text)
        assert np.linalg.norm(found) == pytest.approx(1)
        assert found @ text < vector @ text < 1
        assert np.linalg.norm(found - vector) == pytest.approx(MOVED, abs=0.05)


def test_nothing_is_moved_where_there_is_nothing_to_move_from() -> None:
    vector = unit(np.arange(1.0, 6.0))
    assert aimed(vector, None) is vector
    assert np.isfinite(aimed(vector, vector)).all() and aimed(vector, vector) == pytest.approx(vector)


def test_a_text_is_told_the_likeliest_words_that_it_has_not() -> None:
    vocabulary = torch.arange(100, 200)
    assert wanted(vocabulary, (7, 100, 102)) == (101, *range(103, 102 + WANTED))
    assert wanted(vocabulary[:3], (101, 101)) == (100, 102)


def words_of(denoiser: Denoiser, vectors: torch.Tensor) -> list[list[int]]:
    with torch.no_grad():
        return vocabularies_of(denoiser, denoiser.condition(vectors)).tolist()


def test_each_vector_has_its_own_words_and_none_that_is_forbidden(
    kit: ModuleType, tokenizer: TextTokenizer, taught: Denoiser
) -> None:
    texts = kit.sentences(6, seed=3)
    vectors = torch.from_numpy(kit.OrderedBag().encode(texts))
    together, alone = words_of(taught, vectors), words_of(taught, vectors[2:3])
    assert together[2] == alone[0] and together[2] != together[3]
    allowed = ~forbidden_tokens(taught).numpy()
    for words, ids in zip(together, tokenizer.encode(texts), strict=True):
        assert allowed[words].all() and set(ids) <= set(words)


def test_a_word_that_a_text_lacks_is_named_sooner_from_farther_on(
    kit: ModuleType, tokenizer: TextTokenizer, taught: Denoiser
) -> None:
    texts = kit.sentences(40, shortest=5, seed=11)
    encoder, moved_up = kit.OrderedBag(), []
    for text in texts:
        ids = tokenizer.encode([text])[0]
        shorter, lacking = ids[1:], ids[0]
        if lacking in shorter:
            continue
        vector, of_shorter = (unit(row) for row in encoder.encode([text, tokenizer.decode_all([shorter])[0]]))
        for_it, as_it_is = words_of(taught, torch.from_numpy(np.stack([aimed(vector, of_shorter), vector])))
        moved_up.append(as_it_is.index(lacking) - for_it.index(lacking))
    assert len(moved_up) > 20 and np.mean(moved_up) > 0


def test_they_are_put_in_and_put_in_the_place_of_others() -> None:
    at_places, at_gaps = np.log(np.full((2, 2), 0.1)), np.log(np.full((3, 2), 0.1))
    at_places[1, 0] = np.log(0.3)
    ground = Ground(
        Hypothesis((1, 2), 0.5, -1.0), np.log(np.full((2, 2), 0.5)), [], [], [], Wanted((7, 8), at_places, at_gaps)
    )
    edits = list(recalls(ground, np.random.default_rng(0)))
    assert {edit.tokens for edit in edits} == {
        (7, 2), (1, 7), (7, 1, 2), (1, 7, 2), (1, 2, 7), (8, 2), (1, 8), (8, 1, 2), (1, 8, 2), (1, 2, 8),
    }  # fmt: skip
    assert [edit.gain for edit in edits] == sorted((edit.gain for edit in edits), reverse=True)
    assert edits[0].tokens == (1, 7)


def test_in_half_precision_a_vector_alone_is_read_as_in_company() -> None:
    """A product of a single row takes another way through the machine, and rounds otherwise."""
    from unmask.attacks.inverter import Inverter
    from unmask.runtime import autocast
    from unmask.search.reading import conditioned

    denoiser = Inverter.from_pretrained("minilm").denoiser
    vectors = list(np.random.default_rng(0).normal(size=(5, denoiser.dimension)) / denoiser.dimension**0.5)
    with torch.no_grad(), autocast(torch.device("cpu"), torch.bfloat16):
        several, alone = conditioned(denoiser, vectors), conditioned(denoiser, vectors[:1])
        assert several.summary is not None and alone.summary is not None and alone.batch_size == 1
        assert torch.equal(several.summary[:1], alone.summary)
        assert torch.equal(vocabularies_of(denoiser, several)[:1], vocabularies_of(denoiser, alone))
