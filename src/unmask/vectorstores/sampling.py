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
    """`size` of a source's vectors, each with the same chance, in the source's order; all where there are fewer."""
    return draw_samples(source, size, 0, seed, left_out, on_batch)[0]


def draw_samples(
    source: VectorSource,
    size: int,
    more: int,
    seed: int,
    left_out: LeftOut | None = None,
    on_batch: Callable[[VectorBatch], None] | None = None,
) -> tuple[VectorBatch, VectorBatch]:
    """A sample, and `more` others, drawn in the same way; the sample does not depend on how many others are wanted.

    Every row that is a vector draws a number, and the least stay: which ones does not depend on how the source hands
    them out. `on_batch` sees all of them on their way.
    """
    if size < 1:
        raise InputError(f"the sample is to have {size} vectors, expected at least 1; change --sample")
    stream = np.random.default_rng(seed)
    wanted = size + more
    held: list[VectorBatch] = []
    keys = np.empty(0)
    seen = 0
    for batch in source.batches(READ_AT_ONCE, left_out=left_out):
        if on_batch is not None:
            on_batch(batch)
        drawn = stream.random(len(batch))
        # Whoever draws more than all of those that are wanted has no chance.
        bound = np.partition(keys, wanted - 1)[wanted - 1] if len(keys) >= wanted else np.inf
        chosen = np.flatnonzero(drawn < bound)
        held.append(batch.take(chosen))
        keys = np.append(keys, drawn[chosen])
        seen += len(batch)
        if len(keys) > HELD * wanted:
            held, keys = _least(held, keys, wanted)
    if not seen:
        raise InputError(f"{source.origin} has no row that is a vector; see what was left out of it")
    (kept,), keys = _least(held, keys, wanted)
    order = np.argsort(keys, kind="stable")
    return kept.take(np.sort(order[:size])), kept.take(np.sort(order[size:]))


def _least(held: list[VectorBatch], keys: np.ndarray, size: int) -> tuple[list[VectorBatch], np.ndarray]:
    """The `size` rows of the least keys, in the order that they came in."""
    kept = np.sort(np.argpartition(keys, size - 1)[:size]) if len(keys) > size else np.arange(len(keys))
    texts = None if held[0].texts is None else tuple(text for batch in held for text in batch.texts or ())
    whole = VectorBatch(
        np.concatenate([batch.values for batch in held]), tuple(name for batch in held for name in batch.ids), 0, texts
    )
    return [whole.take(kept)], keys[kept]
