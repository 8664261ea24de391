"""Personal and secret data in a text, by patterns, and by checksums where the data carry one."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from unmask.audit import checksums

MONTHS = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)\b\.?"
)
NAME = r"(?-i:(?:[A-Z]['-])?[A-Z][^\W\d_]+(?:['-][A-Z][^\W\d_]+)?)"
TITLES = "mr|mrs|ms|miss|dr|prof|sir"
NOBODY = "all|colleagues?|customers?|everyone|friends?|guests?|ladies|madam|members?|neighbou?rs?|parents?|team|users?"
# Where there is no better detector: what illnesses, operations and drugs are commonly called.
MEDICAL_ENDINGS = (
    "itis|ectomy|otomy|oscopy|plasty|emia|aemia|opathy|algia|carcinoma|lymphoma|melanoma|cillin|statin|mycin|azepam|"
    "prazole|sartan|oxetine|triptan|floxacin|cycline|mab|parin|phobia|plegia|sclerosis|thyroidism"
)
ILLNESSES = (
    "asthma|cancer|diabetes|diabetic|epilepsy|hiv|(?-i:AIDS)|tumou?r|chemotherapy|dialysis|schizophrenia|dementia|"
    "alzheimer'?s|parkinson'?s|pregnan(?:t|cy)|miscarriage|biopsy|metformin|warfarin|ibuprofen|paracetamol|aspirin|"
    "morphine|pneumonia|hypertension|influenza|covid|tuberculosis|malaria|migraine|psychosis|overdose|melanoma|lymphoma|"
    "carcinoma|insulin|heparin|ana?emia|leuka?emia"
)
NO_ILLNESSES = ("academia", "bohemia", "nostalgia")
SECRETS = "password|passwd|secret|token|api[ _-]?key"
# Bits for each character, below which a long word is no key.
LEAST_ENTROPY = 3.0


@dataclass(frozen=True)
class Personal:
    """One piece of personal or secret data."""

    kind: str
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Detector:
    """What a kind of data looks like, and what must also hold."""

    kind: str
    pattern: re.Pattern[str]
    holds: Callable[[str], bool] = lambda text: True


def _detector(kind: str, pattern: str, holds: Callable[[str], bool] | None = None) -> Detector:
    compiled = re.compile(pattern, re.IGNORECASE)
    return Detector(kind, compiled) if holds is None else Detector(kind, compiled, holds)


def _is_phone(text: str) -> bool:
    return 7 <= len(checksums.digits_of(text)) <= 15


def _is_key(text: str) -> bool:
    """Letters and digits mixed, and no two alike too often."""
    counts = Counter(text)
    entropy = -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())
    has_both = any(map(str.isdigit, text)) and any(map(str.isalpha, text))
    return has_both and entropy >= LEAST_ENTROPY


def _is_illness(text: str) -> bool:
    return text.casefold() not in NO_ILLNESSES


def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text))


def _is_address(text: str) -> bool:
    return all(int(part) < 256 for part in text.split("."))


# In this order: what is certain by its checksum comes before what only looks like something.
DETECTORS = (
    _detector("key or token", r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    _detector("key or token", r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"),
    _detector("key or token", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    _detector("key or token", r"\b(?:sk|pk|rk)[-_](?:live|test|proj|ant)?[-_]?[\w-]{16,}"),
    _detector("key or token", r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|xox[abprs]-[\w-]{10,}|AIza[\w-]{30,})"),
    _detector("e-mail address", r"(?<![\w.%+-])[\w.%+-]{1,64}@(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,}\b"),
    _detector("account number", r"\b[a-z]{2}\d{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,4})?\b", checksums.is_iban),
    _detector("card number", r"(?<![\d.])\d(?:[ -]?\d){12,18}(?![\d.]\d)", checksums.is_card),
    _detector("national id", r"\b[12](?: ?\d){14}\b", checksums.is_french_social_security),
    _detector("national id", r"\b\d{3}[ -]\d{2}[ -]\d{4}\b", checksums.is_us_social_security),
    _detector("national id", r"\b\d{2} ?\d{3} ?\d{3} ?\d{3}\b", checksums.is_german_tax),
    _detector("national id", r"\b\d{4}[ -]?\d{4}[ -]?\d{4}\b", checksums.is_indian_aadhaar),
    _detector("national id", r"\bnhs\D{0,12}(?P<value>\d{3}[ -]?\d{3}[ -]?\d{4})\b", checksums.is_uk_nhs),
    _detector("national id", r"\b(?:[xyz][ -]?\d{7}|\d{2}\.?\d{3}\.?\d{3})[ -]?[a-z]\b", checksums.is_spanish_dni),
    _detector("national id", r"\b(?!bg|gb|nk|kn|tn|nt|zz)[a-ceghj-prtw-z][a-ceghj-nprtw-z] ?(?:\d{2} ?){3}[a-d]\b"),
    _detector("network address", r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])", _is_address),
    _detector("date", r"\b\d{4}-\d{2}-\d{2}\b|\b\d{1,2}[./]\d{1,2}[./](?:\d{4}|\d{2})\b"),
    _detector("date", rf"\b\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {MONTHS}(?:,? \d{{4}})?\b"),
    _detector("date", rf"\b{MONTHS} \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?\b"),
    _detector("account number", r"\b(?:account|acct|routing|aba|konto)\D{0,12}(?P<value>\d[\d -]{5,16}\d)\b"),
    _detector("phone number", r"(?<![\w.])(?:\+|00)\d{1,3}(?:[ .()/-]{0,2}\d){6,13}(?!\d)", _is_phone),
    _detector(
        "phone number", r"(?<![\w.])(?:\(\d{2,4}\)[ -]?|0\d{1,4}[ /-])\d{2,4}(?:[ ./-]\d{2,4}){1,3}(?!\w)", _is_phone
    ),
    _detector("phone number", r"(?<![\w.])\d{3}[ .-]\d{3}[ .-]\d{4}(?!\w)"),
    _detector("name", rf"\b(?:{TITLES})\b\.? (?P<value>{NAME}(?: {NAME}){{0,2}})"),
    _detector("name", rf"\b(?:dear|name is) (?!(?:{TITLES}|{NOBODY})\b)(?P<value>{NAME}(?: {NAME}){{0,2}})"),
    _detector("medical term", rf"\b(?:{ILLNESSES})\b|\b[a-z]{{3,20}}(?:{MEDICAL_ENDINGS})\b", _is_illness),
    _detector("key or token", rf"\b(?:{SECRETS})\s?(?:[:=]|is)\s?(?P<value>[^\s,;]{{6,}})", _has_digit),
    _detector("key or token", r"\b[A-Za-z0-9+/_-]{24,}={0,2}", _is_key),
)
KINDS = tuple(dict.fromkeys(detector.kind for detector in DETECTORS))


def find_personal(text: str) -> list[Personal]:
    """All of it, in the order of the text; no two pieces overlap."""
    taken = [False] * len(text)
    found = []
    for detector in DETECTORS:
        for match in detector.pattern.finditer(text):
            named = "value" if "value" in detector.pattern.groupindex else 0
            start, end = match.span(named)
            if any(taken[start:end]) or not detector.holds(match[named]):
                continue
            taken[start:end] = [True] * (end - start)
            found.append(Personal(detector.kind, start, end, match[named]))
    return sorted(found, key=lambda piece: piece.start)


def plain(text: str) -> str:
    """Letters and digits alone: a tokenizer sets spaces where the text had none, and drops its case."""
    return "".join(character for character in text.casefold() if character.isalnum())


def is_in(piece: Personal, recovered: str) -> bool:
    """Whether a text that was read back holds this piece, however it is written there."""
    value = plain(piece.text)
    words = [plain(word) for word in re.findall(r"\w+|[^\w\s]", recovered.casefold())]
    words = [word for word in words if word]
    # Whole words only: 12 does not stand in 2012.
    for start in range(len(words)):
        joined = ""
        for word in words[start:]:
            joined += word
            if joined == value:
                return True
            if not value.startswith(joined):
                break
    return False


def recalled(pieces: Iterable[Personal], recovered: str) -> dict[str, tuple[int, int]]:
    """Of each kind: how many pieces came back, of how many there were."""
    counts: dict[str, tuple[int, int]] = {}
    for piece in pieces:
        back, there = counts.get(piece.kind, (0, 0))
        counts[piece.kind] = (back + is_in(piece, recovered), there + 1)
    return counts
