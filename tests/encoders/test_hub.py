from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import errors

from unmask.encoders import hub
from unmask.errors import EncoderError

NAME = "someone/some-model"


def answer_with(monkeypatch: pytest.MonkeyPatch, kind: type[Exception]) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise kind.__new__(kind)

    monkeypatch.setattr(huggingface_hub, "model_info", refuse)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (errors.RepositoryNotFoundError, "the hub has no model 'someone/some-model'"),
        (errors.GatedRepoError, "accept it at https://huggingface.co/someone/some-model"),
        (errors.HFValidationError, "is no name of a model"),
        (ConnectionError, "is not on this disk and the hub cannot be reached"),
    ],
)
def test_each_refusal_of_the_hub_is_one_sentence_with_a_next_step(
    kind: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_with(monkeypatch, kind)
    with pytest.raises(EncoderError, match=words):
        hub.model_folder(NAME)


def test_what_is_in_the_cache_needs_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, ConnectionError)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda name, file: str(tmp_path / name / file))
    assert hub.model_folder(NAME) == tmp_path / NAME
    assert hub.model_folder("bare-name") == tmp_path / "sentence-transformers/bare-name"


def test_weights_are_fetched_once_and_never_as_pickles_beside_safetensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ["model.safetensors", "pytorch_model.bin", "2_Dense/pytorch_model.bin", "config.json"]
    siblings = [SimpleNamespace(rfilename=name) for name in files]
    asked: dict[str, list[str]] = {}

    def download(name: str, revision: str, ignore_patterns: list[str]) -> str:
        asked[revision] = ignore_patterns
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "model_info", lambda *_, **__: SimpleNamespace(sha="abc", siblings=siblings))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert hub.model_folder(NAME) == tmp_path
    assert "pytorch_model.bin" in asked["abc"]
    assert "2_Dense/pytorch_model.bin" not in asked["abc"]  # the only weights of that module


def test_a_prompt_without_text_is_not_defined(tmp_path: Path) -> None:
    assert hub.defined_prompts(tmp_path) == {}
    settings = {"prompts": {"query": "q: ", "document": None, "plain": ""}}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(settings))
    assert hub.defined_prompts(tmp_path) == {"query": "q: ", "plain": ""}
