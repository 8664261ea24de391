"""What defences are worth: the more noise the less is read, a rotation is undone by who knows enough pairs."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from unmask.attacks.inverter import Inverter
from unmask.audit import protection
from unmask.audit.protection import (
    NEAREST,
    UNDEFENDED,
    Protections,
    advice,
    as_long_as,
    defences,
    protections,
    spare_rows,
)
from unmask.audit.rungs import Attackers, Outcome, climb, rungs
from unmask.audit.scores import DECIDES
from unmask.records import Interval, VectorBatch

ROWS = 60
NOISES = ("noise 0.1", "noise 0.25", "noise 0.5", "noise 1")


@pytest.fixture
def drawn(inverter: Inverter) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((2 * ROWS, inverter.dimension)).astype(np.float32)


@pytest.fixture
def attackers(inverter: Inverter, drawn: np.ndarray) -> Attackers:
    """A store whose texts are what the blind attacker reads."""
    inverter.denoiser.vector.mean.add_(0.1)
    read = tuple(row.text for row in inverter.invert(drawn[:ROWS], steps=8))
    return Attackers(inverter, VectorBatch(drawn[:ROWS], tuple(map(str, range(ROWS))), 0, read))


@pytest.fixture
def spare(drawn: np.ndarray) -> VectorBatch:
    return VectorBatch(drawn[ROWS:], tuple(map(str, range(ROWS, 2 * ROWS))))


@pytest.fixture
def guesses(attackers: Attackers) -> list[Outcome]:
    return list(climb(attackers, [rung for rung in rungs() if rung.is_baseline]))


@pytest.fixture
def helping(attackers: Attackers, spare: VectorBatch, guesses: list[Outcome]) -> Protections:
    return protections(attackers, spare, guesses)


def leak_of(helping: Protections, name: str) -> Interval:
    (row,) = [row for row in helping.rows if row.defence.name == name]
    assert row.leak is not None
    return row.leak


def test_undefended_vectors_give_everything_and_cost_nothing(helping: Protections) -> None:
    first = helping.rows[0]
    assert first.defence.name == UNDEFENDED and first.aware is None
    assert first.unaware is not None and first.unaware.metrics["exact_match"].value == 1
    assert (first.recall.value, first.ndcg.value) == pytest.approx((1, 1))
    assert helping.known == 2 * 8
    assert helping.searched == 2 * ROWS
    assert any(abs(row.ndcg.value - row.recall.value) > 0.01 for row in helping.rows)


def test_more_noise_leaves_less_to_be_read_and_less_to_be_found(helping: Protections) -> None:
    leaks = [leak_of(helping, name) for name in (UNDEFENDED, *NOISES)]
    for less, more in pairwise(leaks):
        assert more.low <= less.high
    assert leaks[-1].high < leaks[0].low
    kept = [row.recall.value for row in helping.rows if row.defence.name in NOISES]
    assert kept == sorted(kept, reverse=True) and kept[-1] < 0.9


def test_a_rotation_helps_against_nobody_who_knows_of_it(helping: Protections) -> None:
    (rotation,) = [row for row in helping.rows if row.defence.name == "rotation"]
    assert rotation.unaware is not None and rotation.aware is not None
    assert rotation.unaware.metrics[DECIDES].high < 0.9 < rotation.aware.metrics[DECIDES].value
    assert rotation.recall.value == pytest.approx(1)


def test_the_same_seed_finds_the_same(
    helping: Protections, attackers: Attackers, spare: VectorBatch, guesses: list[Outcome]
) -> None:
    again = protections(attackers, spare, guesses)
    assert [row.leak for row in again.rows] == [row.leak for row in helping.rows]


def test_without_texts_or_neighbours_nothing_is_tried(
    attackers: Attackers, spare: VectorBatch, guesses: list[Outcome]
) -> None:
    bare = replace(attackers, vectors=replace(attackers.vectors, texts=None))
    assert protections(bare, spare, guesses).missing == "there are no texts to compare with"
    few = VectorBatch(attackers.vectors.values[:3], ("a", "b", "c"), 0, ("x", "y", "z"))
    none = replace(spare, values=spare.values[:0], ids=())
    found = protections(replace(attackers, vectors=few), none, guesses)
    assert found.missing is not None and "3 vectors are too few to search among" in found.missing


def test_a_small_store_has_no_pairs_to_re_fit_on(
    attackers: Attackers, spare: VectorBatch, guesses: list[Outcome]
) -> None:
    found = protections(attackers, replace(spare, values=spare.values[:0], ids=()), guesses)
    assert found.known == 0 and all(row.aware is None for row in found.rows)
    assert advice(found).startswith("No defence can be recommended: beside the sample the store has 0 vectors")


def test_every_defence_gives_as_many_vectors_of_the_same_dimension(drawn: np.ndarray) -> None:
    for dimension in (1, 2, 8):
        vectors = drawn[:, :dimension]
        tried = defences(vectors, 0)
        assert len({defence.name for defence in tried}) == len(tried)
        for defence in tried:
            found = defence.apply(vectors)
            assert found.shape == vectors.shape and np.isfinite(found).all(), defence.name


def test_lengths_come_back_where_all_are_alike() -> None:
    original = np.eye(4, dtype=np.float32) * 3
    assert np.linalg.norm(as_long_as(original, np.ones((4, 4))), axis=1) == pytest.approx(3)
    uneven = original * np.arange(1, 5)[:, None]
    found = as_long_as(uneven, uneven * 7)
    assert found == pytest.approx(uneven)
    assert as_long_as(uneven, uneven * 0) == pytest.approx(0)


def test_a_larger_sample_needs_fewer_others() -> None:
    assert spare_rows(384, 200) == protection.SEARCHED - 200
    assert spare_rows(384, 5_000) == 2 * 384
    assert spare_rows(3_072, 200) == 2 * 3_072


def test_the_advice_names_what_helps_only_if_it_does(helping: Protections) -> None:
    def only(*names: str) -> Protections:
        return replace(helping, rows=tuple(row for row in helping.rows if row.defence.name in names))

    assert advice(only(UNDEFENDED)).startswith("No defence that was tried leaves 90%")
    assert "keeps the attacker from reading: the best, rotation" in advice(only(UNDEFENDED, "rotation"))
    cheap = replace(helping.rows[4], recall=Interval(1, 1, 1))
    found = advice(replace(helping, rows=(helping.rows[0], cheap)))
    assert found.startswith("Of what leaves a search 90% of the neighbours that it finds now, the best, noise 1")
    assert NEAREST == 10
