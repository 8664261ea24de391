"""What tells the search how near a text's vector is: the encoder itself, or a surrogate that never asks it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from unmask.errors import BudgetExhausted, EncoderError
from unmask.metrics.vectors import unit
from unmask.products import make_steady
from unmask.search.hypotheses import Row, by_length

if TYPE_CHECKING:
    from unmask.denoiser.network import Denoiser
    from unmask.encoders.answers import Answers
    from unmask.encoders.base import Encoder
    from unmask.search.lens import Lens
    from unmask.search.surrogate import Surrogate
    from unmask.text.tokens import TextTokenizer

log = logging.getLogger(__name__)

# The least harmful change of one token moves a sentence's cosine by some 3e-3; precision moves it by far less.
LEAST_NOISE = 1e-4
# A text's own noise is known from two answers; others may be a few times as far apart.
NOISE_MARGIN = 4.0
TEXTS_AT_ONCE = 256
# Of a surrogate's likelihood, fluency, length and words, where there is a lens: the cosine by it is farther from 1.
WEIGHTS_BY_LENS = 0.03, 0.1, 0.1, 0.8
QUICKLY, EXACTLY = "quickly", "exactly"
# Texts refused one after the other, each asked alone and twice, before it is found out whether the encoder is gone.
MOST_REFUSED = 3


# (rows, dimension) float32, NaN for texts without an answer; and how often each was sent, which is what it cost.
Vectors = tuple[np.ndarray, np.ndarray]


class Scorer(Protocol):
    """Texts in, vectors out: of unit length, or shorter where the scorer is not sure."""

    @property
    def is_encoder(self) -> bool:
        """Whether its vectors are the encoder's own, so that each is a call, and a text can be verified."""

    failure: str | None  # why it answers no more
    likelihood_weight: float  # of the denoiser's opinion beside the cosine, where the user names none
    fluency_weight: float  # of a fluency model's opinion, where there is one
    length_weight: float  # of how likely the text's length is
    word_weight: float  # of how likely its words are
    lens: Lens | None  # how its vectors are compared with those that are searched for; None: by their cosine

    def vectors(self, rows: Sequence[Row]) -> Vectors:
        """Of texts, as fast as can be."""

    def exact_vectors(self, rows: Sequence[Row]) -> Vectors:
        """The same as exactly as can be, for texts that seem to be the one that is looked for."""


