"""Reading pairs back: memory-mapped, any rows in any order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unmask.errors import PairsError
from unmask.pairs.folder import SPLITS, TOKENIZER, PairsFolder
from unmask.pairs.manifest import PairsManifest, read_manifest

if TYPE_CHECKING:
    from unmask.text.tokens import TextTokenizer

_TEXTS_AT_ONCE = 50_000


class PairsDataset:
    """A finished folder of pairs."""

    def __init__(self, folder: PairsFolder, manifest: PairsManifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._arrays: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]] = {}
        self._pad_id: int | None = None
        self._ends = {split: np.cumsum(manifest.shards[split], dtype=np.int64) for split in SPLITS}

    @classmethod
    def open(cls, folder: Path | str) -> PairsDataset:
        place = PairsFolder(folder)
        return cls(place, read_manifest(place))

    def count(self, split: str) -> int:
        return self.manifest.count(split)

    def rows(self, split: str, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """ids (rows, length) int64 and vectors (rows, dimension) float32, in the order of `indices`."""
        indices = np.asarray(indices, dtype=np.int64)
        wrong = indices[(indices < 0) | (indices >= self.count(split))]
        if len(wrong):
            raise PairsError(
                f"row {int(wrong[0])} was asked of the {split} part of {self.folder.root}, "
                f"which has {self.count(split)} rows, counted from 0"
            )
        ids = np.empty((len(indices), self.manifest.length), np.int64)
        vectors = np.empty((len(indices), self.manifest.dimension), np.float32)
        for places, inside, (held_ids, held_vectors) in self._by_shard(split, indices):
            ids[places], vectors[places] = held_ids[inside], held_vectors[inside]
        return ids, vectors

    def texts(self, split: str, most: int) -> Iterator[list[int]]:
        """The tokens of each row, or of so many of them, spread over the whole part."""
        count = self.count(split)
        rows = min(most, count)
        chosen = np.arange(rows) * count // max(rows, 1)
        for start in range(0, rows, _TEXTS_AT_ONCE):
            ids, _ = self.rows(split, chosen[start : start + _TEXTS_AT_ONCE])  # (rows, length)
            lengths = (ids != self._padding()).sum(axis=1)
            yield from (row[:length].tolist() for row, length in zip(ids, lengths, strict=True))

    def _padding(self) -> int:
        if self._pad_id is None:
            self._pad_id = self.tokenizer().pad_id
        return self._pad_id

    def lengths(self, split: str, indices: np.ndarray) -> np.ndarray:
        """Tokens of each of some rows, without reading their vectors."""
        found = np.empty(len(indices), np.int64)
        for places, inside, (held_ids, _) in self._by_shard(split, np.asarray(indices, dtype=np.int64)):
            found[places] = (held_ids[inside] != self._padding()).sum(axis=1)
        return found

    def token_counts(self, vocabulary_size: int) -> tuple[np.ndarray, np.ndarray]:
        """How often each token stands in the training texts, and in how many of them; (vocabulary,) each."""
        occurrences, texts = np.zeros(vocabulary_size, np.int64), np.zeros(vocabulary_size, np.int64)
        for shard in range(len(self.manifest.shards["train"])):
            ids = np.sort(self._shard("train", shard)[0].astype(np.int64), axis=1)  # (rows, length)
            is_first = np.ones(ids.shape, dtype=bool)
            is_first[:, 1:] = ids[:, 1:] != ids[:, :-1]
            occurrences += np.bincount(ids.ravel(), minlength=vocabulary_size)
            texts += np.bincount(ids[is_first], minlength=vocabulary_size)
        return occurrences, texts

    def tokenizer(self) -> TextTokenizer:
        """The tokenizer that the pairs were made with."""
        from unmask.text.tokens import TextTokenizer

        return TextTokenizer.load(self.folder.root / TOKENIZER)

    def _by_shard(
        self, split: str, indices: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]]:
        """For each shard that holds some of the rows: their places in `indices`, in the shard, and its arrays."""
        shards = np.searchsorted(self._ends[split], indices, side="right")
        for shard in np.unique(shards):
            places = np.flatnonzero(shards == shard)
            inside = indices[places] - (self._ends[split][shard] - self.manifest.shards[split][shard])
            yield places, inside, self._shard(split, int(shard))

    def _shard(self, split: str, shard: int) -> tuple[np.ndarray, np.ndarray]:
        if (split, shard) not in self._arrays:
            rows = self.manifest.shards[split][shard]
            self._arrays[split, shard] = (
                _open_array(self.folder.tokens(split, shard), (rows, self.manifest.length)),
                _open_array(self.folder.vectors(split, shard), (rows, self.manifest.dimension)),
            )
        return self._arrays[split, shard]


def _open_array(path: Path, shape: tuple[int, int]) -> np.ndarray:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise PairsError(f"{path} cannot be read ({error}); copy the folder again or prepare it again") from error
    if values.shape != shape:
        raise PairsError(
            f"{path} has shape {values.shape}, expected {shape}; copy the folder again or prepare it again"
        )
    return np.asarray(values) if values.size == 0 else values
