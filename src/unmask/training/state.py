"""Where training stood: saved whole or not at all, resumed bit for bit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unmask.errors import CheckpointError
from unmask.files import make_folder, read_json, write_by_name, write_json
from unmask.training.optimizer import MovingAverage

POINTER = "state.json"


@dataclass
class Progress:
    """The counters of a run."""

    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    head_seconds: float = 0.0  # those of the heads' own steps
    best_loss: float | None = None
    best_step: int = 0


def save_state(
    folder: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage,
    progress: Progress,
    recipe_hash: str,
) -> None:
    """Weights, averages and moments in one file; the pointer to it is written last."""
    from safetensors.torch import save_file

    make_folder(folder)
    tensors = {f"weights.{name}": value.contiguous() for name, value in module.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.weights.items()}
    for name, parameter in _trained(module).items():
        for moment, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{moment}.{name}"] = value
    weights = folder / f"step-{progress.step}.safetensors"
    write_by_name(weights, lambda name: save_file({k: v.detach().cpu() for k, v in tensors.items()}, name))
    write_json(folder / POINTER, {"file": weights.name, "recipe": recipe_hash, "progress": asdict(progress)})
    for old in folder.glob("step-*.safetensors"):
        if old != weights:
            old.unlink()


def has_state(folder: Path) -> bool:
    return (folder / POINTER).is_file()


def check_fresh(out: Path, resume: bool) -> None:
    """Complain about a folder whose run would be overwritten."""
    if has_state(out / "state") and not resume:
        raise CheckpointError(
            f"{out} holds a training run already; go on with --resume, or give another --out (nothing was changed)"
        )


def load_state(
    folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer, average: MovingAverage, recipe_hash: str
) -> Progress:
    """Put a saved state back into the objects; returns the counters."""
    pointer = read_json(folder / POINTER)
    if pointer["recipe"] != recipe_hash:
        raise CheckpointError(
            f"{folder} was trained with another recipe or other pairs (hash {pointer['recipe'][:12]}, now "
            f"{recipe_hash[:12]}); resume with those it was started with, or give another --out"
        )
    tensors = _read_tensors(folder / pointer["file"])
    try:
        module.load_state_dict({name: tensors[f"weights.{name}"] for name in module.state_dict()})
        for name, held in average.weights.items():
            held.copy_(tensors[f"average.{name}"])
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"the training state in {folder} does not fit this network ({str(error).splitlines()[0]}); it was written "
            "by another version: start again without --resume, in another --out"
        ) from error
    for name, parameter in _trained(module).items():
        moments = {key.partition(".")[0]: value for key, value in tensors.items() if _is_moment(key, name)}
        if moments:
            device = {"step": torch.device("cpu")} if parameter.device.type == "cpu" else {}
            optimizer.state[parameter] = {k: v.to(device.get(k, parameter.device)) for k, v in moments.items()}
    return Progress(**pointer["progress"])


def _trained(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def _is_moment(key: str, name: str) -> bool:
    kind, _, rest = key.partition(".")
    return rest == name and kind not in ("weights", "average")


def _read_tensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"the training state {path} is damaged or missing ({error}); start again without --resume"
        ) from error
