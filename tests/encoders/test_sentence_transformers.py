from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unmask.encoders import load_encoder
from unmask.encoders.sentence_transformers import SentenceTransformersEncoder
from unmask.errors import EncoderError, InputError, MissingExtra

TEXTS = ["the old house stood by a river", "nobody could say", "a town", "who built the old town by the river", "it"]


def load(folder: Path, **settings: Any) -> SentenceTransformersEncoder:
    return SentenceTransformersEncoder(str(folder), precision=settings.pop("precision", "fp32"), **settings)


def hidden_states(folder: Path, text: str, adapter: Path | None = None) -> np.ndarray:
    """(length, hidden) of one text, by transformers alone."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(folder).eval()
    if adapter is not None:
        import peft

        model = peft.PeftModel.from_pretrained(model, adapter).eval()
    with torch.no_grad():
        states = model(**AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")).last_hidden_state
    return states[0].numpy()


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values)


def test_qwen3_takes_the_last_tokens_state(qwen_folder: Path) -> None:
    encoder = load(qwen_folder)
    found = encoder.encode(TEXTS)  # together, so that the shorter ones are padded on the left
    expected = np.stack([unit(hidden_states(qwen_folder, text)[-1]) for text in TEXTS])
    assert type(encoder.network[0].auto_model).__name__ == "Qwen3Model"
    assert encoder.pooling == "lasttoken"
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_qwen3s_named_prompt_stands_before_the_text(qwen_folder: Path) -> None:
    found = load(qwen_folder, prompt="query").encode(TEXTS[:1])[0]
    np.testing.assert_allclose(found, unit(hidden_states(qwen_folder, "query : " + TEXTS[0])[-1]), atol=1e-5)
    np.testing.assert_array_equal(found, load(qwen_folder, prompt="query : ").encode(TEXTS[:1])[0])
    assert np.abs(found - load(qwen_folder).encode(TEXTS[:1])[0]).max() > 0.01


def test_embedding_gemma_runs_both_dense_heads(gemma_folder: Path) -> None:
    from safetensors.numpy import load_file

    first, second = (load_file(gemma_folder / name / "model.safetensors") for name in ("2_Dense", "3_Dense"))
    encoder = load(gemma_folder, prompt="document")
    found = encoder.encode(TEXTS)
    for text, vector in zip(TEXTS, found, strict=True):
        mean = hidden_states(gemma_folder, "title: none | text: " + text).mean(axis=0)
        by_hand = second["linear.weight"] @ (first["linear.weight"] @ mean)
        np.testing.assert_allclose(vector, unit(by_hand), atol=1e-5)
    assert type(encoder.network[0].auto_model).__name__ == "Gemma3TextModel"
    # Attention both ways: the first token knows what comes last.
    last_changed = [hidden_states(gemma_folder, f"the old {word}")[1] for word in ("town", "river")]
    assert np.abs(last_changed[0] - last_changed[1]).max() > 1e-4


def test_jina_v3_loads_natively_and_wears_its_tasks_adapter(jina_folder: Path) -> None:
    encoder = load(jina_folder, task="text-matching")
    found = encoder.encode(TEXTS)
    states = [hidden_states(jina_folder, text, jina_folder / "text_matching") for text in TEXTS]
    np.testing.assert_allclose(found, np.stack([unit(state.mean(axis=0)) for state in states]), atol=1e-5)
    assert type(encoder.network[0].auto_model).__name__ == "JinaEmbeddingsV3Model"
    others = [load(jina_folder).encode(TEXTS), load(jina_folder, task="retrieval.query").encode(TEXTS)]
    assert all(np.abs(found - other).max() > 0.01 for other in others)


def test_a_task_without_adapter_names_those_there_are(jina_folder: Path, qwen_folder: Path) -> None:
    with pytest.raises(EncoderError, match="'separation': it has retrieval_query, text_matching"):
        load(jina_folder, task="separation")
    with pytest.raises(EncoderError, match="it has none; leave the task out"):
        load(qwen_folder, task="separation")


def test_an_adapter_without_its_library_names_the_extra(jina_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtra, match=r"pip install 'unmask\[adapters\]'"):
        load(jina_folder, task="text-matching")


def test_an_unknown_prompt_name_is_not_taken_as_text(qwen_folder: Path) -> None:
    with pytest.raises(EncoderError, match="no prompt named 'passage', it defines document, query"):
        load(qwen_folder, prompt="passage")
    assert load(qwen_folder, prompt="passage ").encode(["it"]).shape == (1, 16)


def test_truncation_keeps_the_first_dimensions_and_unit_length(gemma_folder: Path) -> None:
    whole, cut = load(gemma_folder).encode(TEXTS), load(gemma_folder, truncate_dim=6).encode(TEXTS)
    np.testing.assert_allclose(cut, np.stack([unit(vector[:6]) for vector in whole]), atol=1e-5)
    raw = load(gemma_folder, truncate_dim=6, normalize=False).encode(TEXTS)
    np.testing.assert_allclose(raw, whole[:, :6], atol=1e-5)
    with pytest.raises(EncoderError, match=r"truncate_dim is 17, but .* gives 16"):
        load(gemma_folder, truncate_dim=17)


def test_order_is_kept_whatever_the_batches(gemma_folder: Path) -> None:
    whole = load(gemma_folder).encode(TEXTS)
    np.testing.assert_allclose(load(gemma_folder, batch_size=2).encode(TEXTS[::-1])[::-1], whole, atol=1e-5)


def test_fingerprint_follows_weights_and_settings_and_nothing_else(qwen_folder: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    copy = Path(shutil.copytree(qwen_folder, tmp_path / "copy"))
    own = load(qwen_folder).fingerprint
    assert load(copy, precision="bf16", batch_size=3, prompt="document").fingerprint == own
    changed = [load(qwen_folder, prompt="query").fingerprint, load(qwen_folder, truncate_dim=8).fingerprint]
    weights = load_file(copy / "model.safetensors")
    save_file({name: value + torch.ones_like(value) for name, value in weights.items()}, copy / "model.safetensors")
    changed.append(load(copy).fingerprint)
    assert len({own, *changed}) == 4


CUSTOM_MODULE = """
import torch

