"""`unmask evaluate` on a tiny untrained model with the real encoder: figures out, bad input named."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unmask.benchmark.evaluation import METRICS
from unmask.cli.main import app

WORDS = ("river", "bridge", "letter", "garden", "winter", "teacher")
SENTENCES = [f"The {a} stood near the old {b} in the {c}." for a in WORDS for b in WORDS for c in WORDS if a != b != c]
STRANGE = ["🐈 the cat 🐈", "שלום עולם", "我们明天去北京。", "12 + 7 = 19 %", "word " * 80]
METRICS_OF_TEXT = set(METRICS) | {"sentence_bleu"}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with texts, their pairs, and an untrained model of them."""
    import torch

    from unmask.denoiser.build import build_denoiser, token_space
    from unmask.denoiser.checkpoint import save_checkpoint
    from unmask.pairs.dataset import PairsDataset
    from unmask.pairs.prepare import prepare
    from unmask.recipe import parse_recipe

    root = tmp_path_factory.mktemp("evaluate")
    write_jsonl(root / "train.jsonl", SENTENCES[40:])
    write_jsonl(root / "held-out.jsonl", SENTENCES[:20])
    backbone = {"kind": "scratch", "layers": 1, "hidden": 16, "heads": 2, "feed_forward": 16}
    tree = {
        "name": "tiny",
        "text": {"sources": [{"path": str(root / "train.jsonl")}], "length": 16},
        "pairs": {"near_duplicates": "equal", "validation_share": 0, "test_share": 0},
        "denoiser": {"backbone": backbone},
        "training": {"max_steps": 1},
    }
    recipe = parse_recipe(tree, "test")
    prepare(recipe, root / "pairs")
    pairs = PairsDataset.open(root / "pairs")
    tokenizer = pairs.tokenizer()
    torch.manual_seed(0)
    denoiser = build_denoiser(recipe.denoiser, token_space(tokenizer), 16, pairs.manifest.dimension)
    manifest = pairs.manifest
    denoiser.set_vector_statistics(torch.from_numpy(manifest.mean), torch.from_numpy(manifest.spread))
    save_checkpoint(root / "model", denoiser, tokenizer, recipe, pairs.manifest.encoder, {})
    return root


def write_jsonl(path: Path, texts: list[str]) -> None:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")


def evaluate(workshop: Path, *arguments: str):
    return CliRunner().invoke(app, ["evaluate", "--model", str(workshop / "model"), *arguments])


def test_one_object_with_every_metric_and_how_it_was_made(workshop: Path) -> None:
    texts = str(workshop / "held-out.jsonl")
    done = evaluate(workshop, "--texts", texts, "--limit", "12", "--seed", "3", "--steps", "2", "--json")
    assert done.exit_code == 0, done.output
    tree = json.loads(done.stdout)
    assert (tree["decoder"], tree["n"], tree["seed"], tree["steps"]) == ("confidence", 12, 3, 2)
    assert tree["model"] == str(workshop / "model")
    assert set(tree["metrics"]) == METRICS_OF_TEXT
    for metric in tree["metrics"].values():
        assert metric["low"] <= metric["value"] <= metric["high"]
    assert tree["cost"]["forward_passes_per_vector"] <= 2
    assert "stood near" not in done.output
    again = evaluate(workshop, "--texts", texts, "--limit", "12", "--seed", "3", "--steps", "2", "--json")
    assert json.loads(again.stdout)["metrics"] == tree["metrics"]


def test_every_attack_in_one_table(workshop: Path) -> None:
    from unmask.attacks.baselines import BASELINES
    from unmask.decoding import DECODERS

    texts, results = str(workshop / "held-out.jsonl"), workshop / "results.jsonl"
    fluency = ["--perplexity", "ngram", "--pairs", str(workshop / "pairs")]
    done = evaluate(
        workshop, "--texts", texts, "--all", "--steps", "2", *fluency, "--results", str(results), "--markdown"
    )
    assert done.exit_code == 0, done.output
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    names = [row.split(" | ")[0].removeprefix("| ") for row in rows[2:]]
    assert names == [*DECODERS.names, *BASELINES.names]
    assert "20 held-out texts of 20" in done.stdout
    assert "Perplexity under 4-grams of" in done.stdout
    lines = [json.loads(line) for line in results.read_text("utf-8").splitlines()]
    assert len(lines) == 20 * len(names)
    assert stat.S_IMODE(results.stat().st_mode) == 0o600
    nearest = [line for line in lines if line["attack"] == "nearest"]
    assert all(line["cosine"] > 0.5 and line["forward_passes"] == 0 for line in nearest)


