"""The surrogate: a small network that learned from pairs what vector the encoder gives a text."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from unmask.denoiser.scratch import ScratchTransformer
from unmask.denoiser.storage import stored_file, stored_weights, unpack_weights
from unmask.errors import CheckpointError
from unmask.files import copy_file, make_folder, read_json, sha256_of_json, write_json
from unmask.recipe import ScratchBackbone
from unmask.search.fluency import STEM as FLUENCY
from unmask.search.lens import STEM as LENS

if TYPE_CHECKING:
    from unmask.text.tokens import TextTokenizer

# Beside a checkpoint's own files: the surrogate that was trained for it.
FOLDER = "surrogate"
MANIFEST = "manifest.json"
KIND, FORMAT = "surrogate", 1
FINISHED = "finished"  # in its progress: whether its training has come to its end


@dataclass(frozen=True)
class SurrogateShape:
    """How large a surrogate is."""

    layers: int = 3
    hidden: int = 256
    heads: int = 4
    feed_forward: int = 1024
    spread: int = 768  # what is averaged over the text is wider than the states, and not linear in them
    opinions: int = 4  # read from the same states, each taught by its own part of the texts


class Surrogate(nn.Module):
    """Tokens in, several opinions of the text's vector out, each of unit length.

    Where the opinions differ, their mean is short: a text of a kind that was never learnt from then counts as farther
    from any vector than it seems, which keeps a search from living off the surrogate's errors.
    """

    def __init__(self, shape: SurrogateShape, vocabulary_size: int, length: int, dimension: int, pad_id: int) -> None:
        super().__init__()
        self.shape, self.length, self.dimension, self.pad_id = shape, length, dimension, pad_id
        section = ScratchBackbone(
            kind="scratch", layers=shape.layers, hidden=shape.hidden, heads=shape.heads, feed_forward=shape.feed_forward
        )
        self.backbone = ScratchTransformer(section, vocabulary_size, length, dropout=0.0)
        self.backbone.bias.requires_grad_(False)  # of an output that is not used here
        self.widen = nn.Linear(shape.hidden, shape.spread)
        self.leave = nn.Linear(shape.spread, shape.opinions * dimension)

    @torch.no_grad()
    def begin_with(self, table: torch.Tensor) -> None:
        """Token rows (vocabulary, any width), seen from the directions that they differ in most."""
        centred = table.float() - table.float().mean(dim=0)
        directions = torch.linalg.eigh(centred.T @ centred)[1].flip(1)[:, : self.shape.hidden]  # (width, hidden)
        rows = centred @ directions
        scale = self.backbone.tokens.weight.std() / rows.std()
        self.backbone.tokens.weight[:, : rows.shape[1]] = rows * scale

    def opinions(self, ids: torch.Tensor) -> torch.Tensor:
        """(batch, opinions, dimension) for ids (batch, length)."""
        seen = ids != self.pad_id  # (batch, length)
        is_padded = self.training or not bool(seen.all())  # a search reads texts of one length together
        states = self.backbone.head(self.backbone(ids, None, None, seen if is_padded else None))
        wide = nn.functional.gelu(self.widen(states))  # (batch, length, spread)
        wide = wide * seen[..., None] if is_padded else wide
        mean = wide.sum(dim=1) / seen.sum(dim=1, keepdim=True)  # (batch, spread)
        vectors = self.leave(mean).unflatten(1, (self.shape.opinions, self.dimension))
        return nn.functional.normalize(vectors.float(), dim=-1)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """The mean opinion, as short as they are divided; (batch, dimension)."""
        return self.opinions(ids).mean(dim=1)


def save_surrogate(
    folder: Path | str,
    surrogate: Surrogate,
    tokenizer: TextTokenizer,
    encoder: dict[str, Any],
    progress: dict[str, Any],
    storage: str = "int8",
) -> None:
    """Write it, the manifest last."""
    folder = make_folder(folder)
    with stored_weights(folder, surrogate.state_dict(), storage) as weights:
        manifest = {
            "kind": KIND,
            "format": FORMAT,
            "weights": weights,
            "shape": asdict(surrogate.shape),
            "length": surrogate.length,
            "dimension": surrogate.dimension,
            "tokenizer": tokenizer.fingerprint,
            "encoder": encoder,
            "progress": progress,
        }
        write_json(folder / MANIFEST, manifest)


def surrogate_manifest(folder: Path) -> dict[str, Any] | None:
    """Of the surrogate in a folder; None where there is none."""
    manifest: dict[str, Any] = read_json(folder / MANIFEST) if (folder / MANIFEST).is_file() else {}
    return manifest if manifest.get("kind") == KIND else None


def surrogate_hash(manifest: dict[str, Any]) -> str:
    """Of everything in its folder that a search listens to."""
    parts = [manifest["weights"]["sha256"], *(manifest.get(part, {}).get("sha256") for part in (FLUENCY, LENS))]
    return sha256_of_json(parts)


def finished_surrogate(folder: Path) -> Path | None:
    """The folder of the surrogate beside a checkpoint, if there is one and its training has come to its end."""
    manifest = surrogate_manifest(folder / FOLDER)
    return folder / FOLDER if manifest is not None and manifest["progress"].get(FINISHED) else None


def surrogate_files(folder: Path) -> list[Path]:
    """Every file of that surrogate."""
    place = finished_surrogate(folder)
    manifest = None if place is None else surrogate_manifest(place)
    if place is None or manifest is None:
        return []
    names = [manifest[part]["file"] for part in ("weights", FLUENCY, LENS) if part in manifest]
    return [place / name for name in (*names, MANIFEST)]


def copy_surrogate(source: Path, target: Path) -> None:
    """Take the surrogate of one checkpoint's folder to another's, in the place of any that is there."""
    for old in surrogate_files(target):
        old.unlink(missing_ok=True)
    for path in surrogate_files(source):
        copy_file(path, make_folder(target / FOLDER) / path.name)


def load_surrogate(
    folder: Path | str, tokenizer: TextTokenizer, dimension: int, length: int, encoder: str | None = None
) -> Surrogate:
    """A surrogate for a model of this tokenizer, dimension and length, of the encoder with this fingerprint."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise CheckpointError(
            f"{folder} holds no surrogate ({MANIFEST} is missing); train one (unmask train-surrogate MODEL "
            "--pairs DIR), or search with --scorer encoder"
        )
    manifest = read_json(folder / MANIFEST)
    if manifest.get("kind") != KIND:
        raise CheckpointError(f"{folder} holds no surrogate, but another model; give the folder of train-surrogate")
    if manifest.get("format") != FORMAT:
        raise CheckpointError(
            f"the surrogate in {folder} has format {manifest.get('format')}, this version reads {FORMAT}; train it "
            "again"
        )
    held = (manifest["dimension"], manifest["length"], manifest["tokenizer"][:12])
    wanted = (dimension, length, tokenizer.fingerprint[:12])
    if held != wanted:
        raise CheckpointError(
            f"the surrogate in {folder} is for another model (dimension, length, tokenizer: {held}, expected "
            f"{wanted}); train one for this model with unmask train-surrogate"
        )
    taught_by = manifest["encoder"].get("fingerprint", encoder)
    if encoder is not None and taught_by != encoder:
        raise CheckpointError(
            f"the surrogate in {folder} stands for another encoder (fingerprint {taught_by[:12]}, expected "
            f"{encoder[:12]}); train one for this model with unmask train-surrogate"
        )
    path = stored_file(folder, manifest["weights"])
    surrogate = Surrogate(
        SurrogateShape(**manifest["shape"]), tokenizer.vocabulary_size, length, dimension, tokenizer.pad_id
    )
    try:
        surrogate.load_state_dict(unpack_weights(load_file(str(path))))
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(
            f"the weights in {path} do not fit their manifest ({str(error).splitlines()[0]}); train it again"
        ) from error
    return surrogate.eval().requires_grad_(False)
