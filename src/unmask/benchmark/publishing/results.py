"""One line of a published table as it is kept: values with intervals, and how they were made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unmask.benchmark.evaluation import Evaluation
from unmask.errors import InputError
from unmask.files import atomic_writer
from unmask.records import Interval


@dataclass(frozen=True)
class Result:
    """One line; what it is called stands in `label`."""

    table: str
    label: str
    n: int
    seed: int
    metrics: dict[str, Interval] = field(default_factory=dict)  # measured on texts
    numbers: dict[str, float] = field(default_factory=dict)  # counted, or timed once
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, table: str, label: str, evaluation: Evaluation, **numbers: float) -> Result:
        details = {**evaluation.details, "texts": evaluation.texts}
        return cls(table, label, evaluation.n, evaluation.seed, evaluation.metrics, evaluation.cost | numbers, details)

    def to_json(self) -> dict[str, Any]:
        metrics = {name: {"value": i.value, "low": i.low, "high": i.high} for name, i in self.metrics.items()}
        return {
            "table": self.table,
            "label": self.label,
            "n": self.n,
            "seed": self.seed,
            "metrics": metrics,
            "numbers": self.numbers,
            "details": self.details,
        }

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Result:
        metrics = {name: Interval(**values) for name, values in tree["metrics"].items()}
        return cls(
            tree["table"], tree["label"], tree["n"], tree["seed"], metrics, tree["numbers"], tree["details"]
        )  # fmt: skip


def write_rows(path: Path | str, results: Sequence[Result], mode: int = 0o644) -> None:
    """A whole table, or nothing: a file of results is never half a table."""
    with atomic_writer(path, mode=mode) as handle:
        for result in results:
            handle.write(json.dumps(result.to_json(), ensure_ascii=False).encode("utf-8") + b"\n")


def read_rows(path: Path | str) -> list[Result]:
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); make it again with unmask bench") from error
    results = []
    for number, line in enumerate(lines, start=1):
        try:
            results.append(Result.from_json(json.loads(line)))
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path} line {number} is no result of unmask bench ({error!r}); make the file again"
            ) from error
    return results
