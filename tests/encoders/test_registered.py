"""What holds for every registered encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unmask.encoders import ENCODERS, load_encoder
from unmask.encoders.base import Encoder
from unmask.errors import EncoderError, InputError, UnknownName
from unmask.recipe import EncoderSection

TEXTS = ["the old house", "a town by the river", "who could say"]


@pytest.fixture(params=ENCODERS.names)
def load(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Encoder]:
    settings: dict[str, Any] = {}
    if request.param == "sentence-transformers":
        settings = {"model": str(request.getfixturevalue("gemma_folder"))}
    elif request.param == "api":
        settings = {
            "model": "tiny",
            "url": request.getfixturevalue("api").url,
            "api_key_variable": "UNMASK_TEST_KEY",
        }
    elif request.param == "precomputed":
        (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
        np.save(tmp_path / "vectors.npy", np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32))
        settings = {"texts": str(tmp_path / "texts.txt"), "vectors": str(tmp_path / "vectors.npy")}
    section = EncoderSection(name=request.param, precision="fp32", **settings)
    return lambda: load_encoder(section, device="cpu")


def test_keeps_the_protocol(load: Callable[[], Encoder]) -> None:
    encoder = load()
    assert encoder.queries == 0
    vectors = encoder.encode(TEXTS)
    assert encoder.name
    assert vectors.shape == (3, encoder.dimension)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert encoder.queries == 3
    assert encoder.encode([]).shape == (0, encoder.dimension)
    assert encoder.queries == 3


def test_each_text_has_one_vector_whatever_stands_beside_it(load: Callable[[], Encoder]) -> None:
    encoder = load()
    together = encoder.encode(TEXTS)
    np.testing.assert_allclose(encoder.encode(TEXTS[::-1])[::-1], together, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(TEXTS[1:2])[0], together[1], atol=1e-5)
    assert np.linalg.norm(together[0] - together[1]) > 1e-3
    assert encoder.queries == 7


def test_fingerprint_is_the_same_each_time(load: Callable[[], Encoder]) -> None:
    assert load().fingerprint == load().fingerprint


def test_one_text_in_place_of_a_list_is_refused(load: Callable[[], Encoder]) -> None:
    with pytest.raises(InputError, match="put it in brackets"):
        load().encode(TEXTS[0])


def test_the_four_kinds_have_different_fingerprints(gemma_folder: Path, api: Any) -> None:
    loaded = [
        load_encoder("minilm"),
        load_encoder("sentence-transformers", model=str(gemma_folder)),
        load_encoder("api", model="tiny", url=api.url, api_key_variable="UNMASK_TEST_KEY"),
    ]
    assert len({encoder.fingerprint for encoder in loaded}) == 3


def test_an_unknown_name_and_an_unknown_setting_are_named() -> None:
    with pytest.raises(UnknownName, match="did you mean 'minilm'"):
        load_encoder("minilmm")
    with pytest.raises(EncoderError, match=r"setting 'promt' is 'q: ': .*known settings: name, model, prompt"):
        load_encoder("minilm", promt="q: ")
