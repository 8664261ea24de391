"""What a table is measured with, and a model opened on the texts it is measured on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmask.attacks.decoders import ALL_DECODERS
from unmask.attacks.inverter import DEFAULT_MODEL, Inverter
from unmask.benchmark.evaluation import Evaluation, evaluate
from unmask.benchmark.fluency import NGRAM, load_language_model
from unmask.benchmark.held_out import HeldOut, LabelledText, Progress, hold_out, no_progress
from unmask.benchmark.lineup import ModelAttack, made_with
from unmask.benchmark.publishing.results import Result
from unmask.decoding import DEFAULT_DECODER, DecodeOptions
from unmask.errors import InputError, UnknownName
from unmask.registry import nearest_name
from unmask.search import SearchOptions

if TYPE_CHECKING:
    from unmask.attacks.base import Attack
    from unmask.metrics.perplexity import LanguageModel
    from unmask.pairs.dataset import PairsDataset


def with_options(options: DecodeOptions, changes: Sequence[str]) -> DecodeOptions:
    """Decoding options with `name=value` changes, each of the type that the option has."""
    names = [item.name for item in fields(DecodeOptions)]
    found: dict[str, Any] = {}
    for change in changes:
        name, separator, text = change.partition("=")
        if not separator:
            raise InputError(f"--option {change}: expected name=value, such as restart_t=0.3")
        if name not in names:
            guess = nearest_name(name, names)
            hint = f"; did you mean '{guess}'?" if guess else ";"
            raise UnknownName(f"unknown decoding option '{name}'{hint} Known: {', '.join(names)}")
        found[name] = _as_type_of(getattr(options, name), text, change)
    return replace(options, **found)


def _as_type_of(usual: Any, text: str, change: str) -> Any:
    try:
        if isinstance(usual, bool):
            return {"true": True, "false": False}[text.lower()]
        return (float if usual is None else type(usual))(text)
    except (ValueError, KeyError) as error:
        raise InputError(f"--option {change}: expected a value such as {usual}; change it") from error


@dataclass(frozen=True)
class Setting:
    """Everything that a user may choose about a table."""

    texts: Sequence[LabelledText]
    out: Path
    model: str = DEFAULT_MODEL
    run: Path | None = None  # `milestones`: the training run
    decoders: tuple[str, ...] = ()
    options: DecodeOptions = field(default_factory=DecodeOptions)
    limit: int | None = None
    pairs: PairsDataset | None = None
    perplexity: str | None = None
    device: str = "auto"
    precision: str = "auto"
    recipe: str = "minilm"  # the tables that train: what they vary
    overrides: tuple[str, ...] = ()
    rows: int = 100_000  # training rows of each variant
    budget: int = SearchOptions.budget  # the tables of the search: texts compared with each vector
    on_progress: Progress = no_progress

    @property
    def seed(self) -> int:
        return self.options.seed

    @property
    def decoder(self) -> str:
        """The one decoder of a table that has no more."""
        if len(self.decoders) > 1:
            raise InputError(f"{len(self.decoders)} decoders were given, expected one for this table; give one")
        return self.decoders[0] if self.decoders else DEFAULT_DECODER

    @property
    def chosen_options(self) -> dict[str, Any]:
        """The decoding options that are not as they come; `steps` is always told, the seed stands by itself."""
        usual = DecodeOptions()
        held = {name: value for name, value in asdict(self.options).items() if value != getattr(usual, name)}
        return {name: value for name, value in held.items() if name not in ("steps", "seed")}

    @property
    def plain_texts(self) -> list[str]:
        return [text.text for text in self.texts]

    def check(self) -> None:
        """Complain about names and numbers before anything slow begins."""
        for decoder in self.decoders:
            ALL_DECODERS.resolve(decoder)
        if self.limit is not None and self.limit < 1:
            raise InputError(f"limit is {self.limit}, expected at least 1; leave it out to take every text")
        if self.rows < 1:
            raise InputError(f"rows is {self.rows}, expected at least 1; give the training rows of each variant")
        if self.budget < 1:
            raise InputError(f"budget is {self.budget}, expected at least 1; give the texts compared with each vector")
        if self.perplexity == NGRAM and self.pairs is None:
            raise InputError("perplexity under the n-gram model needs the training text; give it with --pairs DIR")

    def open_inverter(self, model: str | Path | None = None) -> Inverter:
        chosen = self.model if model is None else model
        return Inverter.from_pretrained(chosen, device=self.device, precision=self.precision)

    def language_model(self, inverter: Inverter) -> LanguageModel | None:
        """The n-gram model of the pairs where there are any, unless another was asked for."""
        name = self.perplexity or (NGRAM if self.pairs is not None else None)
        if name is None:
            return None
        return load_language_model(name, inverter.tokenizer, self.pairs, str(inverter.device))

    def open(self, model: str | Path | None = None, with_language_model: bool = False) -> Opened:
        inverter = self.open_inverter(model)
        held_out = hold_out(
            self.plain_texts,
            inverter.tokenizer,
            inverter.encoder(),
            inverter.denoiser.length,
            limit=self.limit,
            seed=self.seed,
            on_progress=self.on_progress,
        )
        language_model = self.language_model(inverter) if with_language_model else None
        name = str(self.model if model is None else model)
        return Opened(self, name, inverter, held_out, language_model)


@dataclass(frozen=True)
class Opened:
    """A model and the texts that it is measured on."""

    setting: Setting
    model: str
    inverter: Inverter
    held_out: HeldOut
    language_model: LanguageModel | None

    @property
    def details(self) -> dict[str, Any]:
        options = self.setting.chosen_options
        return {"model": self.model, "options": options, **made_with(self.inverter, self.language_model)}

    def attack(self, decoder: str, options: DecodeOptions | None = None) -> ModelAttack:
        return ModelAttack(self.inverter, decoder, options or self.setting.options, None)

    def evaluate(self, attack: Attack, **details: Any) -> Evaluation:
        return evaluate(
            attack,
            self.held_out,
            self.inverter.tokenizer,
            self.inverter.encoder(),
            seed=self.setting.seed,
            language_model=self.language_model,
            details={**self.details, "decoder": attack.name, "steps": self.setting.options.steps, **details},
            on_progress=self.setting.on_progress,
        )

    def domains(self) -> list[str]:
        """The domain of each text that is held out."""
        return [self.setting.texts[int(row)].domain for row in self.held_out.rows]


@dataclass(frozen=True)
class Table:
    """How a table is measured and shown."""

    measure: Callable[[Setting], Iterator[Result]]
    markdown: Callable[[Sequence[Result]], str]
    needs_texts: bool = True
    holds_texts: bool = False  # its results hold the texts themselves: for the owner alone
    recipe: str = DEFAULT_MODEL  # what is varied, if nothing else is said
    plan: Callable[[Setting], list[tuple[str, str]]] | None = None  # what would be trained, for --dry-run
    check: Callable[[Setting], None] = lambda setting: None
