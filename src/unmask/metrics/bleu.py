"""BLEU by sacrebleu: per text, and of a corpus from sums that can be resampled."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from unmask.errors import InputError

if TYPE_CHECKING:
    from sacrebleu.metrics import BLEU


@cache
def _scorers() -> tuple[BLEU, BLEU]:
    """sacrebleu's own defaults for a corpus and for a sentence."""
    from sacrebleu.metrics import BLEU

    return BLEU(), BLEU(effective_order=True)


def bleu_signature() -> str:
    """sacrebleu's name for the exact variant: tokeniser, smoothing and case."""
    corpus, _ = _scorers()
    corpus.corpus_score(["a"], [["a"]])  # the signature exists only after a first score
    return str(corpus.get_signature())


def bleu_rows(true_texts: Sequence[str], found_texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sentence BLEU per row, and per row the counts whose sums over any set of rows give that set's corpus BLEU."""
    if len(true_texts) != len(found_texts):
        raise InputError(
            f"{len(found_texts)} recovered texts for {len(true_texts)} true ones; give one for each, in the same order"
        )
    _, per_sentence = _scorers()
    scores = np.zeros(len(true_texts))
    counts = np.zeros((len(true_texts), 2 + 2 * per_sentence.max_ngram_order))  # lengths, then matches, then totals
    for row, (true, found) in enumerate(zip(true_texts, found_texts, strict=True)):
        result = per_sentence.sentence_score(found, [true])
        scores[row] = result.score
        counts[row] = [result.sys_len, result.ref_len, *result.counts, *result.totals]
    return scores, counts


def bleu_of_sums(sums: np.ndarray) -> np.ndarray:
    """Corpus BLEU (0 ... 100) for each row of summed counts."""
    corpus, _ = _scorers()
    order = corpus.max_ngram_order
    scores = np.zeros(len(sums))
    for row, (found_length, true_length, *rest) in enumerate(np.rint(sums).astype(np.int64).tolist()):
        scores[row] = corpus.compute_bleu(
            correct=rest[:order],
            total=rest[order:],
            sys_len=found_length,
            ref_len=true_length,
            smooth_method=corpus.smooth_method,
            smooth_value=corpus.smooth_value,
            effective_order=corpus.effective_order,
            max_ngram_order=order,
        ).score
    return scores


def bleu(true_texts: Sequence[str], found_texts: Sequence[str]) -> float:
    """Corpus BLEU, 0 ... 100."""
    _, counts = bleu_rows(true_texts, found_texts)
    return float(bleu_of_sums(counts.sum(axis=0, keepdims=True))[0])
