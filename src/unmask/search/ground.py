"""What is known of a text before it is edited: how likely each token is, what else could stand there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unmask.search.blanks import Blank, Filling
from unmask.search.hypotheses import Edit, Hypothesis, Row

SPANS = (2, 3)


@dataclass(frozen=True)
class Wanted:
    """Words that a text seems to lack, and where they might stand."""

    words: Row
    at_places: np.ndarray  # (places, words): log probability of each in a place of the text
    at_gaps: np.ndarray  # (gaps, words): and of each put in


@dataclass(frozen=True)
class Ground:
    """Everything that is known about a text before it is edited."""

    hypothesis: Hypothesis
    likelihoods: np.ndarray  # (places, tokens): log probability of each of the text's own tokens at each place
    substitutions: list[Filling]  # one a place: that place masked
    insertions: list[Filling]  # one a gap: a mask put in; empty where the text is as long as can be
    spans: list[tuple[int, int, Filling]]  # (start, end, what the denoiser would put there)
    wanted: Wanted | None = None

    @property
    def tokens(self) -> Row:
        return self.hypothesis.tokens

    @property
    def present(self) -> np.ndarray:
        """Log probability of each token that stands there, given all the others; (places,)."""
        return np.diagonal(self.likelihoods)

    def edit(self, tokens: Row, kind: str, change: float) -> Edit:
        """`change` in nats."""
        likelihood = self.hypothesis.likelihood + change / max(len(tokens), 1)
        return Edit(tokens, kind, change, likelihood, self.tokens, self.hypothesis.family)


def blanks_of(condition: int, tokens: Row, mask_id: int, longest: int, wanted: Row = ()) -> list[Blank]:
    """All blanks of a text: places, gaps, then spans; `wanted` are words that are asked for at places and gaps."""
    blanks = []
    for place in range(len(tokens)):
        blanks.append(Blank(condition, (*tokens[:place], mask_id, *tokens[place + 1 :]), (place,), (*tokens, *wanted)))
    for place in range(gaps_of(tokens, longest)):
        blanks.append(Blank(condition, (*tokens[:place], mask_id, *tokens[place:]), (place,), wanted or tokens[:1]))
    for start, end in spans_of(tokens):
        open_text = (*tokens[:start], *[mask_id] * (end - start), *tokens[end:])
        blanks.append(Blank(condition, open_text, tuple(range(start, end)), tokens[start:end]))
    return blanks


def gaps_of(tokens: Row, longest: int) -> int:
    return len(tokens) + 1 if len(tokens) < longest else 0


def spans_of(tokens: Row) -> list[tuple[int, int]]:
    return [(start, start + width) for width in SPANS for start in range(0, len(tokens) - width + 1, width)]


def ground_of(
    hypothesis: Hypothesis, fillings: list[Filling], longest: int, is_judge: bool = True, words: Row = ()
) -> Ground:
    """From the fillings of a text's blanks; `is_judge`: whether they also say how likely the text is; `words`: those
    that were wanted."""
    places, gaps = len(hypothesis.tokens), gaps_of(hypothesis.tokens, longest)
    of_asked = np.concatenate([filling.of_asked for filling in fillings[:places]])  # (places, tokens + wanted)
    likelihoods, at_places = of_asked[:, :places], of_asked[:, places:]
    spans = [
        (start, end, filling)
        for (start, end), filling in zip(spans_of(hypothesis.tokens), fillings[places + gaps :], strict=True)
    ]
    if is_judge:
        hypothesis = replace(hypothesis, likelihood=float(np.diagonal(likelihoods).mean()))
    in_gaps = [filling.of_asked for filling in fillings[places : places + gaps]]
    at_gaps = np.concatenate(in_gaps) if in_gaps else np.zeros((0, len(words)))  # (gaps, wanted)
    lacking = Wanted(words, at_places, at_gaps) if words else None
    return Ground(hypothesis, likelihoods, fillings[:places], fillings[places : places + gaps], spans, lacking)