class Doubled(torch.nn.Module):
    def forward(self, features):
        features["sentence_embedding"] = features["sentence_embedding"].flip(-1)
        return features

    @staticmethod
    def load(path):
        return Doubled()
"""


def with_own_code(folder: Path, to: Path) -> Path:
    copy = Path(shutil.copytree(folder, to))
    modules = json.loads((copy / "modules.json").read_text())
    modules.append({"idx": len(modules), "name": "own", "path": "", "type": "own_code.Doubled"})
    (copy / "modules.json").write_text(json.dumps(modules))
    (copy / "own_code.py").write_text(CUSTOM_MODULE)
    return copy


def test_code_of_a_model_runs_only_when_it_is_trusted(qwen_folder: Path, tmp_path: Path) -> None:
    folder = with_own_code(qwen_folder, tmp_path / "own")
    with pytest.raises(EncoderError, match=r"own_code\.Doubled.*not run.*trust_remote_code"):
        load(folder)
    trusted = load(folder, trust_remote_code=True).encode(TEXTS)
    np.testing.assert_allclose(trusted, load(qwen_folder).encode(TEXTS)[:, ::-1], atol=1e-5)


def test_a_class_that_is_replaced_is_told(qwen_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    copy = Path(shutil.copytree(qwen_folder, tmp_path / "replaced"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "modeling.Bidirectional"}}))
    load(copy)
    assert "modeling.Bidirectional" in caplog.text


def test_a_model_that_does_not_say_how_it_pools_is_told(
    qwen_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = Path(shutil.copytree(qwen_folder, tmp_path / "plain"))
    (copy / "modules.json").unlink()
    assert load(copy).pooling == "mean"
    assert "the mean of its tokens is taken" in caplog.text


def empty_folder(folder: Path) -> None:
    folder.mkdir()


def no_folder(folder: Path) -> None: ...


def half_a_model(folder: Path) -> None:
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "qwen3"}')


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (empty_folder, "holds neither modules.json nor config.json"),
        (no_folder, "does not exist; check the path"),
        (half_a_model, "cannot be loaded"),
    ],
)
def test_a_folder_that_is_no_model(prepare: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    prepare(tmp_path / "model")
    with pytest.raises(EncoderError, match=message):
        load(tmp_path / "model")


def test_what_is_not_text_is_named(qwen_folder: Path) -> None:
    encoder = load(qwen_folder)
    with pytest.raises(InputError, match="text number 1 is int"):
        encoder.encode(["a town", 3])  # type: ignore[list-item]
    with pytest.raises(InputError, match="half a surrogate pair"):
        encoder.encode(["a \ud800 town"])


def test_a_model_is_found_by_its_folder_alone(qwen_folder: Path) -> None:
    encoder = load_encoder(str(qwen_folder), prompt="query", precision="fp32", device="cpu")
    np.testing.assert_array_equal(encoder.encode(TEXTS), load(qwen_folder, prompt="query").encode(TEXTS))
    with pytest.raises(EncoderError, match="setting 'batch_size' is 0"):
        load_encoder(str(qwen_folder), batch_size=0)
    with pytest.raises(EncoderError, match="needs a model"):
        load_encoder("sentence-transformers")
