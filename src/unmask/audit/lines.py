"""An audit as JSON lines: one about the whole, one for each attacker, one for each record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmask.audit.personal import is_in
from unmask.files import PRIVATE, atomic_writer

if TYPE_CHECKING:
    from unmask.audit.run import Findings
    from unmask.audit.scores import Score
    from unmask.records import Interval

AUDIT, ATTACKER, DEFENCE, RECORD = "audit", "attacker", "defence", "record"


def lines(findings: Findings) -> Iterator[dict[str, Any]]:
    """Nothing of a text is in them, neither of a true one nor of one that was read."""
    ruling, left_out = findings.verdict, findings.left_out
    yield {
        "kind": AUDIT, **asdict(findings.asked), "source": findings.origin, "loss": findings.loss,
        "census": asdict(findings.census),
        "left_out": {reason: [count, left_out.named[reason]] for reason, count in left_out.counts.items()},
        "sampled": len(findings.sample), "near_duplicates": [len(group) for group in findings.near],
        "verdict": None if ruling is None else {**asdict(ruling), "leak": _of(ruling.leak)},
        "detection": findings.finder.name, "stored_vectors": _diagnosed(findings),
        **findings.made_with,
    }  # fmt: skip
    scored = {score.rung: score for score in findings.scored}
    for outcome in findings.outcomes:
        rung = outcome.rung
        yield {
            "kind": ATTACKER, "attacker": rung.name, "has": rung.has, "is_baseline": rung.is_baseline,
            "left_out": outcome.left_out, "seconds": outcome.seconds,
            "predicted_right": _of(findings.predicted[rung.name]) if rung.name in findings.predicted else None,
            "verified": sum(bool(row.verified) for row in outcome.found), **_score(scored.get(rung.name)),
        }  # fmt: skip
    yield from _defences(findings)
    yield from _records(findings)


def _diagnosed(findings: Findings) -> dict[str, Any] | None:
    found = findings.diagnosis
    if found is None:
        return None
    return {"found": found.kind, "texts": found.rows, "agreeing": found.agreeing, "median_cosine": found.median_cosine}


def _defences(findings: Findings) -> Iterator[dict[str, Any]]:
    helping = findings.protections
    for row in helping.rows:
        yield {
            "kind": DEFENCE, "defence": row.defence.name, "says": row.defence.says, "left_out": row.left_out,
            "unaware": _score(row.unaware), "aware": _score(row.aware), "known_pairs": helping.known,
            "recall": _of(row.recall), "ndcg": _of(row.ndcg), "searched": helping.searched,
        }  # fmt: skip


def _score(score: Score | None) -> dict[str, Any]:
    if score is None:
        return {}
    kinds = [
        {
            "kind": leak.kind, "pieces": leak.pieces, "texts": leak.texts, "recovered": _of(leak.recovered),
            "guessed": _of(leak.guessed), "lift": _of(leak.lift),
        }
        for leak in score.kinds
    ]  # fmt: skip
    metrics = {name: _of(interval) for name, interval in score.metrics.items()}
    return {"texts": score.texts, "metrics": metrics, "personal": kinds}


def _records(findings: Findings) -> Iterator[dict[str, Any]]:
    texts = findings.sample.texts or (None,) * len(findings.sample)
    with_text = {place: row for row, place in enumerate(place for place, text in enumerate(texts) if text)}
    tried = [outcome for outcome in findings.outcomes if outcome.left_out is None]
    scored = {score.rung: score for score in findings.scored}
    for place, (name, text) in enumerate(zip(findings.sample.ids, texts, strict=True)):
        pieces = findings.finder.find(text or "")
        read = {}
        for outcome in tried:
            found, score = outcome.found[place], scored.get(outcome.rung.name)
            row = with_text.get(place)
            measured = (
                {} if score is None or row is None else {m: round(float(v[row]), 4) for m, v in score.rows.items()}
            )
            back = [piece.kind for piece in pieces if is_in(piece, found.text)]
            read[outcome.rung.name] = {
                **measured, "confidence": round(sum(found.confidence) / max(len(found.confidence), 1), 4),
                "tokens": len(found.token_ids), "encoder_calls": found.cost.encoder_calls, "cosine": found.cosine,
                "verified": found.verified, "personal": back,
            }  # fmt: skip
        yield {"kind": RECORD, "id": name, "has_text": bool(text), "personal": [p.kind for p in pieces], "read": read}


def write_lines(path: Path, findings: Findings) -> None:
    with atomic_writer(path) as handle:
        for line in lines(findings):
            handle.write(json.dumps(line, default=str).encode() + b"\n")


def write_texts(path: Path, findings: Findings) -> None:
    """What was read of every vector, for the user's eyes alone."""
    with atomic_writer(path, mode=PRIVATE) as handle:
        for outcome in findings.outcomes:
            for found in outcome.found:
                line = {"attacker": outcome.rung.name, "id": found.id, "text": found.text, "tokens": list(found.tokens)}
                handle.write(json.dumps(line).encode() + b"\n")


def _of(interval: Interval) -> dict[str, float]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}
