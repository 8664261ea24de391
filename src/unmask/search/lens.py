"""What a surrogate's vectors are worth: where it is seldom wrong a difference says more than where it often is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unmask.denoiser.storage import stored_file, stored_weights
from unmask.errors import CheckpointError, VectorError
from unmask.metrics.vectors import unit

STEM = "lens"
MEND = "make it anew with unmask train-surrogate MODEL --pairs DIR --out FOLDER --resume"
# Of the pairs that it is made from; below so many times the dimension the directions are not told apart.
LEAST_ROWS_A_DIMENSION = 4
# How far the linear map is held back, and how much alike the directions are taken to be: both in parts of what a mean
# direction has.
HELD_BACK, ALIKE = 1e-3, 0.02


@dataclass(frozen=True)
class Lens:
    """Vectors of texts as a surrogate gives them, and those that are searched for, made so that their cosine says how
    likely the one's text is the other's."""

    mended: np.ndarray  # (dimension + 1, dimension): what the encoder says, in the mean, where the surrogate says that
    weighed: np.ndarray  # (dimension, dimension): makes what is left of its error the same in all directions

    def of_texts(self, read: np.ndarray) -> np.ndarray:
        """read: (..., dimension), by the surrogate."""
        said = unit((read @ self.mended[:-1] + self.mended[-1]) @ self.weighed)
        # A vector that is short, for its opinions differ, stays so.
        return np.asarray(said * np.linalg.norm(read, axis=-1, keepdims=True))

    def of_vectors(self, vectors: np.ndarray) -> np.ndarray:
        """vectors: (..., dimension), by the encoder."""
        return unit(vectors @ self.weighed)


def fit_lens(read: np.ndarray, told: np.ndarray) -> Lens | None:
    """From vectors (texts, dimension) that the surrogate and the encoder gave the same texts; None where these are too
    few."""
    count, dimension = read.shape
    if count < LEAST_ROWS_A_DIMENSION * dimension:
        return None
    given, wanted = np.c_[read, np.ones(count)].astype(np.float64), unit(told).astype(np.float64)
    products = given.T @ given  # (dimension + 1, dimension + 1)
    held_back = HELD_BACK * np.trace(products) / len(products)
    mended = np.linalg.solve(products + held_back * np.eye(len(products)), given.T @ wanted)
    wrong = np.cov((wanted - given @ mended).T)  # (dimension, dimension)
    wrong += ALIKE * np.trace(wrong) / dimension * np.eye(dimension)
    if not np.isfinite(wrong).all() or not wrong.trace() > 0:
        raise VectorError(
            "the surrogate's error on the pairs is not a number or nothing at all, expected more than 0; train "
            "it again with a lower --rate, or prepare the pairs again"
        )
    weighed = np.linalg.cholesky(np.linalg.inv(wrong))
    weighed *= np.sqrt(dimension / (weighed**2).sum())  # of about the size of the vectors, whatever the error's
    return Lens(mended.astype(np.float32), weighed.astype(np.float32))


def save_lens(folder: Path, lens: Lens) -> dict[str, str]:
    """Write it; returns what a manifest says of it."""
    import torch

    arrays = {"mended": torch.from_numpy(lens.mended.copy()), "weighed": torch.from_numpy(lens.weighed.copy())}
    with stored_weights(folder, arrays, "fp16", STEM) as written:
        return dict(written)


def load_lens(folder: Path, manifest: Mapping[str, Any]) -> Lens | None:
    """What `save_lens` wrote, as the manifest of that folder has it; None where it says nothing of it."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    said = manifest.get(STEM)
    if said is None:
        return None
    path = stored_file(folder, said, f", or {MEND}")
    try:
        held = load_file(path)
        lens = Lens(held["mended"].astype(np.float32), held["weighed"].astype(np.float32))
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); {MEND}") from error
    if not all(np.isfinite(part).all() for part in (lens.mended, lens.weighed)):
        raise CheckpointError(f"{path} holds what is not a number; {MEND}")
    dimension, shapes = manifest["dimension"], (lens.mended.shape, lens.weighed.shape)
    if shapes != ((dimension + 1, dimension), (dimension, dimension)):
        raise CheckpointError(
            f"{path} is for vectors of another dimension (shapes {shapes}, expected {dimension}-d ones); {MEND}"
        )
    return lens
