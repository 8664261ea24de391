"""Finding, reading and checking recipe files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from unmask.errors import RecipeError, UnknownName
from unmask.recipe.sections import PretrainedBackbone, Recipe, ScratchBackbone, TextSource
from unmask.registry import nearest_name


def recipe_folder() -> Path:
    """The recipes inside an installed package, or those of the source tree."""
    installed = Path(__file__).parents[1] / "recipes"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "recipes"


def recipe_names() -> list[str]:
    return sorted(path.stem for path in recipe_folder().glob("*.yaml"))


def find_recipe(name_or_path: str | Path) -> Path:
    """A recipe file by path, or a shipped one by name."""
    path = Path(name_or_path)
    if path.is_file():
        return path
    shipped = recipe_folder() / f"{path.stem}.yaml"
    if shipped.is_file() and str(name_or_path) in (path.stem, f"recipes/{path.stem}.yaml"):
        return shipped
    guess = nearest_name(path.stem, recipe_names())
    hint = f"; did you mean '{guess}'?" if guess else ";"
    raise UnknownName(f"no recipe '{name_or_path}'{hint} Shipped recipes: {', '.join(recipe_names())}")


def load_recipe(name_or_path: str | Path, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe; `overrides` are `a.b=c` strings as on the command line."""
    path = find_recipe(name_or_path)
    tree = _read_tree(path, seen=())
    for override in overrides or []:
        _apply_override(tree, override)
    return parse_recipe(tree, origin=str(path))


def parse_recipe(tree: dict[str, Any], origin: str) -> Recipe:
    """Validate a plain tree; every complaint names the file, the key and the nearest known key."""
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        complaints = [_explain(dict(item), tree) for item in error.errors()]
        raise RecipeError(f"{origin}: " + "; ".join(complaints)) from error


def _read_tree(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    path = path.resolve()
    if path in seen:
        raise RecipeError(f"{path} extends itself; remove the circle")
    try:
        tree = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read ({error}); check the path") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not valid YAML ({' '.join(str(error).split())}); mend that line") from error
    if not isinstance(tree, dict):
        raise RecipeError(f"{path} holds {type(tree).__name__}, expected keys and values; see recipes/minilm.yaml")
    base = tree.pop("extends", None)
    return tree if base is None else _merge(_read_tree(path.parent / str(base), (*seen, path)), tree)


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        same_kind = (
            isinstance(old, dict) and isinstance(value, dict) and old.get("kind") == value.get("kind", old.get("kind"))
        )
        merged[key] = _merge(old, value) if same_kind and isinstance(old, dict) else value
    return merged


def _apply_override(tree: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise RecipeError(f"--set {override}: expected a.b=c, such as --set training.max_steps=100")
    *parents, last = key.split(".")
    place: Any = tree
    try:
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
            if not isinstance(place, dict | list):
                raise RecipeError(f"--set {override}: '{part}' holds a value, not a section")
        place[int(last) if isinstance(place, list) else last] = _read_value(text)
    except (ValueError, IndexError) as error:
        raise RecipeError(f"--set {override}: a list there has no such place; count its entries from 0") from error


def _read_value(text: str) -> Any:
    """A value as YAML means it, but `query: now` is a text: only brackets and braces open a list or a section."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return text if isinstance(value, dict | list) and not text.lstrip().startswith(("[", "{")) else value


def _explain(item: dict[str, Any], tree: dict[str, Any]) -> str:
    where = [str(part) for part in item["loc"]]
    # pydantic puts the tag of a tagged union into the location; it is no key of the file.
    where = [part for index, part in enumerate(where) if not (index and part in ("scratch", "pretrained"))]
    key = ".".join(where)
    if item["type"] == "extra_forbidden":
        known = _known_keys(where[:-1], tree)
        guess = nearest_name(where[-1], known)
        return f"unknown key '{key}'" + (f"; did you mean '{guess}'?" if guess else f"; known here: {', '.join(known)}")
    if item["type"] == "missing":
        return f"missing key '{key}'"
    said = item["msg"].removeprefix("Value error, ")
    if not key:
        return said
    is_section = isinstance(item.get("input"), dict)
    return f"'{key}': {said}" if is_section else f"'{key}' is {item.get('input')!r}: {said}"


def _known_keys(section: list[str], tree: dict[str, Any]) -> list[str]:
    model: Any = Recipe
    place: Any = tree
    for part in section:
        if part.isdigit():
            model, place = TextSource, {}
            continue
        place = place.get(part, {}) if isinstance(place, dict) else {}
        if part == "backbone":
            kind = place.get("kind") if isinstance(place, dict) else None
            model = PretrainedBackbone if kind == "pretrained" else ScratchBackbone
        else:
            model = model.model_fields[part].annotation
        model = model if hasattr(model, "model_fields") else TextSource
    return list(model.model_fields)
