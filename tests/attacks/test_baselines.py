"""Baselines: each must be exactly as ignorant as it says."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from unmask.attacks.baselines import BASELINES, NearestNeighbour, RandomTokens, Shuffled, Unconditional
from unmask.denoiser.conditioning import VectorProjection
from unmask.errors import InputError, PairsError
from unmask.records import Reconstruction, VectorBatch

LENGTH, DIMENSION, ROWS = 6, 8, 50
ENCODER = SimpleNamespace(fingerprint="vectors")


class Tokenizer:
    """Ids 0 ... 9: pad, two forbidden ones, seven words; one more row for a mask."""

    fingerprint = "tokens"
    pad_id, forbidden_ids, backbone_size, vocabulary_size = 0, (1, 2, 10), 10, 11

    def decode(self, ids) -> str:
        return " ".join(f"w{number}" for number in ids)

    def pieces(self, ids) -> tuple[str, ...]:
        return tuple(f"w{number}" for number in ids)


class Pairs:
    """Rows in memory: words 3 and 4 only, one to three of them, unit vectors."""

    def __init__(self, rows: int = ROWS, tokenizer: str = "tokens", encoder: str = "vectors") -> None:
        made_with = {"tokenizer": {"fingerprint": tokenizer}, "encoder": {"fingerprint": encoder}}
        self.manifest = SimpleNamespace(length=LENGTH, **made_with)
        random = np.random.default_rng(0)
        lengths = random.integers(1, 4, size=rows)
        words = random.choice([3, 3, 3, 4], size=(rows, LENGTH))
        self.ids = np.where(np.arange(LENGTH) < lengths[:, None], words, 0).astype(np.uint16)
        vectors = random.normal(size=(rows, DIMENSION))
        self.vectors = vectors.astype(np.float32)
        self.most_read = 0

    def count(self, split: str) -> int:
        return len(self.ids) if split == "train" else 0

    def rows(self, split: str, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.most_read = max(self.most_read, len(indices))
        return self.ids[indices].astype(np.int64), self.vectors[indices]


class Echo:
    """Keeps the vectors it was given."""

    name = "echo"

    def fit(self, pairs: object) -> None:
        return None

    def invert(self, vectors: VectorBatch, budget: int | None = None) -> list[Reconstruction]:
        self.given = vectors
        return [Reconstruction(name, "", (), (), ()) for name in vectors.ids]


def batch(values: np.ndarray, first_row: int = 0) -> VectorBatch:
    return VectorBatch(values, tuple(str(first_row + row) for row in range(len(values))), first_row)


def test_every_baseline_has_a_name_that_resolves_to_it() -> None:
    assert [BASELINES.resolve(name).name for name in BASELINES.names] == BASELINES.names


def test_random_tokens_are_allowed_ones_of_any_length() -> None:
    found = RandomTokens(Tokenizer(), LENGTH).invert(batch(np.ones((500, DIMENSION))))
    assert {token for row in found for token in row.token_ids} == set(range(3, 10))
    assert {len(row.token_ids) for row in found} == set(range(1, LENGTH + 1))
    assert all(row.cost.forward_passes == 0 and len(row.confidence) == len(row.tokens) for row in found)


def test_random_tokens_follow_the_training_text_once_fitted() -> None:
    attack, pairs = RandomTokens(Tokenizer(), LENGTH), Pairs(400)
    attack.fit(pairs)
    found = [row.token_ids for row in attack.invert(batch(np.ones((2_000, DIMENSION))))]
    tokens = np.concatenate(found)
    assert set(tokens) == {3, 4}
    assert (tokens == 3).mean() == pytest.approx((pairs.ids == 3).sum() / (pairs.ids > 0).sum(), abs=0.03)
    assert np.mean([len(row) for row in found]) == pytest.approx((pairs.ids > 0).sum(axis=1).mean(), abs=0.1)


def test_random_tokens_depend_on_the_row_and_the_seed_not_on_the_batch() -> None:
    attack = RandomTokens(Tokenizer(), LENGTH, seed=3)
    together = attack.invert(batch(np.ones((6, DIMENSION))))
    parts = attack.invert(batch(np.zeros((2, DIMENSION)))) + attack.invert(batch(np.ones((4, DIMENSION)), first_row=2))
    assert together == parts
    assert together != RandomTokens(Tokenizer(), LENGTH, seed=4).invert(batch(np.ones((6, DIMENSION))))


def test_the_unconditional_model_gets_the_null_vector_itself() -> None:
    torch.manual_seed(0)
    projection = VectorProjection(DIMENSION, 4, 4)
    with torch.no_grad():
        for value in (projection.mean, projection.spread, projection.null_vector):
            value.copy_(torch.rand(DIMENSION) + 0.5)
    echo = Echo()
    Unconditional(echo, SimpleNamespace(vector=projection)).invert(batch(np.ones((3, DIMENSION)), first_row=5))
    standard = projection.standardise(torch.from_numpy(echo.given.values), None)
    assert torch.allclose(standard, projection.null_vector.expand(3, -1), atol=1e-5)
    assert (echo.given.ids, echo.given.first_row) == (("5", "6", "7"), 5)


@pytest.mark.parametrize("rows", [2, 3, 17])
def test_shuffled_gives_each_row_the_vector_of_one_other(rows: int) -> None:
    values = np.arange(rows, dtype=np.float32)[:, None]
    echo = Echo()
    attack = Shuffled(echo, values, seed=1)
    attack.invert(batch(values))
    given = echo.given.values[:, 0]
    assert sorted(given) == sorted(values[:, 0])
    assert (given != values[:, 0]).all()
    attack.invert(batch(values[1:], first_row=1))
    assert (echo.given.values[:, 0] == given[1:]).all()


def test_one_vector_cannot_be_shuffled() -> None:
    with pytest.raises(InputError, match="1 vector cannot be shuffled"):
        Shuffled(Echo(), np.ones((1, 2)))


def test_the_nearest_neighbour_is_the_nearest_however_little_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unmask.attacks.baselines._PRODUCTS_AT_ONCE", 70)
    pairs, attack = Pairs(), NearestNeighbour(Tokenizer(), ENCODER)
    attack.fit(pairs)
    wanted = np.random.default_rng(1).normal(size=(10, DIMENSION)).astype(np.float32)
    found = attack.invert(batch(wanted))
    unit = lambda vectors: vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit(wanted) @ unit(pairs.vectors).T
    for row, best in zip(found, cosines.argmax(axis=1), strict=True):
        assert list(row.token_ids) == [token for token in pairs.ids[best] if token]
    assert [row.cosine for row in found] == pytest.approx(cosines.max(axis=1), abs=1e-5)
    assert pairs.most_read <= 10  # the rows of the answers; the search itself read 7 at a time


def test_a_training_vector_finds_its_own_text_at_any_length_of_the_vector() -> None:
    pairs, attack = Pairs(), NearestNeighbour(Tokenizer(), ENCODER)
    attack.fit(pairs)
    for row, ids in zip(attack.invert(batch(pairs.vectors * 7)), pairs.ids, strict=True):
        assert list(row.token_ids) == [token for token in ids if token]


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InputError, match="--pairs DIR"):
        NearestNeighbour(Tokenizer(), ENCODER).invert(batch(np.ones((1, DIMENSION))))
    for attack in (NearestNeighbour(Tokenizer(), ENCODER), RandomTokens(Tokenizer(), LENGTH)):
        with pytest.raises(PairsError, match="0 training rows"):
            attack.fit(Pairs(rows=0))
        with pytest.raises(PairsError, match="another tokenizer"):
            attack.fit(Pairs(tokenizer="other"))
    with pytest.raises(PairsError, match="another encoder"):
        NearestNeighbour(Tokenizer(), ENCODER).fit(Pairs(encoder="other"))
