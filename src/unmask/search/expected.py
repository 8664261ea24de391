"""What the heads that read a vector expect of its text: how long it is, and which words it has."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from unmask.search.options import LENGTH, WORDS
from unmask.search.words import in_company, scores_of_words

if TYPE_CHECKING:
    from unmask.denoiser.conditioning import Condition
    from unmask.denoiser.network import Denoiser
    from unmask.search.hypotheses import Row

# Of a word, in nats: one that is not expected at all must not outweigh what the vector says.
LEAST_EXPECTED = -12.0
# What a word loses that comes again, in parts of how seldom it does in texts.
REPEATED = 3.0


@dataclass(frozen=True)
class Expected:
    """Of one vector."""

    log_lengths: np.ndarray | None  # (longest + 1,) nats; None where the network has no head for that
    log_words: np.ndarray | None  # (vocabulary,) nats, at least LEAST_EXPECTED; the same
    again: np.ndarray | None = None  # (vocabulary,) nats that each word loses where it stands in the text already

    def length(self, tokens: Row) -> float:
        """How much less likely the length of a text is than the likeliest, in nats."""
        return 0.0 if self.log_lengths is None else float(self.log_lengths[len(tokens)] - self.log_lengths.max())

    def words(self, tokens: Row) -> float:
        """How likely the words of a text are in the mean, in nats."""
        if self.log_words is None or not tokens:
            return 0.0
        ids = np.array(tokens)
        said = float(self.log_words[ids].sum())
        if self.again is not None and len({*tokens}) < len(tokens):
            is_first = np.zeros(len(ids), dtype=bool)
            is_first[np.unique(ids, return_index=True)[1]] = True
            said -= float(self.again[ids[~is_first]].sum())
        return said / len(tokens)


def expected_of(
    denoiser: Denoiser, vectors: torch.Tensor, condition: Condition, without: Collection[str]
) -> list[Expected]:
    """Of each of the vectors (rows, dimension), the same whatever else stands beside it."""
    count = len(vectors)
    lengths, words = None, None
    if LENGTH not in without:
        paired = condition.select(in_company(torch.arange(count, device=denoiser.device)))
        lengths = denoiser.log_lengths(in_company(vectors.to(denoiser.device)), paired)
    if WORDS not in without:
        words = scores_of_words(denoiser, condition)
    if words is not None:
        words = words.log_softmax(dim=1).clamp(min=LEAST_EXPECTED)  # (rows, vocabulary)
    # Words that are sure would otherwise be said again and again: each of them is expected once.
    again = None if denoiser.repeat_cost is None else REPEATED * denoiser.repeat_cost.float().cpu().numpy()

    def each(said: torch.Tensor | None) -> list[np.ndarray] | list[None]:
        return [None] * count if said is None else list(said[:count].cpu().numpy())

    return [
        Expected(of_length, of_words, again) for of_length, of_words in zip(each(lengths), each(words), strict=True)
    ]
