"""What recovery is worth: attacks that know nothing, know the wrong vector, or only look things up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unmask.errors import InputError, PairsError
from unmask.metrics.vectors import unit
from unmask.records import Cost, Reconstruction, VectorBatch
from unmask.registry import Entry, Registry
from unmask.runtime import stream_for

if TYPE_CHECKING:
    from unmask.attacks.base import Attack
    from unmask.denoiser.network import Denoiser
    from unmask.encoders.base import Encoder
    from unmask.pairs.dataset import PairsDataset
    from unmask.text.tokens import TextTokenizer

BASELINES: Registry[Attack] = Registry(
    "baseline",
    [
        Entry("random", f"{__name__}:RandomTokens", "Random tokens, drawn as often as training text has them."),
        Entry("unconditional", f"{__name__}:Unconditional", "The model without a vector: what it says by itself."),
        Entry("shuffled", f"{__name__}:Shuffled", "The model with the vector of another text."),
        Entry("nearest", f"{__name__}:NearestNeighbour", "The training text whose vector is the most similar."),
    ],
)

SPLIT = "train"
FREQUENCY_ROWS = 200_000  # training rows that frequencies and lengths are counted on
_ROWS_AT_ONCE = 16_384
_PRODUCTS_AT_ONCE = 16_000_000  # similarities held in memory together


class RandomTokens:
    """Tokens and lengths drawn at random: by training frequency once fitted, else all alike."""

    name = "random"

    def __init__(self, tokenizer: TextTokenizer, length: int, seed: int = 0) -> None:
        self._tokenizer, self._seed = tokenizer, seed
        weights = np.ones(tokenizer.vocabulary_size)
        weights[[*tokenizer.forbidden_ids, tokenizer.pad_id, *range(tokenizer.backbone_size, len(weights))]] = 0
        self._allowed = weights
        self._set(weights, np.concatenate([[0.0], np.ones(length)]))

    def fit(self, pairs: PairsDataset) -> None:
        """Count tokens and lengths on the training rows, or on an even part of them."""
        _check_tokenizer(pairs, self._tokenizer)
        tokens = np.zeros(len(self._allowed))
        lengths = np.zeros(pairs.manifest.length + 1)
        for rows in _row_chunks(pairs.count(SPLIT), FREQUENCY_ROWS):
            ids, _ = pairs.rows(SPLIT, rows)  # (rows, length)
            tokens += np.bincount(ids.ravel(), minlength=len(tokens))
            lengths += np.bincount((ids != self._tokenizer.pad_id).sum(axis=1), minlength=len(lengths))
        if not (tokens * self._allowed).sum():
            raise PairsError("0 training rows to count tokens on, expected at least 1; prepare the pairs again")
        self._set(tokens * self._allowed, lengths)

    def invert(self, vectors: VectorBatch, budget: int | None = None) -> list[Reconstruction]:
        """The vectors are not looked at; a row's draw depends on the seed and its place alone."""
        return [self._draw(name, vectors.first_row + place) for place, name in enumerate(vectors.ids)]

    def _draw(self, name: str, row: int) -> Reconstruction:
        random = stream_for(self._seed, row)
        length = int(np.searchsorted(self._lengths, random.random(), side="right"))
        ids = np.searchsorted(self._tokens, random.random(length), side="right").tolist()
        return _reconstruction(name, ids, self._tokenizer, [float(self._shares[token]) for token in ids])

    def _set(self, tokens: np.ndarray, lengths: np.ndarray) -> None:
        self._shares = tokens / tokens.sum()
        self._tokens, self._lengths = _cumulative(tokens), _cumulative(lengths)


class Unconditional:
    """The model's own attack with the null vector in place of every vector."""

    name = "unconditional"

    def __init__(self, attack: Attack, denoiser: Denoiser) -> None:
        self._attack = attack
        vector = denoiser.vector
        # The null vector is learned behind the standardisation; undone here, any attack on this model can be given it.
        self._null = (vector.mean + vector.spread * vector.null_vector).detach().float().cpu().numpy()

    def fit(self, pairs: PairsDataset) -> None:
        """Nothing to learn."""

    def invert(self, vectors: VectorBatch, budget: int | None = None) -> list[Reconstruction]:
        nulls = np.repeat(self._null[None], len(vectors), axis=0)  # (batch, dimension)
        return self._attack.invert(VectorBatch(nulls, vectors.ids, vectors.first_row), budget)


