"""What the commands that can search share."""

from __future__ import annotations

from typing import Annotated

import typer

from unmask.search import SearchOptions

USUAL = SearchOptions()
Scorer = Annotated[
    str, typer.Option(help="search: encoder, surrogate (the model's own stand-in for it), or a surrogate's folder.")
]
Budget = Annotated[
    int, typer.Option(help="search: most texts compared with one vector; encoder calls, unless a surrogate compares.")
]
Rounds = Annotated[int, typer.Option(help="search: most rounds of edits.")]
Beam = Annotated[int, typer.Option(help="search: texts kept from round to round.")]
