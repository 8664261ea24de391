"""What confidence is worth: a share that is predicted holds for texts that no fit saw."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unmask.attacks.inverter import Inverter
from unmask.audit.calibration import (
    FEWEST_DOMAINS,
    Calibration,
    Fit,
    Known,
    calibrate,
    fit_to,
    likeness,
    load_calibration,
    predicted,
    save_calibration,
    shares_right,
    words_right,
)
from unmask.audit.page import page
from unmask.audit.run import Asked, audit
from unmask.benchmark.held_out import LabelledText
from unmask.denoiser.checkpoint import CALIBRATION, checkpoint_files
from unmask.errors import CheckpointError, InputError
from unmask.records import Reconstruction


def domain(seed: int, texts: int = 200, easier: float = 0.0, has_cosine: bool = False) -> Known:
    """Texts of which each word is right with a chance that depends on their mean confidence, and on the domain."""
    draw = np.random.default_rng(seed)
    found, right = [], []
    for row in range(texts):
        count, sure = int(draw.integers(4, 20)), float(draw.uniform(0.2, 0.9))
        cosine = float(np.clip(sure + draw.normal() * 0.05, 0, 1)) if has_cosine else None
        ids = tuple(range(count))
        found.append(Reconstruction(str(row), "x", ids, tuple(map(str, ids)), tuple([sure] * count), cosine=cosine))
        right.append(draw.binomial(count, 1 / (1 + np.exp(1.5 - 3 * sure - easier))))
    return Known(tuple(found), np.array(right))


@pytest.mark.parametrize("has_cosine", [False, True])
def test_the_share_of_a_domain_that_no_fit_saw_lies_in_its_interval(has_cosine: bool) -> None:
    easier = np.random.default_rng(3).normal(size=12) * 0.2
    known = {str(n): domain(n, easier=by, has_cosine=has_cosine) for n, by in enumerate(easier[:6])}
    fit = fit_to(known)
    assert fit.has_cosine is has_cosine and fit.texts == 1200 and 0.01 < fit.miss < 0.1
    inside = []
    for n, by in enumerate(easier[6:], start=6):
        new = domain(n, easier=by, has_cosine=has_cosine)
        found = predicted(fit, new.found)
        assert found is not None
        inside.append(found.low <= new.share <= found.high)
    assert sum(inside) >= 5


def test_surer_texts_are_said_to_be_righter_and_few_texts_leave_more_open() -> None:
    fit = fit_to({str(n): domain(n) for n in range(4)})
    rows = sorted(domain(9).found, key=lambda row: row.confidence[0])
    low, high = predicted(fit, rows[40:120]), predicted(fit, rows[80:160])
    few, many = predicted(fit, rows[::20]), predicted(fit, rows)
    assert low and high and few and many and low.value < high.value
    assert few.high - few.low > many.high - many.low


def test_what_is_unlike_all_that_was_seen_is_not_predicted() -> None:
    fit = fit_to({str(n): domain(n, has_cosine=True) for n in range(3)})
    rows = domain(7, has_cosine=True).found
    assert predicted(fit, rows) is not None
    assert predicted(fit, [replace(row, confidence=(0.05,) * len(row.confidence)) for row in rows]) is None
    assert predicted(fit, [replace(row, cosine=0.1) for row in rows]) is None
    assert predicted(fit, [replace(row, cosine=None) for row in rows]) is None
    assert predicted(fit, [replace(row, confidence=(), token_ids=()) for row in rows]) is None


def test_too_few_domains_cannot_say_how_far_off_a_new_one_is() -> None:
    with pytest.raises(InputError, match=f"2 domains to calibrate on, expected at least {FEWEST_DOMAINS}"):
        fit_to({"a": domain(0), "b": domain(1)})
    nothing = Known((Reconstruction("0", "", (), (), ()),), np.array([0]))
    with pytest.raises(InputError, match="nothing was read of a whole domain"):
        fit_to({"a": domain(0), "b": domain(1), "c": nothing})


def test_a_word_counts_as_often_as_it_stands_there() -> None:
    assert words_right([5, 6, 6, 7], [6, 6, 6, 9, 5]) == 3
    assert words_right([5], []) == 0


def test_how_far_off_a_domain_is_is_measured_without_it() -> None:
    known = {"a": domain(0), "b": domain(1), "c": domain(2, easier=1.5)}
    misses = []
    for name, one in known.items():
        others = {f"{other}{n}": rows for n in "xy" for other, rows in known.items() if other != name}
        found = predicted(fit_to(others), one.found)  # twice the same texts give the same weights
        assert found is not None
        misses.append(found.value - one.share)
    assert fit_to(known).miss == pytest.approx(np.sqrt(np.mean(np.square(misses))), rel=1e-3)


@pytest.mark.parametrize("texts", [1, 3, 10])
def test_few_texts_lie_in_their_wide_interval(texts: int) -> None:
    fit = fit_to({str(n): domain(n) for n in range(4)})
    inside = 0
    for seed in range(40):
        new = domain(100 + seed, texts)
        found = predicted(fit, new.found)
        inside += found is None or found.low <= new.share <= found.high
    assert inside >= 35


@pytest.fixture
def calibrated(inverter: Inverter, checkpoint: Path, tmp_path: Path) -> Inverter:
    """The tiny model in a folder of its own, calibrated on nonsense of three domains."""
    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    inverter.folder = folder
    draw = np.random.default_rng(0)
    texts = [
        LabelledText(" ".join(f"word{n}" for n in draw.integers(60, size=5)), name) for name in "abc" for _ in range(12)
    ]
    save_calibration(folder / CALIBRATION, calibrate(inverter, texts, limit=10, budgets=(6,)), inverter)
    return inverter


def test_every_attacker_is_calibrated_and_the_file_belongs_to_the_model(calibrated: Inverter) -> None:
    found = load_calibration(calibrated)
    fits = found.fits
    assert found.likeness is None  # without surrogate
    assert set(fits) == {"blind", "encoder, 6 calls"}  # this model has no surrogate
    assert not fits["blind"].has_cosine and fits["encoder, 6 calls"].has_cosine
    assert fits["blind"].texts == 30 and fits["blind"].domains == ("a", "b", "c")
    assert calibrated.folder / CALIBRATION in list(checkpoint_files(calibrated.folder))


def test_an_audit_without_texts_says_what_is_likely(
    calibrated: Inverter, vectors: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unmask.audit.calibration.BEYOND", 1.0)  # random vectors are no texts' ones
    np.save(tmp_path / "v.npy", vectors)
    found = audit(Asked(str(tmp_path / "v.npy"), budgets=(6,)), calibrated)
    assert set(found.predicted) == {"blind", "encoder, 6 calls"} and found.verdict is None
    shown = page(found, "x")
    assert "reads back texts of whose words about" in shown and "There is no grade without texts" in shown
    assert "Not tried: there are no texts to compare with." in shown


def test_one_attacker_that_is_unlike_what_was_calibrated_silences_all() -> None:
    fit = Fit((0.0, 1.0), 0.01, (0.4,), (0.6,), 100, ("a", "b", "c"))
    held = Calibration({"blind": fit, "other": fit}, (0.6, 0.8))
    rows = [Reconstruction("0", "x", (1,), ("x",), (0.5,))]
    assert set(shares_right(held, {"blind": rows, "other": rows}, 0.7, 0)) == {"blind", "other"}
    odd = [replace(row, confidence=(0.01,)) for row in rows]
    assert shares_right(held, {"blind": rows, "other": odd}, 0.7, 0) == {}


def test_a_calibration_of_another_model_or_a_damaged_one_is_not_used(
    calibrated: Inverter, caplog: pytest.LogCaptureFixture
) -> None:
    path = calibrated.folder / CALIBRATION
    held = json.loads(path.read_text())
    path.write_text(json.dumps({**held, "model": "other"}))
    assert load_calibration(calibrated) == Calibration({}) and "is of another model" in caplog.text
    for attackers in ({"blind": {"weight": 1}}, [1], {"blind": 1}):
        path.write_text(json.dumps({**held, "attackers": attackers}))
        with pytest.raises(CheckpointError, match="is not as unmask writes it"):
            load_calibration(calibrated)
    path.write_text("[1]")
    with pytest.raises(CheckpointError, match="is no calibration of format 1"):
        load_calibration(calibrated)
    path.unlink()
    assert load_calibration(calibrated) == Calibration({})


def test_texts_that_do_not_fit_their_vectors_get_no_prediction_however_sure() -> None:
    fit = Fit((0.0, 1.0), 0.01, (0.4,), (0.6,), 100, ("a", "b", "c"))
    rows = {"blind": [Reconstruction("0", "x", (1,), ("x",), (0.5,))]}
    held = Calibration({"blind": fit}, (0.6, 0.8))
    assert set(shares_right(held, rows, 0.55, 0)) == {"blind"}
    assert shares_right(held, rows, 0.3, 0) == {}
    assert shares_right(held, rows, None, 0) == {}  # nobody compared
    seen = replace(fit, weights=(0.0, 1.0, 0.0, 0.0), least=(0.4, 0.7), most=(0.6, 0.9))
    asked = {"encoder": [replace(rows["blind"][0], cosine=0.8)]}
    assert set(shares_right(Calibration({"encoder": seen}), asked, None, 0)) == {"encoder"}
    assert shares_right(Calibration({"encoder": seen}), {"encoder": rows["blind"]}, None, 0) == {}


def test_random_vectors_are_not_said_to_be_read_by_the_model_that_ships() -> None:
    """Of unit length and of the right dimension, and the model is as sure as ever."""
    shipped = Inverter.from_pretrained("minilm")
    held = load_calibration(shipped)
    assert held.likeness is not None
    drawn = np.random.default_rng(0).standard_normal((24, shipped.dimension)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    read = shipped.invert(drawn, steps=8)
    alike = likeness(shipped, drawn, read)
    assert alike is not None and predicted(held.fits["blind"], read) is not None
    assert shares_right(held, {"blind": read}, alike, 0) == {}
    vectors = shipped.encoder().encode(["The keys are under the blue pot.", "We meet at noon in the old library."] * 4)
    true = shipped.invert(vectors, steps=8)
    assert set(shares_right(held, {"blind": true}, likeness(shipped, vectors, true), 0)) <= {"blind"}
    assert (likeness(shipped, vectors, true) or 0) > 2 * alike
