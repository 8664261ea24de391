"""The command on this installation, on a broken one, and on a user's own vectors."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from unmask.cli import installation
from unmask.cli.main import app
from unmask.encoders import load_encoder
from unmask.encoders.minilm import MinilmEncoder

TEXTS = ["The meeting is moved to Friday.", "Nobody could say who built the house.", "Yes.", "Two old bridges"]


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["doctor", *map(str, arguments)])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "MATRIX", 64)
    monkeypatch.setattr(installation, "check_models", list)


@pytest.fixture(scope="module")
def right() -> np.ndarray:
    return load_encoder("minilm").encode(TEXTS)


def saved(folder: Path, vectors: np.ndarray, texts: list[str] = TEXTS) -> list[object]:
    np.save(folder / "v.npy", vectors)
    (folder / "t.txt").write_text("\n".join(texts))
    return ["--vectors", folder / "v.npy", "--texts", folder / "t.txt"]


def test_a_working_installation_says_so(quick: None) -> None:
    result = run("--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["ok"] is True
    assert {"unmask", "python", "torch", "transformers", "sentence-transformers"} <= set(found["versions"])
    assert found["machine"]["threads"] >= 1
    assert found["machine"]["matrix_gflops_fp32"] > 0
    encoders = {check["name"]: check for check in found["checks"] if check["group"] == "encoders"}
    assert encoders["minilm"]["status"] == "ok"
    assert "384-d, norm 1.000" in encoders["minilm"]["detail"]
    assert {"sentence-transformers", "api", "precomputed"} <= set(encoders)


def test_for_people_it_ends_with_a_verdict(quick: None) -> None:
    result = run()
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "everything essential works"
    assert "matrix gflops bf16" in result.stdout


@pytest.mark.parametrize(
    ("package", "code", "remedy"),
    [("openai", 0, "pip install 'unmask[api]'"), ("pyarrow", 1, "pip install -U 'pyarrow")],
)
def test_what_is_missing_is_named_with_its_command(
    package: str, code: int, remedy: str, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == package:
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    result = run()
    assert result.exit_code == code
    assert remedy in result.stdout


def test_a_package_that_is_too_old_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.1" if name == "transformers" else real(name))
    (found,) = (check for check in installation.check_packages() if check.name == "transformers")
    assert found.is_essential_failure
    assert "0.1, expected >=" in found.detail


def constant(self: MinilmEncoder, texts: list[str]) -> np.ndarray:
    return np.ones((len(texts), 384), dtype=np.float32)


def unsteady(self: MinilmEncoder, texts: list[str]) -> np.ndarray:
    self.queries += 1
    return np.eye(384, dtype=np.float32)[self.queries : self.queries + len(texts)]


@pytest.mark.parametrize(
    ("encode", "words"), [(constant, "the weights are wrong"), (unsteady, "the same sentence gave two vectors")]
)
def test_an_encoder_that_answers_nonsense_fails(
    encode: Any, words: str, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MinilmEncoder, "encode", encode)
    result = run()
    assert result.exit_code == 1
    assert words in result.stdout
    assert result.stdout.splitlines()[-1] == "1 things fail"


def test_an_encoder_or_model_that_does_not_load_fails_with_its_reason(quick: None) -> None:
    result = run("--encoder", "nobody/nothing")
    assert result.exit_code == 1
    assert "'nobody/nothing' is not on this disk and the hub cannot be reached" in result.stdout
    model = installation.check_model("no-such-model")
    assert model.is_essential_failure
    assert "no-such-model" in model.detail


def test_the_users_own_vectors_match(tmp_path: Path, right: np.ndarray) -> None:
    result = run(*saved(tmp_path, right.astype(np.float16)), "--encoder", "minilm")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("match: the vectors match: 4 of 4 rows")


def test_the_users_own_vectors_differ_and_why(tmp_path: Path) -> None:
    given = saved(tmp_path, load_encoder("minilm", prompt="passage: ").encode(TEXTS))
    result = run(*given)
    assert result.exit_code == 1
    assert result.stdout.startswith("prompt: the vectors were made with 'passage: ' before each text")
    assert "what to do: --prompt 'passage: '" in result.stdout
    assert run(*given, "--prompt", "passage: ").exit_code == 0


def test_the_diagnosis_for_programs(tmp_path: Path, right: np.ndarray) -> None:
    result = run(*saved(tmp_path, 3 * right), "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (found["kind"], found["matches"], found["agreeing"], found["rows"]) == ("normalisation", False, 4, 4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda vectors: (vectors * 127).astype(np.int8), "--scale unit"),
        (lambda vectors: np.where(np.arange(4)[:, None] == 2, np.nan, vectors), "row 2 holds nan"),
        (lambda vectors: vectors[:3], "4 texts and 3 vectors"),
    ],
)
def test_vectors_that_cannot_be_compared_are_refused(
    change: Any, words: str, tmp_path: Path, right: np.ndarray
) -> None:
    result = run(*saved(tmp_path, change(right)))
    assert result.exit_code == 1
    assert words in result.stderr


def test_integers_are_compared_once_their_scale_is_given(tmp_path: Path, right: np.ndarray) -> None:
    integers = np.round(right / np.abs(right).max() * 127).astype(np.int8)
    result = run(*saved(tmp_path, integers), "--scale", "unit")
    assert result.exit_code == 0
    assert "quantised" in result.stdout


def test_vectors_without_texts_are_refused(tmp_path: Path, right: np.ndarray) -> None:
    assert "--texts is missing" in run(*saved(tmp_path, right)[:2]).stderr
    assert "--vectors is missing" in run(*saved(tmp_path, right)[2:]).stderr
