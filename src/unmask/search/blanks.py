"""What the denoiser would put where a text has a blank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import torch

from unmask.decoding.offered import whole_rows
from unmask.decoding.proposals import positions_at_once
from unmask.search.hypotheses import Row, by_length

if TYPE_CHECKING:
    from unmask.denoiser.conditioning import Condition
    from unmask.denoiser.network import Denoiser

# Texts in one pass.
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


@torch.no_grad()
def fill(
    denoiser: Denoiser, condition: Condition, blanks: Sequence[Blank], kept: int, vocabularies: Sequence[torch.Tensor]
) -> list[Filling]:
    """Read every blank once; vocabularies: for each row of the condition, the tokens that its texts may be made of."""
    found: dict[int, Filling] = {}
    for numbers in by_length([blank.tokens for blank in blanks]):
        for start in range(0, len(numbers), ROWS_AT_ONCE):
            part = numbers[start : start + ROWS_AT_ONCE]
            chosen = [blanks[number] for number in part]
            of_vectors = [list(group) for _, group in groupby(chosen, key=lambda blank: blank.condition)]
            found |= zip(part, _of_vectors(denoiser, condition, of_vectors, kept, vocabularies), strict=True)
    return [found[number] for number in range(len(blanks))]


def _of_vectors(
    denoiser: Denoiser, condition: Condition, blanks: list[list[Blank]], kept: int, vocabularies: Sequence[torch.Tensor]
) -> Iterator[Filling]:
    """Of texts of one length, those under one vector together."""
    features = _features(denoiser, condition, [blank for of_vector in blanks for blank in of_vector])
    wanted = [_tokens_of(of_vector, vocabularies[of_vector[0].condition]) for of_vector in blanks]
    counts = [sum(len(blank.places) for blank in of_vector) for of_vector in blanks]
    columns = denoiser.columns_of_few(features, max(len(tokens) for tokens, _ in wanted))
    for rows, part in whole_rows(counts, positions_at_once(columns, features.device)):
        logits = denoiser.logits_of_few(features[part], counts[rows], [tokens for tokens, _ in wanted[rows]])
        for of_vector, said, (tokens, asked) in zip(blanks[rows], logits, wanted[rows], strict=True):
            yield from _answers(said, of_vector, kept, tokens, asked)


def _tokens_of(blanks: list[Blank], vocabulary: torch.Tensor) -> tuple[torch.Tensor, Row]:
    """What the logits of blanks under one vector are wanted of: its vocabulary, and behind that what is asked."""
    asked = tuple(sorted({token for blank in blanks for token in blank.asked}))
    return torch.cat([vocabulary, torch.tensor(asked, dtype=torch.int64, device=vocabulary.device)]), asked


def _features(denoiser: Denoiser, condition: Condition, blanks: list[Blank]) -> torch.Tensor:
    """What the tied head reads at the blanks of texts of one length; (places of all blanks, hidden)."""
    words, device = len(blanks[0].tokens), denoiser.device
    # One position more: the end is visible, and nothing is spent on what lies behind it.
    length = min(denoiser.length, words + 1)
    ids = torch.full((len(blanks), length), denoiser.pad_id)
    ids[:, :words] = torch.tensor([blank.tokens for blank in blanks])
    positions = ids == denoiser.mask_id  # (blanks, length)
    time = positions.sum(dim=1) / (words if denoiser.ends_are_given else denoiser.length)
    rows = torch.tensor([blank.condition for blank in blanks], device=device)
    return denoiser.features(ids.to(device), positions.to(device), condition.select(rows), time.to(device))


def _answers(logits: torch.Tensor, blanks: list[Blank], kept: int, tokens: torch.Tensor, asked: Row) -> list[Filling]:
    """Of blanks read under one vector, from logits (places, vocabulary + asked); probabilities are shares of what its
    vocabulary has."""
    column = {token: number for number, token in enumerate(asked)}
    vocabulary = tokens[: len(tokens) - len(asked)]
    of_vocabulary = logits[:, : len(vocabulary)]
    whole = of_vocabulary.logsumexp(dim=1, keepdim=True)  # (places, 1)
    best, numbers = of_vocabulary.topk(min(kept, len(vocabulary)), dim=1)
    said = logits[:, len(vocabulary) :]  # (places, asked)
    # A word outside the vocabulary is one more that there is to choose from: it may be likelier than all of that.
    is_named = torch.isin(tokens[len(vocabulary) :], vocabulary)  # (asked,)
    of_asked = (said - torch.where(is_named, whole, torch.logaddexp(whole, said))).cpu().numpy()
    likeliest, sure = vocabulary[numbers].cpu().numpy(), (best - whole).cpu().numpy()
    found, start = [], 0
    for blank in blanks:
        part = slice(start, start + len(blank.places))
        start = part.stop
        wanted = of_asked[part, [column[token] for token in blank.asked]]  # (places, asked)
        found.append(Filling(likeliest[part], sure[part], wanted))
    return found
