"""Which rows each step trains on: a function of (seed, step), so that resuming needs no state."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch

from unmask.runtime import stream_for

if TYPE_CHECKING:
    from unmask.pairs.dataset import PairsDataset


class BatchSource:
    """Shuffled batches of the training split, one permutation an epoch, loaded one step ahead."""

    def __init__(self, pairs: PairsDataset, batch_size: int, seed: int, rank: int = 0, processes: int = 1) -> None:
        self.pairs, self.batch_size, self.seed = pairs, batch_size, seed
        self.rank, self.processes = rank, processes
        self.rows = pairs.count("train")
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def indices(self, step: int) -> np.ndarray:
        """Row numbers of this process's share of 0-based `step`; epochs follow one another without a gap."""
        first = (step * self.processes + self.rank) * self.batch_size
        places = np.arange(first, first + self.batch_size)
        found = np.empty(self.batch_size, dtype=np.int64)
        for epoch in range(int(places[0] // self.rows), int(places[-1] // self.rows) + 1):
            inside = places // self.rows == epoch
            found[inside] = self._permutation(epoch)[places[inside] % self.rows]
        return found

    def batches(self, first_step: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(ids, vectors) of each step from `first_step` on, without end."""
        step = first_step
        with ThreadPoolExecutor(max_workers=1) as loader:
            ahead: Future[tuple[torch.Tensor, torch.Tensor]] = loader.submit(self._load, step)
            while True:
                step += 1
                ready, ahead = ahead, loader.submit(self._load, step)
                yield ready.result()

    def _load(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        return load_rows(self.pairs, "train", self.indices(step))

    def _permutation(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            self._epoch, self._order = epoch, stream_for(self.seed, 1, epoch).permutation(self.rows)
        return self._order


def load_rows(pairs: PairsDataset, split: str, indices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """ids (rows, length) int64 and vectors (rows, dimension) float32."""
    ids, vectors = pairs.rows(split, indices)
    return torch.from_numpy(np.ascontiguousarray(ids)).long(), torch.from_numpy(np.ascontiguousarray(vectors)).float()
