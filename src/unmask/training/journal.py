"""One JSON line per event of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unmask.files import explain_write_failure


class Journal:
    """Appends to the run's log and tells whoever watches."""

    def __init__(self, path: Path, on_event: Callable[[dict[str, Any]], None] | None = None) -> None:
        self.path, self.on_event = path, on_event

    def write(self, **event: Any) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(event) + "\n")
        except OSError as error:
            raise explain_write_failure(self.path, error) from error
        if self.on_event is not None:
            self.on_event(event)


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The events of a log; a line cut off by a kill is passed over."""
    events = []
    for line in path.read_text("utf-8").splitlines():
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return events
