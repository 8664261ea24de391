"""How much of the true texts an attacker read, beside what would have been guessed without their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unmask.audit.leaks import KindLeak, leaks_by_kind
from unmask.errors import InputError
from unmask.metrics.bootstrap import intervals_of_means
from unmask.metrics.text import exact_match, rouge_l, token_accuracy, token_f1

if TYPE_CHECKING:
    from unmask.audit.detection import Finder
    from unmask.audit.rungs import Outcome
    from unmask.records import Interval
    from unmask.text.tokens import TextTokenizer

METRICS = (token_accuracy, token_f1, exact_match, rouge_l)
# Of a true text that are compared; nobody writes so many, and the longest common part takes their square.
MOST_TOKENS = 1024
LIFT = "token_f1_lift"
# The metric by which one attacker counts as better than another.
DECIDES = token_f1.__name__


@dataclass(frozen=True)
class Score:
    """Of one attacker."""

    rung: str
    is_baseline: bool
    texts: int
    metrics: dict[str, Interval]  # and, of those that are no baseline, the lift over the better of these
    kinds: tuple[KindLeak, ...]
    rows: dict[str, np.ndarray]  # each metric of each text


def scores(
    outcomes: Sequence[Outcome], texts: Sequence[str | None], tokenizer: TextTokenizer, seed: int,
    finder: Finder | None = None,
) -> list[Score]:  # fmt: skip
    """Of every attempt that was made; texts that are missing count for nobody.

    The true texts are taken whole, also where the model writes shorter ones: what it cannot say was not read.
    """
    places = [place for place, text in enumerate(texts) if text]
    if not places:
        raise InputError("none of the sampled vectors has a text, expected some; name the field with --texts-field")
    true = [texts[place] or "" for place in places]
    true_ids = [ids[:MOST_TOKENS] for ids in tokenizer.encode(true)]
    tried = [outcome for outcome in outcomes if outcome.left_out is None]
    read = {outcome.rung.name: [outcome.found[place] for place in places] for outcome in tried}
    rows = {
        name: {metric.__name__: metric(true_ids, [row.token_ids for row in found]) for metric in METRICS}
        for name, found in read.items()
    }
    baselines = [outcome.rung.name for outcome in tried if outcome.rung.is_baseline]
    better = max(baselines, key=lambda name: float(rows[name][DECIDES].mean()), default=None)
    guesses = {name: [row.text for row in read[name]] for name in baselines}
    found = []
    for outcome in tried:
        name, is_baseline = outcome.rung.name, outcome.rung.is_baseline
        columns = dict(rows[name])
        if better is not None and not is_baseline:
            columns[LIFT] = columns[DECIDES] - rows[better][DECIDES]
        kinds = [] if is_baseline else leaks_by_kind(true, [row.text for row in read[name]], guesses, seed, finder)
        metrics = intervals_of_means(columns, seed)
        found.append(Score(name, is_baseline, len(places), metrics, tuple(kinds), columns))
    return found
