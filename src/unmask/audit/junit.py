"""An audit as a JUnit file for build servers: a test for each attacker, and one for each kind of personal data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from unmask.audit.scores import DECIDES, LIFT
from unmask.files import atomic_writer

if TYPE_CHECKING:
    from unmask.audit.run import Findings
    from unmask.audit.scores import Score

SUITE = "unmask audit"
KIND = "personal data"


def junit(findings: Findings, limit: float | None = None) -> ElementTree.Element:
    """An attacker fails who reads more than `limit` beyond a guess, without one nobody does; no text is in it."""
    suite = ElementTree.Element("testsuite", name=SUITE)
    scored = {score.rung: score for score in findings.scored}
    for outcome in findings.outcomes:
        if outcome.rung.is_baseline:
            continue
        case = _case(suite, f"{SUITE}.{_clean(findings.origin)}", outcome.rung.name, outcome.seconds)
        score = scored.get(outcome.rung.name)
        if outcome.left_out:
            _said(case, "skipped", outcome.left_out)
        elif score is None or LIFT not in score.metrics:
            _said(case, "skipped", "there are no texts, or no guess, to compare with")
        else:
            _judge(case, score, limit)
    for leak in () if findings.best is None else findings.best.kinds:
        case = _case(suite, f"{SUITE}.{KIND}", leak.kind, 0.0)
        said = f"{leak.lift.value:.1%} [{leak.lift.low:.1%}, {leak.lift.high:.1%}] of {leak.pieces} beyond a guess"
        if limit is not None and leak.is_leak and leak.lift.value > limit:
            _said(case, "failure", said)
        else:
            ElementTree.SubElement(case, "system-out").text = said
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    suite.set("tests", str(len(suite)))
    suite.set("errors", "0")
    return suite


def write_junit(path: Path, findings: Findings, limit: float | None) -> None:
    tree = ElementTree.ElementTree(junit(findings, limit))
    ElementTree.indent(tree)
    with atomic_writer(path) as handle:
        tree.write(handle, encoding="utf-8", xml_declaration=True)


def _judge(case: ElementTree.Element, score: Score, limit: float | None) -> None:
    lift, words = score.metrics[LIFT], score.metrics[DECIDES]
    said = (
        f"{lift.value:.1%} [{lift.low:.1%}, {lift.high:.1%}] of the words beyond a guess, {words.value:.1%} in all, "
        f"{score.texts} texts"
    )
    if limit is not None and lift.value > limit:
        _said(case, "failure", f"{said}; allowed are {limit:.1%}")
    else:
        ElementTree.SubElement(case, "system-out").text = said


def _case(suite: ElementTree.Element, group: str, name: str, seconds: float) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=group, name=name, time=f"{seconds:.1f}")


def _said(case: ElementTree.Element, how: str, message: str) -> None:
    ElementTree.SubElement(case, how, message=_clean(message))


def _clean(text: str) -> str:
    """XML has no place for control characters, whatever a store is called."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
