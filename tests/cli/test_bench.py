"""`unmask bench` on a tiny model with the real encoder: every table, its picture, and bad input named."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from typer.testing import CliRunner

from unmask.benchmark.publishing.guiding import STRENGTHS
from unmask.cli.main import app
from unmask.decoding import DECODERS

WORDS = ("river", "bridge", "letter", "garden", "winter", "teacher")
SENTENCES = [f"The {a} stood near the old {b} in the {c}." for a in WORDS for b in WORDS for c in WORDS if a != b != c]
DOMAINS = ("fiction", "news")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts, pairs, a recipe, and a run with two milestones."""
    from unmask.pairs.prepare import prepare
    from unmask.recipe import parse_recipe
    from unmask.training.loop import train

    root = tmp_path_factory.mktemp("bench")
    (root / "texts").mkdir()
    for number, domain in enumerate(DOMAINS):
        lines = [json.dumps({"text": text, "domain": domain}) for text in SENTENCES[number * 10 :][:10]]
        (root / "texts" / f"{domain}.jsonl").write_text("\n".join(lines), "utf-8")
    (root / "train.txt").write_text("\n".join(SENTENCES[40:]), "utf-8")
    backbone = {"kind": "scratch", "layers": 1, "hidden": 16, "heads": 2, "feed_forward": 16}
    tree: dict[str, Any] = {
        "name": "tiny",
        "text": {"sources": [{"path": str(root / "train.txt")}], "length": 16},
        "pairs": {"near_duplicates": "equal", "validation_share": 0.1, "test_share": 0},
        "denoiser": {
            "backbone": backbone,
            "lexical": {"enabled": True, "hidden": 8, "candidates": 4},
            "conditioning": {"null_dropout": 0.5},
        },
        "training": {"max_steps": 2, "batch_size": 8, "log_every": 1, "validation_decode_rows": 0, "precision": "fp32"},
    }
    (root / "tiny.yaml").write_text(yaml.safe_dump(tree), "utf-8")
    recipe = parse_recipe(tree, "test")
    prepare(recipe, root / "pairs")
    train(recipe, root / "pairs", root / "run", device="cpu")
    for step in (1, 2):
        shutil.copytree(root / "run" / "last", root / "run" / "milestones" / f"step-{step}")
    return root


def bench(workshop: Path, table: str, *arguments: str, out: str = "results") -> Any:
    given = ["bench", table, *arguments, "--out", str(workshop / out), "--model", str(workshop / "run")]
    return CliRunner().invoke(app, [*given, "--texts", str(workshop / "texts"), "--limit", "4", "--steps", "2"])


