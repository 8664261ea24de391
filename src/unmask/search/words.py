"""Which words a text lacks: those that the vector speaks of, and that lie where the text's own vector falls short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from unmask.denoiser.conditioning import Condition
from unmask.denoiser.network import Denoiser
from unmask.search.hypotheses import Row
from unmask.search.scorers import Scorer, forbidden_tokens

# The tokens that a vector's texts may be made of; words looked at for it; and of these the ones tried in a text.
VOCABULARY, KEPT, WANTED = 1024, 256, 24
# In nats, for a word that points where the text falls short.
PULL = 10.0


@dataclass(frozen=True)
class Words:
    """The words that a vector speaks of."""

    ids: np.ndarray  # (kept,)
    scores: np.ndarray  # (kept,) nats
    vectors: np.ndarray  # (kept, dimension), of each word alone

    def wanted(self, tokens: Row, vector: np.ndarray, target: np.ndarray) -> tuple[Row, np.ndarray]:
        """The words that a text with this vector lacks most, and what each should add to its cosine."""
        short = target - float(target @ vector) / max(float(vector @ vector), 1e-12) * vector  # (dimension,)
        pull = self.vectors @ short / max(float(np.linalg.norm(short)), 1e-6)  # (kept,)
        order = np.argsort(-(self.scores + PULL * pull), kind="stable")
        there = set(tokens)
        chosen = [number for number in order.tolist() if int(self.ids[number]) not in there][:WANTED]
        # A text's vector is about a mean of its words'.
        return tuple(self.ids[chosen].tolist()), self.vectors[chosen] @ short / (len(tokens) + 1)


@torch.no_grad()
def vocabularies_of(denoiser: Denoiser, condition: Condition) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The tokens that each vector's texts may be made of, (batch, vocabulary), the likeliest first, and how likely the
    lexical head finds each; for a model without one, every token that is allowed."""
    head, forbidden = denoiser.lexical, forbidden_tokens(denoiser).to(denoiser.device)
    if condition.summary is None or head is None:
        allowed = torch.nonzero(~forbidden).flatten()
        return allowed.expand(condition.batch_size, -1), None
    scores = head.scores(condition.summary, denoiser.table).float()  # (batch, vocabulary)
    scores[:, forbidden] = -torch.inf
    best, ids = scores.log_softmax(dim=1).topk(min(VOCABULARY, int((~forbidden).sum())), dim=1)
    return ids, best


def words_of(vocabularies: torch.Tensor, likelihoods: torch.Tensor, reader: Scorer) -> list[Words]:
    """For each vector, of what `vocabularies_of` gave. `reader` gives a word's vector."""
    ids, best = vocabularies[:, :KEPT], likelihoods[:, :KEPT]
    of_word = _vectors_of(sorted(set(ids.flatten().tolist())), reader)
    return [
        Words(of_row, nats, np.stack([of_word[word] for word in of_row.tolist()]))
        for of_row, nats in zip(ids.cpu().numpy(), best.cpu().numpy(), strict=True)
    ]


def _vectors_of(words: Sequence[int], reader: Scorer) -> dict[int, np.ndarray]:
    vectors, _ = reader.vectors([(word,) for word in words])
    return dict(zip(words, np.nan_to_num(vectors), strict=True))
