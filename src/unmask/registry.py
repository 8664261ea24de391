"""Name -> implementation, imported only when it is used."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from unmask.errors import UnknownName

T = TypeVar("T")


def nearest_name(word: str, names: list[str]) -> str | None:
    """The known name that `word` was most likely meant to be."""
    matches = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return matches[0] if matches else None


@dataclass(frozen=True)
class Entry:
    """One line of a listing: where the implementation is and what it does."""

    name: str
    target: str  # "package.module:attribute"
    summary: str


class Registry(Generic[T]):
    """A closed table of named implementations; the import happens in `resolve`."""

    def __init__(self, kind: str, entries: list[Entry]) -> None:
        self.kind = kind
        self._entries = {entry.name: entry for entry in entries}

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    @property
    def names(self) -> list[str]:
        return list(self._entries)

    def resolve(self, name: str) -> Any:
        """The registered class or function itself."""
        if name not in self._entries:
            guess = nearest_name(name, self.names)
            hint = f"; did you mean '{guess}'?" if guess else ";"
            raise UnknownName(f"unknown {self.kind} '{name}'{hint} Known: {', '.join(self.names)}")
        module_name, _, attribute = self._entries[name].target.partition(":")
        return getattr(importlib.import_module(module_name), attribute)
