"""A tokenizer of a few dozen words and a folder of pairs small enough to learn by heart."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unmask.pairs.prepare import prepare
from unmask.recipe import Recipe, parse_recipe

WORDS = (
    ("the", "a", "one", "that"),
    ("old", "small", "quiet", "red"),
    ("boat", "teacher", "garden", "letter"),
    ("waits", "sleeps", "sings", "returns"),
    ("today", "again", "at night", "in the long rain"),
)
DIMENSION = 16


def sentences(count: int) -> list[str]:
    every = [" ".join(words) for words in itertools.product(*WORDS)]
    order = np.random.default_rng(0).permutation(len(every))
    return [every[i] for i in order[:count]]


class BagOfWords:
    """A toy encoder that feels words and a little of their order."""

    name, fingerprint, max_tokens, queries = "bag", "bag-1", None, 0
    dimension = DIMENSION

    def encode(self, texts: Any) -> np.ndarray:
        self.queries += len(texts)
        rows = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for place, word in enumerate(text.split()):
                row += np.random.default_rng(sum(word.encode())).normal(size=self.dimension) * (1 + 0.1 * place)
        return rows


@pytest.fixture(scope="session")
def word_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = sorted({word for group in WORDS for entry in group for word in entry.split()})
    vocabulary = {word: place for place, word in enumerate([*special, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path_factory.mktemp("words")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)  # fmt: skip
    return folder


def tiny_recipe(tokenizer: Path, text: Path, **changes: Any) -> Recipe:
    tree: dict[str, Any] = {
        "name": "tiny",
        "seed": 7,
        "text": {
            "sources": [{"kind": "jsonl", "path": str(text)}],
            "length": 10,
            "min_tokens": 3,
            "mix": {"sentence": 1, "run": 0, "window": 0},
            "cuts_per_paragraph": 1,
        },
        "tokenizer": {"name": str(tokenizer)},
        "pairs": {"validation_share": 0.1, "test_share": 0, "near_duplicates": "equal", "vector_dtype": "float32"},
        "denoiser": {
            "backbone": {"kind": "scratch", "layers": 2, "hidden": 48, "heads": 4, "feed_forward": 96},
            "conditioning": {"null_dropout": 0.0, "prefix": 1},
            "lexical": {"enabled": True, "hidden": 32, "candidates": 6, "loss_weight": 0.2},
            "dropout": 0.1,
        },
        "training": {
            "batch_size": 16,
            "max_steps": 20,
            "precision": "fp32",
            "log_every": 5,
            "validate_every": 10,
            "validation_rows": 16,
            "validation_decode_rows": 4,
            "save_every": 10,
            "optimizer": {"learning_rate": 3e-3, "warmup_steps": 5},
        },
    }
    for key, value in changes.items():
        place = tree
        *parents, last = key.split("__")
        for part in parents:
            place = place.setdefault(part, {})
        place[last] = value
    return parse_recipe(tree, "test")


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.jsonl"
    path.write_text("".join(json.dumps({"text": sentence}) + "\n" for sentence in sentences(200)), "utf-8")
    return path


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory, word_tokenizer: Path, text_file: Path) -> Path:
    folder = tmp_path_factory.mktemp("pairs") / "tiny"
    prepare(tiny_recipe(word_tokenizer, text_file), folder, encoder=BagOfWords())
    return folder


@pytest.fixture
def recipe_for(word_tokenizer: Path, text_file: Path) -> Any:
    """A recipe with some keys changed: `training__max_steps=3`."""
    return lambda **changes: tiny_recipe(word_tokenizer, text_file, **changes)
