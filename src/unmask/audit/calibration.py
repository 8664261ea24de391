"""How much of what was read is right, where nobody has the texts: learned once, from texts that are known."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unmask.audit.rungs import BLIND, BUDGETS, STEPS, Attackers, climb, rungs
from unmask.benchmark.held_out import LabelledText, Progress, hold_out, no_progress
from unmask.decoding import DecodeOptions
from unmask.denoiser.checkpoint import CALIBRATION
from unmask.errors import CheckpointError, InputError
from unmask.files import read_json, write_json
from unmask.metrics.bootstrap import interval_of_sums
from unmask.metrics.vectors import cosine
from unmask.records import Interval, VectorBatch

if TYPE_CHECKING:
    from unmask.attacks.inverter import Inverter
    from unmask.records import Reconstruction

log = logging.getLogger(__name__)
FORMAT = 1
FEWEST_DOMAINS = 3
RIDGE, MOST_ROUNDS, CLOSE = 1e-3, 100, 1e-9
# How far beyond the domains' own means of confidence and cosine something may lie and still count as like them.
BEYOND = 0.1
# Of Student's distribution, 97.5 %, for one domain fewer than were left out in turn; the last for all that are more.
STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20)
NORMAL = 1.96


@dataclass(frozen=True)
class Fit:
    """Of one attacker: the chance that a word which was read stands in the text, by a text's mean confidence."""

    weights: tuple[float, ...]  # of 1, the mean confidence, and the cosine and its square where the attacker has one
    miss: float  # by how much the share was wrong for a domain that was left out, root of the mean square
    least: tuple[float, ...]  # of the domains' means of confidence, and of the cosine where there is one
    most: tuple[float, ...]
    texts: int
    domains: tuple[str, ...]

    @property
    def has_cosine(self) -> bool:
        return len(self.weights) > 2

    @property
    def reach(self) -> float:
        """Half of the 95 % interval of a new domain's share, however many texts there are."""
        return self.miss * STUDENT[min(len(self.domains) - 1, len(STUDENT)) - 1]


def predicted(fit: Fit, found: Sequence[Reconstruction], seed: int = 0) -> Interval | None:
    """The share of the words read that stand in the texts; None where these vectors are unlike those of the fit."""
    rows = [row for row in found if row.confidence]
    if not rows or (fit.has_cosine and any(row.cosine is None for row in rows)):
        return None
    inputs = _inputs(rows, fit.has_cosine)
    means = _means(inputs)
    if not all(_is_between((low, high), x) for low, x, high in zip(fit.least, means, fit.most, strict=True)):
        return None
    counts = np.array([len(row.token_ids) for row in rows])
    chances = _chances(inputs, np.array(fit.weights))
    right = chances * counts
    # Even if the chances were known: some words come out right and others do not.
    luck = NORMAL * float(np.sqrt((chances * (1 - chances) * counts).sum()) / counts.sum())
    drawn = interval_of_sums(np.stack([right, counts], axis=1), lambda sums: sums[:, 0] / sums[:, 1], seed)
    low = drawn.value - float(np.sqrt((drawn.value - drawn.low) ** 2 + fit.reach**2 + luck**2))
    high = drawn.value + float(np.sqrt((drawn.high - drawn.value) ** 2 + fit.reach**2 + luck**2))
    return Interval(drawn.value, max(0.0, low), min(1.0, high))


def words_right(true: Sequence[int], found: Sequence[int]) -> int:
    """How many of the tokens that were read stand in the true text, each as often as there."""
    return sum((Counter(true) & Counter(found)).values())


@dataclass(frozen=True)
class Known:
    """What an attacker read of one domain, and how many words of each text were right."""

    found: tuple[Reconstruction, ...]
    right: np.ndarray  # (texts,)
    likeness: float | None = None  # of what was read with the vectors, by the surrogate

    @property
    def share(self) -> float:
        """Of all words that were read."""
        return float(self.right.sum() / max(sum(len(row.token_ids) for row in self.found), 1))


