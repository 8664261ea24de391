"""All the text that a recipe names, as one stream of clean paragraphs in a fixed order."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unmask.errors import InputError, RecipeError
from unmask.recipe import Recipe, TextSection, TextSource
from unmask.text.cleaning import clean, pieces
from unmask.text.hub import read_hub
from unmask.text.interleaving import Paragraph, interleave
from unmask.text.readers import KIND_OF_SUFFIX, columns_of_file, domains_of_file, kind_of_file, read_file

log = logging.getLogger(__name__)

# Hardly any token of prose is longer; only used to tell how much of a paragraph can be cut at most.
_CHARACTERS_PER_TOKEN = 4


def read_paragraphs(section: TextSection, seed: int) -> Iterator[Paragraph]:
    """Every paragraph, each source, language and domain taking its share; the same order each time."""
    check_sources(section)
    most = section.cuts_per_paragraph * section.length * _CHARACTERS_PER_TOKEN
    streams = {str(place): _read_source(source, seed, most) for place, source in enumerate(section.sources)}
    for paragraph in interleave(streams, dict.fromkeys(streams, 1.0), most):
        for piece in pieces(clean(paragraph.text)):
            if piece:
                yield Paragraph(piece, paragraph.domain, paragraph.source)


def with_text(recipe: Recipe, path: str) -> Recipe:
    """The recipe with its text taken from a local file, folder or pattern; how to read it stays the first source's.

    What the recipe says of columns that this text does not have is left out: anyone's own text will do.
    """
    held = recipe.text.sources[0] if recipe.text.sources else TextSource()
    changes: dict[str, Any] = {"path": path}
    if held.kind == "hub":
        changes |= {"kind": "auto", "languages": ()}
    place, kind = local_files(held.model_copy(update=changes))[0]
    columns = columns_of_file(place, kind)
    for column, what_needs_it in (("domain_field", "domain_weights"), ("source_field", "exclude_sources")):
        name = getattr(held, column)
        if name and name not in columns:
            if getattr(held, what_needs_it):
                log.warning("%s has no '%s': the recipe's %s do not apply", path, name, what_needs_it)
            changes |= {column: None, what_needs_it: type(getattr(held, what_needs_it))()}
    text = recipe.text.model_copy(update={"sources": (held.model_copy(update=changes),)})
    return recipe.model_copy(update={"text": text})


def describe_sources(section: TextSection) -> list[dict[str, Any]]:
    """What the text is, so that a changed one is noticed: for local files their names and sizes."""
    described: list[dict[str, Any]] = []
    for source in section.sources:
        if source.kind == "hub":
            described.append({"hub": source.path, "languages": list(source.languages), "split": source.split})
        else:
            described.append({"files": {path.name: path.stat().st_size for path, _ in local_files(source)}})
    return described


def check_sources(section: TextSection) -> None:
    """Complain about what can be seen without reading."""
    if not section.sources:
        raise RecipeError("the recipe names no text; add text.sources or give --text PATH")
    for source in section.sources:
        if not source.path:
            raise RecipeError("the recipe leaves open where its text is; give --text PATH (a file or a folder)")
        if source.domain_weights and not source.domain_field:
            raise RecipeError("domain_weights is given but domain_field is not; name the column that says the domain")
        if source.domain_weights and source.kind == "hub":
            raise RecipeError("domain_weights needs local text, a hub is streamed in its own order; leave it out")
        if source.kind != "hub":
            local_files(source)


def local_files(source: TextSource) -> list[tuple[Path, str]]:
    """(file, kind) of each file that a local source stands for, in the order of their names."""
    path = Path(source.path).expanduser()
    if path.is_file():
        kind = source.kind if source.kind in KIND_OF_SUFFIX.values() else kind_of_file(path) or "plain"
        return [(path, kind)]
    if path.is_dir():
        candidates = sorted(path.iterdir())
    elif glob.has_magic(source.path):
        candidates = sorted(Path(found) for found in glob.glob(str(path), recursive=True))
    else:
        raise InputError(f"{source.path} does not exist; give a file, a folder or a pattern such as 'books/**/*.txt'")
    only = source.kind if source.kind in KIND_OF_SUFFIX.values() else None
    files = [(file, kind_of_file(file)) for file in candidates if file.is_file() and not file.name.startswith(".")]
    found = [(file, kind) for file, kind in files if kind is not None and only in (None, kind)]
    if not found:
        held = ", ".join(sorted({file.suffix or file.name for file, _ in files})) or "no files"
        raise InputError(
            f"{source.path} holds no text file of a known kind (there: {held}); expected {', '.join(KIND_OF_SUFFIX)}; "
            "for folders inside folders give a pattern such as 'books/**/*.txt'"
        )
    return found


def _read_source(source: TextSource, seed: int, most: int) -> Iterator[Paragraph]:
    if source.kind == "hub":
        yield from read_hub(source, seed, most)
        return
    files = local_files(source)
    if not source.domain_weights:
        yield from _read_files(files, source)
        return
    found = sorted(set().union(*(domains_of_file(path, kind, source) for path, kind in files)))
    unknown = [name for name in found if name not in source.domain_weights]
    if unknown:
        raise RecipeError(
            f"the text has the domain '{unknown[0]}', which domain_weights does not name; add it (0 leaves it out)"
        )
    streams = {name: _read_files(files, source, name) for name in found}
    yield from interleave(streams, source.domain_weights, most)


def _read_files(files: list[tuple[Path, str]], source: TextSource, domain: str | None = None) -> Iterator[Paragraph]:
    for path, kind in files:
        try:
            yield from read_file(path, kind, source, domain)
        except PermissionError as error:
            raise InputError(f"not allowed to read {path}; change its permissions or give other text") from error
