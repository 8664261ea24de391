"""Several texts for each vector, of which the one stays that the network itself finds likeliest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from unmask.decoding.options import DecodeOptions
from unmask.records import DecodeStep

if TYPE_CHECKING:
    from unmask.decoding.loop import Decoding
    from unmask.decoding.state import RowKey

# What all drafts but the first are drawn with, unless a temperature is asked for: the likeliest tokens alone would make
# them all the same.
TEMPERATURE = 0.5

Start = Callable[[DecodeOptions, "Sequence[RowKey]"], "Decoding"]


def decode_drafts(start: Start, options: DecodeOptions, row_keys: Sequence[int]) -> Iterator[DecodeStep]:
    """Each draft's own steps one after another, and after each the best text so far; the last step is the best of all.

    `start` begins a decoding of all rows with given options and keys of their random streams.
    """
    best: DecodeStep | None = None
    likelihood = torch.empty(0)
    taken = 0
    for number in range(options.drafts):
        temperature = options.temperature or (TEMPERATURE if number else 0.0)
        keys: list[RowKey] = [(key, number) if number else key for key in row_keys]
        decoding = start(replace(options, drafts=1, temperature=temperature), keys)
        written = decoding.snapshot()
        spent = 0 if best is None else best.forward_passes
        while not decoding.is_finished:
            written = decoding.advance()
            taken += 1
            total = taken + written.total_steps - written.step + 1 + _steps_after(number, options, written)
            yield replace(written, step=taken, total_steps=total, forward_passes=written.forward_passes + spent)
        found, passes = decoding.log_likelihood(written.tokens)  # (rows,)
        taken += 1
        best, likelihood = _better(best, likelihood, written, found, spent + passes)
        best = replace(best, step=taken, total_steps=taken + _steps_after(number, options, written))
        yield best


def _steps_after(number: int, options: DecodeOptions, written: DecodeStep) -> int:
    """The steps of the drafts still to come, if they take as many as this one; each is judged in one more."""
    return (options.drafts - number - 1) * (written.total_steps + 1)


def _better(
    best: DecodeStep | None,
    likelihood: torch.Tensor,
    written: DecodeStep,
    found: torch.Tensor,
    spent: torch.Tensor | int,
) -> tuple[DecodeStep, torch.Tensor]:
    """The better of two texts for each row, and its likelihood; on a tie the earlier stays."""
    passes = written.forward_passes + spent
    if best is None:
        return replace(written, forward_passes=passes, is_new=torch.zeros_like(written.is_new)), found
    wins = found > likelihood  # (rows,)
    tokens = torch.where(wins[:, None], written.tokens, best.tokens)
    better = replace(
        written,
        tokens=tokens,
        is_new=tokens != best.tokens,
        confidence=torch.where(wins[:, None], written.confidence, best.confidence),
        forward_passes=passes,
    )
    return better, torch.where(wins, found, likelihood)