class Shuffled:
    """The model's own attack, each row given the vector of another row of the same texts, never its own."""

    name = "shuffled"

    def __init__(self, attack: Attack, values: np.ndarray, seed: int = 0) -> None:
        if len(values) < 2:
            raise InputError(f"{len(values)} vector cannot be shuffled, expected at least 2; give more texts")
        self._attack, self._values = attack, values
        order = stream_for(seed).permutation(len(values))
        self._other = np.empty(len(values), dtype=np.int64)
        self._other[order] = np.roll(order, 1)  # one circle through all rows, so that none keeps its own

    def fit(self, pairs: PairsDataset) -> None:
        """Nothing to learn."""

    def invert(self, vectors: VectorBatch, budget: int | None = None) -> list[Reconstruction]:
        rows = self._other[vectors.first_row : vectors.first_row + len(vectors)]
        return self._attack.invert(VectorBatch(self._values[rows], vectors.ids, vectors.first_row), budget)


class NearestNeighbour:
    """Looks the vector up among the training vectors and gives that text; memory does not grow with either side."""

    name = "nearest"

    def __init__(self, tokenizer: TextTokenizer, encoder: Encoder) -> None:
        self._tokenizer, self._encoder = tokenizer, encoder
        self._pairs: PairsDataset | None = None

    def fit(self, pairs: PairsDataset) -> None:
        _check_tokenizer(pairs, self._tokenizer)
        _check_same("encoder", pairs.manifest.encoder["fingerprint"], self._encoder.fingerprint)
        if not pairs.count(SPLIT):
            raise PairsError("0 training rows to look vectors up in, expected at least 1; prepare the pairs again")
        self._pairs = pairs

    def invert(self, vectors: VectorBatch, budget: int | None = None) -> list[Reconstruction]:
        """The confidence of every token is the cosine of the two vectors."""
        if self._pairs is None:
            raise InputError("the nearest neighbour has no training vectors yet; call fit, or give --pairs DIR")
        rows, cosines = self._nearest(self._pairs, unit(vectors.values))
        ids, _ = self._pairs.rows(SPLIT, rows)  # (batch, length)
        found = []
        for name, row, cosine in zip(vectors.ids, ids, cosines.tolist(), strict=True):
            kept = row[row != self._tokenizer.pad_id].tolist()
            found.append(_reconstruction(name, kept, self._tokenizer, [max(cosine, 0.0)] * len(kept), cosine))
        return found

    def _nearest(self, pairs: PairsDataset, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        best = np.full(len(wanted), -np.inf, dtype=np.float32)
        best_rows = np.zeros(len(wanted), dtype=np.int64)
        at_once = max(1, min(_ROWS_AT_ONCE, _PRODUCTS_AT_ONCE // max(len(wanted), 1)))
        for rows in _row_chunks(pairs.count(SPLIT), size=at_once):
            _, known = pairs.rows(SPLIT, rows)
            cosines = wanted @ unit(known).T  # (batch, rows)
            place = cosines.argmax(axis=1)
            value = cosines[np.arange(len(wanted)), place]
            is_better = value > best
            best[is_better], best_rows[is_better] = value[is_better], rows[place[is_better]]
        return best_rows, best


def _reconstruction(
    name: str, ids: list[int], tokenizer: TextTokenizer, confidence: list[float], cosine: float | None = None
) -> Reconstruction:
    return Reconstruction(
        id=name,
        text=tokenizer.decode(ids),
        token_ids=tuple(ids),
        tokens=tokenizer.pieces(ids),
        confidence=tuple(confidence),
        cost=Cost(),
        cosine=cosine,
    )


def _row_chunks(count: int, most: int | None = None, size: int = _ROWS_AT_ONCE) -> list[np.ndarray]:
    """Row numbers in order, in pieces; where there are more than `most`, that many, evenly spread."""
    wanted = count if most is None else min(count, most)
    rows = np.arange(wanted) * count // max(wanted, 1)
    return [rows[start : start + size] for start in range(0, wanted, size)]


def _cumulative(weights: np.ndarray) -> np.ndarray:
    total = np.cumsum(weights / weights.sum())
    return total / total[-1]


def _check_tokenizer(pairs: PairsDataset, tokenizer: TextTokenizer) -> None:
    _check_same("tokenizer", pairs.manifest.tokenizer["fingerprint"], tokenizer.fingerprint)


def _check_same(what: str, found: str, expected: str) -> None:
    if found != expected:
        raise PairsError(
            f"the pairs were made with another {what} (fingerprint {found[:12]}, the model's is {expected[:12]}); "
            "give the pairs that the model was trained on"
        )
