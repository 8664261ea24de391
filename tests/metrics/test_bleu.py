"""BLEU must be sacrebleu's, whole and summed from its parts."""

from __future__ import annotations

import numpy as np
import pytest
import sacrebleu

from unmask.errors import InputError
from unmask.metrics.bleu import bleu, bleu_of_sums, bleu_rows, bleu_signature

WORDS = ["the", "a", "cat", "dog", "sat", "on", "mat", "and", "then", "it", "slept", ",", ".", "again"]


def corpora(seed: int, rows: int, longest: int) -> tuple[list[str], list[str]]:
    random = np.random.default_rng(seed)
    draw = lambda: [" ".join(random.choice(WORDS, size=random.integers(0, longest))) for _ in range(rows)]
    return draw(), draw()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("rows", "longest"), [(1, 3), (3, 5), (40, 12)])
def test_corpus_bleu_from_sums_is_sacrebleus(seed: int, rows: int, longest: int) -> None:
    true, found = corpora(seed, rows, longest)
    assert bleu(true, found) == pytest.approx(sacrebleu.corpus_bleu(found, [true]).score, abs=1e-9)


def test_any_subset_of_rows_can_be_summed() -> None:
    true, found = corpora(0, 30, 10)
    _, counts = bleu_rows(true, found)
    chosen = [3, 3, 7, 20, 29]
    expected = sacrebleu.corpus_bleu([found[i] for i in chosen], [[true[i] for i in chosen]]).score
    assert bleu_of_sums(counts[chosen].sum(axis=0)[None])[0] == pytest.approx(expected, abs=1e-9)


def test_sentence_bleu_is_sacrebleus() -> None:
    true, found = corpora(1, 20, 10)
    scores, _ = bleu_rows(true, found)
    assert scores == pytest.approx([sacrebleu.sentence_bleu(b, [a]).score for a, b in zip(true, found, strict=True)])


def test_identical_and_foreign_texts() -> None:
    texts = ["one two three four five", "seven, eight: nine ten."]
    assert bleu(texts, texts) == pytest.approx(100)
    assert bleu(texts, ["aaa bbb ccc ddd eee", "fff ggg hhh iii"]) == 0
    assert bleu(texts, ["", ""]) == 0


def test_the_variant_has_a_name_and_rows_must_pair_up() -> None:
    assert "tok:13a" in bleu_signature()
    with pytest.raises(InputError, match="1 recovered texts for 2"):
        bleu(["a", "b"], ["a"])
