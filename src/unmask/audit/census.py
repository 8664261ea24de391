"""What the vectors of a store are: how many, how long, how exact, and which of them are the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from unmask.records import VectorBatch

# Rows whose fingerprints are kept to count those that come again; of a larger store the first ones are compared.
MOST_KEPT = 5_000_000
LOOKED_AT = 64  # vectors of each batch whose numbers are looked at for their precision
UNIT_WITHIN = 1e-2
NEAR = 0.98  # cosine from which on two vectors count as near-duplicates
BINARY, INT8, HALF, BRAIN, SINGLE = "binary", "int8", "fp16", "bf16", "fp32"
LEVELS = {BINARY: 2, INT8: 256}


@dataclass(frozen=True)
class Census:
    """Of all vectors that were seen."""

    count: int
    dimension: int
    norms: tuple[float, float, float]  # least, mean, greatest
    precision: str  # the least of those that hold every number that was looked at
    duplicates: int  # vectors that are equal to an earlier one
    repeated_ids: int
    compared: int  # vectors among which those were counted
    without_text: int | None  # None where the source has no texts

    @property
    def is_unit(self) -> bool:
        least, _, greatest = self.norms
        return abs(least - 1) < UNIT_WITHIN and abs(greatest - 1) < UNIT_WITHIN


class Counting:
    """Takes the census batch by batch; `add` goes to `draw_sample` as `on_batch`."""

    def __init__(self) -> None:
        self.count = self.duplicates = self.repeated_ids = 0
        self._dimension = 0
        self._least, self._greatest, self._total = np.inf, 0.0, 0.0
        self._vectors, self._ids = set[bytes](), set[int]()
        self._precisions: Counter[str] = Counter()
        self._without_text: int | None = None

    def add(self, batch: VectorBatch) -> None:
        if not len(batch):
            return
        self._dimension = batch.values.shape[1]
        norms = np.linalg.norm(batch.values.astype(np.float64), axis=1)  # (batch,)
        self._least = min(self._least, float(norms.min()))
        self._greatest = max(self._greatest, float(norms.max()))
        self._total += float(norms.sum())
        self._precisions[precision_of(batch.values[:LOOKED_AT])] += 1
        if batch.texts is not None:
            self._without_text = (self._without_text or 0) + sum(not text for text in batch.texts)
        self._count_again(batch)
        self.count += len(batch)

    def _count_again(self, batch: VectorBatch) -> None:
        room = MOST_KEPT - self.count
        if room <= 0:
            return
        prints = [_fingerprint(row) for row in batch.values[:room]]
        names = [hash(name) for name in batch.ids[:room]]
        before = len(self._vectors), len(self._ids)
        self._vectors.update(prints)
        self._ids.update(names)
        self.duplicates += len(prints) - (len(self._vectors) - before[0])
        self.repeated_ids += len(names) - (len(self._ids) - before[1])

    def result(self) -> Census:
        order = (SINGLE, HALF, BRAIN, INT8, BINARY)
        precision = next((name for name in order if self._precisions[name]), SINGLE)
        if self._precisions[HALF] and self._precisions[BRAIN]:
            precision = SINGLE  # neither holds them all
        norms = (float(self._least), self._total / max(self.count, 1), float(self._greatest))
        return Census(
            self.count, self._dimension, norms, precision, self.duplicates, self.repeated_ids,
            min(self.count, MOST_KEPT), self._without_text,
        )  # fmt: skip


def _fingerprint(row: np.ndarray) -> bytes:
    """Sixteen bytes that two different vectors do not share by accident."""
    from hashlib import blake2b

    return blake2b(row.tobytes(), digest_size=16).digest()


def precision_of(values: np.ndarray) -> str:
    """The least number format that could have held these vectors (rows, dimension) float32."""
    for name, levels in LEVELS.items():
        if values.shape[1] > levels and all(_has_levels(row, levels) for row in values):
            return name
    # First, since fp16 holds most numbers of about 1 that bf16 holds.
    if not (np.ascontiguousarray(values).view(np.uint32) & 0xFFFF).any():
        return BRAIN
    with np.errstate(over="ignore"):
        if (values.astype(np.float16).astype(np.float32) == values).all():
            return HALF
    return SINGLE


def _has_levels(row: np.ndarray, levels: int) -> bool:
    """Whether a vector's numbers are at most so many evenly spaced ones."""
    found = np.unique(row)
    if len(found) > levels:
        return False
    if levels == 2:
        return True
    step = float(np.diff(found).min()) if len(found) > 1 else 1.0
    places = (found - found[0]) / step
    return bool(places[-1] < levels and np.abs(places - places.round()).max() < 0.05)


def near_duplicates(values: np.ndarray, least: float = NEAR) -> list[list[int]]:
    """Groups of rows of (rows, dimension) that are linked by cosines of at least `least`; single rows are no group."""
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    group = np.arange(len(unit))  # (rows,)
    for row in range(len(unit)):
        for other in np.flatnonzero(unit[row + 1 :] @ unit[row] >= least) + row + 1:
            if group[other] != group[row]:
                group[group == group[other]] = group[row]
    members: dict[int, list[int]] = {}
    for row, name in enumerate(group.tolist()):
        members.setdefault(name, []).append(row)
    return [rows for rows in members.values() if len(rows) > 1]
