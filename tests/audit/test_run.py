"""A whole audit of a small store, and what its reports say and keep to themselves."""

from __future__ import annotations

import json
import re
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from unmask.attacks.inverter import Inverter
from unmask.audit.junit import junit, write_junit
from unmask.audit.lines import lines, write_lines, write_texts
from unmask.audit.origin import diagnosis
from unmask.audit.page import page, write_page
from unmask.audit.run import Asked, Findings, audit, what_it_takes
from unmask.audit.rungs import Rung, rungs
from unmask.cli.main import app
from unmask.encoders.diagnosis import diagnose
from unmask.errors import VectorError
from unmask.records import Reconstruction, VectorBatch

SECRET = "<script>alert(1)</script> mail ann.lee@example.com & word1 word2"


@pytest.fixture(autouse=True)
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model's encoder has nothing to do with the vectors of these stores."""
    monkeypatch.setattr("unmask.audit.run.diagnosis", lambda inverter, sample: None)


@pytest.fixture
def store(tmp_path: Path, inverter: Inverter, vectors: np.ndarray) -> Path:
    """A store in which the blind attacker reads half of the texts."""
    read = [row.text for row in inverter.invert(vectors, steps=8)]
    texts = [SECRET if row == 3 else text if row % 2 else "word50 word51" for row, text in enumerate(read)]
    rows = [
        {"id": f"n{row}", "vector": vector.tolist(), "body": text}
        for row, (vector, text) in enumerate(zip(vectors, texts, strict=True))
    ]
    rows[5]["vector"] = [0.0] * 8
    rows[7]["vector"] = rows[9]["vector"]
    rows[11]["vector"] = None
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "notes.jsonl"


@pytest.fixture
def findings(store: Path, inverter: Inverter) -> Findings:
    return audit(Asked(str(store), budgets=(6,)), inverter)


def test_everything_is_counted_attacked_and_compared(findings: Findings) -> None:
    assert findings.census.count == len(findings.sample) == 21 and findings.census.duplicates == 1
    assert findings.left_out.counts == {"all zeros": 1, "no list of numbers": 1}
    assert [outcome.rung.name for outcome in findings.outcomes] == [
        "unconditional", "shuffled", "nearest", "blind", "surrogate", "encoder, 6 calls"
    ]  # fmt: skip
    assert findings.verdict is not None and findings.verdict.grade == "E" and findings.verdict.leak.low > 0
    assert len(findings.near) >= 1 and {7, 9} <= {int(findings.sample.ids[row][1:]) for row in findings.near[0]}


def test_the_same_seed_finds_the_same_and_a_sample_is_smaller(store: Path, inverter: Inverter) -> None:
    asked = Asked(str(store), sample=6, seed=4, budgets=(6,))
    first, second = (audit(asked, inverter) for _ in range(2))
    assert len(first.sample) == 6 and first.sample.ids == second.sample.ids
    assert [o.texts for o in first.outcomes] == [o.texts for o in second.outcomes]
    assert first.census.count == 21


def test_lines_say_everything_but_the_texts(findings: Findings, tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", findings)
    whole = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in whole] == ["audit", *["attacker"] * 6, *["defence"] * 12, *["record"] * 21]
    assert {line["known_pairs"] for line in whole if line["kind"] == "defence"} == {0}  # all are in the sample
    assert whole[0]["verdict"]["grade"] == "E" and whole[0]["census"]["count"] == 21
    of_secret = next(line for line in whole if line.get("id") == "n3")
    assert of_secret["personal"] == ["e-mail address"] and "token_f1" in of_secret["read"]["blind"]
    assert "ann.lee" not in json.dumps(list(lines(findings)))
    write_texts(tmp_path / "t.jsonl", findings)
    assert stat.S_IMODE((tmp_path / "t.jsonl").stat().st_mode) == 0o600
    texts = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert len(texts) == 3 * 21 and all(line["id"].startswith("n") for line in texts)


