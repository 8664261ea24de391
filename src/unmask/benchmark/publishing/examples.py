"""Twenty texts, picked by seed and not by hand, and what came back of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from unmask.benchmark.publishing.markdown import escape, lay_out, notes
from unmask.benchmark.publishing.results import Result
from unmask.benchmark.publishing.setting import Setting, Table

NAME = "examples"
COUNT = 20


def measure_examples(setting: Setting) -> Iterator[Result]:
    decoder = setting.decoder
    opened = replace(setting, limit=min(COUNT, setting.limit or COUNT)).open()
    evaluation = opened.evaluate(opened.attack(decoder))
    details = {**evaluation.details, "texts": evaluation.texts}
    for row, ids, domain in zip(evaluation.rows, opened.held_out.ids, opened.domains(), strict=True):
        yield Result(
            NAME,
            row["id"],
            evaluation.n,
            evaluation.seed,
            numbers={
                "cosine": row["cosine"],
                "tokens_right": round(row["token_accuracy"] * len(ids)),
                "tokens": len(ids),
                "token_f1": row["token_f1"],
            },
            details={**details, "domain": domain, "text": row["text"], "found": row["found"]},
        )


def markdown(results: Sequence[Result]) -> str:
    rows = [
        [
            escape(result.details["domain"]),
            escape(result.details["text"]),
            escape(result.details["found"]),
            f"{result.numbers['cosine']:.2f}",
            f"{result.numbers['tokens_right']:.0f} of {result.numbers['tokens']:.0f}",
            f"{100 * result.numbers['token_f1']:.0f}",
        ]
        for result in results
    ]
    headings = ["domain", "text", "read back from its vector", "cosine", "tokens right", "token F1, %"]
    decoder = f"Decoder {results[0].details['decoder']}; picked by seed, not by hand."
    return "\n\n".join([lay_out(headings, rows, 3), f"{notes(results)}\n{decoder}"])


TABLE = Table(measure_examples, markdown, holds_texts=True)