def fit_to(known: Mapping[str, Known]) -> Fit:
    """The weights from all domains, and how wrong they are for a domain that is left out of them."""
    _check_domains(known)
    parts = {name: _part(one) for name, one in known.items()}
    has_cosine = all(row.cosine is not None for one in known.values() for row in one.found)
    rows = {name: (_inputs(found, has_cosine), right, counts) for name, (found, right, counts) in parts.items()}
    misses = []
    for name, (inputs, right, counts) in rows.items():
        weights = _logistic(*_joined([others for other, others in rows.items() if other != name]))
        misses.append(float(_chances(inputs, weights) @ counts - right.sum()) / counts.sum())
    means = np.array([_means(inputs) for inputs, _, _ in rows.values()])
    return Fit(
        tuple(map(float, _logistic(*_joined(list(rows.values()))))), float(np.sqrt(np.mean(np.square(misses)))),
        tuple(means.min(axis=0).tolist()), tuple(means.max(axis=0).tolist()),
        sum(len(counts) for _, _, counts in rows.values()), tuple(known),
    )  # fmt: skip


def _part(known: Known) -> tuple[list[Reconstruction], np.ndarray, np.ndarray]:
    """Texts of which anything was read, their words that are right, and all of their words."""
    places = [place for place, row in enumerate(known.found) if row.confidence]
    if not places:
        raise InputError("nothing was read of a whole domain, expected some words; give other texts")
    found = [known.found[place] for place in places]
    return found, known.right[places].astype(float), np.array([float(len(row.token_ids)) for row in found])


def _means(inputs: np.ndarray) -> list[float]:
    """Of the confidence and, where there is one, of the cosine."""
    return [float(column.mean()) for column in inputs.T[1:3]]


def _inputs(rows: Sequence[Reconstruction], has_cosine: bool) -> np.ndarray:
    """(rows, 2) or (rows, 4)"""
    columns = [np.ones(len(rows)), np.array([np.mean(row.confidence) for row in rows])]
    if has_cosine:
        likeness = np.array([row.cosine for row in rows], dtype=float)
        columns += [likeness, likeness**2]
    return np.stack(columns, axis=1)


def _joined(parts: Sequence[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _chances(inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-inputs @ weights)))


