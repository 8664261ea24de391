"""Which words a text lacks: the vector is read once more, moved away from the text's own vector."""

from __future__ import annotations

import numpy as np
import torch

from unmask.denoiser.conditioning import Condition
from unmask.denoiser.network import Denoiser
from unmask.search.hypotheses import Row
from unmask.search.scorers import forbidden_tokens

# The tokens that a vector's texts may be made of; and of those that a text has not, how many are tried in it.
VOCABULARY, WANTED = 1024, 24
# How far a vector is moved, in parts of its length. A network that learned from texts and their vectors knows nothing
# of a text that it got wrong, but asked about a vector that errs the other way it names what the text lacks.
MOVED = 0.35


def aimed(vector: np.ndarray, of_text: np.ndarray | None) -> np.ndarray:
    """The vector, moved away from that of a text, where it is known; both (dimension,)."""
    if of_text is None:
        return vector
    lacking = vector - of_text
    found = vector + MOVED * lacking / max(float(np.linalg.norm(lacking)), 1e-6)
    return np.asarray(found / np.linalg.norm(found))


def in_company(rows: torch.Tensor) -> torch.Tensor:
    """A single row twice: where products are torch's own, that of one row rounds otherwise than that of several, and
    what is read of a vector must not depend on what else is searched for."""
    return rows if len(rows) != 1 else torch.cat([rows, rows])


@torch.no_grad()
def vocabularies_of(denoiser: Denoiser, condition: Condition) -> torch.Tensor:
    """The tokens that each vector's texts may be made of, (batch, vocabulary): those that the lexical head finds
    likeliest, the likeliest first; for a model without one, every token that is allowed."""
    allowed = ~forbidden_tokens(denoiser).to(denoiser.device)
    scores = scores_of_words(denoiser, condition)
    if scores is None:
        return torch.nonzero(allowed).flatten().expand(condition.batch_size, -1)
    return scores.topk(min(VOCABULARY, int(allowed.sum())), dim=1).indices


@torch.no_grad()
def scores_of_words(denoiser: Denoiser, condition: Condition) -> torch.Tensor | None:
    """How likely the lexical head finds each token, up to a constant, -inf where none is allowed; (batch, vocabulary)
    fp32. None for a model without one."""
    head = denoiser.lexical
    if condition.summary is None or head is None:
        return None
    scores = head.scores(in_company(condition.summary), denoiser.table).float()[: condition.batch_size]
    return scores.masked_fill(forbidden_tokens(denoiser).to(scores.device), -torch.inf)


def wanted(vocabulary: torch.Tensor, tokens: Row) -> Row:
    """The first words of a vocabulary that a text has not."""
    there = set(tokens)
    likely = vocabulary[: WANTED + len(there)].tolist()
    return tuple([token for token in likely if token not in there][:WANTED])
