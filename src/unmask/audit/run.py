"""One audit: a store is sampled, its vectors are counted, and every attacker tries."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmask.audit.calibration import likeness, load_calibration, shares_right
from unmask.audit.census import Census, Counting, near_duplicates
from unmask.audit.detection import AUTO, Finder, Patterns, choose_finder
from unmask.audit.origin import cut_from_the_encoders, diagnosis, require_same_encoder
from unmask.audit.protection import Protections, protections, spare_rows
from unmask.audit.rungs import BLIND, BUDGETS, STEPS, Attackers, Outcome, climb, rungs
from unmask.audit.scores import Score, scores
from unmask.audit.verdict import Verdict, verdict
from unmask.benchmark.held_out import Progress, no_progress
from unmask.benchmark.provenance import provenance
from unmask.decoding import DecodeOptions
from unmask.denoiser.checkpoint import shipped_models
from unmask.errors import InputError, VectorError
from unmask.vectorstores import open_vectors
from unmask.vectorstores.base import LeftOut, VectorSource
from unmask.vectorstores.sampling import draw_samples

if TYPE_CHECKING:
    from unmask.attacks.inverter import Inverter
    from unmask.encoders.diagnosis import Diagnosis
    from unmask.records import Interval, VectorBatch

SAMPLE = 200
TRAINED_ON = 2  # cores, on which the shipped model was; training is all products of matrices, so more take less


@dataclass(frozen=True)
class Asked:
    """What is audited, and how."""

    source: str
    sample: int = SAMPLE
    seed: int = 0
    budgets: Sequence[int] = BUDGETS
    may_ask_encoder: bool = True
    key: str | None = None
    scale: str | None = None
    texts_field: str | None = None
    collection: str | None = None
    needs_texts: bool = False  # whether an audit that cannot say how much leaks is of no use
    tries_defences: bool = True
    pairs: Path | None = None  # public texts with their vectors
    detector: str = AUTO  # who finds personal data
    spacy_model: str | None = None  # what Presidio finds names with


@dataclass(frozen=True)
class Findings:
    """Everything that a report says."""

    asked: Asked
    origin: str
    loss: str | None  # where the store keeps approximations
    census: Census
    left_out: LeftOut
    sample: VectorBatch
    near: list[list[int]]  # groups of near-duplicates in the sample
    outcomes: tuple[Outcome, ...]
    scored: tuple[Score, ...]  # none where there are no texts to compare with
    verdict: Verdict | None
    protections: Protections
    predicted: Mapping[str, Interval] = field(default_factory=dict)  # share of the words read that are right, unseen
    diagnosis: Diagnosis | None = None  # how the stored vectors differ from those that the encoder gives their texts
    finder: Finder = field(default_factory=Patterns)  # of personal data in the true texts
    made_with: dict[str, Any] = field(default_factory=dict)

    @property
    def best(self) -> Score | None:
        """The attacker whom the verdict is about."""
        return next((score for score in self.scored if self.verdict and score.rung == self.verdict.rung), None)

    @property
    def verified(self) -> int:
        """Sampled vectors of which some attacker's text has the very vector, so that it was surely read."""
        found = [outcome.found for outcome in self.outcomes if not outcome.left_out]
        return sum(any(row.verified for row in rows) for rows in zip(*found, strict=True))


def _opened(asked: Asked, inverter: Inverter) -> VectorSource:
    source = open_vectors(
        asked.source, key=asked.key, scale=asked.scale, texts=asked.texts_field, collection=asked.collection
    )
    if source.dimension != inverter.dimension:
        cut = cut_from_the_encoders(source, inverter) if asked.may_ask_encoder else ""
        raise VectorError(
            f"{source.origin} holds {source.dimension}-d vectors{cut}, the model reads {inverter.dimension}-d ones; "
            f"{what_it_takes(source.dimension, inverter)}"
        )
    if asked.needs_texts and not source.has_texts:
        raise InputError(
            f"{source.origin} has no texts, without which it is not known how much leaks; name their field with "
            "--texts-field, or drop --fail-over"
        )
    return source


