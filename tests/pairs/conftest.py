"""A toy encoder and a small text, so that preparing takes milliseconds."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from unmask.pairs import drafts, prepare, vectors
from unmask.recipe import Recipe, parse_recipe
from unmask.text.tokens import load_tokenizer

ADJECTIVES = ["red", "old", "wet", "tall", "kind", "loud", "warm", "grey", "slow", "wild"]
ANIMALS = ["fox", "cat", "owl", "hen", "cow", "bee", "ant", "elk", "dog", "rat"]
PLACES = ["wood", "town", "sea", "hill", "farm", "lake", "road", "barn"]


class ToyEncoder:
    """Vectors that depend on the text alone; counts its queries and can be told to fail."""

    name, dimension, max_tokens, fingerprint = "toy", 6, None, "toy-1"

    def __init__(self, before: Callable[[int], None] | None = None) -> None:
        self.queries = 0
        self.texts: list[str] = []
        self.before = before or (lambda queries: None)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.before(self.queries)
        self.queries += len(texts)
        self.texts += texts
        return np.stack([self.vector(text) for text in texts])

    @classmethod
    def vector(cls, text: str) -> np.ndarray:
        digest = hashlib.sha256(text.encode()).digest()
        return np.frombuffer(digest[: cls.dimension], np.uint8).astype(np.float32) / 255


def paragraphs(count: int, seed: int = 0) -> list[str]:
    """Sentences of which no two share more than a few words in a row."""
    draw = np.random.default_rng(seed)

    def sentence() -> str:
        picked = [draw.choice(words) for words in (ADJECTIVES, ANIMALS, PLACES, ANIMALS, PLACES, ADJECTIVES, ANIMALS)]
        number = int(draw.integers(10_000))
        return "A {} {} near the {} saw {} many a {} in its {} and {} {}.".format(*picked[:3], number, *picked[3:])

    return [" ".join(sentence() for _ in range(2)) for _ in range(count)]


@pytest.fixture
def toy() -> ToyEncoder:
    return ToyEncoder()


@pytest.fixture
def make_encoder():
    return ToyEncoder


@pytest.fixture
def make_paragraphs():
    return paragraphs


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("\n".join(paragraphs(60)))
    return path


@pytest.fixture
def make_recipe(text_file: Path):
    def make(path: Path = text_file, /, **sections: dict) -> Recipe:
        tree = {
            "name": "tiny",
            "text": {"sources": [{"path": str(path)}], "length": 24, **sections.pop("text", {})},
            "pairs": {"shard_rows": 40, "validation_share": 0.15, "test_share": 0.1, **sections.pop("pairs", {})},
            "training": {"max_steps": 1},
            **sections,
        }
        return parse_recipe(tree, "the test")

    return make


@pytest.fixture(autouse=True)
def small_steps(monkeypatch) -> None:
    """Many files from little text, and the bundled tokenizer read once."""
    monkeypatch.setattr(drafts, "PARAGRAPHS_AT_ONCE", 16)
    monkeypatch.setattr(vectors, "PART_ROWS", 16)
    monkeypatch.setattr(prepare, "load_tokenizer", bundled_tokenizer)


@functools.cache
def _load(section):
    return load_tokenizer(section)


def bundled_tokenizer(section):
    return _load(section)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def read_contents():
    return contents
