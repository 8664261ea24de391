"""Which encoder made these vectors: a hash of weights and settings, whatever the machine and precision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from unmask.files import sha256_of_file, sha256_of_json


def fingerprint_of(kind: str, weights: Mapping[str, str], settings: Mapping[str, Any]) -> str:
    """One short hash of what a checkpoint must find again."""
    return sha256_of_json({"kind": kind, "weights": dict(weights), "settings": dict(settings)})[:32]


def weight_hashes(folder: Path, places: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of each file of weights in `places`, by its path inside `folder`."""
    hashes: dict[str, str] = {}
    for place in places:
        files = sorted(place.glob("*.safetensors")) or sorted(place.glob("*.bin"))
        hashes.update({path.relative_to(folder).as_posix(): sha256_of_file(path) for path in files})
    return hashes