class EncoderScorer:
    """The encoder that made the vectors."""

    is_encoder = True
    likelihood_weight, fluency_weight, length_weight, word_weight = 0.05, 0.1, 0.15, 0.0
    lens: Lens | None = None

    def __init__(
        self, encoder: Encoder, tokenizer: TextTokenizer, denoiser: Denoiser, answers: Answers | None = None
    ) -> None:
        """answers: those of before, which are not asked for again, but count as if they were: a search that is run
        again goes the same way."""
        if encoder.dimension != denoiser.dimension:
            raise EncoderError(
                f"encoder '{encoder.name}' gives {encoder.dimension}-d vectors, this model reads "
                f"{denoiser.dimension}-d ones; give the encoder that the model was trained for"
            )
        self.encoder, self.tokenizer, self._answers = encoder, tokenizer, answers
        self.failure: str | None = None
        self._known: str | None = None  # a text that had an answer
        self._refused = 0  # texts that had none since then

    def vectors(self, rows: Sequence[Row]) -> Vectors:
        texts, (found, sent) = self.tokenizer.decode_all(rows), self._nothing(len(rows))
        for numbers in self._by_length_read(texts):
            found[numbers], sent[numbers] = self._ask(QUICKLY, [texts[number] for number in numbers])
        return found, sent

    def _by_length_read(self, texts: Sequence[str]) -> list[list[int]]:
        """By how many tokens each has when it is read again: a longer one would pad the others of its call, which
        changes their vectors a little."""
        return by_length([tuple(ids) for ids in self.tokenizer.encode(texts)])

    def exact_vectors(self, rows: Sequence[Row]) -> Vectors:
        return self._ask(EXACTLY, self.tokenizer.decode_all(rows))

    def _ask(self, how: str, texts: list[str]) -> Vectors:
        encode = self.encoder.encode
        if how == EXACTLY:
            encode = getattr(self.encoder, "encode_exactly", encode)
        if self._answers is None:
            return self._send(texts, encode)
        found, sent = self._nothing(len(texts))
        known = self._answers.known(how, texts)
        for number, vector in enumerate(known):
            if vector is not None:
                found[number], sent[number] = vector, 1
        missing = [number for number, vector in enumerate(known) if vector is None]
        found[missing], sent[missing] = self._send([texts[number] for number in missing], encode)
        answered = [number for number in missing if np.isfinite(found[number]).all()]
        self._answers.keep(how, [texts[number] for number in answered], found[answered])
        return found, sent

    def _nothing(self, rows: int) -> Vectors:
        return np.full((rows, self.encoder.dimension), np.nan, dtype=np.float32), np.zeros(rows, dtype=np.int64)

    def _send(self, texts: list[str], encode: Callable[[list[str]], np.ndarray]) -> Vectors:
        """Vectors of texts; where the encoder fails, of each half of them, so that one text does not cost them all."""
        found, sent = self._nothing(len(texts))
        left = [(0, len(texts), False)] if texts else []
        while left and self.failure is None:
            start, end, is_second = left.pop()
            sent[start:end] += 1
            try:
                found[start:end] = unit(encode(texts[start:end]))
                self._known, self._refused = texts[start], 0
            except EncoderError as error:
                log.warning("encoder '%s' failed on %d texts: %s", self.encoder.name, end - start, error)
                middle = (start + end) // 2
                if isinstance(error, BudgetExhausted):
                    self._give_up(error)
                elif end - start > 1:
                    left += [(middle, end, False), (start, middle, False)]
                elif not is_second:
                    left.append((start, end, True))
                else:
                    sent[start] += self._count_refusal(error)
        return found, sent

    def _count_refusal(self, error: EncoderError) -> int:
        """After some texts without an answer, ask for one that had one: is it they, or is the encoder gone?

        Returns the calls that this took.
        """
        self._refused += 1
        if self._refused < MOST_REFUSED:
            return 0
        if self._known is None:
            self._give_up(error)
            return 0
        try:
            self.encoder.encode([self._known])
            self._refused = 0
        except EncoderError as second:
            self._give_up(second)
        return 1

    def _give_up(self, error: EncoderError) -> None:
        self.failure = str(error)
        log.warning("the encoder answers no more, so the search ends with what it has: %s", error)


class SurrogateScorer:
    """A surrogate in the encoder's place: nothing it says costs a call, and nothing it says is proof."""

    is_encoder = False
    likelihood_weight, fluency_weight, length_weight, word_weight = 0.15, 0.5, 0.5, 0.0
    failure: str | None = None

    def __init__(
        self, surrogate: Surrogate, denoiser: Denoiser, dtype: torch.dtype = torch.float32, lens: Lens | None = None
    ) -> None:
        self.surrogate, self.device = surrogate.to(denoiser.device, dtype), denoiser.device
        make_steady(self.surrogate)
        self.lens = lens
        if lens is not None:
            self.likelihood_weight, self.fluency_weight, self.length_weight, self.word_weight = WEIGHTS_BY_LENS

    def vectors(self, rows: Sequence[Row]) -> Vectors:
        found = np.zeros((len(rows), self.surrogate.dimension), dtype=np.float32)
        for numbers in by_length(rows):
            for start in range(0, len(numbers), TEXTS_AT_ONCE):
                part = numbers[start : start + TEXTS_AT_ONCE]
                ids = torch.tensor([rows[number] for number in part], device=self.device)
                with torch.no_grad():
                    found[part] = self.surrogate(ids).float().cpu().numpy()
        return found, np.ones(len(rows), dtype=np.int64)

    def exact_vectors(self, rows: Sequence[Row]) -> Vectors:
        return self.vectors(rows)


def forbidden_tokens(denoiser: Denoiser) -> torch.Tensor:
    """Tokens that no text holds; (vocabulary,) bool."""
    forbidden = ~torch.isfinite(denoiser.output_bias().detach().cpu())
    forbidden[denoiser.pad_id] = True
    return forbidden


def noise_between(screened: np.ndarray, exact: np.ndarray) -> float:
    """How far from 1 a text's cosine with itself may be, from two answers for it."""
    return max(LEAST_NOISE, NOISE_MARGIN * float(1 - screened @ exact))
