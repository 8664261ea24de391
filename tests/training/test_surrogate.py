"""Teaching a surrogate: it learns, resumes bit for bit, and what is written loads beside the model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from unmask.attacks.inverter import Inverter
from unmask.cli.main import app
from unmask.errors import CheckpointError, InterruptedRun, PairsError
from unmask.files import read_json, write_json
from unmask.search import SearchOptions
from unmask.search.surrogate import FOLDER, MANIFEST, SurrogateShape
from unmask.training.loop import train
from unmask.training.surrogate import SurrogateTraining, train_surrogate

SHAPE = SurrogateShape(layers=1, hidden=16, heads=2, feed_forward=32, spread=32, opinions=2)
CHOICES = SurrogateTraining(rows=20 * 32, batch_size=32, rate=1e-2, precision="fp32", shape=SHAPE)


@pytest.fixture
def model(pairs: Path, recipe_for: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = recipe_for(training__max_steps=2)
    return train(recipe, pairs, tmp_path_factory.mktemp("model") / "run", device="cpu")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "state" / read_json(folder / "state" / "state.json")["file"])


def test_it_comes_nearer_to_the_encoder(model: Path, pairs: Path, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    short = train_surrogate(model, pairs, tmp_path / "a", SurrogateTraining(**{**vars(CHOICES), "rows": 32}))
    long = train_surrogate(
        model, pairs, tmp_path / "b", SurrogateTraining(**{**vars(CHOICES), "rows": 150 * 32}), on_event=events.append
    )
    before, after = (read_json(folder / MANIFEST)["progress"]["cosine"] for folder in (short, long))
    assert after > before + 0.2
    assert [event["event"] for event in (events[0], events[-1])] == ["start", "end"]
    assert {"share", "loss", "rows_per_second"} <= events[1].keys()


def test_stopped_and_resumed_is_as_if_never_stopped(model: Path, pairs: Path, tmp_path: Path) -> None:
    whole = train_surrogate(model, pairs, tmp_path / "whole", CHOICES, save_every=100)

    def stop_at_ten(event: dict[str, Any]) -> None:
        if event["event"] == "validation" and event["step"] == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_surrogate(model, pairs, tmp_path / "parts", CHOICES, save_every=10, on_event=stop_at_ten)
    with pytest.raises(CheckpointError, match="holds a training run already"):
        train_surrogate(model, pairs, tmp_path / "parts", CHOICES)
    parts = train_surrogate(model, pairs, tmp_path / "parts", CHOICES, resume=True, save_every=100)
    first, second = weights(whole), weights(parts)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("has_state", [True, False])
def test_a_finished_one_is_given_what_it_lacks_and_nothing_else(
    model: Path, pairs: Path, tmp_path: Path, has_state: bool
) -> None:
    out, events = train_surrogate(model, pairs, tmp_path / "a", CHOICES), list[str]()
    manifest = read_json(out / MANIFEST)
    size = len((out / manifest["lens"]["file"]).read_bytes())
    if not has_state:
        shutil.rmtree(out / "state")

    def resumed() -> list[str]:
        events.clear()
        train_surrogate(model, pairs, out, CHOICES, resume=True, on_event=lambda event: events.append(event["event"]))
        assert read_json(out / MANIFEST).keys() == manifest.keys()
        assert read_json(out / MANIFEST)["weights"] == manifest["weights"]
        assert len((out / read_json(out / MANIFEST)["lens"]["file"]).read_bytes()) == size
        return [event for event in events if event in ("lens", "counting n-grams", "step")]

    assert resumed() == []
    write_json(out / MANIFEST, {name: value for name, value in manifest.items() if name != "lens"})
    assert resumed() == ["lens"]
    (out / manifest["fluency"]["file"]).write_bytes(b"half")
    assert resumed() == ["counting n-grams"]
    (out / read_json(out / MANIFEST)["lens"]["file"]).unlink()
    write_json(out / MANIFEST, {name: value for name, value in read_json(out / MANIFEST).items() if name != "fluency"})
    assert resumed() == ["counting n-grams", "lens"]


def test_a_signal_saves(model: Path, pairs: Path, tmp_path: Path) -> None:
    import signal

    def interrupt(event: dict[str, Any]) -> None:
        if event["event"] == "start":
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(InterruptedRun, match="go on with --resume"):
        train_surrogate(model, pairs, tmp_path, CHOICES, on_event=interrupt)
    assert (tmp_path / "state" / "state.json").is_file()


def test_other_choices_do_not_resume(model: Path, pairs: Path, tmp_path: Path) -> None:
    train_surrogate(model, pairs, tmp_path, CHOICES)
    with pytest.raises(CheckpointError, match="another recipe or other pairs"):
        train_surrogate(model, pairs, tmp_path, SurrogateTraining(**{**vars(CHOICES), "seed": 1}), resume=True)


def test_pairs_of_another_model_are_refused(model: Path, pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(PairsError, match="was prepared for another model"):
        train_surrogate("minilm", pairs, tmp_path, CHOICES)


def test_the_command_puts_it_where_the_search_finds_it(model: Path, pairs: Path, tmp_path: Path) -> None:
    arguments = ["train-surrogate", str(model), "--pairs", str(pairs), "--rows", "64", "--batch-size", "32", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout.splitlines()[0])["event"] == "start"
    inverter = Inverter.from_pretrained(model, precision="fp32")
    assert (inverter.folder / FOLDER / MANIFEST).is_file()
    vectors = torch.randn(2, inverter.dimension)
    found = inverter.invert(vectors, decoder="search", search=SearchOptions(scorer="surrogate", budget=40))
    assert all(row.text and not row.verified and row.cosine is None for row in found)
    inverter.save_pretrained(tmp_path / "copy")
    assert (tmp_path / "copy" / FOLDER / MANIFEST).is_file()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--rate", "0"], "--rate is 0.0, expected more than 0"),
        (["--rate", "nan"], "--rate is nan, expected more than 0"),
        (["--pairs", "nowhere"], "nowhere is no folder of pairs"),
        (["--threads", "0"], "threads must be at least 1"),
    ],
)
def test_a_mistake_is_one_sentence(model: Path, pairs: Path, extra: list[str], message: str) -> None:
    given = [] if extra[0] == "--pairs" else ["--pairs", str(pairs)]
    result = CliRunner().invoke(app, ["train-surrogate", str(model), *given, *extra])
    assert result.exit_code not in (0, None)
    assert message in " ".join(result.stderr.split())


def test_a_shipped_model_is_not_written_into(pairs: Path) -> None:
    result = CliRunner().invoke(app, ["train-surrogate", "minilm", "--pairs", str(pairs)])
    assert result.exit_code and "give --out" in " ".join(result.stderr.split())
