"""The command as a user calls it: texts in, a file of vectors out, or nothing at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from unmask.cli import embed as command
from unmask.cli.main import app
from unmask.encoders import load_encoder
from unmask.vectorstores import open_vectors

TEXTS = ["The meeting is moved to Friday.", "Grüße aus Köln!", "你好,世界 🙂", "مرحبا بالعالم", "???"]


def run(*arguments: object, text: str | None = None) -> Any:
    return CliRunner().invoke(app, ["embed", *map(str, arguments)], input=text)


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    return load_encoder("minilm").encode(TEXTS)


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("\n\n".join(TEXTS), "utf-8")
    return path


def test_a_text_file_becomes_vectors_in_its_order(lines: Path, tmp_path: Path, expected: np.ndarray) -> None:
    result = run(lines, "--encoder", "minilm", "--out", tmp_path / "v.npy")
    assert result.exit_code == 0, result.output
    assert "5 vectors of 384 dimensions" in result.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), expected)


def test_jsonl_limit_and_the_objects_summary(tmp_path: Path, expected: np.ndarray) -> None:
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS), "utf-8")
    result = run(tmp_path / "t.jsonl", "--out", tmp_path / "v.parquet", "--limit", 3, "--json")
    about = json.loads(result.stdout)
    assert (about["vectors"], about["dimension"], about["queries"], about["encoder"]) == (3, 384, 3, "minilm")
    assert about["fingerprint"] == load_encoder("minilm").fingerprint
    values = np.concatenate([batch.values for batch in open_vectors(tmp_path / "v.parquet").batches(8)])
    np.testing.assert_allclose(values, expected[:3], atol=0.01)


def test_stdin_to_stdout_is_what_invert_reads(tmp_path: Path, expected: np.ndarray) -> None:
    result = run("-", text="\n".join(TEXTS))
    (tmp_path / "v.jsonl").write_text(result.stdout)
    (batch,) = open_vectors(tmp_path / "v.jsonl").batches(8)
    np.testing.assert_array_equal(batch.values, expected)
    assert batch.ids == ("0", "1", "2", "3", "4")


def test_options_reach_the_encoder(lines: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"prompt": "query: ", "truncate_dim": 32, "precision": "fp32", "batch_size": 2}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    assert run(lines, *options, "--out", tmp_path / "v.npy").exit_code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), load_encoder("minilm", **settings).encode(TEXTS))


@pytest.mark.parametrize(
    ("out", "message"),
    [("none/v.npy", "the folder"), ("v.csv", "suffix '.csv', expected one of .npy"), ("", "is a folder|suffix ''")],
)
def test_a_place_that_cannot_be_written_is_named_before_anything_is_loaded(
    lines: Path, tmp_path: Path, out: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command.options, "open_encoder", lambda *_, **__: pytest.fail("the encoder was loaded"))
    result = run(lines, "--out", tmp_path / out)
    assert result.exit_code == 1
    assert any(part in result.stderr for part in message.split("|"))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "holds no text"), (b"\xff\xfe", "not UTF-8"), (None, "does not exist"), (b'{"text": 1}', "no text under")],
)
def test_texts_that_cannot_be_read_leave_no_file(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "t.txt").write_bytes(content)
    result = run(tmp_path / "t.txt", "--out", tmp_path / "v.npy")
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "v.npy").exists()


class Interrupted:
    """An encoder in the middle of whose work the user presses Ctrl-C."""

    name, dimension, fingerprint, queries, max_tokens = "interrupted", 3, "", 0, None

    def encode(self, texts: list[str]) -> np.ndarray:
        self.queries += len(texts)
        if self.queries > command.CHUNK:
            raise KeyboardInterrupt
        return np.ones((len(texts), 3), dtype=np.float32)


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.options, "open_encoder", lambda *_, **__: Interrupted())
    result = run("-", "--out", tmp_path / "v.npy", text="a text\n" * (2 * command.CHUNK))
    assert result.exit_code == 130
    assert f"stopped after {command.CHUNK} of {2 * command.CHUNK} texts; nothing was written" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_budget_that_will_not_do_is_named_before_anything_is_sent(lines: Path, tmp_path: Path) -> None:
    nobody = ["--encoder", "api", "--model", "tiny", "--url", "http://127.0.0.1:9/v1"]
    result = run(lines, *nobody, "--budget", 4, "--out", tmp_path / "v.npy")
    assert result.exit_code == 1
    assert "raise the budget to 5" in result.stderr


def test_texts_that_are_cut_are_counted(tmp_path: Path) -> None:
    result = run("-", "--out", tmp_path / "v.npy", text="short\n" + "a very long text indeed " * 60)
    assert result.exit_code == 0
    assert "1 of 2 texts have more than 256 tokens" in result.stderr


def test_an_unknown_encoder_and_a_summary_without_a_file(lines: Path) -> None:
    unknown = run(lines, "--encoder", "minilmm")
    assert unknown.exit_code == 2
    assert "did you mean 'minilm'?" in unknown.stderr
    assert "--out, which is missing" in run(lines, "--json").stderr
