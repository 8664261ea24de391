"""Tiny tokenizers of the three families, trained here on a few sentences in several scripts."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from unmask.text.tokens import TextTokenizer

SENTENCES = [
    "The quick brown fox jumps over the lazy dog, doesn't it?",
    "State-of-the-art results: 3.14 of 10,000 (see fig. 2).",
    'He said "go home" and left; nobody knew why.',
    "Größe und Straße, déjà vu, año nuevo, ещё раз, Ελλάδα.",
    "東京は日本の首都です。今日はいい天気ですね。",
    "我们明天去北京。你来吗？",
    "هذا نص عربي قصير. שלום עולם, מה שלומך?",
    "ภาษาไทยไม่มีช่องว่าง नमस्ते दुनिया। 안녕하세요 세계.",
] * 3
SPECIALS = {
    "unk_token": "[UNK]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
FAMILIES = ("wordpiece", "byte_level", "unigram")


def wordpiece() -> PreTrainedTokenizerFast:
    """Like BERT's: uncased, with a mask and a pad, and an unknown token for what it cannot express."""
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(cleanup=True)
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=list(SPECIALS.values()), show_progress=False)
    backend.train_from_iterator(SENTENCES, trainer)
    backend.enable_padding(length=48)
    backend.enable_truncation(8)
    return PreTrainedTokenizerFast(tokenizer_object=backend, **SPECIALS)


def byte_level(**specials: str) -> PreTrainedTokenizerFast:
    """Like GPT-2's or Qwen's: no mask, no pad, every byte can be expressed."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(SENTENCES, trainer)
    specials = specials or {"eos_token": "<|end|>", "bos_token": "<|end|>", "unk_token": "<|end|>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **specials)


def unigram() -> PreTrainedTokenizerFast:
    """Like XLM-R's or Gemma's: sentencepiece with spaces inside the tokens."""
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=names, unk_token="<unk>", show_progress=False)
    backend.train_from_iterator(SENTENCES, trainer)
    roles = ("bos_token", "pad_token", "eos_token", "unk_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=backend, **dict(zip(roles, names, strict=True)))


@pytest.fixture(scope="session")
def stock() -> dict[str, PreTrainedTokenizerFast]:
    return {"wordpiece": wordpiece(), "byte_level": byte_level(), "unigram": unigram()}


@pytest.fixture(scope="session")
def tokenizers(stock) -> dict[str, TextTokenizer]:
    return {name: TextTokenizer.from_transformers(found, name) for name, found in stock.items()}


@pytest.fixture(params=FAMILIES)
def family(request) -> str:
    return request.param


@pytest.fixture
def tokenizer(tokenizers, family) -> TextTokenizer:
    return tokenizers[family]


@pytest.fixture(scope="session")
def make_byte_level():
    return byte_level