def test_the_page_asks_for_nothing_and_escapes_what_it_shows(findings: Findings, tmp_path: Path) -> None:
    shown, hidden = page(findings, "unmask audit 'x'", shows_text=True), page(findings, "unmask audit 'x'")
    for html in (shown, hidden):
        assert "<script" not in html and not re.search(r"(src|href)=|url\(|@import|http:|https:", html)
        assert "style-src 'sha256-" in html and "unmask audit &#x27;x&#x27;" in html
        assert all(f"{name}: " in html for name in "ABCDE") and ">E</b>" in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "ann.lee" not in hidden and "--show-text" in hidden and "n3" in hidden
    write_page(tmp_path / "shown.html", findings, "x", True)
    assert stat.S_IMODE((tmp_path / "shown.html").stat().st_mode) == 0o600


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_a_browser_shows_it_without_asking_for_anything(
    findings: Findings, tmp_path: Path, width: int, scheme: str
) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine")
    write_page(tmp_path / "r.html", findings, "unmask audit x", True)
    asked, complaints = list[str](), list[str]()
    with playwright.sync_playwright() as started:
        window = started.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        for without_policy in (False, True):  # axe brings a script of its own
            context = window.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=without_policy
            )
            shown = context.new_page()
            shown.on("request", lambda request: asked.append(request.url))
            shown.on("console", lambda message: complaints.append(message.text))
            shown.goto((tmp_path / "r.html").as_uri())
            assert shown.evaluate("document.documentElement.scrollWidth") <= width
            assert "<script>alert(1)</script>" in shown.inner_text("main")
        found = axe.Axe().run(shown).response["violations"]
        window.close()
    assert [(one["id"], one["impact"]) for one in found if one["impact"] in ("serious", "critical")] == []
    assert asked == [(tmp_path / "r.html").as_uri()] * 2 and complaints == []


def test_what_would_help_is_in_the_report_unless_it_is_not_wanted(
    findings: Findings, store: Path, inverter: Inverter
) -> None:
    shown = page(findings, "x")
    assert "What would help" in shown and "a secret rotation" in shown and shown.count("<svg") == 2
    without = audit(Asked(str(store), budgets=(6,), tries_defences=False), inverter)
    assert "Not tried: defences were not to be tried." in page(without, "x")


def test_vectors_that_have_nothing_to_do_with_their_texts_leak_nothing(tmp_path: Path, inverter: Inverter) -> None:
    draw = np.random.default_rng(0)
    inverter.denoiser.vector.mean.add_(0.1)
    read = [row.text for row in inverter.invert(draw.standard_normal((40, 8)).astype(np.float32), steps=8)]
    with (tmp_path / "random.jsonl").open("w") as file:
        for row, text in enumerate(read):
            file.write(json.dumps({"id": row, "vector": draw.standard_normal(8).tolist(), "body": text}) + "\n")
    found = audit(Asked(str(tmp_path / "random.jsonl"), budgets=(6,), tries_defences=False), inverter)
    assert found.verdict is not None and found.verdict.grade == "A"
    for score in found.scored:
        if not score.is_baseline:
            assert score.metrics["token_f1_lift"].low <= 0


