"""Where sentences end, by rules that hold for most scripts."""

from __future__ import annotations

import re

_CLOSERS = "\"'”’»›)\\]」』）】》"
_END = re.compile(rf"[.!?…]+[{_CLOSERS}]*(?=\s)|[。！？｡．؟۔।॥։።]+[{_CLOSERS}]*")
_OPENERS = "\"'“‘«‹([「『（【《—–-¿¡ \t"
_LAST_WORD = re.compile(r"[\w.]+$")
_LONGEST_ABBREVIATION = 20
_ABBREVIATIONS = frozenset(
    re.findall(
        r"\S+",
        "mr mrs ms mx dr prof sr jr st mt vs cf e.g i.e eg ie al fig figs no nos vol vols pp p ch sec art ed eds "
        "approx dept est inc ltd co corp gen col sgt capt lt cmdr adm maj rev hon gov sen rep pres messrs mme mlle "
        "jan feb mar apr jun jul aug sep sept oct nov dec bzw ca z.b d.h u.a usw nr bd abs hr fr",
    )
)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each sentence; a line break always ends one."""
    spans: list[tuple[int, int]] = []
    line_start = 0
    for line in text.split("\n"):
        start = 0
        for match in _END.finditer(line):
            if _ends_sentence(line, match):
                _append(spans, line, line_start, start, match.end())
                start = match.end()
        _append(spans, line, line_start, start, len(line))
        line_start += len(line) + 1
    return spans


def _append(spans: list[tuple[int, int]], line: str, offset: int, start: int, end: int) -> None:
    stretch = line[start:end]
    left = len(stretch) - len(stretch.lstrip())
    kept = stretch.strip()
    if kept:
        spans.append((offset + start + left, offset + start + left + len(kept)))


def _ends_sentence(line: str, match: re.Match[str]) -> bool:
    if match.group()[0] not in ".!?…":
        return True
    following = line[match.end() : match.end() + 8].lstrip(_OPENERS)
    if following[:1].islower():
        return False
    if match.group()[0] != "." or match.group().startswith(".."):
        return True
    before = _LAST_WORD.search(line[max(0, match.start() - _LONGEST_ABBREVIATION) : match.start()])
    if before is None:
        return True
    word = before.group().lower()
    is_initial = len(word) == 1 and word.isalpha() and word != "i"
    is_dotted = "." in word and all(len(part) == 1 and part.isalpha() for part in word.split("."))
    return not (word in _ABBREVIATIONS or is_initial or is_dotted)
