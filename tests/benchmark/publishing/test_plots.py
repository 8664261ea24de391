"""Every table has a picture: valid SVG, the same bytes from the same results."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from unmask.benchmark.publishing import TABLES
from unmask.benchmark.publishing.calibration import KINDS
from unmask.benchmark.publishing.plots import PICTURES, draw_all
from unmask.benchmark.publishing.remasking import MODES, SHARES
from unmask.benchmark.publishing.results import Result, write_rows
from unmask.errors import InputError, MissingExtra
from unmask.records import Interval

NAMES = ("exact_match", "token_accuracy", "token_f1", "rouge_l", "cosine", "fill_in", "seconds_per_vector", *KINDS)


def line(table: str, label: str, height: float, numbers: dict | None = None, **details: object) -> Result:
    metrics = {name: Interval(height, 0.9 * height, 1.2 * height) for name in NAMES}
    return Result(table, label, 8, 0, metrics, numbers or {}, details)


def results() -> dict[str, list[Result]]:
    buckets = {"length": ("1 to 4", "5 to 8"), "domain": ("wiki", "$money$"), "frequency": ("< 10",)}
    breakdown = [line("breakdown", label, 0.3, group=group) for group, labels in buckets.items() for label in labels]
    sure = [
        line("breakdown", f"{low}", low, {"confidence": low + 0.05}, group="calibration") for low in (0.1, 0.5, 0.9)
    ]
    curve = {"steps": [1, 5, 10], "losses": [5.0, 4.0, 3.5]}
    steps = [line("milestones", f"step {step}", step / 20, {"step": step}) for step in (5, 10)]
    return {
        "decoders": [line("decoders", name, 0.4) for name in ("confidence", "euler", "random")],
        "remask": [
            line("remask", f"{mode} {share}", 0.4 - share, remask_mode=mode, remask_share=share)
            for mode in MODES
            for share in SHARES[MODES.index(mode) :]
        ],
        "guidance": [
            line("guidance", f"{name} {strength}", 0.4 - strength / 10, decoder=name, guidance=strength)
            for name in ("confidence", "euler")
            for strength in (0.0, 0.1, 1.0)
        ],
        "milestones": [*steps, Result("milestones", "training loss", 3, 0, details={"curve": curve})],
        "masking": [line("masking", label, 0.2) for label in ("fixed 10 %", "linear")],
        "conditioning": [line("conditioning", label, 0.2) for label in ("AdaLN only (the paper)", "prefix only")],
        "breakdown": [*breakdown, *sure],
        "cost": [
            line("cost", name, 0.1 / size, {"batch": size}) for name in ("euler", "two_stage") for size in (1, 256)
        ],
        "search": [
            line(
                "search", name, 0.1 * most**0.2, {"compared": most, "seconds_per_vector": most / 500}, group="compared"
            )
            for name in ("search, encoder", "best of N drafts, encoder")
            for most in (0, 16, 400)
        ],
        "search-ablation": [line("search-ablation", name, 0.5) for name in ("everything", "without swap")],
        "search-order": [line("search-order", name, 0.5) for name in ("6 to 12 tokens", "13 to 20 tokens")],
    }


def test_every_table_but_the_examples_has_a_picture() -> None:
    assert list(PICTURES) == list(results())
    assert {*PICTURES, "examples"} == set(TABLES.names)


@pytest.mark.parametrize("table", list(results()))
def test_valid_svg_and_the_same_twice(tmp_path: Path, table: str) -> None:
    write_rows(tmp_path / f"{table}.jsonl", results()[table])
    (place,) = draw_all(tmp_path)
    first = place.read_bytes()
    assert ElementTree.fromstring(first).tag.endswith("svg")
    assert b"<dc:date>" not in first
    assert draw_all(tmp_path) == [tmp_path / f"{table}.svg"]
    assert place.read_bytes() == first


def test_an_empty_table_and_missing_matplotlib_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cost.jsonl").write_text("")
    with pytest.raises(InputError, match="holds no result"):
        draw_all(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"pip install 'unmask\[plots\]'"):
        draw_all(tmp_path)
