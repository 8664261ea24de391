"""Decoders × metrics, with the baselines and the published values (the paper's Tables 1 and 2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from unmask.attacks.baselines import BASELINES, NearestNeighbour, RandomTokens
from unmask.benchmark.lineup import LineUp, measure
from unmask.benchmark.publishing import published
from unmask.benchmark.publishing.markdown import headings_of, lay_out, metric_cells, notes, number, present
from unmask.benchmark.publishing.results import Result
from unmask.benchmark.publishing.setting import Setting, Table
from unmask.decoding import DECODERS, DEFAULT_DECODER

if TYPE_CHECKING:
    from unmask.attacks.inverter import Inverter
    from unmask.benchmark.evaluation import Evaluation

NAME = "decoders"
DRAFTS = 16  # of the line that writes several texts


def measure_decoders(setting: Setting) -> Iterator[Result]:
    """Every decoder, the default one with several drafts, and every baseline: `nearest` needs the training pairs."""
    inverter = setting.open_inverter()
    decoders = setting.decoders or DECODERS.names
    line_up = LineUp(decoders, _baselines(setting), setting.options)
    for evaluation in _measure(setting, inverter, line_up):
        yield Result.of(NAME, evaluation.attack, evaluation)
    if DEFAULT_DECODER in decoders and setting.options.drafts == 1:
        line_up = LineUp([DEFAULT_DECODER], [], replace(setting.options, drafts=DRAFTS))
        for evaluation in _measure(setting, inverter, line_up):
            yield Result.of(NAME, f"{evaluation.attack}, best of {DRAFTS}", evaluation)


def _baselines(setting: Setting) -> list[str]:
    has_pairs = setting.pairs is not None
    baselines = [name for name in BASELINES.names if has_pairs or name != NearestNeighbour.name]
    if setting.limit == 1:
        baselines.remove("shuffled")  # one vector has no other to be taken for
    return baselines


def _measure(setting: Setting, inverter: Inverter, line_up: LineUp) -> Iterator[Evaluation]:
    return measure(
        inverter,
        setting.plain_texts,
        line_up,
        pairs=setting.pairs,
        limit=setting.limit,
        language_model=setting.language_model(inverter),
        details={
            "model": setting.model,
            "options": setting.chosen_options,
            "training": inverter.manifest.get("progress", {}),
            "has_pairs": setting.pairs is not None,
        },
        on_progress=setting.on_progress,
    )


def markdown(results: Sequence[Result]) -> str:
    names = present(results)
    headings = ["attack", *headings_of(names), "passes per vector", "vectors/s", *published.HEADINGS]
    rows = [
        [
            result.label,
            *metric_cells(result, names),
            number(result.numbers["forward_passes_per_vector"]),
            number(result.numbers["vectors_per_second"], 0),
            *published.DECODERS.get(result.label, published.NOTHING).cells(),
        ]
        for result in results
    ]
    parts = [lay_out(headings, rows), notes(results), published.CAVEAT]
    if not results[0].details.get("has_pairs"):
        parts.append(
            f"Without --pairs there is no `{NearestNeighbour.name}`, and `{RandomTokens.name}` draws all tokens alike."
        )
    return "\n\n".join([*parts, _models(results)])


def _models(results: Sequence[Result]) -> str:
    """Accuracy by encoder: the best decoder's here, the published ones with 90 % of the text visible."""
    decoders = [result for result in results if result.details.get("decoder") and not result.details.get("baseline")]
    rows = [
        [f"published, {name}", number(line.accuracy), number(line.steps, 0), number(line.validation_loss, 3)]
        for name, line in published.MODELS.items()
    ]
    if decoders:
        best = max(decoders, key=lambda result: result.metrics["token_accuracy"].value)
        training = best.details.get("training", {})
        ours = metric_cells(best, ["token_accuracy"])[0]
        label = f"ours, {best.details.get('encoder')}, {best.label}, from full mask"
        steps, loss = training.get("step"), training.get("validation_loss")
        rows.insert(0, [label, ours, number(steps, 0), number(loss, 3)])
    return lay_out(["model", "tokens right, %", "training steps", "validation loss"], rows)


TABLE = Table(measure_decoders, markdown)
