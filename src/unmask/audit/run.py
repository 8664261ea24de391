"""One audit: a store is sampled, its vectors are counted, and every attacker tries."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unmask.audit.census import Census, Counting, near_duplicates
from unmask.audit.rungs import BUDGETS, Attackers, Outcome, climb, rungs
from unmask.audit.scores import Score, scores
from unmask.audit.verdict import Verdict, verdict
from unmask.benchmark.held_out import Progress, no_progress
from unmask.benchmark.provenance import provenance
from unmask.errors import VectorError
from unmask.vectorstores import open_vectors
from unmask.vectorstores.base import LeftOut
from unmask.vectorstores.sampling import draw_sample

if TYPE_CHECKING:
    from unmask.attacks.inverter import Inverter
    from unmask.records import VectorBatch

log = logging.getLogger(__name__)
SAMPLE = 200


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
    made_with: dict[str, Any] = field(default_factory=dict)


def audit(asked: Asked, inverter: Inverter, on_progress: Progress = no_progress) -> Findings:
    """Read, sample, attack, compare."""
    source = open_vectors(
        asked.source, key=asked.key, scale=asked.scale, texts=asked.texts_field, collection=asked.collection
    )
    if source.dimension != inverter.dimension:
        raise VectorError(
            f"{source.origin} holds {source.dimension}-d vectors, the model reads {inverter.dimension}-d ones; pass "
            "--model one trained for your encoder, or train one: unmask prepare and unmask train with a recipe of "
            "`unmask recipes`"
        )
    left_out, counting = LeftOut(), Counting()

    def count(batch: VectorBatch) -> None:
        counting.add(batch)
        on_progress("reading", counting.count, max(source.count or 0, counting.count))

    sample = draw_sample(source, asked.sample, asked.seed, left_out, count)
    ladder = rungs(asked.budgets)
    attackers = Attackers(inverter, sample, may_ask_encoder=asked.may_ask_encoder)
    outcomes = tuple(climb(attackers, ladder, on_progress))
    has_texts = sample.texts is not None and any(sample.texts)
    scored = scores(outcomes, sample.texts or (), inverter.tokenizer, asked.seed) if has_texts else []
    return Findings(
        asked=asked,
        origin=source.origin,
        loss=source.loss,
        census=counting.result(),
        left_out=left_out,
        sample=sample,
        near=near_duplicates(sample.values),
        outcomes=outcomes,
        scored=tuple(scored),
        verdict=verdict(scored, ladder),
        made_with={
            "model_fingerprint": inverter.manifest["weights"]["sha256"],
            "encoder": inverter.manifest["encoder"].get("name"),
            **provenance(),
        },
    )
