"""A uniform sample of any source, in one pass and in little memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unmask.errors import InputError
from unmask.records import VectorBatch
from unmask.vectorstores.base import LeftOut, VectorSource

READ_AT_ONCE = 4096
# Rows that are held before those are let go that cannot be in the sample any more, as multiples of its size.
HELD = 4


def draw_sample(
    source: VectorSource,
    size: int,
    seed: int,
    left_out: LeftOut | None = None,
    on_batch: Callable[[VectorBatch], None] | None = None,
) -> VectorBatch:
    """`size` of a source's vectors, each with the same chance, in the source's order; all where there are fewer.

    Every row that is a vector draws a number, and the least stay: which ones does not depend on how the source hands
    them out. `on_batch` sees all of them on their way.
    """
    if size < 1:
        raise InputError(f"the sample is to have {size} vectors, expected at least 1; change --sample")
    stream = np.random.default_rng(seed)
    held: list[VectorBatch] = []
    keys = np.empty(0)
    seen = 0
    for batch in source.batches(READ_AT_ONCE, left_out=left_out):
        if on_batch is not None:
            on_batch(batch)
        drawn = stream.random(len(batch))
        # Whoever draws more than `size` others that are held has no chance.
        bound = np.partition(keys, size - 1)[size - 1] if len(keys) >= size else np.inf
        chosen = np.flatnonzero(drawn < bound)
        held.append(_some(batch, chosen))
        keys = np.append(keys, drawn[chosen])
        seen += len(batch)
        if len(keys) > HELD * size:
            held, keys = _least(held, keys, size)
    if not seen:
        raise InputError(f"{source.origin} has no row that is a vector; see what was left out of it")
    (sample,), _ = _least(held, keys, size)
    return sample


def split(batch: VectorBatch, size: int, seed: int) -> tuple[VectorBatch, VectorBatch]:
    """`size` of a batch's rows, each with the same chance, and the others; both in the batch's order."""
    order = np.random.default_rng([seed, 1]).permutation(len(batch))
    return _some(batch, np.sort(order[:size])), _some(batch, np.sort(order[size:]))


def _least(held: list[VectorBatch], keys: np.ndarray, size: int) -> tuple[list[VectorBatch], np.ndarray]:
    """The `size` rows of the least keys, in the order that they came in."""
    kept = np.sort(np.argpartition(keys, size - 1)[:size]) if len(keys) > size else np.arange(len(keys))
    texts = None if held[0].texts is None else tuple(text for batch in held for text in batch.texts or ())
    whole = VectorBatch(
        np.concatenate([batch.values for batch in held]), tuple(name for batch in held for name in batch.ids), 0, texts
    )
    return [_some(whole, kept)], keys[kept]


def _some(batch: VectorBatch, rows: np.ndarray) -> VectorBatch:
    texts = None if batch.texts is None else tuple(batch.texts[row] for row in rows)
    return VectorBatch(batch.values[rows], tuple(batch.ids[row] for row in rows), batch.first_row, texts)
