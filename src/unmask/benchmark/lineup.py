"""Which attacks are measured side by side: a model under several decoders, and the baselines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from unmask.attacks.baselines import BASELINES, NearestNeighbour, RandomTokens, Shuffled, Unconditional
from unmask.attacks.decoders import ALL_DECODERS, SEARCH
from unmask.benchmark.evaluation import Evaluation, evaluate
from unmask.benchmark.held_out import HeldOut, Progress, hold_out, no_progress
from unmask.benchmark.provenance import provenance
from unmask.decoding import DEFAULT_DECODER, DecodeOptions
from unmask.errors import InputError
from unmask.records import Reconstruction, VectorBatch
from unmask.search import SearchOptions

if TYPE_CHECKING:
    from unmask.attacks.base import Attack
    from unmask.attacks.inverter import Inverter
    from unmask.metrics.perplexity import LanguageModel
    from unmask.pairs.dataset import PairsDataset


class ModelAttack:
    """A model under one decoder."""

    def __init__(
        self,
        inverter: Inverter,
        decoder: str,
        options: DecodeOptions,
        batch_size: int | None,
        search: SearchOptions | None = None,
    ) -> None:
        ALL_DECODERS.resolve(decoder)
        self.name = decoder
        self._inverter, self._options, self._batch_size, self._search = inverter, options, batch_size, search

    def fit(self, pairs: PairsDataset) -> None:
        """A model is trained before it is measured."""

    def invert(self, vectors: VectorBatch, budget: int | None = None) -> list[Reconstruction]:
        search = self._search
        if budget is not None and self.name == SEARCH:
            search = replace(search or SearchOptions(), budget=budget)
        found = self._inverter.invert_batches(
            [vectors], decoder=self.name, options=self._options, batch_size=self._batch_size, search=search
        )
        return list(found)


@dataclass(frozen=True)
class Entrant:
    """An attack, and what is reported about how it was set up."""

    attack: Attack
    baseline: str | None
    decoder: str | None
    steps: int | None


@dataclass(frozen=True)
class LineUp:
    """What is to be measured. The first decoder is also the one that baselines use which run the model."""

    decoders: Sequence[str]
    baselines: Sequence[str]
    options: DecodeOptions
    batch_size: int | None = None  # vectors in the network together; None takes what suits the device
    search: SearchOptions | None = None  # for decoder `search`

    def check(self, has_pairs: bool) -> None:
        """Complain about an unknown name or a missing pairs folder before anything slow begins."""
        for decoder in self.decoders:
            ALL_DECODERS.resolve(decoder)
        for baseline in self.baselines:
            BASELINES.resolve(baseline)
        if NearestNeighbour.name in self.baselines and not has_pairs:
            raise InputError(
                f"baseline '{NearestNeighbour.name}' looks vectors up in the training set, which was not given; "
                "add --pairs DIR, the folder that `unmask prepare` wrote"
            )

    def entrants(self, inverter: Inverter, held_out: HeldOut, pairs: PairsDataset | None) -> Iterator[Entrant]:
        """The decoders, then the baselines, each made when its turn comes."""
        for decoder in self.decoders:
            yield Entrant(self._model(inverter, decoder), None, decoder, self.options.steps)
        for baseline in self.baselines:
            yield self._baseline(baseline, inverter, held_out, pairs)

    def _model(self, inverter: Inverter, decoder: str) -> ModelAttack:
        return ModelAttack(inverter, decoder, self.options, self.batch_size, self.search)

    def _baseline(self, name: str, inverter: Inverter, held_out: HeldOut, pairs: PairsDataset | None) -> Entrant:
        decoder = self.decoders[0] if self.decoders else DEFAULT_DECODER
        attack: Attack
        if name in (RandomTokens.name, NearestNeighbour.name):
            if name == RandomTokens.name:
                attack = RandomTokens(inverter.tokenizer, inverter.denoiser.length, self.options.seed)
            else:
                attack = NearestNeighbour(inverter.tokenizer, inverter.encoder())
            if pairs is not None:
                attack.fit(pairs)
            return Entrant(attack, name, None, None)
        if name == Unconditional.name:
            attack = Unconditional(self._model(inverter, decoder), inverter.denoiser)
        else:
            attack = Shuffled(self._model(inverter, decoder), held_out.vectors, self.options.seed)
        return Entrant(attack, name, decoder, self.options.steps)


def measure(
    inverter: Inverter,
    texts: Sequence[str],
    line_up: LineUp,
    *,
    pairs: PairsDataset | None = None,
    limit: int | None = None,
    language_model: LanguageModel | None = None,
    details: dict[str, Any] | None = None,
    on_progress: Progress = no_progress,
) -> Iterator[Evaluation]:
    """Measure every attack of a line-up on the same texts and vectors."""
    encoder, seed = inverter.encoder(), line_up.options.seed
    held_out = hold_out(
        texts,
        inverter.tokenizer,
        encoder,
        inverter.denoiser.length,
        limit=limit,
        seed=seed,
        on_progress=on_progress,
    )
    common = {**(details or {}), **made_with(inverter, language_model)}
    for entrant in line_up.entrants(inverter, held_out, pairs):
        set_up: dict[str, Any] = {
            "decoder": entrant.decoder, "steps": entrant.steps, "baseline": entrant.baseline,
        }  # fmt: skip
        if entrant.decoder == SEARCH:
            set_up["search"] = asdict(line_up.search or SearchOptions())
        yield evaluate(
            entrant.attack,
            held_out,
            inverter.tokenizer,
            encoder,
            seed=seed,
            language_model=language_model,
            details={**common, **set_up},
            on_progress=on_progress,
        )


def made_with(inverter: Inverter, language_model: LanguageModel | None = None) -> dict[str, Any]:
    """What a figure depends on beside the texts and the options."""
    return {
        "model_fingerprint": inverter.manifest["weights"]["sha256"],
        "encoder": inverter.encoder().name,
        "language_model": None if language_model is None else language_model.name,
        **provenance(),
    }
