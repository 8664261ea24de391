"""What would help: the same attack after each defence, by who knows of it too, beside what a search then loses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from unmask.audit.rungs import Attackers, Outcome, Rung, blind, climb
from unmask.audit.scores import DECIDES, Score, scores
from unmask.benchmark.held_out import Progress, no_progress
from unmask.defences.blurring import Blur, blurred
from unmask.defences.transforms import Codebook, Undoing, rotated, scaled_and_perturbed
from unmask.metrics.bootstrap import intervals_of_means
from unmask.metrics.retrieval import ranking_kept
from unmask.metrics.vectors import unit

if TYPE_CHECKING:
    from unmask.audit.detection import Finder
    from unmask.records import Interval, VectorBatch

ATTACKED = 100  # vectors that are attacked once more after each defence
SEARCHED = 2_000  # vectors among which neighbours are looked for
KNOWN_TIMES = 2  # pairs that the attacker knows, as multiples of the dimension
NEAREST = 10
HELPS = 0.8  # of what is read without a defence, at most, after one that is called a help
ENOUGH = 0.9  # of the neighbours by which a search is still the same to its users
ALIKE = 1e-2  # spread of the lengths, as a share of their mean, below which all count as equally long
UNDEFENDED, UNAWARE, AWARE = "none", "unaware", "aware"
WIDTH_OF_CODE = 8  # numbers that product quantisation keeps one byte for


@dataclass(frozen=True)
class Defence:
    """What an owner may do to the vectors, given with those of the store it is learned from."""

    name: str
    says: str
    apply: Callable[[np.ndarray], np.ndarray]  # (rows, dimension) to the same


@dataclass(frozen=True)
class Protection:
    """What one defence is worth and costs."""

    defence: Defence
    unaware: Score | None  # an attacker who takes the vectors as they are
    aware: Score | None  # one who has re-fitted to it on known pairs
    recall: Interval
    ndcg: Interval
    left_out: str | None = None

    @property
    def leak(self) -> Interval | None:
        """Of the better of the two attackers."""
        found = [score.metrics[DECIDES] for score in (self.unaware, self.aware) if score is not None]
        return max(found, key=lambda interval: interval.value, default=None)


@dataclass(frozen=True)
class Protections:
    """Of one store; `missing` says why there are none."""

    rows: tuple[Protection, ...] = ()
    known: int = 0  # pairs that the attacker re-fitted on
    needed: int = 0  # pairs without which a way back cannot be fitted
    searched: int = 0  # vectors among which neighbours were looked for
    missing: str | None = None


def spare_rows(dimension: int, sample: int) -> int:
    """Vectors beside the sample that are wanted: to be known to an attacker, and to be searched among."""
    return max(KNOWN_TIMES * dimension, SEARCHED - sample, 0)


def defences(vectors: np.ndarray, seed: int) -> list[Defence]:
    """All that are tried on the vectors (rows, dimension) of a store."""
    dimension = vectors.shape[1]

    def blur(name: str, says: str, **what: object) -> Defence:
        chosen = Blur(seed=seed, **what)  # type: ignore[arg-type]
        return Defence(name, says, lambda rows: blurred(rows, chosen))

    found = [
        Defence(UNDEFENDED, "the vectors as they are", lambda rows: rows),
        *(blur(f"noise {share:g}", f"Gaussian noise of {share:g} of a vector's length", noise=share)
          for share in (0.1, 0.25, 0.5, 1.0)),
        blur("int8", "each number in one byte", precision="int8"),
        blur("binary", "of each number its sign", precision="binary"),
    ]  # fmt: skip
    for share in (2, 4):
        kept = dimension // share
        if kept:
            found.append(blur(f"{kept} dimensions", f"the first {kept} of {dimension} numbers", dimensions=kept))
    if dimension >= WIDTH_OF_CODE:
        book = Codebook.learn(vectors, dimension // WIDTH_OF_CODE, seed)
        says = f"product quantisation, {dimension // WIDTH_OF_CODE} bytes a vector"
        found.append(Defence("quantised", says, book.apply))
    return [
        *found,
        Defence("rotation", "a secret rotation", lambda rows: rotated(rows, seed)),
        Defence(
            "scale and perturb", "a secret factor and a point from a ball of .25 of the length",
            lambda rows: scaled_and_perturbed(rows, 0.25, seed),
        ),
    ]  # fmt: skip


def protections(
    attackers: Attackers, spare: VectorBatch, guesses: Sequence[Outcome], finder: Finder | None = None,
    on_progress: Progress = no_progress,
) -> Protections:  # fmt: skip
    """Attack the sample's first texts again after every defence.

    `spare` are other vectors of the store: the attacker knows them with their texts, so both as they are and as the
    store keeps them. `guesses` are the outcomes of the baselines for the sample.
    """
    sample = attackers.vectors
    places = [place for place, text in enumerate(sample.texts or ()) if text][:ATTACKED]
    searched = np.concatenate([sample.values, spare.values])[:SEARCHED]
    if not places:
        return Protections(missing="there are no texts to compare with")
    if len(searched) < NEAREST + 2:
        return Protections(missing=f"{len(searched)} vectors are too few to search among, {NEAREST + 2} are needed")
    known = spare.values[: KNOWN_TIMES * sample.values.shape[1]]
    tried = defences(np.concatenate([sample.values, spare.values]), attackers.options.seed)
    attacked = sample.take(places)
    guessed = [replace(guess, found=tuple(guess.found[place] for place in places)) for guess in guesses]
    work = _Work(attackers, attacked, known, searched, guessed, finder)
    rows = []
    for number, defence in enumerate(tried):
        on_progress("defences", number, len(tried))
        rows.append(work.protection(defence))
    on_progress("defences", len(tried), len(tried))
    return Protections(tuple(rows), len(known), sample.values.shape[1], len(searched))


def advice(helping: Protections) -> str:
    """One sentence for somebody who has to decide."""
    if helping.known < helping.needed:
        return (
            f"No defence can be recommended: beside the sample the store has {helping.known:,} vectors for an attacker "
            f"to know, and {helping.needed:,} are needed to try who knows of a defence; take a smaller --sample."
        )
    none = next((row for row in helping.rows if row.defence.name == UNDEFENDED), None)
    kept = [row for row in helping.rows if row is not none and row.recall.value >= ENOUGH and row.leak is not None]
    if none is None or none.leak is None or not kept:
        return f"No defence that was tried leaves {ENOUGH:.0%} of the neighbours that a search finds."
    best = min(kept, key=lambda row: row.leak.value if row.leak else 1.0)
    assert best.leak is not None
    said = f"{best.defence.name} ({best.defence.says}), leaves {best.leak.value:.0%} of the words to be read"
    before = f"{none.leak.value:.0%} are without it"
    if best.leak.high < none.leak.low and best.leak.value <= HELPS * none.leak.value:
        return f"Of what leaves a search {ENOUGH:.0%} of the neighbours that it finds now, the best, {said}; {before}."
    return (
        f"Nothing that leaves a search {ENOUGH:.0%} of the neighbours that it finds now keeps the attacker from "
        f"reading: the best, {said}; {before}. Who may read the vectors should be who may read the texts."
    )


@dataclass(frozen=True)
class _Work:
    """What every defence is measured with."""

    attackers: Attackers
    attacked: VectorBatch
    known: np.ndarray  # (pairs, dimension), as they were
    searched: np.ndarray  # (vectors, dimension)
    guesses: Sequence[Outcome]
    finder: Finder | None

    def protection(self, defence: Defence) -> Protection:
        # At once: a defence draws for a vector by its place, and no vector may be defended twice.
        count = len(self.attacked)
        defended = defence.apply(np.concatenate([self.attacked.values, self.known]))
        kept = dict(zip(("recall", "ndcg"), ranking_kept(self.searched, defence.apply(self.searched)), strict=True))
        intervals = intervals_of_means(kept, self.attackers.options.seed)
        outcomes = list(self._attacks(defence, defended[:count], defended[count:]))
        failed = next((outcome.left_out for outcome in outcomes if outcome.left_out), None)
        scored = {
            score.rung: score
            for score in scores(
                [*self.guesses, *outcomes], self.attacked.texts or (), self.attackers.inverter.tokenizer,
                self.attackers.options.seed, self.finder,
            )
        }  # fmt: skip
        return Protection(
            defence, scored.get(UNAWARE), scored.get(AWARE), intervals["recall"], intervals["ndcg"], failed
        )

    def _attacks(self, defence: Defence, defended: np.ndarray, known: np.ndarray) -> Iterator[Outcome]:
        seen = {UNAWARE: as_long_as(self.attacked.values, defended)}
        if defence.name != UNDEFENDED and len(known) > 1:
            undone = Undoing.fit(known, self.known).apply(defended)
            seen[AWARE] = as_long_as(self.attacked.values, undone)
        for name, values in seen.items():
            batch = replace(self.attacked, values=values, texts=None)
            rung = Rung(name, "the defended vectors", blind)
            yield from climb(replace(self.attackers, vectors=batch), [rung])


def as_long_as(original: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Changed vectors (rows, dimension) brought to the lengths that everybody knows the encoder to give."""
    lengths = np.linalg.norm(original, axis=1)
    if lengths.std() <= ALIKE * lengths.mean():
        return unit(changed) * np.float32(lengths.mean())
    found = float(np.linalg.norm(changed, axis=1).mean())
    return np.asarray(changed, dtype=np.float32) * np.float32(lengths.mean() / found if found else 1.0)
