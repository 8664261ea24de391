"""Text streamed from a data hub, language by language."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from unmask.errors import InputError, MissingExtra
from unmask.recipe import TextSource
from unmask.text.interleaving import Paragraph, interleave


def read_hub(source: TextSource, seed: int, most: int) -> Iterator[Paragraph]:
    """Shuffled paragraphs of a hub data set; several languages take equal shares."""
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra(f"streaming '{source.path}' from the hub", "data") from error
    streams = {
        language: _read_language(datasets, source, language, seed, place)
        for place, language in enumerate(source.languages or ("",))
    }
    yield from interleave(streams, dict.fromkeys(streams, 1.0), most)


def _read_language(datasets: Any, source: TextSource, language: str, seed: int, place: int) -> Iterator[Paragraph]:
    shown = f"{source.path} ({language})" if language else source.path
    try:
        rows = datasets.load_dataset(source.path, name=language or None, split=source.split, streaming=True)
        for row in rows.shuffle(seed=seed + place, buffer_size=source.shuffle_buffer):
            if source.field not in row:
                raise InputError(
                    f"the data set {shown} has no '{source.field}' (keys: {', '.join(row)}); set the field"
                )
            origin = str(row.get(source.source_field, "")) if source.source_field else ""
            if isinstance(row[source.field], str) and origin not in source.exclude_sources:
                yield Paragraph(row[source.field], language, origin or source.path)
    except (OSError, ValueError, ConnectionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"the data set {shown} cannot be read ({reason}); check its name, the languages and the connection, "
            "or give local text with --text"
        ) from error
