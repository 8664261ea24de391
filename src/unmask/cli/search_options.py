"""What the commands that can search share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from unmask.attacks.decoders import SEARCH
from unmask.errors import InputError
from unmask.search import SearchOptions

USUAL = SearchOptions()


def check_scorer(scorer: str, decoders: Sequence[str]) -> None:
    """Complain about a scorer that nothing would hear: a user must not believe that it compared."""
    if scorer != USUAL.scorer and SEARCH not in decoders:
        raise InputError(f"--scorer {scorer} was given, but only decoder {SEARCH} compares; add --decoder {SEARCH}")


Scorer = Annotated[
    str, typer.Option(help="search: encoder, surrogate (the model's own stand-in for it), or a surrogate's folder.")
]
Budget = Annotated[
    int, typer.Option(help="search: most texts compared with one vector; encoder calls, unless a surrogate compares.")
]
Rounds = Annotated[int, typer.Option(help="search: most rounds of edits.")]
Beam = Annotated[int, typer.Option(help="search: texts kept from round to round.")]
