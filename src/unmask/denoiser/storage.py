"""How weights lie on disk: whole, halved, or as bytes with one scale a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from unmask.errors import CheckpointError
from unmask.files import sha256_of_file, write_by_name

STORAGES = ("fp32", "fp16", "int8")
SCALE = ".scale"
# Smaller tensors are norms, gates and biases: they weigh nothing and are the most sensitive.
SMALLEST_PACKED = 4096


def pack_weights(weights: dict[str, torch.Tensor], storage: str) -> dict[str, torch.Tensor]:
    """Weights as they are written."""
    packed: dict[str, torch.Tensor] = {}
    for name, value in weights.items():
        value = value.detach().cpu().contiguous()
        large = value.ndim == 2 and value.numel() >= SMALLEST_PACKED and value.is_floating_point()
        if storage == "int8" and large:
            scale = value.float().abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127  # (rows, 1)
            packed[name] = (value.float() / scale).round().clamp(-127, 127).to(torch.int8)
            packed[name + SCALE] = scale
        elif storage != "fp32" and value.is_floating_point() and value.numel() >= SMALLEST_PACKED:
            packed[name] = value.to(torch.float16)
        else:
            packed[name] = value.clone()
    return packed


def unpack_weights(packed: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights as they are used, in fp32."""
    weights: dict[str, torch.Tensor] = {}
    for name, value in packed.items():
        if name.endswith(SCALE) and name.removesuffix(SCALE) in packed:
            continue
        scale = packed.get(name + SCALE)
        if scale is not None:
            weights[name] = value.float() * scale
        else:
            weights[name] = value.float() if value.is_floating_point() else value
    return weights


def stored_file(folder: Path, said: Mapping[str, str], otherwise: str = "") -> Path:
    """The file of which a manifest says this, as it was written; `otherwise`: what else mends it."""
    path = folder / said["file"]
    if not path.is_file() or sha256_of_file(path) != said["sha256"]:
        raise CheckpointError(f"{path} is missing or damaged; copy the whole folder again{otherwise}")
    return path


@contextmanager
def stored_weights(
    folder: Path, weights: dict[str, torch.Tensor], storage: str, stem: str = "weights"
) -> Iterator[dict[str, str]]:
    """Write weights into a file named by its hash, and yield what a manifest says of it.

    Write that manifest in the block: only after it are older weights removed, so that the folder is valid throughout.
    """
    from safetensors.torch import save_file

    temporary = folder / f".{stem}.safetensors"
    packed = pack_weights(weights, storage)
    write_by_name(temporary, lambda name: save_file(packed, name))
    digest = sha256_of_file(temporary)
    kept = temporary.replace(folder / f"{stem}-{digest[:12]}.safetensors")
    yield {"file": kept.name, "sha256": digest, "storage": storage}
    for old in folder.glob(f"{stem}-*.safetensors"):
        if old != kept:
            old.unlink()
