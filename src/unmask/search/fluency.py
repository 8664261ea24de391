"""How likely a text is whatever its vector: it keeps a search from texts that only the encoder takes for sentences."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unmask.denoiser.storage import stored_file, stored_weights
from unmask.errors import CheckpointError
from unmask.metrics.ngrams import NgramModel
from unmask.search.hypotheses import Row

STEM = "fluency"
# Rarer n-grams of each order are left out: they make it twice as large and hardly any better.
LEAST_COUNTS = (1, 3, 4, 6)


class Fluency:
    """A small n-gram model of the texts that the inverter was trained on."""

    def __init__(self, model: NgramModel) -> None:
        self.model = model

    def log_likelihoods(self, rows: Sequence[Row]) -> np.ndarray:
        """Nats per token, negative; (rows,)."""
        nats, tokens = self.model.negative_log_likelihood([], rows)
        return -nats / np.maximum(tokens, 1)


def save_fluency(folder: Path, model: NgramModel) -> dict[str, str]:
    """Write what is kept of a model; returns what a manifest says of it."""
    import torch

    arrays = {name: torch.from_numpy(values.copy()) for name, values in model.packed(LEAST_COUNTS).items()}
    with stored_weights(folder, arrays, "fp32", STEM) as written:
        return {**written, "name": model.name}


def load_fluency(folder: Path, manifest: Mapping[str, Any]) -> Fluency | None:
    """What `save_fluency` wrote, as the manifest of that folder has it; None where it says nothing of it."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    said = manifest.get(STEM)
    if said is None:
        return None
    path = stored_file(folder, said)
    try:
        return Fluency(NgramModel.unpacked(load_file(path), said["name"]))
    except (SafetensorError, KeyError, ValueError, zlib.error) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); train the surrogate again") from error
