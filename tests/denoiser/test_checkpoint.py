"""Checkpoints: what is written is what is read, or one sentence says why not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from unmask.denoiser.build import build_denoiser, token_space
from unmask.denoiser.checkpoint import (
    MANIFEST,
    checkpoint_files,
    export_checkpoint,
    find_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from unmask.denoiser.network import Denoiser
from unmask.denoiser.storage import pack_weights, unpack_weights
from unmask.errors import CheckpointError, OutputError, UnknownName
from unmask.recipe import Recipe, parse_recipe
from unmask.text.tokens import TextTokenizer, load_tokenizer

DIMENSION, LENGTH = 8, 10
ENCODER = {"name": "toy", "dimension": DIMENSION, "fingerprint": "f"}


def recipe(**backbone: int) -> Recipe:
    sizes = {"kind": "scratch", "layers": 1, "hidden": 16, "heads": 2, "feed_forward": 16, **backbone}
    tree = {"name": "tiny", "training": {"max_steps": 1}, "denoiser": {"backbone": sizes}, "text": {"length": LENGTH}}
    return parse_recipe(tree, "test")


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return load_tokenizer(recipe().tokenizer)


@pytest.fixture
def denoiser(tokenizer: TextTokenizer) -> Denoiser:
    torch.manual_seed(0)
    return build_denoiser(recipe().denoiser, token_space(tokenizer), LENGTH, DIMENSION).eval()


@pytest.fixture
def saved(tmp_path: Path, denoiser: Denoiser, tokenizer: TextTokenizer) -> Path:
    save_checkpoint(tmp_path / "model", denoiser, tokenizer, recipe(), ENCODER, {"step": 3})
    return tmp_path / "model"


def answer(denoiser: Denoiser) -> torch.Tensor:
    ids = torch.full((2, LENGTH), denoiser.mask_id)
    with torch.no_grad():
        return denoiser(ids, ids == denoiser.mask_id, denoiser.condition(torch.ones(2, DIMENSION)))


def test_a_loaded_model_answers_as_the_saved_one(saved: Path, denoiser: Denoiser) -> None:
    checkpoint = load_checkpoint(saved)
    assert torch.equal(answer(checkpoint.denoiser), answer(denoiser))
    assert checkpoint.recipe == recipe()
    assert checkpoint.manifest["encoder"] == ENCODER and checkpoint.manifest["progress"]["step"] == 3
    assert not checkpoint.denoiser.training
    assert not any(parameter.requires_grad for parameter in checkpoint.denoiser.parameters())


def test_saving_again_replaces_and_leaves_nothing_behind(
    saved: Path, denoiser: Denoiser, tokenizer: TextTokenizer
) -> None:
    denoiser.backbone.bias.data += 1
    save_checkpoint(saved, denoiser, tokenizer, recipe(), ENCODER, {"step": 4})
    assert torch.equal(answer(load_checkpoint(saved).denoiser), answer(denoiser))
    on_disk = {path for path in saved.rglob("*") if path.is_file()}
    assert on_disk == set(checkpoint_files(saved))


def test_killed_between_weights_and_manifest_the_old_model_still_loads(
    saved: Path, denoiser: Denoiser, tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = answer(load_checkpoint(saved).denoiser)
    denoiser.backbone.bias.data += 1

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("unmask.denoiser.checkpoint.write_json", die)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(saved, denoiser, tokenizer, recipe(), ENCODER, {})
    monkeypatch.undo()
    assert torch.equal(answer(load_checkpoint(saved).denoiser), before)


@pytest.mark.parametrize(("storage", "tolerance", "share"), [("fp16", 2e-3, 0.55), ("int8", 5e-2, 0.35)])
def test_smaller_storage_is_smaller_and_close(
    saved: Path, denoiser: Denoiser, tmp_path: Path, storage: str, tolerance: float, share: float
) -> None:
    small = export_checkpoint(saved, tmp_path / storage, storage)
    sizes = [next(folder.glob("weights-*")).stat().st_size for folder in (small, saved)]
    assert sizes[0] < share * sizes[1]
    found, wanted = (x.clamp(min=-1e3) for x in (answer(load_checkpoint(small).denoiser), answer(denoiser)))
    assert (found - wanted).abs().max() < tolerance * wanted.abs().max().clamp(max=30)


def test_int8_rounds_each_row_to_within_half_a_step() -> None:
    weight = torch.randn(64, 100) * torch.logspace(-3, 2, 64)[:, None]
    back = unpack_weights(pack_weights({"w": weight}, "int8"))["w"]
    step = weight.abs().amax(1, keepdim=True) / 127
    assert ((back - weight).abs() <= step * 0.5001).all()
    vector = {"b": torch.randn(100), "n": torch.arange(3)}
    assert all(torch.equal(unpack_weights(pack_weights(vector, "int8"))[name], value) for name, value in vector.items())


def test_unknown_storage(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"int4.*fp32, fp16, int8"):
        export_checkpoint(saved, tmp_path / "x", "int4")


def test_a_truncated_file_is_called_damaged(saved: Path) -> None:
    weights = next(saved.glob("weights-*"))
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"is damaged .*copy it again"):
        load_checkpoint(saved)


def test_a_missing_file_is_called_missing(saved: Path) -> None:
    next(saved.glob("weights-*")).unlink()
    with pytest.raises(CheckpointError, match="is missing"):
        load_checkpoint(saved)


def test_weights_of_another_recipe_are_refused(saved: Path) -> None:
    manifest = json.loads((saved / MANIFEST).read_text())
    manifest["recipe"]["denoiser"]["backbone"]["layers"] = 2
    (saved / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="another recipe"):
        load_checkpoint(saved)


def test_a_future_format_is_refused(saved: Path) -> None:
    manifest = json.loads((saved / MANIFEST).read_text())
    (saved / MANIFEST).write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(CheckpointError, match="format 99, this version reads 1"):
        load_checkpoint(saved)


def test_names_and_folders_that_hold_no_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no manifest\.json"):
        find_checkpoint(tmp_path)
    with pytest.raises(UnknownName, match="no model 'nonesuch'"):
        find_checkpoint("nonesuch")


def test_a_run_s_folder_stands_for_its_best_model(saved: Path, tmp_path: Path) -> None:
    saved.rename(tmp_path / "best")
    assert find_checkpoint(tmp_path) == tmp_path / "best"


def test_a_model_is_not_exported_onto_itself(saved: Path) -> None:
    with pytest.raises(OutputError, match="is the model itself"):
        export_checkpoint(saved, saved, "int8")
    assert load_checkpoint(saved).manifest["weights"]["storage"] == "fp32"


def test_a_disk_that_fills_up_is_said_in_one_sentence_and_the_old_model_stays(saved: Path) -> None:
    """In a process of its own, which may not write files of more than 1.5 MB."""
    code = (
        "import resource, signal, sys\n"
        "from unmask.denoiser.checkpoint import load_checkpoint, save_checkpoint\n"
        "from unmask.errors import OutputError\n"
        "held = load_checkpoint(sys.argv[1])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))\n"
        "held.denoiser.backbone.bias.data += 1\n"
        "try:\n"
        "    save_checkpoint(sys.argv[1], held.denoiser, held.tokenizer, held.recipe, {}, {}, 'fp32')\n"
        "except OutputError as error:\n"
        "    print(error)\n"
    )
    before = answer(load_checkpoint(saved).denoiser)
    result = subprocess.run([sys.executable, "-c", code, str(saved)], capture_output=True, text=True)
    assert "could not write" in result.stdout and "choose another place" in result.stdout, result
    assert torch.equal(answer(load_checkpoint(saved).denoiser), before)
    assert not list(saved.glob("*.partial"))
