"""Paragraphs to short texts: sentences, runs of sentences and windows, in the mix that a recipe states."""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from unmask.errors import RecipeError
from unmask.recipe import TextSection
from unmask.text.cleaning import UNSPACED, has_letters
from unmask.text.sentences import sentence_spans
from unmask.text.tokens import TextTokenizer

KINDS = ("sentence", "run", "window")
# Generous, so that the slice a window is cut from is hardly ever shorter than the window.
_CHARACTERS_PER_TOKEN = 12
_WORD_START = re.compile(rf"(?<!\S)\S|[{UNSPACED}]")
_UNSPACED = re.compile(f"[{UNSPACED}]")


@dataclass(frozen=True)
class Cut:
    """A text for training: `text` is what `ids` decode to, and `ids` what `text` encodes to."""

    ids: list[int]
    text: str
    paragraph: int  # place of its paragraph among those that were given
    kind: str


@dataclass
class CutReport:
    """How many cuts were kept of each kind, and how many were dropped and why."""

    kept: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Candidate:
    paragraph: int
    kind: str
    text: str
    target: int = 0  # tokens that a window is to have


@dataclass(frozen=True)
class _Sentences:
    spans: list[tuple[int, int]]
    sizes: list[int]  # tokens of each


class Cutter:
    """Cuts paragraphs; the same ones in the same order are always cut the same way."""

    def __init__(self, tokenizer: TextTokenizer, section: TextSection, seed: int) -> None:
        self.tokenizer, self.section, self.seed = tokenizer, section, seed
        self.weights = {kind: float(getattr(section.mix, kind)) for kind in KINDS}
        if not sum(self.weights.values()):
            raise RecipeError("text.mix has only zeros, expected a share above 0 for one of " + ", ".join(KINDS))
        self._forbidden = frozenset(tokenizer.forbidden_ids) | {tokenizer.pad_id}
        self._special = re.compile("|".join(map(re.escape, tokenizer.special_texts)) or r"(?!)")

    def cut(self, paragraphs: Sequence[str]) -> tuple[list[Cut], CutReport]:
        """Cuts of all paragraphs, in their order."""
        report = CutReport()
        chosen: Counter[str] = Counter()
        candidates = [
            candidate
            for place, (text, sentences) in enumerate(zip(paragraphs, self._sentences(paragraphs), strict=True))
            for candidate in self._choose(place, text, sentences, chosen)
        ]
        candidates = self._end_windows(candidates)
        rows = self.tokenizer.encode([candidate.text for candidate in candidates])
        fitting = [
            (candidate, ids)
            for candidate, ids in zip(candidates, rows, strict=True)
            if self._is_fit(candidate.text, ids, report)
        ]
        texts = self.tokenizer.decode_all(ids for _, ids in fitting)
        again = self.tokenizer.encode(texts)
        cuts = []
        for (candidate, ids), text, ids_again in zip(fitting, texts, again, strict=True):
            if ids == ids_again:
                cuts.append(Cut(ids, text, candidate.paragraph, candidate.kind))
                report.kept[candidate.kind] += 1
            else:
                report.dropped["changed by encoding and decoding"] += 1
        return cuts, report

    def _sentences(self, paragraphs: Sequence[str]) -> list[_Sentences]:
        spans = [sentence_spans(text) for text in paragraphs]
        flat = [text[start:end] for text, found in zip(paragraphs, spans, strict=True) for start, end in found]
        sizes = iter([len(ids) for ids in self.tokenizer.encode(flat)])
        return [_Sentences(found, [next(sizes) for _ in found]) for found in spans]

    def _choose(self, place: int, text: str, sentences: _Sentences, so_far: Counter[str]) -> list[_Candidate]:
        """As many cuts as the paragraph has sentences (a long one counts several times), up to the recipe's limit.

        Each is of the kind that is furthest behind its share so far, among those that the paragraph allows.
        """
        length, shortest = self.section.length, self.section.min_tokens
        units = sum(-(-size // length) for size in sentences.sizes)
        digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8, key=str(self.seed).encode()).digest()
        draw = random.Random(int.from_bytes(digest, "big"))
        single = [index for index, size in enumerate(sentences.sizes) if shortest <= size <= length]
        runs = _runs(sentences.sizes, shortest, length)
        draw.shuffle(single)
        draw.shuffle(runs)
        chosen: list[_Candidate] = []
        for _ in range(min(units, self.section.cuts_per_paragraph)):
            left = {"sentence": single, "run": runs, "window": [()] if sum(sentences.sizes) >= shortest else []}
            kinds = [kind for kind in KINDS if left[kind] and self.weights[kind]]
            if not kinds:
                break
            target = 0
            kind = min(kinds, key=lambda kind: so_far[kind] / self.weights[kind])
            so_far[kind] += 1
            if kind == "sentence":
                start, end = sentences.spans[single.pop()]
            elif kind == "run":
                first, last = runs.pop()
                start, end = sentences.spans[first][0], sentences.spans[last][1]
            else:
                start = _word_start(text, draw.randrange(len(text)))
                target = draw.randint(shortest, length)
                end = start + _CHARACTERS_PER_TOKEN * target
            chosen.append(_Candidate(place, kind, text[start:end].replace("\n", " ").strip(), target))
        return chosen

    def _end_windows(self, candidates: list[_Candidate]) -> list[_Candidate]:
        """Cut each window after its target number of tokens, back to the end of a word."""
        windows = [index for index, candidate in enumerate(candidates) if candidate.kind == "window"]
        encoded = self.tokenizer.encode_with_spans([candidates[index].text for index in windows])
        for index, (_, spans) in zip(windows, encoded, strict=True):
            candidate = candidates[index]
            text = _end_at_word(candidate.text, [end for _, end in spans[: candidate.target]])
            candidates[index] = _Candidate(candidate.paragraph, candidate.kind, text, candidate.target)
        return candidates

    def _is_fit(self, text: str, ids: list[int], report: CutReport) -> bool:
        reason = ""
        if len(ids) < self.section.min_tokens:
            reason = "too short"
        elif len(ids) > self.section.length:
            reason = "too long"
        elif not self._forbidden.isdisjoint(ids):
            reason = "unknown token"
        elif not has_letters(text):
            reason = "no letters"
        elif self._special.search(text):
            reason = "special token in the text"
        if reason:
            report.dropped[reason] += 1
        return not reason


def _runs(sizes: list[int], shortest: int, length: int) -> list[tuple[int, int]]:
    """(first, last) of every run of two or more sentences that fits."""
    found = []
    for first in range(len(sizes)):
        total = sizes[first]
        for last in range(first + 1, len(sizes)):
            total += sizes[last]
            if total > length:
                break
            if total >= shortest:
                found.append((first, last))
    return found


def _word_start(text: str, place: int) -> int:
    """The first word start at or after a place, or the text's beginning if there is none."""
    found = _WORD_START.search(text, place)
    return found.start() if found else 0


def _end_at_word(text: str, ends: list[int]) -> str:
    """The text up to the last of some token ends that is also the end of a word."""
    for end in reversed(ends):
        is_last = end >= len(text) or text[end].isspace()
        if is_last or _UNSPACED.match(text, end) or _UNSPACED.match(text, end - 1):
            return text[:end].strip()
    return ""