def test_training_text_is_found_whole_by_its_neighbour_and_not_by_chance(workshop: Path) -> None:
    arguments = ["--baseline", "nearest", "--baseline", "random", "--pairs", str(workshop / "pairs"), "--limit", "10"]
    done = evaluate(workshop, "--texts", str(workshop / "train.jsonl"), *arguments, "--json")
    nearest, random = json.loads(done.stdout)["evaluations"]
    assert (nearest["baseline"], nearest["decoder"]) == ("nearest", None)
    assert nearest["metrics"]["exact_match"]["value"] > 0.5
    assert random["metrics"]["exact_match"]["value"] == 0
    assert nearest["metrics"]["cosine"]["low"] > random["metrics"]["cosine"]["high"]


def test_strange_texts_are_measured_and_counted(workshop: Path, tmp_path: Path) -> None:
    (tmp_path / "strange.txt").write_text("\n".join(STRANGE), "utf-8")
    done = evaluate(workshop, "--texts", str(tmp_path), "--steps", "1", "--json")
    assert done.exit_code == 0, done.output
    tree = json.loads(done.stdout)
    assert tree["n"] == len(STRANGE)
    assert tree["texts"]["cut"] == 1
    assert tree["texts"]["with_unknown"] >= 1


def test_a_table_for_people(workshop: Path) -> None:
    done = evaluate(workshop, "--texts", str(workshop / "held-out.jsonl"), "--limit", "4", "--steps", "1")
    assert done.exit_code == 0, done.output
    assert "tokens right, %" in done.stdout
    assert "4 held-out texts of 20, seed 0" in done.stdout


BAD_FILES = [
    ("empty.txt", b"", "holds no text"),
    ("blank.txt", b"\n \n", "holds no text"),
    ("key.jsonl", b'{"body": "x"}\n', "no text under 'text'"),
    ("broken.jsonl", b'{"text": \n', "not JSON"),
    ("latin.txt", "Größe".encode("latin-1"), "not UTF-8"),
    ("emoji.txt", "🐈\n🐕".encode(), "nothing is left"),
    ("missing.txt", None, "does not exist"),
]


@pytest.mark.parametrize(("name", "content", "complaint"), BAD_FILES)
def test_bad_files_are_named(workshop: Path, tmp_path: Path, name: str, content: bytes | None, complaint: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = evaluate(workshop, "--texts", str(tmp_path / name))
    assert done.exit_code == 1
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


BAD_ARGUMENTS = [
    (["--limit", "0"], 1, "limit is 0"),
    (["--steps", "0"], 1, "steps is 0"),
    (["--batch-size", "0"], 1, "batch_size is 0"),
    (["--decoder", "confidense"], 2, "did you mean 'confidence'"),
    (["--baseline", "nearst"], 2, "did you mean 'nearest'"),
    (["--baseline", "nearest"], 1, "add --pairs DIR"),
    (["--all", "--decoder", "euler"], 1, "leave out --decoder"),
    (["--json", "--markdown"], 1, "choose one"),
    (["--perplexity", "ngram"], 1, "--pairs DIR"),
    (["--perplexity", "no-such-model"], 1, "language model 'no-such-model' cannot be loaded"),
    (["--pairs", "nowhere"], 1, "no folder of pairs"),
    (["--results", "nowhere/results.jsonl"], 1, "does not exist"),
    (["--results", "."], 1, "is a folder"),
    (["--limit", "1", "--baseline", "shuffled"], 1, "1 vector cannot be shuffled"),
]


@pytest.mark.parametrize(("arguments", "code", "complaint"), BAD_ARGUMENTS)
def test_bad_arguments_are_named(workshop: Path, arguments: list[str], code: int, complaint: str) -> None:
    done = evaluate(workshop, "--texts", str(workshop / "held-out.jsonl"), *arguments)
    assert done.exit_code == code
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_folder_without_text_and_a_missing_model_are_named(workshop: Path, tmp_path: Path) -> None:
    assert "holds no .jsonl" in evaluate(workshop, "--texts", str(tmp_path)).stderr
    texts = str(workshop / "held-out.jsonl")
    done = CliRunner().invoke(app, ["evaluate", "--texts", texts, "--model", "no-such-model"])
    assert (done.exit_code, "no model 'no-such-model'" in done.stderr) == (2, True)


def test_vectors_of_another_encoder_than_the_models_are_not_measured(workshop: Path, tmp_path: Path) -> None:
    shutil.copytree(workshop / "model", tmp_path / "model")
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text("utf-8"))
    manifest["encoder"]["fingerprint"] = "another"
    (tmp_path / "model" / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    done = CliRunner().invoke(
        app, ["evaluate", "--texts", str(workshop / "held-out.jsonl"), "--model", str(tmp_path / "model")]
    )
    assert (done.exit_code, "expected another" in done.stderr) == (1, True)
