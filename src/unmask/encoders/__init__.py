"""Text to vector: every encoder behind one protocol, found by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmask.errors import EncoderError
from unmask.registry import Entry, Registry

if TYPE_CHECKING:
    from unmask.encoders.base import Encoder
    from unmask.recipe import EncoderSection

__all__ = ["ENCODERS", "load_encoder"]

ENCODERS: Registry[Encoder] = Registry(
    "encoder",
    [
        Entry(
            "minilm",
            "unmask.encoders.minilm:MinilmEncoder",
            "all-MiniLM-L6-v2, 384-d, bundled: no download, no key",
        ),
        Entry(
            "sentence-transformers",
            "unmask.encoders.sentence_transformers:SentenceTransformersEncoder",
            "any sentence-transformers model, by folder or hub name (encoder.model)",
        ),
        Entry(
            "api",
            "unmask.encoders.http_api:ApiEncoder",
            "an OpenAI-compatible embeddings API (encoder.model, encoder.url), within a budget",
        ),
        Entry(
            "precomputed",
            "unmask.encoders.precomputed:PrecomputedEncoder",
            "vectors that you already have, looked up by text (encoder.texts, encoder.vectors)",
        ),
    ],
)


def load_encoder(section_or_name: EncoderSection | str, *, device: str = "auto", **overrides: Any) -> Encoder:
    """Load an encoder from a recipe's section, a registered name, or a model's folder or hub name.

    `overrides` are keys of the section, such as `prompt` or `truncate_dim`; None leaves a key as it is.
    """
    from pydantic import ValidationError

    from unmask.recipe import EncoderSection

    changes = {key: value for key, value in overrides.items() if value is not None}
    given = section_or_name
    base = _section_of_name(given) if isinstance(given, str) else given.model_dump()
    try:
        section = EncoderSection.model_validate({**base, **changes})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise EncoderError(
            f"encoder setting '{key}' is {first.get('input')!r}: {first['msg']}; "
            f"known settings: {', '.join(EncoderSection.model_fields)}"
        ) from error
    return ENCODERS.resolve(section.name).from_section(section, device=device)


def _section_of_name(name: str) -> dict[str, Any]:
    """A name that is not registered may still be a model: hub names hold a slash, folders exist."""
    if name not in ENCODERS and ("/" in name or Path(name).is_dir()):
        return {"name": "sentence-transformers", "model": name}
    return {"name": name}
