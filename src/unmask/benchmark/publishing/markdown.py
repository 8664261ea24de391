"""Results as Markdown: cells, and the sentences under a table."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence

from unmask.benchmark.publishing.results import Result
from unmask.benchmark.tables import COLUMNS, show

NONE = "–"
# The characters that mean something in running text; others, such as a full stop, only where a line begins.
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$-])")


def lay_out(headings: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int = 1) -> str:
    """A Markdown table; the first columns are text, the others numbers."""
    ruler = ["---"] * text_columns + ["---:"] * (len(headings) - text_columns)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, ruler, *rows))


def escape(text: str) -> str:
    """Any text as one cell that shows it as it is: no markup, no control characters, no turned direction."""
    flat = " ".join(text.split())
    flat = "".join(" " if unicodedata.category(mark) in ("Cc", "Cf", "Cs", "Co", "Cn") else mark for mark in flat)
    # Colons too: some renderers turn :name: and addresses into something else.
    return _SPECIAL.sub(r"\\\1", html.escape(flat, quote=False)).replace("://", "&#58;//").strip()


def metric_cells(result: Result, names: Sequence[str]) -> list[str]:
    return [show(result.metrics[name], *COLUMNS[name][1:]) if name in result.metrics else NONE for name in names]


def present(results: Sequence[Result], names: Sequence[str] = tuple(COLUMNS)) -> list[str]:
    """Those of the metrics that some line has."""
    return [name for name in names if any(name in result.metrics for result in results)]


def headings_of(names: Sequence[str]) -> list[str]:
    return [COLUMNS[name][0] for name in names]


def number(value: float | None, decimals: int = 1) -> str:
    return NONE if value is None else f"{value:,.{decimals}f}"


def notes(results: Sequence[Result]) -> str:
    """What all lines have in common, in sentences."""
    first = results[0]
    texts, details = first.details.get("texts"), first.details
    sentences = [f"n = {first.n:,}, seed {first.seed}." if texts is None else _counted(first, texts)]
    if first.metrics:
        sentences.append("Values with bootstrap 95 % intervals; decoding from a full mask, the length unknown.")
    if "perplexity_of_true_text" in first.metrics:
        of_truth = show(first.metrics["perplexity_of_true_text"], 1, 0)
        sentences.append(f"Perplexity under {details.get('language_model')}; of the true texts {of_truth}.")
    fingerprints = {result.details.get("model_fingerprint") for result in results}
    named = [(name, details.get(name)) for name in ("model", "encoder", "steps", "version", "commit")]
    if len(fingerprints) == 1 and details.get("model_fingerprint"):
        named.insert(1, ("weights", details["model_fingerprint"][:12]))
    else:
        named = named[1:]
    named[-2:-2] = sorted(details.get("options", {}).items())
    made_with = ", ".join(f"{name} {value}" for name, value in named if value)
    return "\n".join([*sentences, *([f"Made with {made_with}."] if made_with else [])])


def _counted(first: Result, texts: dict[str, int]) -> str:
    return (
        f"n = {first.n:,} held-out texts of {texts['given']:,}, seed {first.seed}; {texts['cut']} were cut to the "
        f"model's length, {texts['with_unknown']} hold a token that the tokenizer does not know, "
        f"{texts['empty']} were empty."
    )
