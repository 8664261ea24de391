"""What tells the search how near a text's vector is: the encoder itself, every call counted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from unmask.errors import EncoderError
from unmask.search.ground import Slope
from unmask.search.hypotheses import Row, by_length

if TYPE_CHECKING:
    from unmask.denoiser.network import Denoiser
    from unmask.encoders.base import Encoder
    from unmask.encoders.slopes import EncoderSlopes
    from unmask.text.tokens import TextTokenizer

log = logging.getLogger(__name__)

# The least harmful change of one token moves a sentence's cosine by some 3e-3; precision moves it by far less.
LEAST_NOISE = 1e-4
# A text's own noise is known from two answers; others may be a few times as far apart.
NOISE_MARGIN = 4.0
BEST_BY_SLOPE = 8


class Scorer(Protocol):
    """Texts in, unit vectors out."""

    @property
    def calls_of_slope(self) -> int:
        """Encoder calls that one text's slope costs; 0 where there is none to be had."""

    def vectors(self, rows: Sequence[Row]) -> np.ndarray:
        """(rows, dimension) float32, of unit length"""

    def exact_vectors(self, rows: Sequence[Row]) -> np.ndarray:
        """The same as exactly as can be, for texts that seem to be the one that is looked for."""

    def slopes(self, rows: Sequence[Row], targets: np.ndarray, likely: Sequence[np.ndarray]) -> list[Slope | None]:
        """What tokens would add to each text's cosine with its target; `likely` (places, kept) are asked for."""


class EncoderScorer:
    """The encoder that made the vectors."""

    def __init__(self, encoder: Encoder, tokenizer: TextTokenizer, denoiser: Denoiser) -> None:
        if encoder.dimension != denoiser.dimension:
            raise EncoderError(
                f"encoder '{encoder.name}' gives {encoder.dimension}-d vectors, this model reads "
                f"{denoiser.dimension}-d ones; give the encoder that the model was trained for"
            )
        self.encoder, self.tokenizer = encoder, tokenizer
        self._slopes = self._find_slopes(denoiser)

    @property
    def calls_of_slope(self) -> int:
        from unmask.encoders.slopes import CALLS_PER_TEXT

        return CALLS_PER_TEXT if self._slopes is not None else 0

    def vectors(self, rows: Sequence[Row]) -> np.ndarray:
        found = np.zeros((len(rows), self.encoder.dimension), dtype=np.float32)
        for numbers in by_length(rows):
            found[numbers] = self._embed([rows[number] for number in numbers])
        return unit(found)

    def exact_vectors(self, rows: Sequence[Row]) -> np.ndarray:
        encode = getattr(self.encoder, "encode_exactly", self.encoder.encode)
        return unit(encode(self.tokenizer.decode_all(rows)))

    def slopes(self, rows: Sequence[Row], targets: np.ndarray, likely: Sequence[np.ndarray]) -> list[Slope | None]:
        if self._slopes is None:
            return [None] * len(rows)
        found: list[Slope | None] = [None] * len(rows)
        for numbers in by_length(rows):
            chosen = [rows[number] for number in numbers]
            own = [np.tile(np.array(row), (len(row), 1)) for row in chosen]
            asked = [np.concatenate([likely[n], of_own], axis=1) for n, of_own in zip(numbers, own, strict=True)]
            texts = self.tokenizer.decode_all(chosen)
            read = self._slopes(chosen, texts, targets[numbers], asked, BEST_BY_SLOPE)
            for number, slope in zip(numbers, read, strict=True):
                if slope is not None:
                    kept = likely[number].shape[1]
                    parts = slope.of_asked[:, :kept], slope.of_asked[:, kept:]
                    found[number] = Slope(slope.best_tokens, slope.best_gains, *parts)
        return found

    def _embed(self, rows: Sequence[Row]) -> np.ndarray:
        texts = self.tokenizer.decode_all(rows)
        try:
            return self.encoder.encode(texts)
        except EncoderError as error:
            log.warning("encoder '%s' failed once and is asked again: %s", self.encoder.name, error)
            return self.encoder.encode(texts)

    def _find_slopes(self, denoiser: Denoiser) -> EncoderSlopes | None:
        from unmask.encoders.slopes import slopes_of

        forbidden = ~torch.isfinite(denoiser.output_bias().detach().cpu())
        forbidden[denoiser.pad_id] = True
        return slopes_of(self.encoder, self.tokenizer.vocabulary, forbidden)


def noise_between(screened: np.ndarray, exact: np.ndarray) -> float:
    """How far from 1 a text's cosine with itself may be, from two answers for it."""
    return max(LEAST_NOISE, NOISE_MARGIN * float(1 - screened @ exact))


def unit(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float32)
    norms = np.linalg.norm(values, axis=-1, keepdims=True)
    return values / np.maximum(norms, 1e-12)
