"""One grade and one sentence from what the attackers read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unmask.audit.rungs import Rung
from unmask.audit.scores import DECIDES, LIFT, Score
from unmask.records import Interval

WORDS, MOST_WORDS = 0.3, 0.6  # of the words of a text, by token F1
SENTENCES = 0.1  # of the texts, exactly
EXACT = "exact_match"
# The first that holds is the grade; what each means is shown beside it.
GRADES = (
    ("E", f"one text in ten is read back word for word ({SENTENCES:.0%} or more)"),
    ("D", f"most words of a text are read back (token F1 {MOST_WORDS:g} or more), or personal data beyond a guess"),
    ("C", f"what a text is about is read back (token F1 {WORDS:g} or more)"),
    ("B", "single words are read back, more than a guess without the vectors gets"),
    ("A", "nothing is read back beyond what a guess without the vectors gets"),
)


@dataclass(frozen=True)
class Verdict:
    """Of the attacker who read the most."""

    grade: str
    meaning: str
    sentence: str
    rung: str
    leak: Interval  # token F1 beyond the better baseline's

    def is_over(self, limit: float) -> bool:
        """Whether the leak as measured, not the end of its interval, is more than somebody will have."""
        return self.leak.value > limit


def verdict(scored: Sequence[Score], ladder: Sequence[Rung]) -> Verdict | None:
    """None where no attacker could try, or no baseline says what a guess is worth."""
    tried = [score for score in scored if LIFT in score.metrics]
    if not tried:
        return None
    best = max(tried, key=lambda score: score.metrics[DECIDES].value)
    lift, words = best.metrics[LIFT], best.metrics[DECIDES]
    grade = _grade(best)
    has = next((rung.has for rung in ladder if rung.name == best.rung), best.rung)
    guess = max((score.metrics[DECIDES].value for score in scored if score.is_baseline), default=0.0)
    sentence = (
        f"Who has {has} reads back {_share(words)} of the words of a text (token F1); a guess without its vector gets "
        f"{guess:.0%}."
        if grade != "A"
        else f"Who has {has} reads back no more than a guess without the vectors gets ({guess:.0%} of the words)."
    )
    return Verdict(grade, dict(GRADES)[grade], sentence, best.rung, lift)


def surest(predicted: Mapping[str, Interval]) -> str:
    """The attacker whose words are likeliest right."""
    return max(predicted, key=lambda name: predicted[name].value)


def prediction(predicted: Mapping[str, Interval], ladder: Sequence[Rung]) -> str | None:
    """What is said in place of a verdict where there are no texts, of the attacker whose words are likeliest right."""
    if not predicted:
        return None
    name = surest(predicted)
    has = next((rung.has for rung in ladder if rung.name == name), name)
    return (
        f"Who has {has} reads back texts of whose words about {_share(predicted[name])} are right. That is what the "
        "model's confidence was worth on other texts: the store has none to compare with."
    )


def _grade(score: Score) -> str:
    metrics = score.metrics
    is_more = metrics[LIFT].low > 0
    holds = {
        "E": is_more and metrics[EXACT].value >= SENTENCES,
        "D": (is_more and metrics[DECIDES].value >= MOST_WORDS) or any(leak.is_leak for leak in score.kinds),
        "C": is_more and metrics[DECIDES].value >= WORDS,
        "B": is_more,
        "A": True,
    }
    return next(grade for grade, _ in GRADES if holds[grade])


def _share(interval: Interval) -> str:
    return f"{interval.value:.0%} ({interval.low:.0%} to {interval.high:.0%})"
