"""A small but real tokenizer, an encoder that sees words, and attacks of known skill."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import pytest

from unmask.records import Cost, Reconstruction, VectorBatch
from unmask.text.tokens import TextTokenizer

WORDS = ["the", "a", "cat", "dog", "sat", "ran", "on", "under", "mat", "rug", "and", "then", "it", "slept", "today"]
PIECES = ["[PAD]", "[UNK]", "[MASK]", *WORDS, "שלום", "你", "好", "##s", "##ing", ".", ","]


class WordEncoder:
    """The normalised sum of a fixed random vector for each word."""

    name, dimension, fingerprint, max_tokens = "words", 16, "words-16", None

    def __init__(self) -> None:
        self.queries = 0

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        assert all(text.strip() for text in texts), "an empty text was sent to the encoder"
        self.queries += len(texts)
        sums = np.stack([sum(self._word(word) for word in text.split()) for text in texts])
        return (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)

    def _word(self, word: str) -> np.ndarray:
        return np.random.default_rng(zlib.crc32(word.encode())).normal(size=self.dimension)


class ScriptedAttack:
    """Answers from a list, whatever the vectors are; keeps what it was asked."""

    def __init__(self, answers: Sequence[str], tokenizer: TextTokenizer, name: str = "scripted") -> None:
        self.name = name
        self.asked: list[VectorBatch] = []
        self._answers, self._tokenizer = answers, tokenizer

    def fit(self, pairs: object) -> None:
        return None

    def invert(self, vectors: VectorBatch, budget: int | None = None) -> list[Reconstruction]:
        self.asked.append(vectors)
        return [self._answer(name, vectors.first_row + place) for place, name in enumerate(vectors.ids)]

    def _answer(self, name: str, row: int) -> Reconstruction:
        text = self._answers[row]
        ids = tuple(self._tokenizer.encode([text])[0])
        return Reconstruction(name, text, ids, self._tokenizer.pieces(ids), (0.5,) * len(ids), Cost(forward_passes=8))


@pytest.fixture(scope="session")
def tokenizer() -> TextTokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer()
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", pad_token="[PAD]", mask_token="[MASK]")
    return TextTokenizer.from_transformers(wrapped, "words")


@pytest.fixture
def encoder() -> WordEncoder:
    return WordEncoder()


@pytest.fixture
def scripted(tokenizer: TextTokenizer):
    return lambda answers, name="scripted": ScriptedAttack(answers, tokenizer, name)
