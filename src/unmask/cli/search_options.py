"""What the commands that can search share."""

from __future__ import annotations

from typing import Annotated

import typer

from unmask.search import SearchOptions

USUAL = SearchOptions()
Budget = Annotated[int, typer.Option(help="search: most encoder calls for one vector.")]
Rounds = Annotated[int, typer.Option(help="search: most rounds of edits.")]
Beam = Annotated[int, typer.Option(help="search: texts kept from round to round.")]
