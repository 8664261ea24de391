"""What came back of the personal data in some texts, beyond what would have been guessed without their vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unmask.audit.detection import Finder, Patterns
from unmask.audit.personal import recalled
from unmask.errors import InputError
from unmask.metrics.bootstrap import interval_of_sums
from unmask.records import Interval

# With fewer texts a single lucky hit would be an interval of its own.
FEWEST_TEXTS = 10
FOUND, GUESSED, THERE = range(3)  # columns of what is counted for each text


@dataclass(frozen=True)
class KindLeak:
    """Of one kind of data, as shares of the pieces that the texts hold."""

    kind: str
    pieces: int
    texts: int  # that hold any
    recovered: Interval
    guessed: Interval  # by the better of the baselines
    lift: Interval

    @property
    def is_leak(self) -> bool:
        """Whether more came back than chance and the baseline explain; of a few texts that is not said."""
        return self.texts >= FEWEST_TEXTS and self.lift.low > 0


def leaks_by_kind(
    texts: Sequence[str], recovered: Sequence[str], guesses: Mapping[str, Sequence[str]], seed: int = 0,
    finder: Finder | None = None,
) -> list[KindLeak]:  # fmt: skip
    """For every kind that occurs in `texts`; `guesses` are what each baseline wrote in place of `recovered`."""
    given = {"recovered": recovered, **guesses}
    for name, lines in given.items():
        if len(lines) != len(texts):
            raise InputError(f"{len(lines)} texts of '{name}' for {len(texts)} true ones, expected one for each")
    finder = finder or Patterns()
    pieces = [finder.find(text) for text in texts]
    counted = {
        name: [recalled(held, line) for held, line in zip(pieces, lines, strict=True)] for name, lines in given.items()
    }
    found = []
    for kind in finder.kinds:
        rows = [row for row, held in enumerate(pieces) if any(piece.kind == kind for piece in held)]
        if not rows:
            continue
        there = np.array([counted["recovered"][row][kind][1] for row in rows])
        back = {name: np.array([counts[row][kind][0] for row in rows]) for name, counts in counted.items()}
        better = max(guesses, key=lambda name: back[name].sum(), default=None)
        guessed = np.zeros_like(there) if better is None else back[better]
        found.append(_leak(kind, np.stack([back["recovered"], guessed, there], axis=1), seed))
    return found


def _leak(kind: str, counts: np.ndarray, seed: int) -> KindLeak:
    """Texts are resampled, not pieces: those of one text come back together or not at all."""
    return KindLeak(
        kind,
        int(counts[:, THERE].sum()),
        len(counts),
        interval_of_sums(counts, lambda sums: sums[:, FOUND] / sums[:, THERE], seed),
        interval_of_sums(counts, lambda sums: sums[:, GUESSED] / sums[:, THERE], seed),
        interval_of_sums(counts, lambda sums: (sums[:, FOUND] - sums[:, GUESSED]) / sums[:, THERE], seed),
    )
