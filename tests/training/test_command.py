"""`unmask train` and `unmask export` as a user calls them, and the counting behind --dry-run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from unmask.cli.main import app
from unmask.denoiser.checkpoint import load_checkpoint
from unmask.recipe import load_recipe, parse_recipe
from unmask.training.planning import plan

runner = CliRunner()


@pytest.fixture
def recipe_file(recipe_for: Any, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe_for().model_dump(mode="json")), "utf-8")
    return path


def test_train_then_export_gives_a_model_that_loads(pairs: Path, recipe_file: Path, tmp_path: Path) -> None:
    arguments = ["train", str(recipe_file), "--pairs", str(pairs), "--out", str(tmp_path / "run"), "--json"]
    result = runner.invoke(app, [*arguments, "--set", "training.max_steps=6"])
    assert result.exit_code == 0, result.output
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["start", "done"]
    resumed = runner.invoke(app, [*arguments, "--set", "training.max_steps=8", "--resume"])
    assert resumed.exit_code == 0 and json.loads(resumed.stdout.splitlines()[0])["step"] == 6
    exported = runner.invoke(app, ["export", str(tmp_path / "run"), "--out", str(tmp_path / "small"), "--json"])
    assert exported.exit_code == 0, exported.output
    assert load_checkpoint(tmp_path / "small").manifest["weights"]["storage"] == "int8"


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--set", "training.max_stps=3"], "unknown key 'training.max_stps'; did you mean 'max_steps'?"),
        (["--set", "denoiser.backbone.layers=many"], "'denoiser.backbone.layers' is 'many'"),
        (["--set", "training"], "expected a.b=c"),
        (["--device", "quantum"], "unknown device 'quantum'"),
        (["--threads", "0"], "threads must be at least 1, got 0"),
        (["--pairs", "nowhere"], "nowhere is no folder of pairs"),
    ],
)
def test_a_user_s_mistake_is_one_sentence(
    pairs: Path, recipe_file: Path, tmp_path: Path, extra: list[str], message: str
) -> None:
    given = [] if extra[0] == "--pairs" else ["--pairs", str(pairs)]
    result = runner.invoke(app, ["train", str(recipe_file), *given, "--out", str(tmp_path / "run"), *extra])
    assert result.exit_code not in (0, None)
    assert message in result.stderr and len(result.stderr.strip().splitlines()) == 1


def test_without_pairs_the_next_command_is_named(recipe_file: Path) -> None:
    result = runner.invoke(app, ["train", str(recipe_file)])
    assert result.exit_code == 1 and "unmask prepare" in result.stderr


def test_an_unwritable_run_is_refused_before_training(pairs: Path, recipe_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "run"
    result = runner.invoke(app, ["train", str(recipe_file), "--pairs", str(pairs), "--out", str(place)])
    assert result.exit_code == 1 and "is not a folder" in result.stderr


def test_dry_run_counts_what_would_be_built(pairs: Path, recipe_for: Any) -> None:
    recipe = recipe_for()
    counted = plan(recipe, pairs)
    words, hidden, length, layers = counted["vocabulary_size"], 48, 10, 2
    assert counted["token_table_parameters"] == words * hidden
    block = 4 * hidden * hidden + 4 * hidden + 2 * 96 * hidden + 96 + hidden + 4 * hidden
    assert counted["parameters"] > words * hidden + length * hidden + layers * block
    assert counted["trained_parameters"] == counted["parameters"]


def test_the_paper_s_configurations_are_counted_without_a_hub() -> None:
    free, frozen = (plan(load_recipe(f"mmbert-22-{kind}")) for kind in ("free", "frozen"))
    assert free["sizes_from"] == "the recipe" and free["blocks"] == 22
    assert free["parameters"] == frozen["parameters"] == free["trained_parameters"]
    assert frozen["trained_parameters"] < free["parameters"] - free["token_table_parameters"]


def test_unknown_sizes_are_asked_for() -> None:
    tree = {"name": "x", "training": {"max_steps": 1}, "tokenizer": {"name": "no/where"}}
    with pytest.raises(Exception, match=r"expected\.vocabulary_size"):
        plan(parse_recipe(tree, "x"))


@pytest.mark.slow
def test_two_processes_train_one_model(pairs: Path, recipe_file: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "unmask", "train",
        str(recipe_file), "--pairs", str(pairs), "--out", str(tmp_path / "run"), "--device", "cpu",
        "--set", "training.max_steps=6", "--set", "training.batch_size=8",
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert result.returncode == 0, result.stderr
    progress = load_checkpoint(tmp_path / "run" / "last").manifest["progress"]
    assert progress["step"] == 6 and progress["samples"] == 6 * 8 * 2
