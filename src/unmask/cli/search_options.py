"""What the commands that can search share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

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
Answers = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="search: keep the encoder's answers in this file, by a hash of the text, and never ask for them again.",
    ),
]


def search_options(scorer: str, budget: int, rounds: int, beam: int, answers: Path | None) -> SearchOptions:
    kept = None if answers is None else str(answers)
    return SearchOptions(scorer=scorer, budget=budget, rounds=rounds, beam=beam, answers=kept)


def what_decides(search: SearchOptions) -> dict[str, Any]:
    """All settings but where answers are kept, which changes none of them."""
    return {name: value for name, value in asdict(search).items() if name != "answers"}
