"""Mask ratios against schedules, on equal budgets (appendix A), with the fill-in accuracy beside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from unmask.benchmark.publishing import published
from unmask.benchmark.publishing.markdown import NONE, headings_of, lay_out, metric_cells, notes, number, present
from unmask.benchmark.publishing.results import Result
from unmask.benchmark.publishing.setting import Setting, Table
from unmask.benchmark.publishing.variants import FILL_IN, Variant, budget_note, check, measure_variants, plan_of
from unmask.benchmark.tables import show

NAME = "masking"
RATIOS = (0.1, 0.2, 0.4, 0.8, 1.0)
SCHEDULES = ("exact_k", "linear", "cosine", "exponential")


def label_of(ratio: float) -> str:
    return f"fixed {100 * ratio:g} %"


def variants(setting: Setting) -> list[Variant]:
    fixed = [Variant(label_of(ratio), ("schedule.kind=fixed", f"schedule.ratio={ratio}")) for ratio in RATIOS]
    return [*fixed, *(Variant(kind, (f"schedule.kind={kind}",)) for kind in SCHEDULES)]


def measure_masking(setting: Setting) -> Iterator[Result]:
    return measure_variants(setting, NAME, variants, with_fill_in=True)


def markdown(results: Sequence[Result]) -> str:
    names = present(results)
    theirs = {label_of(ratio): line for ratio, line in published.MASKING.items()}
    rows = []
    for result in results:
        line = theirs.get(result.label)
        rows.append(
            [
                result.label,
                *metric_cells(result, names),
                number(result.numbers.get("validation_loss"), 3),
                show(result.metrics[FILL_IN], 100, 1),
                *([NONE, NONE] if line is None else [number(line.accuracy), number(line.validation_loss, 3)]),
            ]
        )
    headings = ["trained with", *headings_of(names), "validation loss, full mask", "fill-in at 10 % masking, %"]
    theirs_headings = ["published: accuracy at its own ratio, %", "published: validation loss"]
    fill_in = (
        "Fill-in: a tenth of the tokens hidden, the others and the length visible, one pass. The published accuracies "
        "are of that kind, each at the ratio that it was trained with; all other columns are from full mask."
    )
    parts = [lay_out([*headings, *theirs_headings], rows), notes(results), budget_note(results), fill_in]
    return "\n\n".join(parts)


TABLE = Table(measure_masking, markdown, plan=plan_of(variants), check=check)