def what_it_takes(dimension: int, inverter: Inverter) -> str:
    """How to come to a model for vectors of another encoder: which there are, or what training one takes here."""
    fitting = [model["name"] for model in shipped_models() if model["dimension"] == dimension]
    if fitting:
        return f"pass --model {' or '.join(fitting)}, if its encoder is yours (`unmask models`)"
    progress, cores = inverter.manifest.get("progress") or {}, os.cpu_count() or 1
    pairs, seconds = progress.get("samples"), progress.get("seconds")
    said = (
        f", about {pairs / 1e6:.0f} million pairs and {seconds / 3600 * TRAINED_ON / cores:.1f} h on the {cores} cores "
        "of this machine, as the model at hand took"
        if pairs and seconds
        else ""
    )
    return (
        f"no model at hand reads {dimension}-d ones; pass --model one trained for your encoder, or train one: pairs "
        "from your encoder by `unmask prepare RECIPE --text ... --out PAIRS`, then `unmask train RECIPE --pairs PAIRS` "
        f"(`unmask recipes` lists them){said}"
    )


def audit(asked: Asked, inverter: Inverter, on_progress: Progress = no_progress) -> Findings:
    """Read, sample, attack, compare, and attack once more what defences leave."""
    finder, source = choose_finder(asked.detector, asked.spacy_model), _opened(asked, inverter)
    left_out, counting = LeftOut(), Counting()

    def count(batch: VectorBatch) -> None:
        counting.add(batch)
        on_progress("reading", counting.count, max(source.count or 0, counting.count))

    spare = spare_rows(source.dimension, asked.sample) if asked.tries_defences else 0
    sample, others = draw_samples(source, asked.sample, spare, asked.seed, left_out, count)
    source.close()
    has_texts = sample.texts is not None and any(sample.texts)
    if not has_texts and (asked.texts_field is not None or asked.needs_texts):
        raise InputError(
            f"none of the {len(sample)} sampled vectors of {source.origin} has a text; change --texts-field"
        )
    diagnosed = diagnosis(inverter, sample) if has_texts and asked.may_ask_encoder else None
    if diagnosed is not None:
        require_same_encoder(diagnosed, inverter)
    calibration = load_calibration(inverter)
    ladder = rungs(asked.budgets)
    attackers = Attackers(
        inverter, sample, DecodeOptions(steps=STEPS, seed=asked.seed), asked.may_ask_encoder, asked.pairs
    )
    outcomes = tuple(climb(attackers, ladder, on_progress))
    scored = scores(outcomes, sample.texts or (), inverter.tokenizer, asked.seed, finder) if has_texts else []
    helping = Protections(missing="defences were not to be tried")
    if asked.tries_defences:
        guesses = [outcome for outcome in outcomes if outcome.rung.is_baseline and outcome.left_out is None]
        helping = protections(attackers, others, guesses, finder, on_progress)
    tried = {outcome.rung.name: outcome.found for outcome in outcomes if not outcome.left_out}
    alike = likeness(inverter, sample.values, tried[BLIND]) if calibration.likeness and BLIND in tried else None
    return Findings(
        asked=asked,
        origin=source.origin,
        loss=source.loss,
        census=counting.result(),
        left_out=left_out,
        sample=sample,
        near=near_duplicates(sample.values),
        diagnosis=diagnosed,
        finder=finder,
        outcomes=outcomes,
        scored=tuple(scored),
        verdict=verdict(scored, ladder),
        protections=helping,
        predicted=shares_right(calibration, tried, alike, asked.seed),
        made_with={
            "model_fingerprint": inverter.manifest["weights"]["sha256"],
            "encoder": inverter.manifest["encoder"].get("name"),
            **provenance(),
        },
    )
