"""The language model by name: learned once from the pairs, loaded by folder, or a clear word on why not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from unmask.benchmark.fluency import load_language_model
from unmask.errors import EncoderError, InputError

TEXTS = ["the cat sat on the mat", "a dog ran", "it slept today", "the dog sat"]


class Pairs:
    """The training part of a folder of pairs, and how often it was read."""

    def __init__(self, root: Path, tokenizer) -> None:
        self.folder = SimpleNamespace(root=root)
        self.manifest = SimpleNamespace(recipe_hash="0123456789abcdef")
        self.reads = 0
        self._ids = tokenizer.encode(TEXTS)

    def count(self, split: str) -> int:
        return len(self._ids)

    def texts(self, split: str, most: int):
        self.reads += 1
        return iter(self._ids[:most])


def test_the_ngram_model_is_learned_once_and_then_kept(tmp_path: Path, tokenizer) -> None:
    pairs = Pairs(tmp_path, tokenizer)
    first = load_language_model("ngram", tokenizer, pairs)
    again = load_language_model("ngram", tokenizer, pairs)
    by_folder = load_language_model(str(tmp_path / "ngram"), tokenizer)
    assert pairs.reads == 1
    assert first.name == again.name == by_folder.name == "4-grams of 4 training texts (0123456789ab)"
    ids = tokenizer.encode(["the cat sat", "mat the on"])
    likely, unlikely = first.negative_log_likelihood(["", ""], ids)[0]
    assert likely < unlikely
    assert by_folder.negative_log_likelihood(["", ""], ids)[0] == pytest.approx([likely, unlikely])


def test_other_pairs_in_the_same_place_are_learned_anew(tmp_path: Path, tokenizer) -> None:
    load_language_model("ngram", tokenizer, Pairs(tmp_path, tokenizer))
    other = Pairs(tmp_path, tokenizer)
    other.manifest.recipe_hash = "fedcba9876543210"
    assert "fedcba987654" in load_language_model("ngram", tokenizer, other).name
    assert other.reads == 1


def test_a_folder_that_cannot_be_written_only_costs_the_keeping(tmp_path: Path, tokenizer) -> None:
    (tmp_path / "ngram").write_text("in the way")
    pairs = Pairs(tmp_path, tokenizer)
    assert load_language_model("ngram", tokenizer, pairs).vocabulary_size == tokenizer.vocabulary_size


def test_what_is_missing_is_named(tmp_path: Path, tokenizer) -> None:
    with pytest.raises(InputError, match="--pairs DIR"):
        load_language_model("ngram", tokenizer)
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load_language_model(str(tmp_path / "nothing"), tokenizer)
