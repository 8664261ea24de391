"""The real command, mostly in a process of its own: what it prints, writes, survives and refuses."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from unmask.cli.main import app


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from unmask.denoiser.build import build_denoiser, token_space
    from unmask.denoiser.checkpoint import save_checkpoint
    from unmask.recipe import DenoiserSection, Recipe, ScratchBackbone, TextSection, TrainingSection
    from unmask.text.tokens import TextTokenizer

    names = ["[PAD]", "[UNK]", "[MASK]", *(f"word{n}" for n in range(50))]
    inner = Tokenizer(models.WordLevel({name: place for place, name in enumerate(names)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", pad_token="[PAD]", mask_token="[MASK]")
    tokenizer = TextTokenizer.from_transformers(wrapped, "words")
    torch.manual_seed(0)
    backbone = ScratchBackbone(kind="scratch", layers=1, hidden=8, heads=1, feed_forward=8)
    section = DenoiserSection(backbone=backbone, dropout=0.0)
    denoiser = build_denoiser(section, token_space(tokenizer), length=8, dimension=6)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.normal_()
    recipe = Recipe(name="tiny", text=TextSection(length=8), denoiser=section, training=TrainingSection(max_steps=1))
    folder = tmp_path_factory.mktemp("model")
    save_checkpoint(folder, denoiser, tokenizer, recipe, {"name": "none"}, {})
    return folder


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    np.save(tmp_path / "v.npy", np.random.default_rng(0).standard_normal((60, 6)).astype(np.float32))
    return tmp_path / "v.npy"


def invert(model: Path, *arguments: object) -> Any:
    """The command inside this process."""
    return CliRunner().invoke(app, ["invert", "--model", str(model), *map(str, arguments)])


def command(model: Path, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "unmask", "invert", "--model", str(model), *map(str, arguments)]


def test_a_line_per_vector_on_stdout(model: Path, vectors: Path) -> None:
    result = invert(model, vectors, "--limit", 7, "--batch-size", 3)
    assert result.exit_code == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["id"] for line in lines] == [str(row) for row in range(7)]
    for line in lines:
        assert set(line) == {"id", "text", "tokens", "confidence", "forward_passes"}
        assert len(line["tokens"]) == len(line["confidence"]) == len(line["text"].split())
        assert line["forward_passes"] == 8
    assert result.stderr == ""


def test_every_decoder_and_option_reaches_the_decoding(model: Path, vectors: Path) -> None:
    plain = invert(model, vectors, "--decoder", "euler_remask").stdout
    for option in (
        ("--steps", 3), ("--seed", 1), ("--temperature", 2), ("--resample-all",), ("--remask-share", 0.5),
        ("--remask-mode", "threshold", "--remask-share", 0.2),
    ):  # fmt: skip
        assert invert(model, vectors, "--decoder", "euler_remask", *option).stdout != plain, option
    drawn = ("--temperature", 1.5)
    assert invert(model, vectors, *drawn, "--top-p", 0.3).stdout != invert(model, vectors, *drawn).stdout
    few = ("--steps", 3)
    assert invert(model, vectors, "--counts", "cosine", *few).stdout != invert(model, vectors, *few).stdout
    restarts = [invert(model, vectors, "--decoder", "two_stage", "--restart-t", t).stdout for t in (0.2, 1.0)]
    assert restarts[0] != restarts[1]
    assert invert(model, vectors, "--decoder", "sequential", "--limit", 1).exit_code == 0


def test_a_file_holds_what_stdout_shows_and_can_be_summed_up(model: Path, vectors: Path, tmp_path: Path) -> None:
    out = tmp_path / "texts.jsonl"
    result = invert(model, vectors, "--out", out, "--json", "--batch-size", 7)
    assert json.loads(result.stdout) == {"out": str(out), "vectors": 60, "resumed_at": 0}
    assert out.read_text() == invert(model, vectors, "--batch-size", 7).stdout
    assert out.stat().st_mode & 0o777 == 0o600
    again = invert(model, vectors, "--out", out)
    assert again.exit_code == 1 and "exists already and is complete" in again.stderr


def test_a_store_is_read_and_taken_up_again(model: Path, tmp_path: Path) -> None:
    lancedb = pytest.importorskip("lancedb")
    rows = np.random.default_rng(0).standard_normal((9, 6)).astype(np.float32)
    place = tmp_path / "lance"
    for name in ("notes", "others"):
        lancedb.connect(str(place)).create_table(name, [{"id": f"n{n}", "vector": row} for n, row in enumerate(rows)])
    refused = invert(model, place)
    assert (
        refused.exit_code == 1 and "2 tables that hold vectors" in refused.stderr and "--collection" in refused.stderr
    )
    out = tmp_path / "found.jsonl"
    assert invert(model, place, "--collection", "notes", "--out", out).exit_code == 0
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == [f"n{n}" for n in range(9)]


def test_standard_input_and_ids(model: Path, vectors: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.load(vectors)
    lines = "".join(json.dumps({"id": f"doc {n}", "embedding": row.tolist()}) + "\n" for n, row in enumerate(rows[:5]))
    found = subprocess.run(command(model, "-"), input=lines, capture_output=True, text=True, check=True)
    expected = [json.loads(line)["text"] for line in invert(model, vectors, "--limit", 5).stdout.splitlines()]
    read = [json.loads(line) for line in found.stdout.splitlines()]
    assert [line["id"] for line in read] == [f"doc {n}" for n in range(5)]
    assert [line["text"] for line in read] == expected


def test_an_interrupted_standard_input_is_not_mixed_with_another(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [json.dumps(row) for row in np.random.default_rng(0).standard_normal((6, 6)).tolist()]
    for last, sentence in (("[1.0]", "line 7 has 1 numbers"), ("[1.0]", "standard input cannot be taken up again")):
        data = "\n".join([*lines, last]).encode()
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False))
        from unmask.cli.invert import invert as function

        with pytest.raises(Exception, match=sentence):
            function("-", model=str(model), out=tmp_path / "out.jsonl", batch_size=3)
    assert (tmp_path / "out.jsonl.partial").read_text().count("\n") == 6


def test_a_run_that_was_killed_and_resumed_writes_the_bytes_of_one_that_was_not(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "many.npy"
    np.save(path, np.random.default_rng(0).standard_normal((1500, 6)).astype(np.float32))
    out, expected = tmp_path / "out.jsonl", tmp_path / "expected.jsonl"
    arguments = (
        path,
        "--decoder",
        "euler_remask",
        "--steps",
        3,
        "--temperature",
        1,
        "--batch-size",
        16,
        "--threads",
        1,
    )
    process = subprocess.Popen(command(model, *arguments, "--out", out))
    partial = tmp_path / "out.jsonl.partial"
    deadline = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size > 20_000):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    resumed = invert(model, *arguments, "--out", out, "--json")
    assert resumed.exit_code == 0, resumed.stderr
    assert 0 < json.loads(resumed.stdout)["resumed_at"] < 1500
    assert invert(model, *arguments, "--out", expected).exit_code == 0
    assert out.read_bytes() == expected.read_bytes()
    assert not list(tmp_path.glob("*.partial*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_says_how_to_go_on(model: Path, tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "many.npy"
    np.save(path, np.random.default_rng(0).standard_normal((200_000, 6)).astype(np.float32))
    out = tmp_path / "out.jsonl"
    process = subprocess.Popen(
        command(model, path, "--out", out, "--batch-size", 16, "--threads", 1), stderr=subprocess.PIPE, text=True
    )
    partial = tmp_path / "out.jsonl.partial"
    deadline = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    done = partial.read_text().count("\n")
    assert (
        errors
        == f"unmask: stopped; {done} vectors are done and kept in {partial}; give the same command again to go on\n"
    )


def test_other_settings_are_refused_by_name(model: Path, vectors: Path, tmp_path: Path) -> None:
    rows = np.load(vectors)
    rows[50, 0] = np.nan
    np.save(tmp_path / "bad.npy", rows)
    out = tmp_path / "out.jsonl"
    begun = invert(model, tmp_path / "bad.npy", "--out", out, "--batch-size", 8)
    assert begun.exit_code == 1
    assert "48 vectors are done and kept" in begun.stderr and "row 50 holds nan" in begun.stderr
    for changes, name in (
        (("--seed", 1), "seed 0, this run has 1"),
        (("--decoder", "euler"), 'decoder "confidence", this run has "euler"'),
        (("--batch-size", 9), "batch_size 8, this run has 9"),
    ):
        other = invert(model, tmp_path / "bad.npy", "--out", out, "--batch-size", 8, *changes)
        assert other.exit_code == 1 and name in other.stderr
    other = invert(model, vectors, "--out", out, "--batch-size", 8)
    assert other.exit_code == 1 and "begun with vectors" in other.stderr
    assert invert(model, vectors, "--out", out, "--batch-size", 8, "--no-resume").exit_code == 0
    assert out.read_text() == invert(model, vectors, "--batch-size", 8).stdout


def test_a_file_that_may_grow_no_further_keeps_what_is_done(model: Path, vectors: Path, tmp_path: Path) -> None:
    def limit_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    arguments = command(model, vectors, "--out", tmp_path / "out.jsonl", "--batch-size", 4, "--threads", 1)
    found = subprocess.run(arguments, preexec_fn=limit_files, capture_output=True, text=True)
    assert found.returncode == 1
    assert "could not write" in found.stderr and "give the same command again" in found.stderr
    assert invert(model, *arguments[-7:]).exit_code == 0
    assert (tmp_path / "out.jsonl").read_text() == invert(model, vectors, "--batch-size", 4).stdout


def test_a_reader_that_leaves_early_is_no_error(model: Path, vectors: Path) -> None:
    process = subprocess.Popen(
        command(model, vectors, "--batch-size", 1), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline().startswith(b'{"id": "0"')
    process.stdout.close()
    assert process.wait() in (141, -signal.SIGPIPE)
    assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("missing.npy",), 1, "missing.npy does not exist"),
        (("{wide}",), 1, "this checkpoint expects 6-d vectors, got 7-d; pass --model"),
        (("{bytes}",), 1, "--scale NUMBER"),
        (("{vectors}", "--decoder", "eular"), 2, "did you mean 'euler'"),
        (("{vectors}", "--steps", 0), 1, "steps is 0, expected a whole number"),
        (("{vectors}", "--temperature", -1), 1, "temperature is -1.0"),
        (("{vectors}", "--counts", "cubic"), 1, "counts is cubic, expected linear or cosine"),
        (("{vectors}", "--key", "a"), 1, "leave --key out"),
        (("{vectors}", "--scale", "much"), 1, "scale is 'much'"),
        (("{vectors}", "--device", "abacus"), 1, "unknown device 'abacus'"),
        (("{vectors}", "--precision", "fp8"), 1, "unknown precision 'fp8'"),
        (("{vectors}", "--batch-size", 0), 2, "batch-size"),
        (("{vectors}", "--limit", 0), 2, "limit"),
        (("{vectors}", "--threads", 0), 1, "threads must be at least 1"),
        (("{vectors}", "--out", "{folder}/no/such/place"), 1, "does not exist"),
        (("{vectors}", "--out", "{vectors}", "--no-resume"), 1, "is the file of vectors itself"),
        (("{vectors}", "--model", "nothing"), 2, "no model 'nothing'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    model: Path, vectors: Path, tmp_path: Path, arguments: tuple[object, ...], code: int, sentence: str
) -> None:
    np.save(tmp_path / "wide.npy", np.ones((2, 7), np.float32))
    np.save(tmp_path / "bytes.npy", np.ones((2, 6), np.int8))
    places = {"vectors": vectors, "wide": tmp_path / "wide.npy", "bytes": tmp_path / "bytes.npy", "folder": tmp_path}
    result = invert(model, *(str(argument).format(**places) for argument in arguments))
    assert result.exit_code == code
    assert sentence in result.stderr and "Traceback" not in result.stderr
    assert result.stdout == ""
    assert not list(tmp_path.glob("*.partial*"))


def test_the_help_shows_examples() -> None:
    found = CliRunner().invoke(app, ["invert", "--help"])
    assert found.exit_code == 0
    assert "unmask invert vectors.npy --decoder euler_remask --steps 32 --seed 1" in found.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_says_so(model: Path, vectors: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    result = invert(model, vectors, "--out", closed / "out.jsonl")
    assert result.exit_code == 1 and "not allowed to write" in result.stderr


def test_the_search_says_what_it_asked_and_what_came_of_it(tmp_path: Path) -> None:
    from unmask.encoders import load_encoder

    np.save(tmp_path / "v.npy", load_encoder("minilm").encode(["see you soon.", "the cat sleeps."]))
    arguments = [str(tmp_path / "v.npy"), "--decoder", "search", "--budget", "60", "--beam", "2"]
    result = CliRunner().invoke(app, ["invert", *arguments])
    assert result.exit_code == 0, result.stderr
    for line in map(json.loads, result.stdout.splitlines()):
        assert 0 < line["encoder_calls"] <= 60 and 0 < line["cosine"] <= 1.001 and line["verified"] in (True, False)
        assert line["verified"] is False or line["cosine"] > 0.999


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--budget", "-1"], "budget is -1, expected 0 (no call at all) or more"),
        (["--beam", "0"], "beam is 0, expected at least 1"),
        (["--rounds", "0"], "rounds is 0, expected at least 1"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(
    model: Path, vectors: Path, arguments: list[str], message: str
) -> None:
    result = invert(model, vectors, "--decoder", "search", *arguments)
    assert result.exit_code != 0 and message in " ".join(result.stderr.split())


def test_a_model_whose_encoder_gives_other_vectors_cannot_search(model: Path, vectors: Path) -> None:
    result = invert(model, vectors, "--decoder", "search")
    assert result.exit_code == 1 and "gives 384-d vectors, this model reads 6-d ones" in " ".join(result.stderr.split())
