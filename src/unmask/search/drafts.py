"""Texts to begin with: many, and different."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from unmask.decoding.loop import decode
from unmask.runtime import stream_for
from unmask.search.hypotheses import Row
from unmask.search.options import SearchOptions

if TYPE_CHECKING:
    from unmask.decoding import DecodeOptions
    from unmask.denoiser.conditioning import Condition
    from unmask.denoiser.network import Denoiser
    from unmask.diffusion.schedules import Schedule

# Greedy once by each, then drawn: the orders fail in different places.
ORDERS = ("sequential", "confidence")
# Where the length is read from the vector, some drafts are shorter or longer: it is off by two or three tokens.
LENGTH_CHANGES = (0, 0, 0, -1, 1, 0, -2, 2, 0, -1, 1, -3, 3, 0, -2, 2)
WIDEST_CHANGE = 3  # times as much, in the drafts of new beginnings by turns


def draft(
    denoiser: Denoiser,
    condition: Condition,
    row_keys: Sequence[int],
    begun: int,
    options: SearchOptions,
    decode_options: DecodeOptions,
    schedule: Schedule | None,
    dtype: torch.dtype | None,
) -> list[tuple[list[Row], int]]:
    """For each vector up to `drafts` different texts, the surest first, and the network passes they took.

    `begun` says how often there were drafts of them before: later ones are all drawn, and their lengths vary more.
    """
    texts: list[dict[Row, None]] = [{} for _ in row_keys]
    passes = [0] * len(row_keys)
    for number in range(options.drafts):
        order = ORDERS[number % len(ORDERS)]
        temperature = 0.0 if begun == 0 and number < len(ORDERS) else options.draft_temperature
        seed = int(stream_for(decode_options.seed, 8, begun, number).integers(2**62))
        chosen = replace(decode_options, temperature=temperature, seed=seed)
        change = (1 + begun % WIDEST_CHANGE) * LENGTH_CHANGES[number % len(LENGTH_CHANGES)]
        varied = _with_other_lengths(condition, change, denoiser.length)
        *_, last = decode(denoiser, varied, order, chosen, row_keys, schedule, dtype)
        for place, text in enumerate(texts_of(last.tokens, denoiser.pad_id)):
            if text:
                texts[place].setdefault(text)
            passes[place] += int(last.forward_passes[place])
    return [(list(found), spent) for found, spent in zip(texts, passes, strict=True)]


def texts_of(tokens: torch.Tensor, pad_id: int) -> Iterator[Row]:
    for row in tokens.tolist():
        yield tuple(row[: row.index(pad_id)] if pad_id in row else row)


def _with_other_lengths(condition: Condition, change: int, longest: int) -> Condition:
    if condition.lengths is None or not change:
        return condition
    return replace(condition, lengths=(condition.lengths + change).clamp(min=1, max=longest))
