"""Checkpoints: weights, recipe, tokenizer and a manifest that is written last."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from unmask.denoiser.build import build_denoiser, token_space
from unmask.denoiser.network import Denoiser
from unmask.denoiser.storage import STORAGES, stored_weights, unpack_weights
from unmask.errors import CheckpointError, OutputError, UnknownName
from unmask.files import make_folder, read_json, sha256_of_file, write_json
from unmask.recipe import Recipe, parse_recipe
from unmask.registry import nearest_name

if TYPE_CHECKING:
    from unmask.text.tokens import TextTokenizer

MANIFEST = "manifest.json"
CALIBRATION = "calibration.json"  # what its confidence is worth, where somebody measured that
TOKENIZER = "tokenizer"
FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """A trained inverter as it lies on disk."""

    folder: Path
    denoiser: Denoiser
    tokenizer: TextTokenizer
    recipe: Recipe
    manifest: dict[str, Any]


def shipped_folder() -> Path:
    return Path(__file__).parents[1] / "checkpoints"


def shipped_models() -> list[dict[str, Any]]:
    """The manifests of the models inside the package, each with its `name`."""
    found = sorted(shipped_folder().glob(f"*/{MANIFEST}"))
    return [{"name": path.parent.name, **read_json(path)} for path in found]


def save_checkpoint(
    folder: Path | str,
    denoiser: Denoiser,
    tokenizer: TextTokenizer,
    recipe: Recipe,
    encoder: dict[str, Any],
    progress: dict[str, Any],
    storage: str = "fp32",
) -> None:
    """Write a checkpoint; an older one in the same folder stays valid until the manifest is replaced."""
    folder = make_folder(folder)
    tokenizer.save(make_folder(folder / TOKENIZER))
    with stored_weights(folder, denoiser.state_dict(), storage) as weights:
        manifest = {
            "format": FORMAT,
            "weights": weights,
            "length": denoiser.length,
            "dimension": denoiser.dimension,
            "encoder": encoder,
            "tokenizer": {"name": tokenizer.name, "fingerprint": tokenizer.fingerprint},
            "stock_config": denoiser.backbone.stock_config,
            "progress": {k: v for k, v in progress.items() if not (isinstance(v, float) and math.isnan(v))},
            "recipe": recipe.model_dump(mode="json"),
        }
        write_json(folder / MANIFEST, manifest)


def find_checkpoint(name_or_path: str | Path) -> Path:
    """The folder of a shipped model by name, of a checkpoint, or of a training run's best one."""
    path = Path(name_or_path)
    for folder in (path, path / "best", path / "last", shipped_folder() / str(name_or_path)):
        if (folder / MANIFEST).is_file():
            return folder
    names = [model["name"] for model in shipped_models()]
    if path.is_dir():
        raise CheckpointError(
            f"{path} holds no {MANIFEST}, expected a checkpoint folder or a run of unmask train; "
            f"shipped models: {', '.join(names) or 'none'}"
        )
    guess = nearest_name(str(name_or_path), names)
    hint = f"; did you mean '{guess}'?" if guess else ";"
    raise UnknownName(f"no model '{name_or_path}'{hint} give a folder, or one of: {', '.join(names) or 'none shipped'}")


def load_checkpoint(
    name_or_path: str | Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Checkpoint:
    """Load a checkpoint for use: weights checked against the manifest, no dropout, no gradients."""
    from unmask.text.tokens import TextTokenizer

    folder = find_checkpoint(name_or_path)
    manifest = read_json(folder / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder} has checkpoint format {manifest.get('format')}, this version reads {FORMAT}; "
            "install the version of unmask that wrote it, or train again"
        )
    recipe = parse_recipe(manifest["recipe"], origin=str(folder / MANIFEST))
    tokenizer = TextTokenizer.load(folder / TOKENIZER)
    if tokenizer.fingerprint != manifest["tokenizer"]["fingerprint"]:
        raise CheckpointError(
            f"the tokenizer in {folder} is not the one the model was trained with (fingerprint "
            f"{tokenizer.fingerprint[:12]}, expected {manifest['tokenizer']['fingerprint'][:12]}); restore the folder"
        )
    denoiser = build_denoiser(
        recipe.denoiser,
        token_space(tokenizer),
        manifest["length"],
        manifest["dimension"],
        manifest["stock_config"] or {},
    )
    _put_weights(denoiser, folder, manifest)
    denoiser.eval().requires_grad_(False)
    return Checkpoint(folder, denoiser.to(device=device, dtype=dtype), tokenizer, recipe, manifest)


def _put_weights(denoiser: Denoiser, folder: Path, manifest: dict[str, Any]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / manifest["weights"]["file"]
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; copy the whole checkpoint folder again")
    digest = sha256_of_file(path)
    if digest != manifest["weights"]["sha256"]:
        raise CheckpointError(
            f"{path} is damaged (SHA-256 {digest[:12]}, expected {manifest['weights']['sha256'][:12]}); copy it again"
        )
    try:
        weights = unpack_weights(load_file(str(path)))
        denoiser.load_state_dict(weights)
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(
            f"the weights in {path} do not fit the recipe beside them ({str(error).splitlines()[0]}); "
            "the checkpoint was made from another recipe or by another version: train again"
        ) from error


def export_checkpoint(source: str | Path, target: Path | str, storage: str) -> Path:
    """Write a smaller copy of a checkpoint, such as the one a package ships."""
    if storage not in STORAGES:
        raise UnknownName(f"unknown storage '{storage}'; use one of {', '.join(STORAGES)}")
    held = load_checkpoint(source)
    if Path(target).resolve() == held.folder.resolve():
        raise OutputError(f"{target} is the model itself, expected another folder for its copy; give another --out")
    save_checkpoint(
        target, held.denoiser, held.tokenizer, held.recipe, held.manifest["encoder"], held.manifest["progress"], storage
    )
    return Path(target)


def checkpoint_files(folder: Path) -> Iterator[Path]:
    """Every file that belongs to a checkpoint."""
    manifest = read_json(folder / MANIFEST)
    yield folder / manifest["weights"]["file"]
    yield from sorted((folder / TOKENIZER).iterdir())
    if (folder / CALIBRATION).is_file():
        yield folder / CALIBRATION
    yield folder / MANIFEST
