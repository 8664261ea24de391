"""What the listings name is what the rest of the command line takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unmask.cli.main import app
from unmask.denoiser import checkpoint
from unmask.recipe import load_recipe


def listed(command: str) -> list[dict[str, str]]:
    shown = CliRunner().invoke(app, [command, "--json"])
    assert shown.exit_code == 0, shown.output
    return json.loads(shown.stdout)


@pytest.mark.parametrize("command", ["encoders", "decoders", "recipes"])
def test_the_table_and_the_json_say_the_same_a_line_each(command: str) -> None:
    lines = CliRunner().invoke(app, [command]).stdout.splitlines()
    entries = listed(command)
    assert len(entries) == len(lines) > 0
    for line, entry in zip(lines, entries, strict=True):
        assert line.split()[0] == entry["name"] and line.endswith(entry["summary"]) and entry["summary"]


def test_every_listed_recipe_loads() -> None:
    assert all(load_recipe(entry["name"]).name == entry["name"] for entry in listed("recipes"))


def test_every_listed_decoder_and_encoder_is_there() -> None:
    from unmask.attacks.decoders import ALL_DECODERS
    from unmask.encoders import ENCODERS

    assert all(ALL_DECODERS.resolve(entry["name"]) for entry in listed("decoders"))
    assert all(ENCODERS.resolve(entry["name"]) for entry in listed("encoders"))


def test_models_are_the_manifests_that_ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "shipped_folder", lambda: tmp_path)
    assert listed("models") == []
    assert "no model ships" in CliRunner().invoke(app, ["models"]).stderr
    manifest = {"encoder": {"name": "some-encoder"}, "dimension": 12, "length": 8, "recipe": {"summary": "a trial"}}
    (tmp_path / "trial").mkdir()
    (tmp_path / "trial" / "manifest.json").write_text(json.dumps(manifest))
    expected = {"name": "trial", "encoder": "some-encoder", "dimension": 12, "length": 8, "summary": "a trial"}
    assert listed("models") == [expected]
    heading, line = CliRunner().invoke(app, ["models"]).stdout.splitlines()
    assert heading.split() == list(expected) and line.split() == ["trial", "some-encoder", "12", "8", "a", "trial"]
