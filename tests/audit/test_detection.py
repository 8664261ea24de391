"""Who finds personal data: always the patterns, and Presidio beside them, with nothing from the network."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from unmask.attacks.inverter import Inverter
from unmask.audit import detection
from unmask.audit.detection import Finder, Patterns, choose_finder
from unmask.audit.leaks import leaks_by_kind
from unmask.audit.lines import lines
from unmask.audit.page import page
from unmask.audit.run import Asked, audit
from unmask.errors import InputError, MissingExtra

TEXT = "Maria Lopez of Acme wrote from Lisbon yesterday, on 3/4/2021, to bob@example.com: card 4111 1111 1111 1111"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A spaCy pipeline that knows four words."""
    spacy = pytest.importorskip("spacy")
    language = spacy.blank("en")
    known = {"PERSON": "Maria Lopez", "GPE": "Lisbon", "ORG": "Acme", "DATE": "yesterday", "MONEY": "ten dollars"}
    patterns = [{"label": label, "pattern": words} for label, words in known.items()]
    language.add_pipe("entity_ruler").add_patterns(patterns)
    folder = tmp_path_factory.mktemp("pipeline") / "names"
    language.to_disk(folder)
    return str(folder)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something asked the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def presidio(pipeline: str, offline: None) -> Finder:
    return choose_finder(pipeline=pipeline)


def test_presidio_adds_names_places_and_organisations_to_what_patterns_find(presidio: Finder) -> None:
    found = [(piece.kind, piece.text) for piece in presidio.find(TEXT)]
    assert found == [
        ("name", "Maria Lopez"), ("organisation", "Acme"), ("place", "Lisbon"), ("date", "3/4/2021"),
        ("e-mail address", "bob@example.com"), ("card number", "4111 1111 1111 1111"),
    ]  # fmt: skip
    assert [(piece.kind, piece.text) for piece in Patterns().find(TEXT)] == found[3:]
    assert all(piece.text == TEXT[piece.start : piece.end] for piece in presidio.find(TEXT))
    assert {piece.kind for piece in presidio.find(TEXT)} <= set(presidio.kinds)
    assert presidio.find("") == [] and "Presidio 2." in presidio.name and presidio.find(TEXT) is presidio.find(TEXT)


def test_no_text_is_too_odd_or_too_long(presidio: Finder, monkeypatch: pytest.MonkeyPatch) -> None:
    from unmask.audit import presidio as module

    (name,) = presidio.find("\ud83d of Maria Lopez")
    assert (name.kind, name.start) == ("name", 5)
    monkeypatch.setattr(module, "LONGEST", 20)
    (name,) = presidio.find("x" * 40 + " " + "Maria Lopez and more words")
    assert (name.text, name.start) == ("Maria Lopez", 41)
    monkeypatch.setattr(module.Presidio, "_answers", lambda self, text: 1 / 0)
    assert [piece.kind for piece in presidio.find("at 192.168.0.1")] == ["network address"]


def test_what_it_finds_counts_as_leaked_where_it_is_read(presidio: Finder) -> None:
    (of_places,) = leaks_by_kind(["we met in Lisbon"] * 12, ["in lisbon we"] * 12, {"none": ["we"] * 12}, 0, presidio)
    assert (of_places.kind, of_places.recovered.value, of_places.is_leak) == ("place", 1.0, True)
    assert leaks_by_kind(["we met in Lisbon"], ["lisbon"], {}) == []


def test_a_report_says_who_looked(
    pipeline: str, tmp_path: Path, inverter: Inverter, vectors: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unmask.audit.run.diagnosis", lambda inverter, sample: None)
    store = tmp_path / "notes.jsonl"
    store.write_text("".join(json.dumps({"vector": row, "text": TEXT}) + "\n" for row in vectors[:12].tolist()))
    found = audit(Asked(str(store), budgets=(), tries_defences=False, spacy_model=pipeline), inverter)
    assert "Presidio" in page(found, "x") and "Presidio" in next(lines(found))["detection"]
    (record, *_) = [line for line in lines(found) if line["kind"] == "record"]
    assert {"name", "place", "card number"} <= set(record["personal"])
    plainly = audit(Asked(str(store), budgets=(), tries_defences=False, detector="patterns"), inverter)
    assert "Presidio" not in page(plainly, "x") and "patterns and checksums" in page(plainly, "x")


class TestChoice:
    def choose(self, monkeypatch: pytest.MonkeyPatch, installed: set[str], *asked: Any) -> Any:
        monkeypatch.setattr(detection, "_is_installed", lambda package: package in installed)
        monkeypatch.setattr(detection, "_presidio", lambda pipeline: pipeline)
        return choose_finder(*asked)

    def test_the_best_that_is_installed_is_taken_and_patterns_where_nothing_is(self, monkeypatch: Any) -> None:
        both = {"presidio_analyzer", "en_core_web_sm"}
        assert self.choose(monkeypatch, both) == "en_core_web_sm"
        assert self.choose(monkeypatch, both | {"en_core_web_lg"}) == "en_core_web_lg"
        assert self.choose(monkeypatch, {*both, "de_core_news_lg"}, "auto", "de_core_news_lg") == "de_core_news_lg"
        for installed in (set(), {"presidio_analyzer"}, {"en_core_web_lg"}):
            assert isinstance(self.choose(monkeypatch, installed), Patterns)
        assert isinstance(self.choose(monkeypatch, both, "patterns"), Patterns)

    def test_what_was_asked_for_and_is_not_there_says_how_to_get_it(self, monkeypatch: Any) -> None:
        with pytest.raises(MissingExtra, match=r"unmask\[presidio\]"):
            self.choose(monkeypatch, {"en_core_web_lg"}, "presidio")
        with pytest.raises(MissingExtra, match=r"unmask\[presidio\]"):
            self.choose(monkeypatch, set(), "auto", "en_core_web_lg")
        with pytest.raises(InputError, match="python -m spacy download en_core_web_lg"):
            self.choose(monkeypatch, {"presidio_analyzer"}, "presidio")
        with pytest.raises(InputError, match="'xx_no' is neither installed nor a folder"):
            self.choose(monkeypatch, {"presidio_analyzer"}, "presidio", "xx_no")
        with pytest.raises(InputError, match="expected one of auto, patterns, presidio; change --detector"):
            self.choose(monkeypatch, set(), "regex")
        with pytest.raises(InputError, match="patterns need no spaCy pipeline, got 'x'"):
            self.choose(monkeypatch, set(), "patterns", "x")

    def test_what_is_no_pipeline_is_one_sentence(self, tmp_path: Path, pipeline: str, monkeypatch: Any) -> None:
        for name in (str(tmp_path), "numpy", "spacy"):
            with pytest.raises(InputError, match=r"cannot be loaded as a spaCy pipeline .*--detector patterns"):
                choose_finder("presidio", name)
        shutil.copytree(pipeline, tmp_path / "pandas")
        monkeypatch.chdir(tmp_path)
        assert "Presidio" in choose_finder("presidio", "pandas").name
