"""What the denoiser would put where a text has a blank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from unmask.search.hypotheses import Row, by_length

if TYPE_CHECKING:
    from unmask.denoiser.conditioning import Condition
    from unmask.denoiser.network import Denoiser

# Texts in one pass: large products, but no more logits than a cache holds a part of.
ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Blank:
    """A text with one or several masked places, the vector it is read under, and what is asked there."""

    condition: int  # row of the condition
    tokens: Row  # mask_id at the blanks
    places: tuple[int, ...]
    asked: Row  # tokens whose probability is wanted at each place


@dataclass(frozen=True)
class Filling:
    """The likeliest tokens of one blank's places."""

    tokens: np.ndarray  # (places, kept)
    log_probabilities: np.ndarray  # (places, kept)
    of_asked: np.ndarray  # (places, asked)


def fill(denoiser: Denoiser, condition: Condition, blanks: Sequence[Blank], kept: int) -> list[Filling]:
    """Read every blank once."""
    found: dict[int, Filling] = {}
    for numbers in by_length([blank.tokens for blank in blanks]):
        for start in range(0, len(numbers), ROWS_AT_ONCE):
            part = numbers[start : start + ROWS_AT_ONCE]
            found |= zip(part, _fill_some(denoiser, condition, [blanks[n] for n in part], kept), strict=True)
    return [found[number] for number in range(len(blanks))]


@torch.no_grad()
def _fill_some(denoiser: Denoiser, condition: Condition, blanks: list[Blank], kept: int) -> list[Filling]:
    """Blanks in texts of one length."""
    words, device = len(blanks[0].tokens), denoiser.device
    # One position more: the end is visible, and nothing is spent on what lies behind it.
    length = min(denoiser.length, words + 1)
    ids = torch.full((len(blanks), length), denoiser.pad_id)
    ids[:, :words] = torch.tensor([blank.tokens for blank in blanks])
    positions = ids == denoiser.mask_id  # (blanks, length)
    sizes = [len(blank.places) for blank in blanks]
    time = positions.sum(dim=1) / (words if denoiser.ends_are_given else denoiser.length)
    rows = torch.tensor([blank.condition for blank in blanks], device=device)
    logits = denoiser(ids.to(device), positions.to(device), condition.select(rows), time.to(device))
    logits[:, denoiser.pad_id] = -torch.inf  # the text's length is the search's own decision
    log_probabilities = logits.log_softmax(dim=1)  # (places of all blanks, vocabulary)
    best, tokens = log_probabilities.topk(min(kept, log_probabilities.shape[1]), dim=1)
    widest = max(len(blank.asked) for blank in blanks)
    asked = torch.tensor([[*blank.asked, *[0] * (widest - len(blank.asked))] for blank in blanks], device=device)
    of_asked = log_probabilities.gather(1, asked.repeat_interleave(torch.tensor(sizes, device=device), dim=0))
    parts = [np.split(values.cpu().numpy(), np.cumsum(sizes)[:-1]) for values in (tokens, best, of_asked)]
    return [
        Filling(ids, sure, of_row[:, : len(blank.asked)])
        for ids, sure, of_row, blank in zip(*parts, blanks, strict=True)
    ]
