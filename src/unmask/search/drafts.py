"""Texts to begin with: many, and different."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import torch

from unmask.decoding.loop import decode
from unmask.runtime import autocast, stream_for
from unmask.search.hypotheses import Row
from unmask.search.options import FEEDBACK, SearchOptions
from unmask.search.words import in_company, vocabularies_of

if TYPE_CHECKING:
    from unmask.decoding import DecodeOptions
    from unmask.denoiser.conditioning import Condition
    from unmask.denoiser.network import Denoiser
    from unmask.diffusion.schedules import Schedule

# Greedy once by each, then drawn: the orders fail in different places.
ONE_A_PASS = "sequential"
ORDERS = (ONE_A_PASS, "confidence")
# Drafts of the vector itself; those that follow make up for what these are off by, in the order that is off by less.
FIRST, ORDER_AGAIN = 4, "confidence"
# Where the length is read from the vector, some drafts are shorter or longer: it is off by two or three tokens.
LENGTH_CHANGES = (0, 0, 0, -1, 1, 0, -2, 2, 0, -1, 1, -3, 3, 0, -2, 2)
WIDEST_CHANGE = 3  # times as much, in the drafts of new beginnings by turns


@dataclass(frozen=True)
class Writer:
    """Writes drafts of vectors."""

    denoiser: Denoiser
    options: SearchOptions
    decode_options: DecodeOptions
    schedule: Schedule | None
    dtype: torch.dtype | None
    listens: bool = True  # whether what became of the drafts before is worth listening to

    @property
    def most_again(self) -> int:
        """Drafts that listen to what became of those before, before anything is edited; then one comes each round."""
        is_told = self.listens and FEEDBACK not in self.options.without
        return max(0, self.options.drafts - FIRST) if is_told else 0

    def first(self, condition: Condition, row_keys: Sequence[int], begun: int) -> list[tuple[list[Row], int]]:
        """For each vector a few different texts, the surest first, and the network passes they took.

        `begun` says how often there were drafts of them before: later ones are all drawn, and their lengths vary more.
        """
        few = self._of_likely_words(condition)
        texts: list[dict[Row, None]] = [{} for _ in row_keys]
        passes = [0] * len(row_keys)
        # One more than may be compared is no use, but one there is to show where there is no budget at all.
        for number in range(min(self.options.drafts - self.most_again, max(1, self.options.budget))):
            order = ORDERS[number % len(ORDERS)]
            temperature = 0.0 if begun == 0 and number < len(ORDERS) else self.options.draft_temperature
            change = (1 + begun % WIDEST_CHANGE) * LENGTH_CHANGES[number % len(LENGTH_CHANGES)]
            # Of one place a pass all logits are made sooner than the rows of few tokens are put together.
            of_order = condition if order == ONE_A_PASS else few
            varied = _with_other_lengths(of_order, change, self.denoiser.length)
            of_streams = [(begun, number)] * len(row_keys)
            for place, (text, spent) in enumerate(self._write(varied, row_keys, order, temperature, of_streams)):
                if text:
                    texts[place].setdefault(text)
                passes[place] += spent
        return [(list(found), spent) for found, spent in zip(texts, passes, strict=True)]

    def again(
        self, condition: Condition, row_keys: Sequence[int], numbers: Sequence[tuple[int, int]]
    ) -> list[tuple[Row, int]]:
        """One more text for each vector, and the passes it took.

        numbers: how often each has begun anew, which all of them have or none, and how many texts listened since then.
        """
        temperature = self.options.draft_temperature if numbers[0][0] else 0.0
        of_streams = [(begun, FIRST + written) for begun, written in numbers]
        return self._write(self._of_likely_words(condition), row_keys, ORDER_AGAIN, temperature, of_streams)

    def _of_likely_words(self, condition: Condition) -> Condition:
        """With the few tokens that all else is made of; the logits of the others would take most of the time."""
        if condition.summary is None:
            return condition
        with autocast(self.denoiser.device, self.dtype):
            likeliest = vocabularies_of(self.denoiser, condition)
        return replace(condition, vocabulary=likeliest.sort(dim=1).values)

    def _write(
        self,
        condition: Condition,
        row_keys: Sequence[int],
        order: str,
        temperature: float,
        of_streams: Sequence[tuple[int, int]],
    ) -> list[tuple[Row, int]]:
        seed_of = {of: int(stream_for(self.decode_options.seed, 8, *of).integers(2**62)) for of in {*of_streams}}
        rows = in_company(torch.arange(len(row_keys), device=self.denoiser.device))
        condition, numbers = condition.select(rows), rows.tolist()
        keys, seeds = [row_keys[row] for row in numbers], [seed_of[of_streams[row]] for row in numbers]
        chosen = replace(self.decode_options, temperature=temperature)
        *_, last = decode(self.denoiser, condition, order, chosen, keys, self.schedule, self.dtype, seeds)
        found = zip(texts_of(last.tokens, self.denoiser.pad_id), last.forward_passes.tolist(), strict=True)
        return list(islice(found, len(row_keys)))


def texts_of(tokens: torch.Tensor, pad_id: int) -> Iterator[Row]:
    for row in tokens.tolist():
        yield tuple(row[: row.index(pad_id)] if pad_id in row else row)


def _with_other_lengths(condition: Condition, change: int, longest: int) -> Condition:
    if condition.lengths is None or not change:
        return condition
    return replace(condition, lengths=(condition.lengths + change).clamp(min=1, max=longest))
