"""How far decoding is moved away from what would be written without the vector (classifier-free guidance)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from unmask.benchmark.publishing.markdown import headings_of, lay_out, metric_cells, notes, number, present
from unmask.benchmark.publishing.results import Result
from unmask.benchmark.publishing.setting import Setting, Table
from unmask.decoding import DECODERS

NAME = "guidance"
STRENGTHS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)


def measure_strengths(setting: Setting) -> Iterator[Result]:
    opened = setting.open(with_language_model=True)
    opened.inverter.denoiser.require_null_vector()
    for decoder in setting.decoders or DECODERS.names:
        for strength in STRENGTHS:
            attack = opened.attack(decoder, replace(setting.options, guidance=strength))
            yield Result.of(NAME, f"{decoder} {strength:g}", opened.evaluate(attack, guidance=strength))


def markdown(results: Sequence[Result]) -> str:
    names = present(results)
    rows = [
        [
            result.details["decoder"],
            f"{result.details['guidance']:g}",
            *metric_cells(result, names),
            number(result.numbers["forward_passes_per_vector"]),
        ]
        for result in results
    ]
    page = lay_out(["decoder", "guidance", *headings_of(names), "passes per vector"], rows, 2)
    meaning = (
        "Logits are moved on by so many times their distance from those without the vector; 0 is the decoder as it is."
    )
    return "\n\n".join([page, notes(results), meaning])


TABLE = Table(measure_strengths, markdown)
