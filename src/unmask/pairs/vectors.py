"""From token shards to vector shards: the encoder sees exactly what the tokens decode to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from unmask.errors import EncoderError, PairsError
from unmask.files import write_bytes
from unmask.pairs.folder import STATISTICS, PairsFolder
from unmask.pairs.plan import OnProgress, Progress
from unmask.pairs.selection import write_array

if TYPE_CHECKING:
    from unmask.encoders.base import Encoder
    from unmask.text.tokens import TextTokenizer

# What a killed run has to ask the encoder again, at most.
PART_ROWS = 4096
SMALLEST_SPREAD = 1e-6


class VectorWriter:
    """Writes the vectors that are missing, part by part."""

    def __init__(
        self, folder: PairsFolder, tokenizer: TextTokenizer, encoder: Encoder, dtype: str, on_progress: OnProgress
    ) -> None:
        self.folder, self.tokenizer, self.encoder = folder, tokenizer, encoder
        self.dtype = np.dtype(dtype)
        self.on_progress = on_progress

    def write_missing(self, shards: dict[str, list[int]]) -> None:
        total = sum(map(sum, shards.values()))
        ready, asked, began = 0, 0, time.monotonic()
        for split, sizes in shards.items():
            for shard, size in enumerate(sizes):
                if self.folder.vectors(split, shard).is_file():
                    ready += size
                    continue
                ids = np.load(self.folder.tokens(split, shard), mmap_mode="r", allow_pickle=False)
                for number, start in enumerate(range(0, size, PART_ROWS)):
                    rate = asked / max(time.monotonic() - began, 1e-9)
                    self.on_progress(Progress("embedding", ready, total, rate))
                    part = self.folder.part(split, shard, number)
                    rows = ids[start : start + PART_ROWS]
                    if not part.is_file():
                        write_array(part, self._embed(rows))
                        asked += len(rows)
                    ready += len(rows)
                self._join(split, shard, size)
        self.on_progress(Progress("embedding", total, total, asked / max(time.monotonic() - began, 1e-9)))

    def _embed(self, ids: np.ndarray) -> np.ndarray:
        values = self.encoder.encode(self.tokenizer.decode_all(ids.tolist()))
        if values.shape != (len(ids), self.encoder.dimension):
            raise EncoderError(
                f"encoder '{self.encoder.name}' gave vectors of shape {values.shape}, expected "
                f"({len(ids)}, {self.encoder.dimension}); check its settings with unmask doctor"
            )
        with np.errstate(over="ignore"):
            kept = values.astype(self.dtype)
        if not np.isfinite(kept).all():
            advice = "set pairs.vector_dtype=float32" if np.isfinite(values).all() else "run it with precision fp32"
            raise EncoderError(
                f"encoder '{self.encoder.name}' gave values that are not finite numbers in {self.dtype.name}; {advice}"
            )
        return kept

    def _join(self, split: str, shard: int, size: int) -> None:
        parts = [self.folder.part(split, shard, number) for number in range(-(-size // PART_ROWS))]
        joined = np.concatenate([np.load(part, allow_pickle=False) for part in parts])
        if joined.shape != (size, self.encoder.dimension):
            raise PairsError(
                f"the parts in {self.folder.work} are not whole; delete {self.folder.root} and begin again"
            )
        write_array(self.folder.vectors(split, shard), joined)
        for part in parts:
            part.unlink()


def write_statistics(folder: PairsFolder, shards: int, dimension: int) -> None:
    """Mean and spread of the training vectors, by which a denoiser standardises what it is given."""
    from safetensors.numpy import save

    rows, mean, squares = 0, np.zeros(dimension), np.zeros(dimension)
    for shard in range(shards):
        values = np.load(folder.vectors("train", shard), allow_pickle=False).astype(np.float64)  # (rows, dimension)
        # Joined shard by shard, so that neither memory nor rounding grows with the number of rows.
        change = values.mean(axis=0) - mean
        joined = rows + len(values)
        squares += ((values - values.mean(axis=0)) ** 2).sum(axis=0) + change**2 * rows * len(values) / joined
        mean += change * len(values) / joined
        rows = joined
    spread = np.maximum(np.sqrt(squares / rows), SMALLEST_SPREAD)
    arrays = {"mean": mean.astype(np.float32), "spread": spread.astype(np.float32)}
    write_bytes(folder.root / STATISTICS, save(arrays))