def _logistic(inputs: np.ndarray, right: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Weights by which `right` of `counts` words are likeliest, by Newton's method."""
    weights = np.zeros(inputs.shape[1])
    for _ in range(MOST_ROUNDS):
        chances = _chances(inputs, weights)
        slope = inputs.T @ (right - counts * chances) - RIDGE * weights
        bend = (inputs * (counts * chances * (1 - chances))[:, None]).T @ inputs + RIDGE * np.eye(len(weights))
        change = np.linalg.solve(bend, slope)
        weights = weights + change
        if np.abs(change).max() < CLOSE:
            break
    return weights


@dataclass(frozen=True)
class Calibration:
    """What is known of a model."""

    fits: Mapping[str, Fit]  # by attacker
    likeness: tuple[float, float] | None = None  # of what the blind attacker read: least and most of the domains


def calibrate(
    inverter: Inverter,
    texts: Sequence[LabelledText],
    *,
    limit: int | None = None,
    seed: int = 0,
    budgets: Sequence[int] = BUDGETS,
    on_progress: Progress = no_progress,
) -> Calibration:
    """Let every attacker read at most `limit` texts of each domain, and learn what their confidence is worth."""
    domains = sorted({text.domain for text in texts})
    _check_domains(domains)
    known: dict[str, dict[str, Known]] = {}
    for domain in domains:
        of_domain = [text.text for text in texts if text.domain == domain]
        for name, one in read_domain(inverter, domain, of_domain, limit, seed, budgets, on_progress):
            known.setdefault(name, {})[domain] = one
    fits = {name: fit_to(of_attacker) for name, of_attacker in known.items() if len(of_attacker) == len(domains)}
    alike = [one.likeness for one in known.get(BLIND, {}).values() if one.likeness is not None]
    return Calibration(fits, (min(alike), max(alike)) if alike else None)


def _check_domains(domains: Collection[str]) -> None:
    if len(domains) < FEWEST_DOMAINS:
        raise InputError(
            f"{len(domains)} domains to calibrate on, expected at least {FEWEST_DOMAINS}: how far off a new one is "
            "shows only by leaving one out; give more files, or records with a `domain`"
        )


def read_domain(
    inverter: Inverter, domain: str, texts: Sequence[str], limit: int | None = None, seed: int = 0,
    budgets: Sequence[int] = BUDGETS, on_progress: Progress = no_progress, only: Collection[str] | None = None,
) -> Iterator[tuple[str, Known]]:  # fmt: skip
    """What each attacker, or `only` some, read of some texts, beside how much of it is right."""
    held_out = hold_out(texts, inverter.tokenizer, inverter.encoder(), inverter.denoiser.length, limit=limit, seed=seed)
    attackers = Attackers(inverter, VectorBatch(held_out.vectors, held_out.rows), DecodeOptions(steps=STEPS, seed=seed))
    ladder = [rung for rung in rungs(budgets) if not rung.is_baseline and (only is None or rung.name in only)]
    for outcome in climb(attackers, ladder, lambda name, *done: on_progress(f"{domain}: {name}", *done)):
        if outcome.left_out:
            log.info("%s was not calibrated: %s", outcome.rung.name, outcome.left_out)  # the others are listed
            continue
        right = [words_right(ids, row.token_ids) for ids, row in zip(held_out.ids, outcome.found, strict=True)]
        alike = likeness(inverter, held_out.vectors, outcome.found) if outcome.rung.name == BLIND else None
        yield outcome.rung.name, Known(outcome.found, np.array(right), alike)


def likeness(inverter: Inverter, vectors: np.ndarray, found: Sequence[Reconstruction]) -> float | None:
    """Mean cosine of the vectors with those that the surrogate gives what was read; None where that is not known.

    A model is about as sure of nonsense: of random vectors, or of another encoder's. That a text does not fit its
    vector shows only by looking at both.
    """
    places = [place for place, row in enumerate(found) if row.token_ids]
    given = inverter.surrogate_vectors([found[place].token_ids for place in places]) if places else None
    return None if given is None else float(cosine(given, vectors[places]).mean())


def save_calibration(path: Path, calibration: Calibration, inverter: Inverter) -> None:
    write_json(
        path,
        {
            "format": FORMAT, "model": inverter.manifest["weights"]["sha256"], "likeness": calibration.likeness,
            "attackers": {name: asdict(fit) for name, fit in calibration.fits.items()},
        },
    )  # fmt: skip


def load_calibration(inverter: Inverter) -> Calibration:
    """What lies beside the model; nothing is known where it was never calibrated."""
    path = inverter.folder / CALIBRATION
    if not path.is_file():
        return Calibration({})
    held: Any = read_json(path)
    if not isinstance(held, dict) or held.get("format") != FORMAT:
        raise CheckpointError(f"{path} is no calibration of format {FORMAT}; run unmask calibrate again")
    if held.get("model") != inverter.manifest["weights"]["sha256"]:
        log.warning("%s is of another model, so it is not known how sure this one is; run unmask calibrate", path)
        return Calibration({})
    try:
        alike = None if held["likeness"] is None else (float(held["likeness"][0]), float(held["likeness"][1]))
        return Calibration({name: _restored(one) for name, one in held["attackers"].items()}, alike)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(f"{path} is not as unmask writes it ({error}); run unmask calibrate again") from error


def _restored(held: dict[str, Any]) -> Fit:
    as_tuples: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in held.items()}
    return Fit(**as_tuples)


def shares_right(
    calibration: Calibration, found: Mapping[str, Sequence[Reconstruction]], alike: float | None, seed: int
) -> dict[str, Interval]:
    """What each attacker's words are worth; nothing at all where the vectors are unlike what was calibrated.

    That is where what the blind attacker read is less `alike` its vectors than of any domain, or where any attacker is
    out of its range. Where nobody compared a text with a vector, nothing is said.
    """
    fits = {name: fit for name, fit in calibration.fits.items() if name in found}
    if alike is None or calibration.likeness is None:
        is_like = any(fit.has_cosine for fit in fits.values())  # whose cosine will be looked at
    else:
        is_like = _is_between(calibration.likeness, alike)
    if not is_like:
        return {}
    shares = {name: predicted(fit, found[name], seed) for name, fit in fits.items()}
    known = {name: share for name, share in shares.items() if share is not None}
    return known if len(known) == len(shares) else {}


def _is_between(bounds: tuple[float, float], value: float) -> bool:
    return bounds[0] - BEYOND <= value <= bounds[1] + BEYOND
