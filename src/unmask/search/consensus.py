"""Which of many texts that seem likely has most in common with the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from unmask.search.hypotheses import Row

# Texts that have a say, the best ones; how far below the best one a text counts 1/e of it.
HEARD, FAR = 256, 0.03


def likeliest(texts: Sequence[Row], values: np.ndarray) -> int:
    """The number of the text that should share most with the true one, where each is that one with the chance that its
    value (texts,) has: the best text by itself may owe that to an error, but not what many good ones agree on."""
    order = np.argsort(-values, kind="stable")[:HEARD]
    heard = [texts[number] for number in order]
    chances = np.exp((values[order] - values[order[0]]) / FAR)  # (heard,)
    pairs = [list(zip((-1, *text), (*text, -1), strict=True)) for text in heard]
    alike = (_shared(heard) + _shared(pairs)) / 2  # (heard, heard)
    return int(order[int((alike @ chances).argmax())])


def _shared(things: Sequence[Sequence[object]]) -> np.ndarray:
    """F1 of the sets of each two; (things, things)."""
    columns: dict[object, int] = {}
    for thing in things:
        for part in thing:
            columns.setdefault(part, len(columns))
    holds = np.zeros((len(things), len(columns)), dtype=np.float32)
    for row, thing in zip(holds, things, strict=True):
        row[[columns[part] for part in thing]] = 1
    sizes = holds.sum(axis=1)
    return np.asarray(2 * (holds @ holds.T) / (sizes[:, None] + sizes))
