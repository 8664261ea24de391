"""Microsoft Presidio: names, places and organisations, beside what patterns and checksums are surer of."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmask.audit.detection import PATTERNS
from unmask.audit.personal import KINDS, Personal, find_personal
from unmask.errors import InputError
from unmask.vectorstores.base import first_line

if TYPE_CHECKING:
    from spacy.language import Language

# What its findings are called in a report. Its own for e-mail addresses and links are left out: patterns find the
# former, and to check either it would fetch a list from the network.
ENTITIES = {
    "PERSON": "name",
    "LOCATION": "place",
    "ORGANIZATION": "organisation",
    "NRP": "nationality, religion or party",
    "DATE_TIME": "date",
    "PHONE_NUMBER": "phone number",
    "CREDIT_CARD": "card number",
    "IBAN_CODE": "account number",
    "US_BANK_NUMBER": "account number",
    "CRYPTO": "account number",
    "US_SSN": "national id",
    "US_ITIN": "national id",
    "US_PASSPORT": "national id",
    "US_DRIVER_LICENSE": "national id",
    "UK_NHS": "national id",
    "IP_ADDRESS": "network address",
    "MAC_ADDRESS": "network address",
}
# Of what it is itself less sure, such as any nine digits for a passport, it says less than that.
LEAST_SCORE = 0.4
# Characters that are read at once, a tenth of what spaCy takes; and halves of pairs, of which it takes none.
LONGEST, HALVES = 100_000, re.compile("[\ud800-\udfff]")
log = logging.getLogger(__name__)


class Presidio:
    """Patterns first; what they leave, it may take."""

    kinds = tuple(dict.fromkeys((*KINDS, *ENTITIES.values())))

    def __init__(self, pipeline: str) -> None:
        try:
            import spacy

            folder = Path(pipeline)
            language = spacy.load(folder if folder.is_dir() else pipeline)
        except Exception as error:  # a package of that name may be anything, and raise anything
            raise InputError(
                f"'{pipeline}' cannot be loaded as a spaCy pipeline ({first_line(error)}); install it again, name "
                f"another with --spacy-model, or take --detector {PATTERNS}"
            ) from error
        self._language = language.lang
        self._engine = _engine(language)
        self._known: dict[str, list[Personal]] = {}
        self._asked = [name for name in ENTITIES if name in self._engine.get_supported_entities(self._language)]
        shown = f"{language.lang}_{language.meta['name']} {language.meta['version']}"
        self.name = f"patterns and checksums, and Presidio {version('presidio-analyzer')} with {shown}"

    def find(self, text: str) -> list[Personal]:
        """Each text is read once, however many attackers it is compared with."""
        if text not in self._known:
            self._known[text] = self._read(text)
        return self._known[text]

    def _read(self, text: str) -> list[Personal]:
        found = find_personal(text)
        try:
            answers = sorted(self._answers(text))
        except Exception as error:  # one odd text must not end an audit
            log.warning("Presidio failed on a text of %d characters (%s)", len(text), type(error).__name__)
            answers = []
        for _, start, end, kind in answers:
            piece = Personal(kind, start, end, text[start:end])
            if _says_something(piece) and all(piece.end <= other.start or other.end <= piece.start for other in found):
                found.append(piece)
        return sorted(found, key=lambda piece: piece.start)

    def _answers(self, text: str) -> Iterator[tuple[float, int, int, str]]:
        """The surest have the least first number."""
        whole = HALVES.sub("\ufffd", text)
        for before in range(0, len(whole), LONGEST):
            for answer in self._engine.analyze(
                whole[before : before + LONGEST],
                language=self._language,
                entities=self._asked,
                score_threshold=LEAST_SCORE,
            ):
                yield -answer.score, before + answer.start, before + answer.end, ENTITIES[answer.entity_type]


def _says_something(piece: Personal) -> bool:
    """'Yesterday' is a date to Presidio, and nobody's; a dash may be an organisation."""
    return any(map(str.isdigit if piece.kind == "date" else str.isalnum, piece.text))


def _engine(language: Language) -> Any:
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine

    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)  # it lists what it has no recogniser for
    known = NerModelConfiguration().model_to_presidio_entity_mapping or {}
    labels = {label for of_part in language.pipe_labels.values() for label in of_part}
    reader = SpacyNlpEngine(ner_model_configuration=NerModelConfiguration(labels_to_ignore=sorted(labels - set(known))))
    reader.nlp = {language.lang: language}  # its own way to load one downloads what is missing
    registry = RecognizerRegistry(supported_languages=[language.lang])
    registry.load_predefined_recognizers(languages=[language.lang])
    return AnalyzerEngine(nlp_engine=reader, supported_languages=[language.lang], registry=registry)
