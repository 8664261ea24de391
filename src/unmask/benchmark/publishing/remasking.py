"""The share of tokens that is masked again, in both readings of τ (the paper's Table 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from unmask.benchmark.publishing import published
from unmask.benchmark.publishing.markdown import headings_of, lay_out, metric_cells, notes, number, present
from unmask.benchmark.publishing.results import Result
from unmask.benchmark.publishing.setting import Setting, Table
from unmask.errors import InputError

NAME, DECODER = "remask", "euler_remask"
SHARES = (0.0, 0.05, 0.1, 0.2)
MODES: tuple[Literal["lowest", "threshold"], ...] = ("lowest", "threshold")


def check(setting: Setting) -> None:
    if setting.decoders not in ((), (DECODER,)):
        raise InputError(f"--decoder {setting.decoders[0]} was given, but this table is {DECODER}'s; leave it out")


def measure_shares(setting: Setting) -> Iterator[Result]:
    opened = setting.open(with_language_model=True)
    for mode in MODES:
        for share in SHARES:
            if share == 0 and mode != MODES[0]:
                continue  # nothing is masked again: the same in both readings
            options = replace(setting.options, remask_mode=mode, remask_share=share)
            # In a bar and in a file, which line this is.
            attack = opened.attack(DECODER, options)
            evaluation = opened.evaluate(attack, remask_mode=mode, remask_share=share)
            yield Result.of(NAME, f"{mode} {share:g}", evaluation)


def markdown(results: Sequence[Result]) -> str:
    names = present(results)
    headings = ["reading of τ", "τ", *headings_of(names), "passes per vector", *published.HEADINGS]
    rows = [
        [
            {"lowest": "lowest share", "threshold": "below confidence"}[result.details["remask_mode"]],
            f"{result.details['remask_share']:g}",
            *metric_cells(result, names),
            number(result.numbers["forward_passes_per_vector"]),
            *published.REMASKING.get(result.details["remask_share"], published.NOTHING).cells(),
        ]
        for result in results
    ]
    readings = (
        "Lowest share: after each step that share of the visible tokens, the least confident, is masked again (v2 of "
        "the paper). Below confidence: those whose confidence is less than τ (v1). At τ = 0 the two are the same."
    )
    return "\n\n".join([lay_out(headings, rows, 2), notes(results), readings, published.CAVEAT])


TABLE = Table(measure_shares, markdown, check=check)
