"""One attack on held-out text: records per row, and metrics with their intervals."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unmask.benchmark.held_out import HeldOut, Progress, embed, no_progress
from unmask.files import atomic_writer
from unmask.metrics.bleu import bleu_of_sums, bleu_rows, bleu_signature
from unmask.metrics.bootstrap import interval_of_sums, intervals_of_means
from unmask.metrics.perplexity import LanguageModel, perplexity
from unmask.metrics.text import score_rows
from unmask.metrics.vectors import cosine
from unmask.records import Interval, Reconstruction

if TYPE_CHECKING:
    from unmask.attacks.base import Attack
    from unmask.encoders.base import Encoder
    from unmask.text.tokens import TextTokenizer

METRICS = ("token_accuracy", "token_f1", "exact_match", "bleu", "rouge_l", "cosine", "length_error")


@dataclass(frozen=True)
class Evaluation:
    """What one attack recovered from one set of texts."""

    attack: str
    seed: int
    metrics: dict[str, Interval]
    texts: dict[str, int]  # how many were given, cut, with an unknown token, empty
    cost: dict[str, float]
    details: dict[str, Any] = field(default_factory=dict)  # what the caller wants to be reported: model, decoder, steps
    rows: tuple[dict[str, Any], ...] = ()

    @property
    def n(self) -> int:
        return len(self.rows)

    def to_json(self) -> dict[str, Any]:
        """One object for a program to read; nothing of the texts is in it."""
        return {
            **self.details,
            "attack": self.attack,
            "n": self.n,
            "seed": self.seed,
            "metrics": {
                name: {"value": interval.value, "low": interval.low, "high": interval.high}
                for name, interval in self.metrics.items()
            },
            "texts": self.texts,
            "cost": self.cost,
            "bleu_signature": bleu_signature(),
        }


def write_results(path: Path | str, evaluations: Sequence[Evaluation]) -> None:
    """One JSON line per row and attack, with the texts: readable by the user alone."""
    with atomic_writer(path, mode=0o600) as handle:
        for evaluation in evaluations:
            for row in evaluation.rows:
                line = {"attack": evaluation.attack, "seed": evaluation.seed, **row}
                handle.write(json.dumps(line, ensure_ascii=False).encode("utf-8") + b"\n")


def evaluate(
    attack: Attack,
    held_out: HeldOut,
    tokenizer: TextTokenizer,
    encoder: Encoder,
    *,
    seed: int = 0,
    batch_size: int = 256,
    language_model: LanguageModel | None = None,
    details: dict[str, Any] | None = None,
    on_progress: Progress = no_progress,
) -> Evaluation:
    """Let the attack invert every vector, embed what it found, and compare."""
    started = time.perf_counter()
    found: list[Reconstruction] = []
    on_progress(f"inverting: {attack.name}", 0, len(held_out))
    for batch in held_out.batches(batch_size):
        found += attack.invert(batch)
        on_progress(f"inverting: {attack.name}", len(found), len(held_out))
    seconds = time.perf_counter() - started
    targets = zip(found, held_out.texts, held_out.ids, strict=True)
    ids = [_tokens_found(row, text, target, tokenizer.unknown_id) for row, text, target in targets]
    texts = [row.text for row in found]
    vectors = embed(encoder, texts, batch_size, on_progress, "embedding what was found")
    columns = score_rows(held_out.ids, ids) | {"cosine": cosine(held_out.vectors, vectors)}
    columns["sentence_bleu"], bleu_counts = bleu_rows(held_out.texts, texts)
    metrics = intervals_of_means(columns, seed) | {"bleu": interval_of_sums(bleu_counts, bleu_of_sums, seed)}
    ordered = {name: metrics[name] for name in (*METRICS, "sentence_bleu")}
    if language_model is not None:
        ordered |= _perplexities(language_model, held_out, texts, ids, seed)
    return Evaluation(
        attack=attack.name,
        seed=seed,
        metrics=ordered,
        texts={
            "given": held_out.given,
            "cut": held_out.cut,
            "with_unknown": held_out.with_unknown,
            "empty": held_out.empty,
        },
        cost=_mean_cost(found, seconds),
        details=dict(details or {}),
        rows=tuple(_records(held_out, found, columns)),
    )


def _tokens_found(row: Reconstruction, text: str, ids: tuple[int, ...], unknown_id: int | None) -> tuple[int, ...]:
    """The tokens found; the target's own where the same text was found in other pieces."""
    return ids if row.text == text and unknown_id not in ids else row.token_ids


def _perplexities(
    model: LanguageModel, held_out: HeldOut, texts: Sequence[str], ids: Sequence[Sequence[int]], seed: int
) -> dict[str, Interval]:
    """Of what was found and, as the measure to hold it against, of the true texts."""
    of_truth = {"perplexity_of_true_text": perplexity(model, held_out.texts, held_out.ids, seed)}
    return ({"perplexity": perplexity(model, texts, ids, seed)} if any(map(len, ids)) else {}) | of_truth


def _mean_cost(found: Sequence[Reconstruction], seconds: float) -> dict[str, float]:
    return {
        "forward_passes_per_vector": float(np.mean([row.cost.forward_passes for row in found])),
        "encoder_calls_per_vector": float(np.mean([row.cost.encoder_calls for row in found])),
        "vectors_per_second": len(found) / seconds if seconds else 0.0,
    }


def _records(
    held_out: HeldOut, found: Sequence[Reconstruction], columns: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    """A record per row, texts included: for the owner's eyes only."""
    return [
        {
            "id": row.id,
            "text": text,
            "found": row.text,
            "tokens": list(row.tokens),
            "confidence": list(row.confidence),
            "forward_passes": row.cost.forward_passes,
            **{name: float(values[place]) for name, values in columns.items()},
        }
        for place, (row, text) in enumerate(zip(found, held_out.texts, strict=True))
    ]
