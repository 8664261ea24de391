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


@dataclass(frozen=True)
class Expected:
    """Of one vector."""

    log_lengths: np.ndarray | None  # (longest + 1,) nats; None where the network has no head for that
    log_words: np.ndarray | None  # (vocabulary,) nats, at least LEAST_EXPECTED; the same

    def length(self, tokens: Row) -> float:
        """How much less likely the length of a text is than the likeliest, in nats."""
        return 0.0 if self.log_lengths is None else float(self.log_lengths[len(tokens)] - self.log_lengths.max())

    def words(self, tokens: Row) -> float:
        """How likely the words of a text are in the mean, in nats."""
        return 0.0 if self.log_words is None or not tokens else float(self.log_words[[*{*tokens}]].mean())


def expected_of(
    denoiser: Denoiser, vectors: torch.Tensor, condition: Condition, without: Collection[str]
) -> list[Expected]:
    """Of each of the vectors (rows, dimension), which is theirs too whatever they stand beside."""
    count = len(vectors)
    lengths, words = None, None
    if LENGTH not in without:
        paired = condition.select(in_company(torch.arange(count, device=denoiser.device)))
        lengths = denoiser.log_lengths(in_company(vectors.to(denoiser.device)), paired)
    if WORDS not in without:
        words = scores_of_words(denoiser, condition)
    if words is not None:
        words = words.log_softmax(dim=1).clamp(min=LEAST_EXPECTED)  # (rows, vocabulary)
    return [
        Expected(*(None if said is None else said[row].cpu().numpy() for said in (lengths, words)))
        for row in range(count)
    ]
