"""An audit as one HTML file that asks for nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from unmask.audit.charts import bars, leak_against_ranking
from unmask.audit.origin import explained
from unmask.audit.personal import is_in
from unmask.audit.protection import NEAREST, advice
from unmask.audit.scores import DECIDES, LIFT
from unmask.audit.verdict import EXACT, GRADES, prediction, surest
from unmask.files import PRIVATE, atomic_writer

if TYPE_CHECKING:
    from unmask.audit.run import Findings
    from unmask.records import Interval

VERIFIED = "what was read has the stored vector"
WORST = 20  # records that are listed
STYLE = """
:root { color-scheme: light dark; --ground: #fff; --panel: #f4f6f8; --ink: #14181d; --quiet: #505a66; --line: #c3cad2;
  --bar: #0b5cad; --guess: #737d89; font: 16px/1.5 system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { :root { --ground: #101418; --panel: #191f26; --ink: #eef2f6; --quiet: #a9b4c0;
  --line: #46505b; --bar: #7fb8ff; --guess: #98a3af; } }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--ground); color: var(--ink); }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.first { background: var(--panel); border-radius: .5rem; padding: 1.2rem; }
.verdict { font-size: 1.25rem; margin: 0 0 1rem; }
.grade { display: flex; gap: 1rem; align-items: center; margin: 0 0 1rem; }
.grade b { font-size: 2.6rem; line-height: 1; border: 3px solid; border-radius: .4rem; padding: .2rem .7rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1rem; margin: 0; }
.figures dt { color: var(--quiet); } .figures dd { margin: 0; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.figures small { display: block; font-size: .9rem; color: var(--quiet); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td { overflow-wrap: break-word; } .quiet { color: var(--quiet); } code { overflow-wrap: anywhere; }
svg { width: 100%; height: auto; } svg text { fill: var(--ink); font: 13px system-ui, sans-serif; }
@media (max-width: 32rem) { svg text { font-size: 20px; } }
svg .bar { fill: var(--bar); } svg .guess { fill: var(--guess); } svg line { stroke: var(--ink); stroke-width: 2; }
svg .grid { stroke: var(--line); stroke-width: 1; } svg circle { fill: var(--bar); }
"""
METHOD = (
    "<p>Every attacker starts from a fully hidden text of unknown length. A guess is what the same model writes "
    "without a vector, or with the vector of another text, whichever is right more often; only what is read beyond it "
    "counts as leaked. Intervals are bootstrap 95 % over the sampled texts.</p>"
    "<p>The figures are a floor: somebody with a better model, more time or texts like yours to train on reads more. "
    "The model writes short texts; of a longer one the rest counts as not read. Personal data are looked for in the "
    "true texts by what is named below, which misses some, and patterns most names.</p>"
)


def page(findings: Findings, command: str, shows_text: bool = False) -> str:
    """The report; texts that were read, and the true ones, are in it only if `shows_text`."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    parts = [
        _first_screen(findings), _attackers(findings), _personal(findings), _what_helps(findings),
        _worst(findings, shows_text), _vectors(findings), _left_out(findings), _method(findings, command),
    ]  # fmt: skip
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>unmask audit: {escape(findings.origin)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>What can be read back from {escape(findings.origin)}</h1></header>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def write_page(path: Path, findings: Findings, command: str, shows_text: bool) -> None:
    with atomic_writer(path, mode=PRIVATE if shows_text else 0o644) as handle:
        handle.write(page(findings, command, shows_text).encode("utf-8", "replace"))


def _first_screen(findings: Findings) -> str:
    ruling, best = findings.verdict, findings.best
    if ruling is None or best is None:
        return _first_screen_unseen(findings)
    leaks = [leak for leak in best.kinds if leak.is_leak]
    most = max(leaks, key=lambda leak: leak.lift.value, default=None)
    personal = (
        (
            "personal data beyond a guess",
            "none found to leak",
            f"{sum(leak.pieces for leak in best.kinds)} pieces looked for",
        )
        if most is None
        else (f"{most.kind}, beyond a guess", f"{most.lift.value:.0%}", f"{_range(most.lift)} of {most.pieces} pieces")
    )
    figures = [
        ("words read back", f"{best.metrics[DECIDES].value:.0%}", f"{_range(best.metrics[DECIDES])}, token F1"),
        (
            "texts word for word",
            f"{best.metrics[EXACT].value:.0%}",
            f"{_range(best.metrics[EXACT])} of {best.texts} texts",
        ),
        personal,
    ]
    grades = "; ".join(f"{name}: {meaning}" for name, meaning in reversed(GRADES))
    return (
        f'<section class="first"><p class="verdict">{escape(ruling.sentence)}</p>'
        f'<p class="grade"><b>{ruling.grade}</b> <span>{escape(ruling.meaning)}</span></p>'
        f"{_figures(figures)}"
        f'<p class="quiet">Values in brackets are 95 % intervals. Grades: {escape(grades)}.</p></section>'
    )


def _first_screen_unseen(findings: Findings) -> str:
    """Where there is nothing to compare with."""
    has_texts = any(findings.sample.texts or ())
    sentence = prediction(findings.predicted, [outcome.rung for outcome in findings.outcomes])
    if has_texts or sentence is None:
        sentence = (
            "No attacker could try, or no guess to compare them with was to be had; the table below says why."
            if has_texts
            else "The sampled vectors have no texts beside them, so how much of what was read is right is not known. "
            "Name the field that holds them with --texts-field."
        )
        if findings.verified:
            sentence += f" {findings.verified} of {len(findings.sample)} were surely read word for word: {VERIFIED}."
        return f'<section class="first"><p class="verdict">{escape(sentence)}</p></section>'
    name = surest(findings.predicted)
    found = next(outcome.found for outcome in findings.outcomes if outcome.rung.name == name)
    right = findings.predicted[name]
    figures = [
        ("words read that are right", f"{right.value:.0%}", f"{_range(right)}, predicted"),
        ("words read of a text", f"{sum(len(row.token_ids) for row in found) / len(found):.0f}", "in the mean"),
        ("texts surely word for word", str(findings.verified), f"of {len(found)}: {VERIFIED}"),
    ]  # fmt: skip
    return (
        f'<section class="first"><p class="verdict">{escape(sentence)}</p>{_figures(figures)}'
        '<p class="quiet">Values in brackets are 95 % intervals. There is no grade without texts: what a guess would '
        "get is not known. --texts-field names the field that holds them.</p></section>"
    )


def _figures(figures: Sequence[tuple[str, str, str]]) -> str:
    listed = "".join(
        f"<div><dt>{escape(a)}</dt><dd>{escape(b)}<small>{escape(c)}</small></dd></div>" for a, b, c in figures
    )
    return f'<dl class="figures">{listed}</dl>'


def _attackers(findings: Findings) -> str:
    scored = {score.rung: score for score in findings.scored}
    rows = []
    for outcome in findings.outcomes:
        score = scored.get(outcome.rung.name)
        cells = ["", "", "", ""]
        if score is not None:
            names = (DECIDES, LIFT, "rouge_l", EXACT)
            cells = [_measured(score.metrics[name]) if name in score.metrics else "–" for name in names]
        said = f"left out: {outcome.left_out}" if outcome.left_out else f"{outcome.seconds:.0f} s"
        right = findings.predicted.get(outcome.rung.name)
        rows.append([outcome.rung.name, outcome.rung.has, *cells, _measured(right) if right else "–", said])
    headings = [
        "attacker", "has", "words (token F1)", "beyond a guess", "order (ROUGE-L)", "word for word",
        "right of what it read, predicted", "took",
    ]  # fmt: skip
    return _section("Attackers", headings, rows, bars(findings.scored))


def _personal(findings: Findings) -> str:
    best = findings.best
    if best is None or not best.kinds:
        return ""
    rows = [
        [leak.kind, str(leak.pieces), _measured(leak.recovered), _measured(leak.guessed), _measured(leak.lift)]
        for leak in best.kinds
    ]
    headings = ["kind", "pieces", "read back", "guessed anyway", "leaked beyond that"]
    return _section(f"Personal and secret data, read by: {best.rung}", headings, rows)


def _what_helps(findings: Findings) -> str:
    helping = findings.protections
    title = "What would help"
    if helping.missing:
        return f"<section><h2>{title}</h2><p>Not tried: {escape(helping.missing)}.</p></section>"
    rows = []
    for number, row in enumerate(helping.rows, start=1):
        read = [_measured(score.metrics[DECIDES]) if score else "–" for score in (row.unaware, row.aware)]
        lost = [f"{row.recall.value:.0%}", f"{row.ndcg.value:.0%}"]
        rows.append([str(number), row.defence.name, row.left_out or row.defence.says, *read, *lost])
    headings = [
        "", "defence", "what is done", "words read as it is", "by who knows of it", f"recall@{NEAREST}",
        f"nDCG@{NEAREST}",
    ]  # fmt: skip
    known = (
        f"Who knows of it has {helping.known:,} of the store's vectors also as they were (about as many as a vector "
        "has numbers are enough to undo a secret rotation) and fits the way back by least squares."
        if helping.known > 1
        else "There are no other vectors in the store from which somebody who knows of it could learn the way back."
    )
    some = next((score.texts for row in helping.rows for score in (row.unaware,) if score is not None), 0)
    said = (
        f"<p>{escape(advice(helping))}</p>{leak_against_ranking(helping)}"
        f'<p class="quiet">The blind attacker tries {some} of the texts again after each defence. {known} Recall and '
        f"nDCG: how much of the order of the {NEAREST} nearest neighbours among {helping.searched:,} vectors stays "
        "what it was.</p>"
    )
    return _section(title, headings, rows, said)


def _vectors(findings: Findings) -> str:
    census, repeated = findings.census, sum(len(group) for group in findings.near)
    least, mean, greatest = census.norms
    rows = [
        ["vectors", f"{census.count:,}, {len(findings.sample):,} of them attacked"],
        ["dimension", str(census.dimension)],
        ["length", f"{least:.4g} to {greatest:.4g}, {mean:.4g} in the mean"],
        ["precision", census.precision],
        ["equal to an earlier one", f"{census.duplicates:,} of {census.compared:,}"],
        ["ids that repeat", f"{census.repeated_ids:,}"],
        ["near-duplicates in the sample", f"{repeated} in {len(findings.near)} groups"],
    ]
    if findings.loss:
        rows.append(["kept with a loss", findings.loss])
    if census.without_text is not None:
        rows.append(["without a text", f"{census.without_text:,}"])
    return _section("The vectors", (), rows)


def _left_out(findings: Findings) -> str:
    out = findings.left_out
    if not out.total:
        return ""
    rows = [[reason, f"{count:,}", ", ".join(out.named[reason])] for reason, count in out.counts.most_common()]
    return _section("Rows that were left out", ["why", "rows", "the first of them"], rows)


def _worst(findings: Findings, shows_text: bool) -> str:
    best = findings.best
    outcome = next((o for o in findings.outcomes if best is not None and o.rung.name == best.rung), None)
    if best is None or outcome is None or findings.sample.texts is None:
        return ""
    places = [place for place, text in enumerate(findings.sample.texts) if text]
    order = sorted(range(len(places)), key=lambda row: -best.rows[DECIDES][row])[:WORST]
    rows = []
    for row in order:
        place = places[row]
        text, read = findings.sample.texts[place] or "", outcome.found[place].text
        back = sorted({piece.kind for piece in findings.finder.find(text) if is_in(piece, read)})
        cells = [findings.sample.ids[place], f"{best.rows[DECIDES][row]:.0%}", ", ".join(back) or "–"]
        rows.append([*cells, text, read] if shows_text else cells)
    headings = ["id", "words read back", "personal data read back", *(["text", "read back"] if shows_text else [])]
    hint = "" if shows_text else '<p class="quiet">Texts are not shown; --show-text shows them.</p>'
    return _section("The records that were read best", headings, rows, hint)


def _method(findings: Findings, command: str) -> str:
    made = findings.made_with
    facts = [
        ["command", command], ["seed", str(findings.asked.seed)],
        ["unmask", f"{made.get('version')}, {made.get('commit')}"],
        ["model", str(made.get("model_fingerprint"))[:12]],
        ["encoder", f"{made.get('encoder')}; {_diagnosed(findings)}"], ["personal data", findings.finder.name],
    ]  # fmt: skip
    return _section("How it was measured, and what it does not say", (), facts, METHOD)


def _diagnosed(findings: Findings) -> str:
    found = findings.diagnosis
    if found is None:
        return "not compared with the stored vectors: that these are its own is taken for granted"
    shares = (
        f"of {found.rows} texts {found.agreeing} have its very vectors, cosine {found.median_cosine:.3f} in the median"
    )
    return shares + explained(found)


def _section(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]], before: str = "") -> str:
    return f"<section><h2>{escape(title)}</h2>{before}{_table(title, headings, rows)}</section>"


def _table(label: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in headings)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    head = f"<thead><tr>{head}</tr></thead>" if headings else ""
    inner = f"<table>{head}<tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(label)}">{inner}</div>'


def _measured(interval: Interval) -> str:
    return f"{interval.value:.0%} [{interval.low:.0%}, {interval.high:.0%}]"


def _range(interval: Interval) -> str:
    return f"[{interval.low:.0%}, {interval.high:.0%}]"
