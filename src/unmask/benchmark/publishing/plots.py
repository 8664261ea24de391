"""Pictures of the tables, drawn from their JSONL: the same results give the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from unmask.benchmark.publishing import published
from unmask.benchmark.publishing.breakdown import in_group
from unmask.benchmark.publishing.milestones import LOSS, of_checkpoints
from unmask.benchmark.publishing.results import Result, read_rows
from unmask.benchmark.publishing.variants import FILL_IN
from unmask.benchmark.tables import COLUMNS
from unmask.errors import InputError, MissingExtra
from unmask.files import write_by_name
from unmask.records import Interval

STYLE = {"svg.hashsalt": "unmask", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
METADATA = {"Date": None, "Creator": "unmask bench plot"}
COLOURS = ("#2a6f97", "#e07a5f", "#81b29a", "#6d597a", "#bc8a3c")
SHARES = ("token_accuracy", "token_f1", "rouge_l")
THEIRS = {"linestyle": ":", "color": "#888888", "marker": "."}


def draw_all(folder: Path) -> list[Path]:
    """An SVG beside each table's results that can be drawn; returns their places."""
    found = [name for name in PICTURES if (folder / f"{name}.jsonl").is_file()]
    if not found:
        raise InputError(
            f"{folder} holds no results to draw ({', '.join(f'{name}.jsonl' for name in PICTURES)}); make some with "
            "unmask bench TABLE --out, or give another folder"
        )
    return [_draw(folder, name) for name in found]


def _draw(folder: Path, name: str) -> Path:
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("drawing pictures", "plots") from error
    results = read_rows(folder / f"{name}.jsonl")
    if not results:
        raise InputError(f"{folder / name}.jsonl holds no result; make it again with unmask bench {name}")
    picture = folder / f"{name}.svg"
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 4.5), layout="constrained")
        PICTURES[name](figure, results)
        write_by_name(picture, lambda place: figure.savefig(place, format="svg", metadata=METADATA))
    return picture


def _points(axes: Any, xs: Sequence[float], intervals: Sequence[Interval], factor: float, **look: Any) -> None:
    """A line through values, with their intervals as whiskers."""
    values = [factor * i.value for i in intervals]
    below = [factor * (i.value - i.low) for i in intervals]
    above = [factor * (i.high - i.value) for i in intervals]
    axes.errorbar(xs, values, yerr=(below, above), capsize=2, linewidth=1.2, markersize=4, **look)


def _bars(axes: Any, results: Sequence[Result], metrics: dict[str, str]) -> None:
    """Groups of bars, one for each result and one bar for each metric, in percent."""
    width = 0.8 / len(metrics)
    for number, (name, label) in enumerate(metrics.items()):
        held = [(place, result.metrics[name]) for place, result in enumerate(results) if name in result.metrics]
        values = [100 * interval.value for _, interval in held]
        below = [100 * (interval.value - interval.low) for _, interval in held]
        above = [100 * (interval.high - interval.value) for _, interval in held]
        places = [place + (number - (len(metrics) - 1) / 2) * width for place, _ in held]
        axes.bar(places, values, width, yerr=(below, above), capsize=2, label=label, color=COLOURS[number])
    axes.set_xticks(range(len(results)), [_plain(result.label) for result in results], rotation=30, ha="right")
    axes.set_ylabel("%")
    axes.set_ylim(0, 1.2 * axes.get_ylim()[1])  # room for the legend
    axes.legend(frameon=False, ncols=len(metrics), loc="upper center")


def _plain(label: str) -> str:
    """A label without what matplotlib would take for mathematics."""
    return label.replace("$", r"\$")


def _names(*metrics: str) -> dict[str, str]:
    return {name: COLUMNS[name][0].removesuffix(", %") for name in metrics}


def _decoders(figure: Any, results: Sequence[Result]) -> None:
    axes = figure.subplots()
    _bars(axes, results, _names(*SHARES))
    axes.set_title("From full mask, length unknown")


def _remask(figure: Any, results: Sequence[Result]) -> None:
    ours = {"lowest": "lowest share", "threshold": "below confidence"}
    lines = {  # without any masked again both are the same, and only one is measured
        label: [of for of in results if of.details["remask_mode"] == mode or of.details["remask_share"] == 0]
        for mode, label in ours.items()
    }
    _, cosines = _by_strength(figure, lines, "remask_share", "τ")
    theirs = published.REMASKING.items()
    cosines.plot([share for share, _ in theirs], [line.cosine for _, line in theirs], label="published", **THEIRS)
    cosines.legend(frameon=False)


def _guidance(figure: Any, results: Sequence[Result]) -> None:
    decoders = dict.fromkeys(result.details["decoder"] for result in results)
    lines = {name: [result for result in results if result.details["decoder"] == name] for name in decoders}
    _by_strength(figure, lines, "guidance", "guidance")


def _by_strength(figure: Any, lines: dict[str, list[Result]], strength: str, below: str) -> Any:
    """F1 and cosine over a number of the details, a curve for each of the lines; returns both panels."""
    panels = figure.subplots(1, 2)
    for axes, name, factor, title in zip(
        panels, ("token_f1", "cosine"), (100, 1), ("token F1, %", "cosine"), strict=True
    ):
        for (label, results), colour in zip(lines.items(), COLOURS, strict=False):
            chosen = sorted(results, key=lambda result: float(result.details[strength]))
            strengths, values = [float(of.details[strength]) for of in chosen], [of.metrics[name] for of in chosen]
            _points(axes, strengths, values, factor, label=label, color=colour, marker="o")
        axes.set(xlabel=below, title=title)
        axes.legend(frameon=False)
    return panels


