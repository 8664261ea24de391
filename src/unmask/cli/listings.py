"""`unmask models`, `encoders`, `decoders` and `recipes`: what there is, a line each."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from unmask.cli.console import note, print_json, print_table

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON array instead of a table.")]


def models(as_json: AsJson = False) -> None:
    """List the trained models that ship with the package.

    A model reads the vectors of one encoder. Its name goes to --model; so does the folder of a model of your own.

        unmask invert vectors.npy --model minilm
    """
    from unmask.denoiser.checkpoint import shipped_models

    rows = [
        {
            "name": manifest["name"],
            "encoder": manifest["encoder"].get("name", "?"),
            "dimension": manifest["dimension"],
            "length": manifest["length"],
            "summary": manifest["recipe"].get("summary", ""),
        }
        for manifest in shipped_models()
    ]
    if not rows and not as_json:
        note("no model ships with this installation; train one from a recipe of `unmask recipes`")
    _print(rows, as_json)


def encoders(as_json: AsJson = False) -> None:
    """List the encoders: what turned the texts into the vectors.

    The name goes to --encoder, or to `encoder.name` in a recipe.

        unmask embed texts.txt --encoder minilm --out vectors.npy
    """
    from unmask.encoders import ENCODERS

    _print([{"name": entry.name, "summary": entry.summary} for entry in ENCODERS], as_json)


def decoders(as_json: AsJson = False) -> None:
    """List the ways of decoding: in which order a text is read back from a vector.

    The name goes to --decoder.

        unmask invert vectors.npy --decoder euler --steps 16
    """
    from unmask.attacks.decoders import ALL_DECODERS

    _print([{"name": entry.name, "summary": entry.summary} for entry in ALL_DECODERS], as_json)


def recipes(as_json: AsJson = False) -> None:
    """List the shipped recipes: everything that decides what a trained model is.

    The name, or the path of a recipe of your own, goes to `unmask prepare` and `unmask train`.

        unmask prepare jina-v3-english --text my-texts.jsonl
    """
    from unmask.recipe import load_recipe, recipe_names

    _print([{"name": name, "summary": load_recipe(name).summary} for name in recipe_names()], as_json)


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(rows)
        return
    headings = [key for key in rows[0] if key not in ("name", "summary")] if rows else []
    named = ["name", *headings, "summary"] if headings else []
    print_table([[str(value) for value in row.values()] for row in rows], headings=named)
