"""Who finds personal data in the true texts: patterns, and Microsoft Presidio beside them where it is installed."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Protocol

from unmask.audit.personal import KINDS, Personal, find_personal
from unmask.errors import InputError, MissingExtra

AUTO, PATTERNS, PRESIDIO = "auto", "patterns", "presidio"
CHOICES = (AUTO, PATTERNS, PRESIDIO)
PACKAGE = "presidio_analyzer"
# spaCy's own English pipelines, the best that runs on a CPU first.
PIPELINES = ("en_core_web_lg", "en_core_web_md", "en_core_web_sm", "en_core_web_trf")


class Finder(Protocol):
    """Finds pieces of personal data, in the order of the text, no two of which overlap."""

    name: str
    kinds: tuple[str, ...]

    def find(self, text: str) -> list[Personal]: ...


class Patterns:
    """What needs nothing that is not shipped."""

    name = "patterns and checksums"
    kinds = KINDS

    def find(self, text: str) -> list[Personal]:
        return find_personal(text)


def choose_finder(choice: str = AUTO, pipeline: str | None = None) -> Finder:
    """`pipeline`: the name or folder of the spaCy pipeline that Presidio finds names and places with."""
    if choice not in CHOICES:
        raise InputError(f"the detector is '{choice}', expected one of {', '.join(CHOICES)}; change --detector")
    if choice == PATTERNS and pipeline is not None:
        raise InputError(f"patterns need no spaCy pipeline, got '{pipeline}'; drop --spacy-model or --detector")
    found = pipeline or _installed_pipeline()
    if choice == PATTERNS or (choice == AUTO and found is None):
        return Patterns()
    if not _is_installed(PACKAGE):
        raise MissingExtra("finding personal data with Presidio", "presidio")
    if found is None:
        raise InputError(
            f"Presidio needs a spaCy pipeline to find names with, expected one of {', '.join(PIPELINES)}; install one "
            f"(python -m spacy download {PIPELINES[0]}), or name yours with --spacy-model"
        )
    if not (_is_installed(found) or Path(found).is_dir()):
        raise InputError(
            f"the spaCy pipeline '{found}' is neither installed nor a folder; install it (python -m spacy download "
            f"{found}), or name another with --spacy-model"
        )
    return _presidio(found)


@cache
def _presidio(pipeline: str) -> Finder:
    from unmask.audit.presidio import Presidio

    return Presidio(pipeline)


def _installed_pipeline() -> str | None:
    """The one that is taken where none is named; None without Presidio."""
    if not _is_installed(PACKAGE):
        return None
    return next((name for name in PIPELINES if _is_installed(name)), None)


def _is_installed(package: str) -> bool:
    return package.isidentifier() and importlib.util.find_spec(package) is not None
