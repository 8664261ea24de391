"""`unmask prepare` as a user runs it, with the bundled encoder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from unmask.cli.main import app
from unmask.encoders import load_encoder
from unmask.pairs.dataset import PairsDataset
from unmask.pairs.prepare import prepare
from unmask.recipe import load_recipe
from unmask.text.sources import with_text

LINES = [
    f"The {animal} sat on the {place} for {count} days. Then it went home again, tired but happy."
    for count, (animal, place) in enumerate((a, p) for a in ("cat", "dog", "owl", "fox") for p in ("mat", "sea"))
]
SMALL = ["--set", "text.sources=[{}]", "--set", "text.length=16", "--set", "pairs.vector_dtype=float32"]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(LINES))
    return path


def run(*arguments: object):
    return CliRunner().invoke(app, ["prepare", *map(str, arguments)])


def test_the_vectors_are_the_encoders_own(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    made = run("minilm", "--text", text, "--out", out, "--json", *SMALL)
    assert made.exit_code == 0, made.output
    told = json.loads(made.stdout)
    pairs = PairsDataset.open(out)
    assert told["rows"] == pairs.manifest.rows and told["folder"] == str(out)
    assert told["dimension"] == 384 and told["length"] == 16
    ids, vectors = pairs.rows("train", np.arange(pairs.count("train")))
    again = load_encoder("minilm").encode(pairs.tokenizer().decode_all(ids.tolist()))
    np.testing.assert_allclose(vectors, again, atol=3e-2)  # bf16 rounds by the batch

    shown = run("minilm", "--text", text, "--out", out, *SMALL)  # nothing is missing
    assert shown.exit_code == 0
    assert f"{out}: 384-d vectors of minilm, up to 16 tokens" in shown.stdout
    assert "sentence" in shown.stdout and "train" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["minilm"], 2, "give --text PATH"),
        (["minilm", "--text", "/no/such/place"], 1, "/no/such/place does not exist"),
        (["minilm", "--text", "LINES", "--set", "pairs.max_row=3"], 2, "did you mean 'max_rows'?"),
        (["minilm", "--text", "LINES"], 1, "line 1 has no text under 'text' (keys there: body"),
        (["minilmm", "--text", "LINES"], 2, "did you mean 'minilm'?"),
    ],
)
def test_each_refusal_is_one_line(text: Path, tmp_path: Path, arguments: list[str], code: int, complaint: str) -> None:
    text = text.rename(text.with_suffix(".jsonl"))
    text.write_text(json.dumps({"body": LINES[0], "domain": "wiki", "source": "s"}))
    out = tmp_path / "pairs"
    refused = run(*(str(text) if part == "LINES" else part for part in arguments), "--out", out)
    assert refused.exit_code == code
    assert complaint in refused.stderr
    assert refused.stderr.count("\n") == 1 and refused.stdout == ""
    assert not list(out.glob("*.npy"))


def test_python_and_command_line_make_the_same_folder(text: Path, tmp_path: Path) -> None:
    recipe = with_text(load_recipe("minilm", SMALL[1::2]), str(text))
    manifest = prepare(recipe, tmp_path / "pairs")
    assert run("minilm", "--text", text, "--out", tmp_path / "pairs", *SMALL).exit_code == 0
    assert PairsDataset.open(tmp_path / "pairs").manifest.recipe_hash == manifest.recipe_hash


def test_an_interrupt_says_how_to_go_on(text: Path, tmp_path: Path, monkeypatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("unmask.pairs.prepare.load_tokenizer", interrupt)
    stopped = run("minilm", "--text", text, "--out", tmp_path / "pairs", *SMALL)
    assert stopped.exit_code == 130
    assert "the same command goes on" in stopped.stderr
