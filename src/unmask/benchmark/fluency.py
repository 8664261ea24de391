"""The language model that perplexity is measured under, by the name a user gives."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from unmask.errors import InputError, OutputError
from unmask.metrics.ngrams import NgramModel

if TYPE_CHECKING:
    from unmask.metrics.perplexity import LanguageModel
    from unmask.pairs.dataset import PairsDataset
    from unmask.text.tokens import TextTokenizer

NGRAM = "ngram"
TRAINING_ROWS = 1_000_000  # rows the n-gram model is learned from
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
    model = NgramModel.train(pairs.texts("train", rows), tokenizer.vocabulary_size, name)
    try:
        model.save(folder)
    except OutputError as error:
        logger.warning("the n-gram model is not kept: %s", error)
    return model
