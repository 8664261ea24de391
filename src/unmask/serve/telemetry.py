"""Numbers about the server, as Prometheus reads them; never a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unmask.serve.engine import Engine

HELP = {
    "requests": "Requests that were taken on.",
    "vectors": "Vectors read back.",
    "passes": "Forward passes of the network, a vector each.",
    "encoder_calls": "Texts embedded by searches.",
    "refused": "Requests refused because the queue was full.",
    "left": "Requests whose client left before the end.",
    "late": "Requests that were not done in time.",
    "failed": "Requests that failed.",
    "seconds": "Seconds that the model worked.",
}


def prometheus(engines: Mapping[str, Engine]) -> str:
    lines = []
    for name, explanation in HELP.items():
        metric = f"unmask_{name}_total"
        lines += [f"# HELP {metric} {explanation}", f"# TYPE {metric} counter"]
        lines += [f'{metric}{{model="{_escaped(model)}"}} {asdict(e.counts)[name]}' for model, e in engines.items()]
    for name, explanation in (("active", "Requests being worked on."), ("waiting", "Requests that wait.")):
        lines += [f"# HELP unmask_{name} {explanation}", f"# TYPE unmask_{name} gauge"]
        lines += [f'unmask_{name}{{model="{_escaped(model)}"}} {getattr(e, name)}' for model, e in engines.items()]
    return "\n".join(lines) + "\n"


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
