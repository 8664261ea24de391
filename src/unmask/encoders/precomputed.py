"""Vectors that exist already, looked up by their text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from unmask.encoders.base import check_texts
from unmask.encoders.fingerprint import fingerprint_of
from unmask.errors import EncoderError, InputError

if TYPE_CHECKING:
    from unmask.recipe import EncoderSection

BATCH = 4096


class PrecomputedEncoder:
    """Answers for the texts of one file with the vectors of another, as they are."""

    def __init__(self, texts: Sequence[str], vectors: np.ndarray, *, name: str = "precomputed") -> None:
        texts = check_texts(texts)
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise InputError(
                f"{len(texts)} texts were given with an array of shape {vectors.shape}, expected one vector for each "
                "text in the same order; make both from the same source"
            )
        self.name = name
        self.queries = 0
        self.max_tokens: int | None = None
        self._vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self.dimension = int(self._vectors.shape[1])
        self._rows: dict[str, int] = {}
        for row, text in enumerate(texts):
            first = self._rows.setdefault(text, row)
            if first != row and not np.allclose(self._vectors[first], self._vectors[row], rtol=1e-2, atol=1e-3):
                raise InputError(
                    f"rows {first} and {row} have the same text {_shown(text)} and different vectors; "
                    "check that the texts and the vectors stand in the same order"
                )

    @classmethod
    def from_section(cls, section: EncoderSection, device: str = "auto") -> PrecomputedEncoder:
        from unmask.text_files import read_text_file
        from unmask.vectorstores import open_vectors

        if not section.texts or not section.vectors:
            missing = "texts" if not section.texts else "vectors"
            raise EncoderError(
                f"encoder 'precomputed' needs {missing}; set encoder.texts and encoder.vectors to two files"
            )
        source = open_vectors(section.vectors)
        vectors = np.concatenate([batch.values for batch in source.batches(BATCH)])
        return cls(read_text_file(section.texts), vectors, name=section.vectors)

    @cached_property
    def fingerprint(self) -> str:
        import hashlib

        digests = {
            "texts": hashlib.sha256("\0".join(self._rows).encode("utf-8")).hexdigest(),
            "vectors": hashlib.sha256(self._vectors.tobytes()).hexdigest(),
        }
        return fingerprint_of("precomputed", digests, {"dimension": self.dimension})

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """The stored vectors of the texts, (texts, dimension) float32."""
        texts = check_texts(texts)
        rows = [self._row_of(text) for text in texts]
        self.queries += len(texts)
        return self._vectors[rows]

    def _row_of(self, text: str) -> int:
        row = self._rows.get(text)
        if row is not None:
            return row
        if _plain(text) in self._plain_texts:
            raise EncoderError(
                f"{_shown(text)} is among the precomputed texts only with other case or spaces; "
                "write it exactly as it was when it was embedded"
            )
        raise EncoderError(
            f"{_shown(text)} is not among the {len(self._rows)} precomputed texts; "
            "embed it, too, or use an encoder that can"
        )

    @cached_property
    def _plain_texts(self) -> set[str]:
        return {_plain(text) for text in self._rows}


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")
