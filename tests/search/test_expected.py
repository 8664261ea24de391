"""What the heads that read a vector expect of its text."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch

from unmask.decoding import DecodeOptions
from unmask.denoiser.network import Denoiser
from unmask.search.drafts import Writer
from unmask.search.expected import LEAST_EXPECTED, Expected, expected_of
from unmask.search.options import LENGTH, WORDS, SearchOptions
from unmask.search.words import vocabularies_of
from unmask.text.tokens import TextTokenizer

LOG_WORDS = np.log(np.array([0.5, 0.25, 0.125, 0.125], dtype=np.float32))


def test_the_order_of_words_says_nothing_and_a_word_that_comes_again_costs() -> None:
    again = np.array([0.1, 1.0, 2.0, 3.0], dtype=np.float32)
    expected = Expected(None, LOG_WORDS, again)
    assert expected.words((0, 1, 2)) == pytest.approx(LOG_WORDS[:3].mean())
    assert expected.words((2, 0, 1)) == pytest.approx(expected.words((0, 1, 2)))
    assert expected.words((1, 0, 1, 1)) == pytest.approx((LOG_WORDS[[1, 0, 1, 1]].sum() - 2 * again[1]) / 4)
    assert expected.words((0, 0)) > expected.words((3, 3)), "some come again more often than others"
    assert Expected(None, LOG_WORDS).words((3, 3)) == pytest.approx(LOG_WORDS[3])
    assert expected.words(()) == expected.length((1, 2)) == Expected(None, None).words((1,)) == 0.0


def test_a_vector_expects_the_same_in_any_company_and_only_what_it_is_asked(
    kit: ModuleType, tokenizer: TextTokenizer, taught: Denoiser
) -> None:
    texts = kit.sentences(5, shortest=4, longest=8, seed=3)
    vectors = torch.from_numpy(kit.OrderedBag().encode(texts))
    condition = taught.condition(vectors)
    together = expected_of(taught, vectors, condition, ())
    for row, of_row in enumerate(together):
        (alone,) = expected_of(taught, vectors[[row]], condition.select(torch.tensor([row])), ())
        for mine, theirs in ((of_row.log_lengths, alone.log_lengths), (of_row.log_words, alone.log_words)):
            assert mine is not None and theirs is not None
            np.testing.assert_allclose(mine, theirs, atol=1e-5)
        assert of_row.log_words is not None and of_row.log_words.min() >= LEAST_EXPECTED
    nothing = expected_of(taught, vectors, condition, (LENGTH, WORDS))
    assert all(of_row.log_lengths is None and of_row.log_words is None for of_row in nothing)
    own = [of_row.words(tuple(ids)) for of_row, ids in zip(together, tokenizer.encode(texts), strict=True)]
    others = [
        of_row.words(tuple(ids)) for of_row, ids in zip(together, tokenizer.encode(texts[1:] + texts[:1]), strict=True)
    ]
    assert np.mean(own) > np.mean(others)


def test_drafts_are_made_of_the_likeliest_words_and_alone_of_the_same(
    kit: ModuleType, taught: Denoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unmask.search.words.VOCABULARY", 5)
    options = SearchOptions(drafts=6, draft_temperature=1.5)
    condition = taught.condition(torch.from_numpy(kit.OrderedBag().encode(kit.sentences(4, seed=5))))
    few = vocabularies_of(taught, condition).tolist()
    for dtype in (None, torch.bfloat16):
        writer = Writer(taught, options, DecodeOptions(steps=4), None, dtype)
        again = writer.again(condition, range(4), [(1, 0)] * 4)
        assert all(set(text) <= set(own) for (text, _), own in zip(again, few, strict=True))
        for row in range(4):
            one = condition.select(torch.tensor([row]))
            assert writer.again(one, [row], [(1, 0)]) == [again[row]]
            assert writer.first(one, [row], 0) == [writer.first(condition, range(4), 0)[row]]
