"""From text to token rows: cut, split by content, and without exact duplicates. One file per stretch of paragraphs."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unmask.errors import InputError
from unmask.files import write_bytes
from unmask.pairs.folder import SPLITS, PairsFolder
from unmask.pairs.near_duplicates import WordRows, hash_words
from unmask.pairs.plan import OnProgress, Progress
from unmask.text.cleaning import words
from unmask.text.cutting import Cut, CutReport, Cutter
from unmask.text.interleaving import Paragraph
from unmask.text.sources import read_paragraphs

if TYPE_CHECKING:
    from unmask.recipe import PairsSection, Recipe
    from unmask.text.tokens import TextTokenizer

PARAGRAPHS_AT_ONCE = 8192
LARGEST_UINT16 = 65_536


@dataclass(frozen=True)
class Draft:
    """The rows of one stretch of paragraphs, in order."""

    ids: np.ndarray  # (rows, length)
    splits: np.ndarray  # (rows,) uint8, a place in SPLITS
    keys: np.ndarray  # (rows,) uint64, equal for texts that are equal without case and punctuation
    words: WordRows
    counts: dict[str, Any]  # what was kept, what was dropped and why
    is_last: bool


class SeenKeys:
    """A set of 64-bit keys that stays small in memory."""

    def __init__(self) -> None:
        self._keys = np.empty(0, np.uint64)

    def add(self, keys: np.ndarray) -> np.ndarray:
        """(keys,) bool: which of them are new, counting only the first of several equal ones."""
        first = np.zeros(len(keys), dtype=bool)
        first[np.unique(keys, return_index=True)[1]] = True
        if len(self._keys):
            places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            first &= self._keys[places] != keys
        self._keys = np.sort(np.concatenate([self._keys, keys[first]]))
        return first


class DraftWriter:
    """Writes the drafts that are missing."""

    def __init__(self, folder: PairsFolder, recipe: Recipe, tokenizer: TextTokenizer) -> None:
        self.folder, self.recipe, self.tokenizer = folder, recipe, tokenizer
        self.cutter = Cutter(tokenizer, recipe.text, recipe.seed)
        # A held-out text that also stands in training is left to the comparison of both parts.
        self.seen = {"train": SeenKeys(), "held out": SeenKeys()}
        self.rows = 0

    def write_missing(self, on_progress: OnProgress) -> int:
        """Returns how many drafts there are."""
        number = 0
        for draft in read_drafts(self.folder):
            self._note_seen(draft)
            number += 1
            if draft.is_last:
                return number
        most = self.recipe.pairs.max_rows
        paragraphs = read_paragraphs(self.recipe.text, self.recipe.seed)
        ahead = _batches(itertools.islice(paragraphs, number * PARAGRAPHS_AT_ONCE, None))
        for batch, is_end in ahead:
            on_progress(Progress("cutting text", min(self.rows, most), most))
            write_draft(self.folder.draft(number), self._make(batch, is_end))
            number += 1
            if self.rows >= most:
                break
        on_progress(Progress("cutting text", min(self.rows, most), most))
        if not self.rows:
            raise InputError(
                f"the text gave no row of {self.recipe.text.min_tokens} to {self.recipe.text.length} tokens "
                "with letters and without unknown tokens; give more text, or widen text.min_tokens and text.length"
            )
        return number

    def _make(self, batch: Sequence[Paragraph], is_end: bool) -> Draft:
        cuts, report = self.cutter.cut([paragraph.text for paragraph in batch])
        splits = np.array([_split_of(paragraph.text, self.recipe.pairs) for paragraph in batch], dtype=np.uint8)
        rows = splits[[cut.paragraph for cut in cuts]] if cuts else np.empty(0, np.uint8)
        found_words = [words(cut.text) for cut in cuts]
        keys = np.array([_key(found) for found in found_words], dtype=np.uint64)
        is_new = self._new(keys, rows)
        is_new &= np.cumsum(is_new) <= self.recipe.pairs.max_rows - self.rows
        self.rows += int(is_new.sum())
        kept = [cut for cut, new in zip(cuts, is_new, strict=True) if new]
        counts = _counts(batch, kept, report, len(cuts) - len(kept))
        return Draft(
            self._table(kept), rows[is_new], keys[is_new], hash_words(found_words).select(is_new), counts,
            is_end or self.rows >= self.recipe.pairs.max_rows,
        )  # fmt: skip

    def _new(self, keys: np.ndarray, splits: np.ndarray) -> np.ndarray:
        in_training = splits == SPLITS.index("train")
        is_new = np.zeros(len(keys), dtype=bool)
        is_new[in_training] = self.seen["train"].add(keys[in_training])
        is_new[~in_training] = self.seen["held out"].add(keys[~in_training])
        return is_new

    def _note_seen(self, draft: Draft) -> None:
        self._new(draft.keys, draft.splits)
        self.rows += len(draft.keys)

    def _table(self, cuts: Sequence[Cut]) -> np.ndarray:
        small = self.tokenizer.vocabulary_size <= LARGEST_UINT16
        table = np.full((len(cuts), self.recipe.text.length), self.tokenizer.pad_id, np.uint16 if small else np.uint32)
        for row, cut in zip(table, cuts, strict=True):
            row[: len(cut.ids)] = cut.ids
        return table


def read_drafts(folder: PairsFolder) -> Iterator[Draft]:
    """The drafts that are there, in order, up to the first that is missing."""
    for number in itertools.count():
        path = folder.draft(number)
        if not path.is_file():
            return
        yield _read_draft(path)


def write_draft(path: Path, draft: Draft) -> None:
    from safetensors.numpy import save

    arrays = {
        "ids": draft.ids,
        "splits": draft.splits,
        "keys": draft.keys,
        "word_hashes": draft.words.hashes,
        "word_counts": draft.words.counts,
    }
    write_bytes(path, save(arrays, {"counts": json.dumps(draft.counts), "is_last": json.dumps(draft.is_last)}))


def _read_draft(path: Path) -> Draft:
    from safetensors import safe_open

    with safe_open(str(path), framework="numpy") as opened:
        arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118, no mapping
        noted = {name: json.loads(value) for name, value in opened.metadata().items()}
    found = WordRows(arrays["word_hashes"], arrays["word_counts"])
    return Draft(arrays["ids"], arrays["splits"], arrays["keys"], found, noted["counts"], noted["is_last"])


def _batches(paragraphs: Iterator[Paragraph]) -> Iterator[tuple[list[Paragraph], bool]]:
    """Stretches of paragraphs, and whether each is the last; an empty one stands for an empty stream."""
    batch = list(itertools.islice(paragraphs, PARAGRAPHS_AT_ONCE))
    while True:
        following = list(itertools.islice(paragraphs, PARAGRAPHS_AT_ONCE))
        yield batch, not following
        if not following:
            return
        batch = following


def _split_of(text: str, section: PairsSection) -> int:
    """By the paragraph's content alone, so that all its cuts, and the same text anywhere, stand in one part."""
    place = _key(words(text)) / 2**64
    if place < section.validation_share:
        return SPLITS.index("validation")
    return SPLITS.index("test" if place < section.validation_share + section.test_share else "train")


def _key(found: Sequence[str]) -> int:
    return int.from_bytes(hashlib.blake2b(" ".join(found).encode("utf-8", "replace"), digest_size=8).digest(), "little")


def _counts(batch: Sequence[Paragraph], kept: Sequence[Cut], report: CutReport, duplicates: int) -> dict[str, Any]:
    return {
        "paragraphs": {"read": len(batch)},
        "kinds": dict(Counter(cut.kind for cut in kept)),
        "domains": dict(Counter(batch[cut.paragraph].domain or "all" for cut in kept)),
        "dropped": {**report.dropped, "duplicate or over max_rows": duplicates},
    }