def test_an_attacker_who_knows_everything_reads_everything(
    store: Path, inverter: Inverter, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {row["id"]: row["body"] for row in map(json.loads, store.read_text().splitlines())}

    class Oracle:
        name = "oracle"

        def invert(self, vectors: VectorBatch, budget: int | None = None) -> list[Reconstruction]:
            ids = [tuple(inverter.tokenizer.encode([texts[name]])[0]) for name in vectors.ids]
            return [
                Reconstruction(name, texts[name], row, tuple(map(str, row)), tuple(1.0 for _ in row))
                for name, row in zip(vectors.ids, ids, strict=True)
            ]

    ladder = [*rungs(())[:2], Rung("oracle", "everything", lambda attackers: Oracle())]
    monkeypatch.setattr("unmask.audit.run.rungs", lambda budgets: ladder)
    found = audit(Asked(str(store), tries_defences=False), inverter)
    score = found.scored[-1]
    assert score.rung == "oracle" and score.metrics["token_f1_lift"].low > 0
    assert score.metrics["exact_match"].low == score.metrics["token_f1"].low == 1
    assert found.verdict is not None and found.verdict.grade == "E"


def test_a_build_server_sees_a_test_for_each_attacker(findings: Findings, tmp_path: Path) -> None:
    from xml.etree import ElementTree

    write_junit(tmp_path / "j.xml", replace(findings, origin="a\x00<b>"), 0.1)
    suite = ElementTree.parse(tmp_path / "j.xml").getroot()
    cases = {case.get("name"): case for case in suite}
    assert {"blind", "surrogate", "encoder, 6 calls", "e-mail address"} <= set(cases)
    assert cases["blind"].find("failure") is not None and cases["blind"].get("classname") == "unmask audit.a?<b>"
    skipped = cases["surrogate"].find("skipped")
    assert skipped is not None and "train-surrogate" in str(skipped.get("message"))
    assert suite.get("tests") == str(len(cases)) and suite.get("skipped") == "2"
    assert int(suite.get("failures") or 0) == len(suite.findall("testcase/failure")) >= 1
    assert junit(findings).get("failures") == "0"
    assert "example.com" not in (tmp_path / "j.xml").read_text()


def test_without_texts_nothing_is_claimed(tmp_path: Path, inverter: Inverter, vectors: np.ndarray) -> None:
    np.save(tmp_path / "v.npy", vectors)
    found = audit(Asked(str(tmp_path / "v.npy"), budgets=(6,)), inverter)
    assert found.scored == () and found.verdict is None and len(found.outcomes[3].found) == 23
    assert "how much of what was read is right is not known" in page(found, "x")


def test_vectors_of_another_dimension_say_what_it_takes(
    tmp_path: Path, inverter: Inverter, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "v.npy", np.ones((5, 12), np.float32))
    with pytest.raises(VectorError, match="holds 12-d vectors, the model reads 8-d ones; no model at hand reads 12-d"):
        audit(Asked(str(tmp_path / "v.npy")), inverter)
    inverter.manifest["progress"] = {"samples": 12_000_000, "seconds": 7200.0}
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert "about 12 million pairs and 0.5 h on the 8 cores of this machine" in what_it_takes(12, inverter)
    assert what_it_takes(384, inverter).startswith("pass --model minilm, if its encoder is yours")


def test_vectors_of_another_encoder_are_not_called_safe(
    store: Path, inverter: Inverter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unmask.audit.run.diagnosis", diagnosis)
    with pytest.raises(VectorError, match=r"are not those that encoder 'words' gives their texts \(cosine .*--model"):
        audit(Asked(str(store)), inverter)
    assert audit(Asked(str(store), may_ask_encoder=False), inverter).diagnosis is None


def _store_of(path: Path, vectors: np.ndarray, texts: list[str]) -> Path:
    rows = [{"vector": vector, "text": text} for vector, text in zip(vectors.tolist(), texts, strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("times", [1.0, 3.0])
def test_the_encoders_own_vectors_are_known_whatever_their_length(
    tmp_path: Path, inverter: Inverter, monkeypatch: pytest.MonkeyPatch, times: float
) -> None:
    monkeypatch.setattr("unmask.audit.run.diagnosis", diagnosis)
    texts = [f"word{row} word{row + 1} word{row + 2}" for row in range(12)]
    own = _store_of(tmp_path / "own.jsonl", times * inverter.encoder().encode(texts), texts)
    found = audit(Asked(str(own), budgets=(), tries_defences=False), inverter)
    assert found.diagnosis is not None and found.diagnosis.median_cosine == pytest.approx(1)
    assert "of 12 texts 12 have its very vectors, cosine 1.000 in the median" in page(found, "x")
    (first, *_) = lines(found)
    assert first["stored_vectors"]["found"] == ("match" if times == 1 else "normalisation")


def test_what_was_done_to_the_encoders_vectors_is_said(
    tmp_path: Path, inverter: Inverter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unmask.audit.run.diagnosis", diagnosis)
    texts = [f"word{row} word{row + 1} word{row + 2}" for row in range(12)]
    made = inverter.encoder().encode(texts)
    reordered = _store_of(tmp_path / "axes.jsonl", np.roll(made, 3, axis=1), texts)
    with pytest.raises(VectorError, match=r"encoder's, but the axes are not: .*; undo that rotation"):
        audit(Asked(str(reordered)), inverter)
    cut = _store_of(tmp_path / "cut.jsonl", made[:, :6], texts)
    with pytest.raises(VectorError, match=r"holds 6-d vectors \(the vectors are the first 6 of the encoder's 8 dim"):
        audit(Asked(str(cut)), inverter)
    shuffled = _store_of(tmp_path / "order.jsonl", made, ["word7 word8", *texts[1:][::-1]])
    with pytest.raises(VectorError) as told:
        audit(Asked(str(shuffled)), inverter)
    assert "word8" not in str(told.value)  # what the texts say is for the user's eyes, not for a build's log


def test_the_encoders_vectors_with_fewer_bits_are_audited(
    tmp_path: Path, inverter: Inverter, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = diagnose(inverter.encoder(), ["word1 word2"] * 6, inverter.encoder().encode(["word1 word2"] * 6))
    coarse = replace(found, kind="precision", median_cosine=0.78, notes=("it was rounded",))
    monkeypatch.setattr("unmask.audit.run.diagnosis", lambda inverter, sample: coarse)
    store = _store_of(tmp_path / "v.jsonl", inverter.encoder().encode(["word1", "word2"]), ["word1", "word2"])
    shown = page(audit(Asked(str(store), budgets=(), tries_defences=False), inverter), "x")
    assert "cosine 0.780 in the median" in shown and "it was rounded" in shown


def test_the_seed_is_that_of_the_attacks_too(store: Path, inverter: Inverter) -> None:
    shuffled = [audit(Asked(str(store), seed=seed, budgets=()), inverter).outcomes[1].texts for seed in (1, 2)]
    assert shuffled[0] != shuffled[1]


class TestCommand:
    def run(self, checkpoint: Path, *arguments: Any) -> Any:
        return CliRunner().invoke(app, ["audit", "--model", str(checkpoint), "--no-encoder", *map(str, arguments)])

    def test_the_report_and_the_files_that_were_asked_for_are_written(
        self, store: Path, checkpoint: Path, tmp_path: Path
    ) -> None:
        out = [tmp_path / name for name in ("r.html", "r.jsonl", "t.jsonl")]
        before = store.read_bytes()
        files = ("--html", out[0], "--jsonl", out[1], "--texts-out", out[2])
        result = self.run(checkpoint, store, "--texts-field", "body", *files)
        assert result.exit_code == 0, result.stderr
        assert "grade E" in result.stdout and "left out: the encoder was not to be asked" in result.stdout
        assert all(path.stat().st_size for path in out) and store.read_bytes() == before

    @pytest.mark.parametrize(("limit", "code"), [(0.2, 3), (0.95, 0)])
    def test_the_exit_code_says_whether_too_much_leaks(
        self, store: Path, checkpoint: Path, tmp_path: Path, limit: float, code: int
    ) -> None:
        result = self.run(checkpoint, store, "--html", tmp_path / "r.html", "--fail-over", limit)
        assert result.exit_code == code, result.stderr
        assert ("more leaks than --fail-over 0.2 allows" in result.stderr) is (code == 3)

    def test_what_cannot_be_done_is_one_sentence_and_leaves_no_report(
        self, store: Path, checkpoint: Path, tmp_path: Path
    ) -> None:
        np.save(tmp_path / "v.npy", np.eye(8, dtype=np.float32))
        for arguments, sentence in (
            ((tmp_path / "none.npy",), "does not exist"),
            ((store, "--texts-field", "words"), "no field 'words' of texts"),
            ((store, "--html", tmp_path / "no" / "r.html"), "does not exist"),
            ((store, "--jsonl", store), "is the store that is audited"),
            ((store, "--texts-out", tmp_path / "r.html"), "is named for two outputs"),
            ((store, "--jsonl", tmp_path), "is a folder"),
            ((tmp_path / "v.npy", "--fail-over", 0.2), "has no texts, without which it is not known how much leaks"),
        ):  # fmt: skip
            result = self.run(checkpoint, "--html", tmp_path / "r.html", *arguments)
            assert result.exit_code == 1 and sentence in result.stderr and "Traceback" not in result.stderr
            assert not (tmp_path / "r.html").exists()
