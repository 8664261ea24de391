"""The language model that perplexity is measured under, by the name a user gives."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from unmask.errors import InputError, OutputError
from unmask.metrics.ngrams import NgramModel

if TYPE_CHECKING:
    from unmask.metrics.perplexity import LanguageModel
    from unmask.pairs.dataset import PairsDataset
    from unmask.text.tokens import TextTokenizer

NGRAM = "ngram"
TRAINING_ROWS = 1_000_000  # rows the n-gram model is learned from
_ROWS_AT_ONCE = 50_000
logger = logging.getLogger(__name__)


def load_language_model(
    name: str, tokenizer: TextTokenizer, pairs: PairsDataset | None = None, device: str = "cpu"
) -> LanguageModel:
    """`ngram` learns from the training part of `pairs`; else a saved n-gram model's folder, or a causal model."""
    if name == NGRAM:
        if pairs is None:
            raise InputError("perplexity under the n-gram model needs the training text; give it with --pairs DIR")
        return ngram_model_of(pairs, tokenizer)
    if NgramModel.is_saved_in(name):
        return NgramModel.load(name)
    from unmask.metrics.perplexity import CausalModel

    return CausalModel(name, device)


def ngram_model_of(pairs: PairsDataset, tokenizer: TextTokenizer) -> NgramModel:
    """The n-gram model of a pairs folder, kept inside it once it has been learned."""
    rows = min(pairs.count("train"), TRAINING_ROWS)
    folder = pairs.folder.root / NGRAM
    name = f"4-grams of {rows} training texts ({pairs.manifest.recipe_hash[:12]})"
    if NgramModel.is_saved_in(folder):
        kept = NgramModel.load(folder)
        if kept.name == name:
            return kept
    model = NgramModel.train(_training_texts(pairs, rows, tokenizer.pad_id), tokenizer.vocabulary_size, name)
    try:
        model.save(folder)
    except OutputError as error:
        logger.warning("the n-gram model is not kept: %s", error)
    return model


def _training_texts(pairs: PairsDataset, rows: int, pad_id: int) -> Iterator[list[int]]:
    chosen = np.arange(rows) * pairs.count("train") // max(rows, 1)
    for start in range(0, rows, _ROWS_AT_ONCE):
        ids, _ = pairs.rows("train", chosen[start : start + _ROWS_AT_ONCE])  # (rows, length)
        lengths = (ids != pad_id).sum(axis=1)
        yield from (row[:length].tolist() for row, length in zip(ids, lengths, strict=True))
