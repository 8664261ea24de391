"""Which encoder made these vectors: a hash of weights and settings, the same on every machine and in every precision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmask.errors import EncoderError
from unmask.files import read_json, sha256_of_file, sha256_of_json

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def fingerprint_of(kind: str, weights: Mapping[str, str], settings: Mapping[str, Any]) -> str:
    """One short hash for what a checkpoint must find again."""
    return sha256_of_json({"kind": kind, "weights": dict(weights), "settings": dict(settings)})[:32]


def model_folder(model: str) -> Path:
    """Where the files of a loaded model lie: its own folder, or the hub's cache."""
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    for name in (model, f"sentence-transformers/{model}"):
        try:
            return Path(snapshot_download(name, local_files_only=True))
        except (LocalEntryNotFoundError, ValueError):
            continue
    raise EncoderError(f"the files of '{model}' are no longer in the hub's cache; load the encoder again")


def weight_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of weights that the model's modules read, by its path inside the folder."""
    hashes: dict[str, str] = {}
    for module in read_json(folder / "modules.json"):
        place = folder / module["path"]
        files = sorted(place.glob("*.safetensors")) or sorted(place.glob("*.bin"))
        hashes.update({str(path.relative_to(folder)): sha256_of_file(path) for path in files})
    return hashes


def module_settings(network: SentenceTransformer) -> list[dict[str, Any]]:
    """What the modules behind the transformer do, in the order in which they do it."""
    described = []
    for module in network:
        settings: dict[str, Any] = {"module": type(module).__name__}
        if hasattr(module, "get_pooling_mode_str"):
            settings["pooling"] = module.get_pooling_mode_str()
            settings["include_prompt"] = bool(getattr(module, "include_prompt", True))
        described.append(settings)
    return described
