"""What every encoder is to the rest of unmask: texts in, vectors out, its queries counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from unmask.errors import EncoderError, InputError


class Encoder(Protocol):
    """Anything that turns texts into vectors of one dimension."""

    @property
    def name(self) -> str:
        """What a user calls it."""

    @property
    def dimension(self) -> int: ...

    @property
    def fingerprint(self) -> str:
        """The same for the same weights and settings, whatever the machine and precision."""

    @property
    def queries(self) -> int:
        """Texts sent so far."""

    @property
    def max_tokens(self) -> int | None:
        """Tokens after which a text is cut; None if that is not known."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors in the order of the texts, (texts, dimension) float32."""


def check_texts(texts: Sequence[str]) -> list[str]:
    """The texts as a list, or a sentence on which of them is none."""
    if isinstance(texts, str):
        raise InputError("encode takes a list of texts and was given one text; put it in brackets")
    texts = list(texts)
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"text number {number} is {type(text).__name__}, expected a text; remove or mend it")
        if not _is_encodable(text):
            raise InputError(f"text number {number} holds half a surrogate pair, so it is not valid Unicode; mend it")
    return texts


def check_answer(values: np.ndarray, texts: int, dimension: int, name: str) -> np.ndarray:
    """The vectors an encoder gave back, as float32, or a sentence on what is wrong with them."""
    if values.shape != (texts, dimension):
        raise EncoderError(
            f"encoder '{name}' answered {texts} texts with an array of shape {values.shape}, "
            f"expected ({texts}, {dimension}); check that the model and its truncate_dim are the ones you mean"
        )
    values = np.ascontiguousarray(values, dtype=np.float32)
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        raise EncoderError(
            f"encoder '{name}' gave NaN or infinite values for {int((~finite).sum())} of {texts} texts "
            f"(the first is number {int(np.argmin(finite))}); run it with precision fp32"
        )
    return values


def _is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
