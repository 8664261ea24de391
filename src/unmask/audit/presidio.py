"""Microsoft Presidio: names, places and organisations, beside what patterns and checksums are surer of."""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from unmask.audit.personal import KINDS, Personal, find_personal
from unmask.errors import InputError

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


class Presidio:
    """Patterns first; what they leave, it may take."""

    kinds = tuple(dict.fromkeys((*KINDS, *ENTITIES.values())))

    def __init__(self, pipeline: str) -> None:
        import spacy

        try:
            language = spacy.load(pipeline)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise InputError(
                f"the spaCy pipeline '{pipeline}' cannot be loaded ({str(error).splitlines()[0]}); install it again, "
                "or name another with --spacy-model"
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
        answers = self._engine.analyze(text, language=self._language, entities=self._asked, score_threshold=LEAST_SCORE)
        for answer in sorted(answers, key=lambda answer: (-answer.score, answer.start)):
            piece = Personal(ENTITIES[answer.entity_type], answer.start, answer.end, text[answer.start : answer.end])
            if _says_something(piece) and all(piece.end <= other.start or other.end <= piece.start for other in found):
                found.append(piece)
        return sorted(found, key=lambda piece: piece.start)


def _says_something(piece: Personal) -> bool:
    """'Yesterday' is a date to Presidio, and nobody's."""
    return piece.kind != "date" or any(map(str.isdigit, piece.text))


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
