"""Spaces between words and punctuation, for tokenizers whose tokens do not say where the spaces were."""

from __future__ import annotations

import json
import re

_IDEOGRAPH = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_RULES = [
    (re.compile(r"\s+([.,!?;:%)\]}”»…])"), r"\1"),
    (re.compile(r"([(\[{$#@“‘«])\s+"), r"\1"),
    # Contractions and possessives: don ' t, we ' re, king ' s; and numbers: 3. 14, 1, 000, 10: 30.
    (re.compile(r"(?<=\w)\s*(['’])\s*(?=(?:t|s|m|d|re|ve|ll)\b)", re.IGNORECASE), r"\1"),
    (re.compile(r"(?<=\d)([.,:])\s+(?=\d)"), r"\1"),
    # Initials and abbreviations: u. s., p. m.
    (re.compile(r"\b(\w\.)\s+(?=\w\.)"), r"\1"),
    (re.compile(r"(?<=\w)\s+([-‐‑/])\s+(?=\w)"), r"\1"),
    (re.compile(r"-\s+(?=-)"), "-"),
    (re.compile(rf"(?<=[{_IDEOGRAPH}])\s+(?=[{_IDEOGRAPH}，。！？、；：])"), ""),
    (re.compile(rf"(?<=[，。！？、；：])\s+(?=[{_IDEOGRAPH}])"), ""),
]
_QUOTE = re.compile(r'\s*"\s*')


def needs_tidying(serialised: str) -> bool:
    """Whether a tokenizer splits at every punctuation mark and forgets spaces, so that spaces may be set freely."""
    tree = json.loads(serialised)
    decoder, pre_tokenizer = tree.get("decoder") or {}, tree.get("pre_tokenizer") or {}
    return decoder.get("type") == "WordPiece" and pre_tokenizer.get("type") == "BertPreTokenizer"


def tidy(text: str) -> str:
    """The same tokens with the spaces that a writer would set."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return _tidy_quotes(text) if '"' in text else text


def _tidy_quotes(text: str) -> str:
    """Quotation marks open and close in turn; one that is never closed stands free."""
    parts = _QUOTE.split(text)
    if len(parts) % 2 == 0:
        return text
    tidied = parts[0]
    for index, part in enumerate(parts[1:], start=1):
        opens = index % 2 == 1
        before = " " if opens and tidied and tidied[-1] not in "([{" else ""
        after = " " if not opens and part and part[0] not in ".,!?;:)]}'" else ""
        tidied += f'{before}"{after}{part}'
    return tidied
