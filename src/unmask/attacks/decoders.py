"""Every way of reading a vector that a user can name: the decoders of the loop, and the search that checks itself."""

from __future__ import annotations

from typing import Any

from unmask.decoding import DECODERS
from unmask.registry import Entry, Registry

SEARCH = "search"
ALL_DECODERS: Registry[Any] = Registry(
    "decoder",
    [
        *DECODERS,
        Entry(
            SEARCH,
            "unmask.search.stream:search",
            "Drafts, edited as long as their own vectors come nearer: needs the encoder, and finds whole texts.",
        ),
    ],
)
