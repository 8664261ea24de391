"""What a search may go by: what is damaged costs the encoder's search only that, and the surrogate's is told."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
import torch

from unmask.attacks.judges import Judges
from unmask.denoiser.checkpoint import load_checkpoint, shipped_folder
from unmask.encoders.base import Encoder
from unmask.errors import CheckpointError
from unmask.files import read_json
from unmask.search.options import ENCODER, SURROGATE
from unmask.search.surrogate import FOLDER, MANIFEST


def no_encoder() -> Encoder:
    raise AssertionError("the encoder is not asked for")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped_folder() / "minilm", tmp_path / "minilm"))


def judges(folder: Path) -> Judges:
    return Judges(load_checkpoint(folder), torch.bfloat16, no_encoder)


@pytest.mark.parametrize("part", ["weights", "fluency", "lens"])
def test_what_is_damaged_is_done_without_beside_the_encoder_and_told_without_it(
    copy: Path, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = copy / FOLDER / read_json(copy / FOLDER / MANIFEST)[part]["file"]
    path.write_bytes(path.read_bytes()[:-100])
    held = judges(copy)
    with caplog.at_level(logging.WARNING):
        has_screen, has_fluency = held.screen(ENCODER) is not None, held.fluency(ENCODER) is not None
    assert (has_screen, has_fluency) == (part != "weights", part != "fluency")
    assert len(caplog.records) == (part != "lens"), "only what is missed is spoken of"
    with pytest.raises(CheckpointError, match="missing or damaged"):
        assert held.fluency(SURROGATE) and held.scorer(SURROGATE)


def test_only_the_surrogate_that_searches_has_a_lens_and_both_share_its_network(copy: Path) -> None:
    held = judges(copy)
    screen, scorer = held.screen(ENCODER), held.scorer(SURROGATE)
    assert screen is not None and screen.lens is None and scorer.lens is not None
    assert screen.surrogate is scorer.surrogate  # type: ignore[attr-defined]
    assert held.scorer(SURROGATE) is scorer and held.screen(ENCODER) is screen
    assert scorer.fluency_weight < screen.fluency_weight, "by the lens a text is farther from 1"