def rows_of(workshop: Path, table: str, out: str = "results") -> list[dict[str, Any]]:
    lines = (workshop / out / f"{table}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def check(done: Any, workshop: Path, table: str) -> list[dict[str, Any]]:
    """The command went well, its page holds whole tables, and every line says how it was made."""
    assert done.exit_code == 0, done.output
    tables = [block for block in done.stdout.split("\n\n") if block.startswith("|")]
    assert tables
    for block in tables:
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1
    rows = rows_of(workshop, table)
    for row in rows:
        assert row["seed"] == 0 and row["n"] >= 1
        for metric in row["metrics"].values():
            assert metric["low"] <= metric["value"] <= metric["high"]
        if "curve" not in row["details"]:
            assert len(row["details"]["model_fingerprint"]) == 64 and "commit" in row["details"]
    return rows


def test_decoders_beside_baselines_and_published_values(workshop: Path) -> None:
    from unmask.attacks.baselines import BASELINES
    from unmask.benchmark.publishing.decoders import DRAFTS
    from unmask.decoding import DECODERS

    page = workshop / "decoders.md"
    done = bench(workshop, "decoders", "--pairs", str(workshop / "pairs"), "--markdown", str(page))
    rows = check(done, workshop, "decoders")
    assert [row["label"] for row in rows] == [*DECODERS.names, *BASELINES.names, f"confidence, best of {DRAFTS}"]
    assert "77.3" in done.stdout and "Perplexity under 4-grams" in done.stdout
    assert page.read_text("utf-8").strip() == done.stdout.strip()


def test_decoders_without_pairs_leave_out_what_needs_them(workshop: Path) -> None:
    done = bench(workshop, "decoders", "--decoder", "euler", out="without")
    assert done.exit_code == 0, done.output
    assert [row["label"] for row in rows_of(workshop, "decoders", "without")][:2] == ["euler", "random"]
    assert "Without --pairs there is no `nearest`" in done.stdout


def test_remask_has_both_readings(workshop: Path) -> None:
    rows = check(bench(workshop, "remask"), workshop, "remask")
    assert [row["label"] for row in rows] == [
        "lowest 0", "lowest 0.05", "lowest 0.1", "lowest 0.2", "threshold 0.05", "threshold 0.1", "threshold 0.2",
    ]  # fmt: skip


def test_guidance_has_every_decoder_and_strength(workshop: Path) -> None:
    rows = check(bench(workshop, "guidance"), workshop, "guidance")
    held = [(row["details"]["decoder"], row["details"]["guidance"]) for row in rows]
    assert held == [(decoder, strength) for decoder in DECODERS.names for strength in STRENGTHS]
    passes = [row["numbers"]["forward_passes_per_vector"] for row in rows[: len(STRENGTHS)]]
    assert passes[1:] == [2 * passes[0]] * (len(STRENGTHS) - 1)
    assert "| confidence | 0.05 |" in bench(workshop, "guidance", "--decoder", "confidence", out="one").stdout


def test_breakdown_by_everything(workshop: Path) -> None:
    done = bench(workshop, "breakdown", "--pairs", str(workshop / "pairs"))
    rows = check(done, workshop, "breakdown")
    groups = {row["details"]["group"] for row in rows}
    assert groups == {"all", "length", "domain", "frequency", "calibration", "calibration error"}
    for group in ("length", "domain"):
        assert sum(row["n"] for row in rows if row["details"]["group"] == group) == 4
    assert {row["label"] for row in rows if row["details"]["group"] == "domain"} <= set(DOMAINS)


def test_breakdown_without_pairs_says_what_is_left_out(workshop: Path) -> None:
    done = bench(workshop, "breakdown", out="without")
    assert done.exit_code == 0 and "without --pairs there is none" in done.stdout


def test_examples_are_for_the_owner_alone(workshop: Path) -> None:
    done = bench(workshop, "examples", "--option", "restart_t=0.3", "--option", "resample_all=true")
    assert "resample_all True, restart_t 0.3" in done.stdout
    rows = check(done, workshop, "examples")
    assert len(rows) == 4 and all(row["details"]["text"].startswith("the ") for row in rows)
    assert stat.S_IMODE((workshop / "results" / "examples.jsonl").stat().st_mode) == 0o600


def test_milestones_with_the_training_loss(workshop: Path) -> None:
    rows = check(bench(workshop, "milestones", str(workshop / "run")), workshop, "milestones")
    assert [row["label"] for row in rows] == ["step 1", "step 2", "training loss"]
    assert rows[1]["numbers"]["training_loss"] > 0 and rows[2]["details"]["curve"]["steps"] == [1, 2]


def test_cost_alone_and_together(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unmask.benchmark.publishing import cost

    monkeypatch.setattr(cost, "RUNS_ALONE", 2)
    monkeypatch.setattr(cost, "RUNS_TOGETHER", 1)
    rows = check(bench(workshop, "cost", "--decoder", "confidence"), workshop, "cost")
    assert [row["numbers"]["batch"] for row in rows] == [1, 256]
    assert rows[0]["details"]["trained_parameters"] == rows[0]["details"]["parameters"]


def test_the_search_as_curves_by_scorer_and_length(workshop: Path) -> None:
    from unmask.search.surrogate import FOLDER, SurrogateShape
    from unmask.training.surrogate import SurrogateTraining, train_surrogate

    shape = SurrogateShape(layers=1, hidden=16, heads=2, feed_forward=16, spread=16, opinions=2)
    choices = SurrogateTraining(rows=16, batch_size=8, precision="fp32", shape=shape)
    beside = workshop / "run" / "best" / FOLDER
    train_surrogate(workshop / "run", workshop / "pairs", beside, choices, device="cpu")
    try:
        done = bench(workshop, "search", "--budget", "30")
    finally:
        shutil.rmtree(beside)
    rows = check(done, workshop, "search")
    assert "| strategy | text by text against | n | compared texts | token F1 gained, % |" in done.stdout
    assert len(list((workshop / "results" / "parts").glob(f"search-{'[0-9a-f]' * 16}.npz"))) == 4
    labels = list(dict.fromkeys(row["label"] for row in rows))
    assert labels == [
        "confidence, no scorer", "search, encoder", "search, surrogate", "best of N drafts, encoder",
        "best of N drafts with feedback, encoder",
    ]  # fmt: skip
    curves = [row for row in rows if row["details"]["group"] == "compared"]
    assert {row["numbers"]["most"] for row in curves} == {0, 18, 30}
    assert all(row["numbers"]["compared"] <= row["numbers"]["most"] for row in curves)
    by_encoder = {
        row["numbers"]["most"]: row["metrics"]["cosine"]["value"]
        for row in curves if row["label"].startswith("search, encoder")
    }  # fmt: skip
    assert by_encoder[30] >= by_encoder[18] - 1e-3
    found = {(row["label"], row["numbers"]["most"]): row["metrics"] for row in curves}
    # The surrogate's drafts are compared at once: after 18 comparisons there is no text of which to tell anything.
    assert {most for label, most in found if label == "search, surrogate"} == {30}
    for (label, most), metrics in found.items():
        if label == "confidence, no scorer":
            assert "token_f1_gained" not in metrics
            continue
        beside = ("search, encoder", most) if label.startswith("best") else ("confidence, no scorer", 0)
        gained = metrics["token_f1"]["value"] - found[beside]["token_f1"]["value"]
        assert metrics["token_f1_gained"]["value"] == pytest.approx(gained)
    assert {row["details"]["name"] for row in rows if row["details"]["group"] == "length"} <= {"6 to 12", "13 to 20"}


@pytest.mark.parametrize(("table", "first"), [("search-ablation", "everything"), ("search-order", "6 to ")])
def test_the_search_in_parts_and_from_scrambled_words(
    workshop: Path, table: str, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unmask.benchmark.publishing import searching

    began = bench(workshop, table, "--budget", "20")
    rows = check(began, workshop, table)
    assert rows[0]["label"].startswith(first)
    # A second run does only what is missing or damaged, and tells the same.
    parts = sorted((workshop / "results" / "parts").glob(f"{table}-*.npz"))
    parts[0].write_bytes(parts[0].read_bytes()[:100])
    measured, measure = [], searching._traced
    monkeypatch.setattr(searching, "_traced", lambda *what: (measured.append(what), measure(*what))[1])
    assert bench(workshop, table, "--budget", "20").stdout == began.stdout
    assert len(measured) == 1
    monkeypatch.setattr(searching, "provenance", lambda: {"version": "1", "commit": "another"})
    assert bench(workshop, table, "--budget", "20").exit_code == 0 and len(measured) > len(parts)
    assert all(0 < row["numbers"]["compared"] <= 20 for row in rows)
    if table == "search-ablation":
        whole, *without = [row["metrics"] for row in rows]
        assert "token_f1_lost" not in whole and "token F1 lost, %" in began.stdout
        for part in without:
            lost = whole["token_f1"]["value"] - part["token_f1"]["value"]
            assert part["token_f1_lost"]["value"] == pytest.approx(lost)


def test_masking_trains_each_variant_once(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unmask.benchmark.publishing import masking

    monkeypatch.setattr(masking, "RATIOS", (0.1,))
    monkeypatch.setattr(masking, "SCHEDULES", ("exact_k",))
    arguments = ["--recipe", str(workshop / "tiny.yaml"), "--pairs", str(workshop / "pairs"), "--rows", "16"]
    done = bench(workshop, "masking", *arguments)
    rows = check(done, workshop, "masking")
    assert [row["label"] for row in rows] == ["fixed 10 %", "exact_k"]
    assert all(row["numbers"]["rows"] == 16 and "fill_in" in row["metrics"] for row in rows)
    trained = workshop / "results" / "masking" / "fixed-10" / "last" / "manifest.json"
    before = trained.stat().st_mtime_ns
    again = bench(workshop, "masking", *arguments)
    assert again.stdout == done.stdout and trained.stat().st_mtime_ns == before
    other = bench(workshop, "masking", *arguments, "--rows", "24")
    assert other.exit_code == 1 and "with other pairs, rows or recipe" in other.stderr


def test_the_head_alone_takes_a_quarter_of_the_budget_at_most_and_the_network_cools_down_alike(tmp_path: Path) -> None:
    from unmask.benchmark.publishing.setting import Setting
    from unmask.benchmark.publishing.variants import Variant, recipe_of

    changes = ("training.batch_size=100", "denoiser.lexical.warmup_batch=500", "denoiser.lexical.warmup_steps=9000")
    near = ("denoiser.neighbours.warmup_batch=300", "denoiser.neighbours.warmup_steps=9000")
    shares = ("training.optimizer.cooldown_share=0.2",)
    setting = Setting((), tmp_path, rows=40_000, overrides=changes + near + shares, recipe="minilm-deep")
    with_head = recipe_of(setting, Variant("head", ("denoiser.lexical.enabled=true",)))
    without = recipe_of(setting, Variant("plain", ("denoiser.lexical.enabled=false",)))
    # Of 40,000 rows the lexical head takes 10,000 and so does the neighbour head, each of its own at its own price.
    assert (with_head.denoiser.lexical.warmup_steps, with_head.training.max_steps) == (1000, 1000 + 100 + 200)
    assert (without.denoiser.lexical.warmup_steps, without.training.max_steps) == (0, 100 + 300)
    assert [recipe.denoiser.neighbours.warmup_steps for recipe in (with_head, without)] == [100, 100]
    assert with_head.training.optimizer.cooldown_share == without.training.optimizer.cooldown_share
    assert without.training.optimizer.cooldown_share == 0.2
    # Without blocks there is no network that the lexical head would be fifty times cheaper than.
    alone = recipe_of(Setting((), tmp_path, rows=40_000, overrides=changes), Variant("alone", ()))
    assert (alone.denoiser.lexical.warmup_steps, alone.training.max_steps) == (60, 60 + 300)


def test_conditioning_varies_a_recipe_that_has_blocks(tmp_path: Path) -> None:
    from unmask.benchmark.publishing.conditioning import TABLE, variants
    from unmask.benchmark.publishing.setting import Setting
    from unmask.errors import InputError

    labels = [variant.label for variant in variants(Setting((), tmp_path, recipe=TABLE.recipe))]
    assert labels[0] == "AdaLN only (the paper)" and len(labels) == len(set(labels)) > 8
    with pytest.raises(InputError, match=r"recipe minilm has 0 blocks.*--recipe minilm-deep"):
        variants(Setting((), tmp_path, recipe="minilm"))


def test_an_interrupted_variant_goes_on(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unmask.benchmark.publishing import masking
    from unmask.errors import InterruptedRun
    from unmask.training import loop

    monkeypatch.setattr(masking, "RATIOS", ())
    monkeypatch.setattr(masking, "SCHEDULES", ("linear",))
    arguments = ["--recipe", str(workshop / "tiny.yaml"), "--pairs", str(workshop / "pairs"), "--rows", "16"]
    real = loop.train

    def stopped(*given: Any, **named: Any) -> None:
        raise InterruptedRun("stopped at step 1; go on with --resume")

    monkeypatch.setattr(loop, "train", stopped)
    done = bench(workshop, "masking", *arguments, out="interrupted")
    assert done.exit_code == 130 and "run the same command again" in done.stderr
    monkeypatch.setattr(loop, "train", real)
    assert bench(workshop, "masking", *arguments, out="interrupted").exit_code == 0


def test_conditioning_trains_and_measures(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unmask.benchmark.publishing import conditioning

    every = conditioning.variants
    monkeypatch.setattr(conditioning, "variants", lambda setting: every(setting)[1:3])
    arguments = ["--recipe", str(workshop / "tiny.yaml"), "--pairs", str(workshop / "pairs"), "--rows", "16"]
    rows = check(bench(workshop, "conditioning", *arguments), workshop, "conditioning")
    assert [row["label"] for row in rows] == ["prefix only", "AdaLN and prefix"]
    assert all(row["numbers"]["trained_parameters"] > 0 for row in rows)


@pytest.mark.parametrize("table", ["masking", "conditioning"])
def test_a_dry_run_lists_the_variants_and_makes_nothing(workshop: Path, table: str) -> None:
    done = CliRunner().invoke(app, ["bench", table, "--dry-run", "--out", str(workshop / "dry")])
    assert done.exit_code == 0, done.output
    expected = {
        "masking": ["fixed 10 %", "fixed 100 %", "exact_k", "linear", "cosine", "exponential"],
        "conditioning": ["AdaLN only (the paper)", "prefix only", "from scratch, same size", "frozen backbone"],
    }
    assert all(label in done.stdout for label in expected[table])
    assert not (workshop / "dry").exists()


def test_a_variant_that_is_the_recipe_itself_is_trained_once(workshop: Path) -> None:
    done = CliRunner().invoke(app, ["bench", "conditioning", "--dry-run", "--set", "denoiser.conditioning.prefix=4"])
    assert done.exit_code == 0, done.output
    labels = [line.split("  ")[0] for line in done.stdout.splitlines()[1:]]
    assert len(labels) == len(set(labels)) and ("as in the recipe" in labels) != (
        "AdaLN, prefix, lexical and neighbour head" in labels
    )


def test_plot_draws_what_was_measured_and_the_same_twice(workshop: Path) -> None:
    for table in ("breakdown", "remask"):
        assert bench(workshop, table, out="drawn").exit_code == 0
    drawn = []
    for _ in range(2):
        done = CliRunner().invoke(app, ["bench", "plot", str(workshop / "drawn")])
        assert done.exit_code == 0, done.output
        places = [Path(line) for line in done.stdout.splitlines()]
        assert [place.name for place in places] == ["remask.svg", "breakdown.svg"]
        drawn.append([place.read_bytes() for place in places])
    assert drawn[0] == drawn[1]
    assert all(ElementTree.fromstring(picture).tag.endswith("svg") for picture in drawn[0])


BAD = [
    (["decodrs"], 2, "did you mean 'decoders'"),
    (["decoders", "--decoder", "confidense"], 2, "did you mean 'confidence'"),
    (["decoders", "somewhere"], 1, "did you mean --out?"),
    (["decoders", "--limit", "0"], 1, "limit is 0"),
    (["decoders", "--steps", "0"], 1, "steps is 0"),
    (["decoders", "--option", "restart=0.3"], 2, "did you mean 'restart_t'"),
    (["decoders", "--option", "restart_t=much"], 1, "expected a value such as 0.5"),
    (["decoders", "--option", "restart_t"], 1, "expected name=value"),
    (["decoders", "--perplexity", "ngram"], 1, "--pairs DIR"),
    (["decoders", "--pairs", "nowhere"], 1, "no folder of pairs"),
    (["decoders", "--texts", "nowhere"], 1, "does not exist"),
    (["decoders", "--markdown", "nowhere/page.md"], 1, "does not exist"),
    (["decoders", "--dry-run"], 1, "trains nothing"),
    (["breakdown", "--decoder", "euler", "--decoder", "sequential"], 1, "expected one for this table"),
    (["remask", "--decoder", "euler"], 1, "leave it out"),
    (["milestones"], 1, "unmask bench milestones RUN"),
    (["milestones", "nowhere"], 1, "has no folder milestones/"),
    (["masking"], 1, "unmask prepare minilm"),
    (["masking", "--rows", "0"], 1, "rows is 0"),
    (["masking", "--recipe", "minilmm", "--dry-run"], 2, "did you mean 'minilm'"),
    (["masking", "--set", "training.max_stps=1", "--dry-run"], 2, "did you mean 'max_steps'"),
    (["plot", "nowhere"], 1, "holds no results to draw"),
]


@pytest.mark.parametrize(("arguments", "code", "complaint"), BAD)
def test_bad_input_is_named(workshop: Path, arguments: list[str], code: int, complaint: str) -> None:
    texts = [] if "--texts" in arguments else ["--texts", str(workshop / "texts")]
    model = ["--model", str(workshop / "run"), "--out", str(workshop / "bad")]
    done = CliRunner().invoke(app, ["bench", *arguments, *texts, *model])
    assert (done.exit_code, complaint in done.stderr) == (code, True), done.stderr
    assert done.stderr.count("\n") == 1


def test_empty_texts_and_no_texts_are_named(workshop: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    model = ["--model", str(workshop / "run"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["bench", "examples", "--texts", str(tmp_path), *model])
    assert (done.exit_code, "holds no text" in done.stderr) == (1, True)
    done = CliRunner().invoke(app, ["bench", "examples", *model])
    assert (done.exit_code, "--texts is missing" in done.stderr) == (1, True)


def test_damaged_results_are_not_drawn(tmp_path: Path) -> None:
    (tmp_path / "cost.jsonl").write_text('{"half": \n')
    done = CliRunner().invoke(app, ["bench", "plot", str(tmp_path)])
    assert (done.exit_code, "line 1 is no result" in done.stderr) == (1, True)
