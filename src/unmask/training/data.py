"""Which rows each step trains on: a function of (seed, step), so that resuming needs no state."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from unmask.runtime import stream_for

if TYPE_CHECKING:
    from unmask.pairs.dataset import PairsDataset


# Positions that a batch keeps beyond its longest text, at most, where the end is to be learnt: in decoding, too, there
# are more than are needed.
SPARE_POSITIONS = 3
# Fewer different lengths: memory of ever new sizes would be torn into pieces that nothing fits.
LENGTH_STEP = 2


@dataclass(frozen=True)
class Batch:
    """Rows of pairs; a batch that is not whole is cut to its longest text, and says nothing of where texts end."""

    ids: torch.Tensor  # (batch, length)
    vectors: torch.Tensor  # (batch, dimension)
    is_whole: bool = True

    def to(self, device: torch.device) -> Batch:
        ids, vectors = self.ids.to(device, non_blocking=True), self.vectors.to(device, non_blocking=True)
        return replace(self, ids=ids, vectors=vectors)

    def chunk(self, count: int) -> list[Batch]:
        pairs = zip(self.ids.chunk(count), self.vectors.chunk(count), strict=True)
        return [replace(self, ids=ids, vectors=vectors) for ids, vectors in pairs]


class BatchSource:
    """Shuffled batches of the training split, one permutation an epoch, loaded one step ahead.

    With a pool of several batches, its rows are sorted by length and each batch is cut to its longest text; a share of
    the batches stays as it was drawn, and whole; none does where no network has to learn the end of a text.
    """

    def __init__(
        self,
        pairs: PairsDataset,
        batch_size: int,
        seed: int,
        rank: int = 0,
        processes: int = 1,
        pool: int = 0,
        whole_share: float = 1.0,
    ) -> None:
        self.pairs, self.batch_size, self.seed = pairs, batch_size, seed
        self.rank, self.processes = rank, processes
        self.pool, self.whole = pool, max(1, round(pool * whole_share)) if whole_share else 0
        self.rows = pairs.count("train")
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)
        self._pool_number = -1
        self._pooled: list[Place] = []

    def indices(self, step: int) -> np.ndarray:
        """Row numbers of this process's share of 0-based `step`; epochs follow one another without a gap."""
        first = (step * self.processes + self.rank) * self.batch_size
        places = np.arange(first, first + self.batch_size)
        found = np.empty(self.batch_size, dtype=np.int64)
        for epoch in range(int(places[0] // self.rows), int(places[-1] // self.rows) + 1):
            inside = places // self.rows == epoch
            found[inside] = self._permutation(epoch)[places[inside] % self.rows]
        return found

    def batches(self, first_step: int) -> Iterator[Batch]:
        """The batch of each step from `first_step` on, without end."""
        step = first_step
        with ThreadPoolExecutor(max_workers=1) as loader:
            ahead: Future[Batch] = loader.submit(self._load, step)
            while True:
                step += 1
                ready, ahead = ahead, loader.submit(self._load, step)
                yield ready.result()

    def _load(self, step: int) -> Batch:
        if not self.pool:
            return Batch(*load_rows(self.pairs, "train", self.indices(step)))
        place = self._pooled_batches(step // self.pool)[step % self.pool]
        ids, vectors = load_rows(self.pairs, "train", place.rows)
        return Batch(ids[:, : place.length], vectors, place.is_whole)

    def _pooled_batches(self, number: int) -> list[Place]:
        if number != self._pool_number:
            self._pool_number, self._pooled = number, self._sort_pool(number)
        return self._pooled

    def _sort_pool(self, number: int) -> list[Place]:
        drawn = [self.indices(number * self.pool + place) for place in range(self.pool)]
        length = self.pairs.manifest.length
        places = [Place(rows, length, True) for rows in drawn[: self.whole]]
        draw = stream_for(self.seed, 3, number, self.rank)
        if self.whole < self.pool:
            rows = np.concatenate(drawn[self.whole :])
            lengths = self.pairs.lengths("train", rows)
            order = lengths.argsort(kind="stable")
            for part in np.split(order, self.pool - self.whole):
                spare = int(draw.integers(0, SPARE_POSITIONS + 1)) if self.whole else 0
                wanted = int(lengths[part].max()) + spare
                places.append(Place(rows[part], min(length, -(-wanted // LENGTH_STEP) * LENGTH_STEP), False))
        return [places[place] for place in draw.permutation(self.pool)]

    def _permutation(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            self._epoch, self._order = epoch, stream_for(self.seed, 1, epoch).permutation(self.rows)
        return self._order


@dataclass(frozen=True)
class Place:
    """Which rows make a batch, and what of their positions is kept."""

    rows: np.ndarray
    length: int
    is_whole: bool


def load_rows(pairs: PairsDataset, split: str, indices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """ids (rows, length) int64 and vectors (rows, dimension) float32."""
    ids, vectors = pairs.rows(split, indices)
    return torch.from_numpy(np.ascontiguousarray(ids)).long(), torch.from_numpy(np.ascontiguousarray(vectors)).float()