def _milestones(figure: Any, results: Sequence[Result]) -> None:
    axes = figure.subplots()
    kept = of_checkpoints(results)
    steps = [result.numbers["step"] for result in kept]
    for number, name in enumerate((*SHARES, "cosine")):
        label = "cosine × 100" if name == "cosine" else COLUMNS[name][0]
        intervals = [result.metrics[name] for result in kept]
        _points(axes, steps, intervals, 100, label=label, color=COLOURS[number], marker="o")
    axes.set_xlabel("training step")
    axes.set_ylabel("%")
    axes.set_ylim(0, 1.2 * axes.get_ylim()[1])
    if min(steps) > 0:
        axes.set_xscale("log")
    for result in results:
        if result.label == LOSS:
            curve = result.details["curve"]
            beside = axes.twinx()
            beside.plot(curve["steps"], curve["losses"], color="#999999", linewidth=0.8, label="training loss")
            beside.set_ylabel("training loss")
            beside.legend(frameon=False, loc="lower right")
    axes.legend(frameon=False, loc="upper center", ncols=4)


def _masking(figure: Any, results: Sequence[Result]) -> None:
    axes = figure.subplots()
    fill_in = {FILL_IN: "fill-in at 10 % masking, one pass"}
    _bars(axes, results, {"token_accuracy": "tokens right, full mask", "token_f1": "token F1, full mask"} | fill_in)
    axes.set_title("Trained with fixed mask ratios and with schedules, equal budgets")


def _conditioning(figure: Any, results: Sequence[Result]) -> None:
    axes = figure.subplots()
    _bars(axes, results, _names(*SHARES))
    axes.set_title("Equal budgets, from full mask")


def _breakdown(figure: Any, results: Sequence[Result]) -> None:
    figure.set_size_inches(11, 8)
    panels = figure.subplots(2, 2)
    _bars(panels[0, 0], in_group(results, "length"), _names(*SHARES))
    panels[0, 0].set_title("By tokens of the text")
    _bars(panels[0, 1], in_group(results, "domain"), _names(*SHARES))
    panels[0, 1].set_title("By domain")
    kinds = {"in_place": "in place", "in_text": "anywhere in the text"}
    by_frequency = in_group(results, "frequency")
    if by_frequency:
        _bars(panels[1, 0], by_frequency, kinds)
        panels[1, 0].set_title("True tokens found, by occurrences in a million")
    else:
        panels[1, 0].set_axis_off()
    axes = panels[1, 1]
    bins = in_group(results, "calibration")
    sure = [100 * result.numbers["confidence"] for result in bins]
    for number, (name, label) in enumerate(kinds.items()):
        _points(
            axes, sure, [result.metrics[name] for result in bins], 100, label=label, color=COLOURS[number], marker="o"
        )  # fmt: skip
    axes.plot([0, 100], [0, 100], color="#999999", linewidth=0.8)
    axes.set(title="Calibration", xlabel="confidence, %", ylabel="right, %")
    axes.legend(frameon=False)


def _cost(figure: Any, results: Sequence[Result]) -> None:
    axes = figure.subplots()
    sizes = sorted({int(result.numbers["batch"]) for result in results})
    decoders = list(dict.fromkeys(result.label for result in results))
    for number, size in enumerate(sizes):
        held = [result for result in results if result.numbers["batch"] == size]
        _points(
            axes,
            [decoders.index(result.label) for result in held],
            [result.metrics["seconds_per_vector"] for result in held],
            1,
            label=f"{size} together",
            color=COLOURS[number],
            marker="o",
            linestyle="none",
        )
    axes.set_yscale("log")
    axes.set_xticks(range(len(decoders)), decoders)
    axes.set_ylabel("seconds per vector")
    axes.legend(frameon=False)


def _search(figure: Any, results: Sequence[Result]) -> None:
    """Recovery against compared texts and against seconds; a strategy is a line."""
    curves = [result for result in results if result.details["group"] == "compared"]
    panels = figure.subplots(2, 2)
    figure.set_size_inches(11, 8)
    beside = {"compared": "compared texts", "seconds_per_vector": "seconds per vector"}
    for row, (number, below) in zip(panels.T, beside.items(), strict=True):
        for axes, name in zip(row, ("token_f1", "exact_match"), strict=True):
            for place, label in enumerate(dict.fromkeys(result.label for result in curves)):
                held = [result for result in curves if result.label == label]
                xs = [max(result.numbers[number], NEARLY_NOTHING[number]) for result in held]
                look = {"label": _plain(label), "color": COLOURS[place % len(COLOURS)], "marker": "o"}
                _points(axes, xs, [result.metrics[name] for result in held], 100, **look)
            axes.set(xscale="log", xlabel=below, title=COLUMNS[name][0])
    panels[0, 0].legend(frameon=False)


def _search_parts(figure: Any, results: Sequence[Result]) -> None:
    axes = figure.subplots()
    _bars(axes, results, _names("token_f1", "exact_match", "rouge_l"))
    axes.set_title("What the search finds without each of its parts")


def _search_order(figure: Any, results: Sequence[Result]) -> None:
    axes = figure.subplots()
    _bars(axes, results, _names("token_accuracy", "exact_match", "rouge_l"))
    axes.set_title("From the right words, scrambled")


# Where a line without any comparison stands on a logarithmic axis.
NEARLY_NOTHING = {"compared": 1.0, "seconds_per_vector": 1e-3}
PICTURES: dict[str, Callable[[Any, Sequence[Result]], None]] = {
    "decoders": _decoders,
    "remask": _remask,
    "guidance": _guidance,
    "milestones": _milestones,
    "masking": _masking,
    "conditioning": _conditioning,
    "breakdown": _breakdown,
    "cost": _cost,
    "search": _search,
    "search-ablation": _search_parts,
    "search-order": _search_order,
}
