"""What attackers have, each a little more than the one before, and what they read with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from unmask.attacks.baselines import NearestNeighbour, Shuffled, Unconditional
from unmask.attacks.decoders import SEARCH
from unmask.benchmark.held_out import Progress, no_progress
from unmask.benchmark.lineup import ModelAttack
from unmask.decoding import DEFAULT_DECODER, DecodeOptions
from unmask.errors import UnmaskError
from unmask.search import SearchOptions
from unmask.search.options import ENCODER, SURROGATE

if TYPE_CHECKING:
    from unmask.attacks.base import Attack
    from unmask.attacks.inverter import Inverter
    from unmask.records import Reconstruction, VectorBatch

BUDGETS = (160,)  # encoder calls for each vector
BLIND = "blind"
COMPARED = 160  # texts that a surrogate compares with each vector
STEPS = 8
TOGETHER = 64  # vectors between two reports of progress


@dataclass(frozen=True)
class Attackers:
    """What all rungs share."""

    inverter: Inverter
    vectors: VectorBatch
    options: DecodeOptions = field(default_factory=lambda: DecodeOptions(steps=STEPS))
    may_ask_encoder: bool = True
    pairs: Path | None = None  # public texts with their vectors, to look for neighbours in


@dataclass(frozen=True)
class Rung:
    """An attacker; `missing` says why there is none such here, or nothing."""

    name: str
    has: str
    attack: Callable[[Attackers], Attack]
    missing: Callable[[Attackers], str | None] = lambda attackers: None
    is_baseline: bool = False


@dataclass(frozen=True)
class Outcome:
    """What an attacker read from every vector, or why there was no attempt."""

    rung: Rung
    found: tuple[Reconstruction, ...] = ()
    seconds: float = 0.0
    left_out: str | None = None

    @property
    def texts(self) -> list[str]:
        return [row.text for row in self.found]


def rungs(budgets: Sequence[int] = BUDGETS) -> list[Rung]:
    """From an attacker who has no vector at all to one who has the encoder and time."""
    asking = [
        Rung(
            f"encoder, {budget:,} calls", f"the dump, a model and the encoder, asked {budget:,} times for each vector",
            lambda attackers, budget=budget: _model(attackers, SearchOptions(scorer=ENCODER, budget=budget)),  # type: ignore[misc]
            _missing_encoder,
        )
        for budget in budgets
    ]  # fmt: skip
    return [
        Rung("unconditional", "a model, and no vector", _unconditional, is_baseline=True),
        Rung("shuffled", "a model, and the vector of another text", _shuffled, _missing_others, is_baseline=True),
        Rung("nearest", "the dump, and other texts with their vectors", _nearest, _missing_pairs),
        Rung(BLIND, "the dump and a model", blind),
        Rung(
            "surrogate", "the dump, a model and a stand-in for the encoder that it was taught with",
            lambda attackers: _model(attackers, SearchOptions(scorer=SURROGATE, budget=COMPARED)), _missing_surrogate,
        ),
        *asking,
    ]  # fmt: skip


def climb(
    attackers: Attackers, ladder: Sequence[Rung] | None = None, on_progress: Progress = no_progress
) -> Iterator[Outcome]:
    """Every attacker in turn; one who cannot be had or who fails is left out by name, and says why."""
    for rung in rungs() if ladder is None else ladder:
        missing = rung.missing(attackers)
        yield Outcome(rung, left_out=missing) if missing else _attempt(rung, attackers, on_progress)


def _attempt(rung: Rung, attackers: Attackers, on_progress: Progress) -> Outcome:
    began, count = time.perf_counter(), len(attackers.vectors)
    found: list[Reconstruction] = []
    try:
        attack = rung.attack(attackers)
        on_progress(rung.name, 0, count)
        for start in range(0, count, TOGETHER):
            found += attack.invert(_part(attackers.vectors, slice(start, start + TOGETHER)))
            on_progress(rung.name, len(found), count)
    except UnmaskError as error:
        return Outcome(rung, left_out=str(error))
    return Outcome(rung, tuple(found), time.perf_counter() - began)


def _part(vectors: VectorBatch, rows: slice) -> VectorBatch:
    """A row's random stream is that of its place in the whole sample."""
    return replace(vectors, values=vectors.values[rows], ids=vectors.ids[rows], first_row=rows.start, texts=None)


def _model(attackers: Attackers, search: SearchOptions | None = None) -> ModelAttack:
    decoder = DEFAULT_DECODER if search is None else SEARCH
    return ModelAttack(attackers.inverter, decoder, attackers.options, None, search)


def blind(attackers: Attackers) -> Attack:
    """With the vectors and a model, and nothing to check an answer with."""
    return _model(attackers)


def _unconditional(attackers: Attackers) -> Attack:
    return Unconditional(blind(attackers), attackers.inverter.denoiser)


def _shuffled(attackers: Attackers) -> Attack:
    return Shuffled(blind(attackers), attackers.vectors.values, attackers.options.seed)


def _nearest(attackers: Attackers) -> Attack:
    from unmask.pairs.dataset import PairsDataset

    assert attackers.pairs is not None
    attack = NearestNeighbour(attackers.inverter.tokenizer, attackers.inverter.encoder())
    attack.fit(PairsDataset.open(attackers.pairs))
    return attack


def _missing_pairs(attackers: Attackers) -> str | None:
    return None if attackers.pairs is not None else "no pairs to look for neighbours in were given (--pairs)"


def _missing_others(attackers: Attackers) -> str | None:
    return None if len(attackers.vectors) > 1 else "there is a single vector, and no other text's to take"


def _missing_surrogate(attackers: Attackers) -> str | None:
    if attackers.inverter.surrogate_of(ENCODER) is None:
        return "this model has no surrogate; train one with unmask train-surrogate"
    return None


def _missing_encoder(attackers: Attackers) -> str | None:
    if not attackers.may_ask_encoder:
        return "the encoder was not to be asked"
    try:
        attackers.inverter.encoder()
    except UnmaskError as error:
        return str(error)
    return None
