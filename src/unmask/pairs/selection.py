"""From drafts to token shards: training rows that come too close to a held-out row are left out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unmask.files import atomic_writer, read_json, write_json
from unmask.pairs.drafts import Draft, read_drafts
from unmask.pairs.folder import SPLITS, PairsFolder
from unmask.pairs.near_duplicates import HeldOutIndex, join_rows
from unmask.pairs.plan import OnProgress, Progress

if TYPE_CHECKING:
    from unmask.recipe import PairsSection

TRAIN = SPLITS.index("train")


def select_rows(folder: PairsFolder, section: PairsSection, drafts: int, on_progress: OnProgress) -> dict[str, Any]:
    """Write the token shards; returns rows per shard of each split, and all counts."""
    if folder.selection.is_file():
        return dict(read_json(folder.selection))
    is_near = _NearCheck(folder, section)
    shards = {split: _ShardWriter(folder, split, section.shard_rows) for split in SPLITS}
    counts: dict[str, Counter[str]] = {}
    for number, draft in enumerate(read_drafts(folder)):
        on_progress(Progress("comparing training and held-out text", number, drafts))
        for name, values in draft.counts.items():
            counts.setdefault(name, Counter()).update(values)
        in_training = draft.splits == TRAIN
        near = np.zeros(len(draft.splits), dtype=bool)
        near[in_training] = is_near(draft, in_training)
        counts["dropped"]["nearly the same as a held-out text"] += int(near.sum())
        for place, split in enumerate(SPLITS):
            shards[split].add(draft.ids[(draft.splits == place) & ~near])
    on_progress(Progress("comparing training and held-out text", drafts, drafts))
    selection = {
        "shards": {split: shards[split].finish() for split in SPLITS},
        "counts": {name: dict(sorted(values.items())) for name, values in counts.items()},
    }
    write_json(folder.selection, selection)
    return selection


def write_array(path: Path, values: np.ndarray) -> None:
    with atomic_writer(path) as handle:
        np.save(handle, values, allow_pickle=False)


class _NearCheck:
    """Which training rows of a draft stand, or nearly stand, in a held-out part."""

    def __init__(self, folder: PairsFolder, section: PairsSection) -> None:
        keys, held_out = [], []
        for draft in read_drafts(folder):
            chosen = draft.splits != TRAIN
            keys.append(draft.keys[chosen])
            held_out.append(draft.words.select(chosen))
        self._keys = np.unique(np.concatenate(keys)) if keys else np.empty(0, np.uint64)
        self._index = HeldOutIndex(join_rows(held_out)) if section.near_duplicates == "minhash" else None

    def __call__(self, draft: Draft, chosen: np.ndarray) -> np.ndarray:
        near = np.isin(draft.keys[chosen], self._keys)
        return near if self._index is None else near | self._index.near(draft.words.select(chosen))


class _ShardWriter:
    """Collects rows and writes a shard whenever there are enough."""

    def __init__(self, folder: PairsFolder, split: str, shard_rows: int) -> None:
        self.folder, self.split, self.shard_rows = folder, split, shard_rows
        self._waiting: list[np.ndarray] = []
        self._sizes: list[int] = []

    def add(self, rows: np.ndarray) -> None:
        self._waiting.append(rows)
        while sum(map(len, self._waiting)) >= self.shard_rows:
            joined = np.concatenate(self._waiting)
            self._write(joined[: self.shard_rows])
            self._waiting = [joined[self.shard_rows :]]

    def finish(self) -> list[int]:
        rest = sum(map(len, self._waiting))
        if rest:
            self._write(np.concatenate(self._waiting))
        return self._sizes

    def _write(self, rows: np.ndarray) -> None:
        write_array(self.folder.tokens(self.split, len(self._sizes)), rows)
        self._sizes.append(len(rows))
