"""Decoders × metrics, with the baselines and the published values (the paper's Tables 1 and 2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from unmask.attacks.baselines import BASELINES, NearestNeighbour, RandomTokens
from unmask.benchmark.lineup import LineUp, measure
from unmask.benchmark.publishing import published
from unmask.benchmark.publishing.markdown import headings_of, lay_out, metric_cells, notes, number, present
from unmask.benchmark.publishing.results import Result
from unmask.benchmark.publishing.setting import Setting, Table
from unmask.decoding import DECODERS

NAME = "decoders"


def measure_decoders(setting: Setting) -> Iterator[Result]:
    """Every decoder and every baseline that can be had: `nearest` needs the training pairs."""
    inverter = setting.open_inverter()
    has_pairs = setting.pairs is not None
    baselines = [name for name in BASELINES.names if has_pairs or name != NearestNeighbour.name]
    if setting.limit == 1:
        baselines.remove("shuffled")  # one vector has no other to be taken for
    line_up = LineUp(setting.decoders or DECODERS.names, baselines, setting.options)
    progress = inverter.manifest.get("progress", {})
    for evaluation in measure(
        inverter,
        setting.plain_texts,
        line_up,
        pairs=setting.pairs,
        limit=setting.limit,
        language_model=setting.language_model(inverter),
        details={
            "model": setting.model,
            "options": setting.chosen_options,
            "training": progress,
            "has_pairs": has_pairs,
        },
        on_progress=setting.on_progress,
    ):
        yield Result.of(NAME, evaluation.attack, evaluation)


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
    decoders = [result for result in results if result.label in DECODERS.names]
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
