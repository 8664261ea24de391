"""Decoding with a scorer in the loop: drafts, their vectors, edits of the best, and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unmask.search.options import SearchOptions

if TYPE_CHECKING:
    from unmask.search.stream import search

__all__ = ["SearchOptions", "search"]


def __getattr__(name: str) -> Any:
    if name != "search":
        raise AttributeError(f"module 'unmask.search' has no attribute '{name}'")
    from unmask.search.stream import search as found

    return found
