"""Texts to begin with: many, and different."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from unmask.decoding.loop import Decoding, decode
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

# Of a text that the search is stuck with: how much is opened again, and how boldly it is filled.
REOPENED = (0.2, 0.8)
REDRAFT_TEMPERATURE = 1.0


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


def redraft(
    denoiser: Denoiser,
    condition: Condition,
    opened: Sequence[Row],
    row_keys: Sequence[int],
    decode_options: DecodeOptions,
    schedule: Schedule | None,
    dtype: torch.dtype | None,
) -> list[Row]:
    """Texts with some tokens masked, one a row of the condition, filled anew."""
    chosen = replace(decode_options, temperature=REDRAFT_TEMPERATURE)
    decoding = Decoding(denoiser, "confidence", chosen, schedule, dtype)
    longest = denoiser.length
    tokens = torch.tensor([[*row, *[denoiser.pad_id] * (longest - len(row))] for row in opened])  # (rows, length)
    decoding.join(condition, row_keys, tokens)
    while not decoding.is_finished:
        decoding.advance()
    return list(texts_of(decoding.snapshot().tokens, denoiser.pad_id))


def open_again(tokens: Row, mask_id: int, longest: int, stream: np.random.Generator) -> Row:
    """A text with a part of it masked, a little longer or shorter: another way out of where the search is stuck."""
    share, change = stream.uniform(*REOPENED), int(stream.integers(-2, 3))
    opened = [
        mask_id if masked else token for token, masked in zip(tokens, stream.random(len(tokens)) < share, strict=True)
    ]
    place = int(stream.integers(0, len(opened) + 1))
    if change < 0:
        del opened[place : place - change]
    else:
        opened[place:place] = [mask_id] * change
    return tuple(opened[:longest]) if mask_id in opened else (mask_id, *opened[1:longest])


def texts_of(tokens: torch.Tensor, pad_id: int) -> Iterator[Row]:
    for row in tokens.tolist():
        yield tuple(row[: row.index(pad_id)] if pad_id in row else row)


def _with_other_lengths(condition: Condition, change: int, longest: int) -> Condition:
    if condition.lengths is None or not change:
        return condition
    return replace(condition, lengths=(condition.lengths + change).clamp(min=1, max=longest))
