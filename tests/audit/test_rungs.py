"""Attackers in turn, and what their reading is worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unmask.attacks.inverter import Inverter
from unmask.audit.rungs import Attackers, Outcome, Rung, climb, rungs
from unmask.audit.scores import LIFT, scores
from unmask.errors import EncoderError, InputError
from unmask.records import Reconstruction, VectorBatch


@pytest.fixture
def inverter(inverter: Inverter) -> Inverter:
    inverter.denoiser.vector.mean.add_(0.1)  # as trained ones have it: the null vector is no zero vector
    return inverter


@pytest.fixture
def attackers(inverter: Inverter, vectors: np.ndarray) -> Attackers:
    return Attackers(inverter, VectorBatch(vectors, tuple(f"n{row}" for row in range(len(vectors)))))


def test_every_attacker_reads_every_vector_and_those_that_cannot_be_had_say_why(attackers: Attackers) -> None:
    told: list[tuple[str, int, int]] = []
    outcomes = {o.rung.name: o for o in climb(attackers, rungs(budgets=(5,)), lambda *what: told.append(what))}
    assert list(outcomes) == ["unconditional", "shuffled", "nearest", "blind", "surrogate", "encoder, 5 calls"]
    assert outcomes["nearest"].left_out == "no pairs to look for neighbours in were given (--pairs)"
    assert outcomes["surrogate"].left_out == "this model has no surrogate; train one with unmask train-surrogate"
    for name in ("unconditional", "shuffled", "blind", "encoder, 5 calls"):
        assert [row.id for row in outcomes[name].found] == list(attackers.vectors.ids)
        assert (name, 23, 23) in told
    assert len(set(outcomes["unconditional"].texts)) == 1
    assert outcomes["shuffled"].texts != outcomes["blind"].texts
    assert sorted(outcomes["shuffled"].texts) == sorted(outcomes["blind"].texts)
    assert all(row.cost.encoder_calls <= 5 for row in outcomes["encoder, 5 calls"].found)


def test_blind_reads_what_the_model_reads_by_itself(
    attackers: Attackers, inverter: Inverter, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unmask.audit.rungs.TOGETHER", 4)
    (outcome,) = climb(attackers, [rung for rung in rungs() if rung.name == "blind"])
    assert outcome.texts == [row.text for row in inverter.invert(vectors, steps=8)]


def test_an_encoder_that_may_not_be_asked_or_fails_leaves_its_rung_out(attackers: Attackers) -> None:
    ladder = rungs(budgets=(5,))[-1:]
    (outcome,) = climb(replace(attackers, may_ask_encoder=False), ladder)
    assert outcome.left_out == "the encoder was not to be asked" and outcome.found == ()

    def fail(attackers: Attackers):  # type: ignore[no-untyped-def]
        raise EncoderError("the server is gone; start it again")

    (outcome,) = climb(attackers, [Rung("broken", "nothing", fail)])
    assert outcome.left_out == "the server is gone; start it again"


def test_a_single_vector_has_no_other_to_be_shuffled_with(attackers: Attackers) -> None:
    alone = replace(attackers, vectors=VectorBatch(attackers.vectors.values[:1], ("n0",)))
    found = {outcome.rung.name: outcome.left_out for outcome in climb(alone, rungs(budgets=()))}
    assert found["shuffled"] is not None and found["blind"] is None


def outcome(inverter: Inverter, name: str, texts: list[str], is_baseline: bool = False) -> Outcome:
    ids = inverter.tokenizer.encode(texts)
    rows = [
        Reconstruction(str(row), text, tuple(of_text), (), ())
        for row, (text, of_text) in enumerate(zip(texts, ids, strict=True))
    ]
    return Outcome(Rung(name, "", lambda attackers: None, is_baseline=is_baseline), tuple(rows))  # type: ignore[arg-type, return-value]


def sentences(seed: int, count: int = 60) -> list[str]:
    draw = np.random.default_rng(seed)
    return [" ".join(f"word{number}" for number in draw.integers(60, size=8)) for _ in range(count)]


def test_an_oracle_leaks_everything_and_a_guess_nothing(inverter: Inverter) -> None:
    true, other = sentences(0), sentences(1)
    tried = [
        outcome(inverter, "shuffled", other, is_baseline=True), outcome(inverter, "guess", sentences(2)),
        outcome(inverter, "oracle", true), Outcome(Rung("none", "", lambda a: None), left_out="why"),  # type: ignore[arg-type, return-value]
    ]  # fmt: skip
    found = {score.rung: score for score in scores(tried, true, inverter.tokenizer, seed=0)}
    assert list(found) == ["shuffled", "guess", "oracle"]
    assert found["oracle"].metrics["exact_match"].value == found["oracle"].metrics["token_f1"].value == 1
    assert found["oracle"].metrics[LIFT].low > 0.7
    assert found["guess"].metrics[LIFT].low <= 0 <= found["guess"].metrics[LIFT].high
    assert LIFT not in found["shuffled"].metrics and found["oracle"].texts == 60


def test_the_more_is_wrong_the_less_was_read(inverter: Inverter) -> None:
    true, other, draw = sentences(0, 200), sentences(1, 200), np.random.default_rng(3)
    tried = [outcome(inverter, "shuffled", other, is_baseline=True)]
    for noise in (0.0, 0.25, 0.5, 0.75, 1.0):
        mixed = [
            " ".join(
                wrong if draw.random() < noise else right for right, wrong in zip(a.split(), b.split(), strict=True)
            )
            for a, b in zip(true, other, strict=True)
        ]
        tried.append(outcome(inverter, f"{noise}", mixed))
    lifts = [score.metrics[LIFT].value for score in scores(tried, true, inverter.tokenizer, seed=0)[1:]]
    assert lifts == sorted(lifts, reverse=True) and lifts[-1] == 0 and lifts[0] > 0.7


def test_texts_that_are_missing_count_for_nobody_and_long_ones_are_taken_whole(inverter: Inverter) -> None:
    true: list[str | None] = [*sentences(0, 5), None, ""]
    read = [outcome(inverter, "blind", [*sentences(0, 5), "word1", "word2"])]
    (score,) = scores(read, true, inverter.tokenizer, seed=0)
    assert score.texts == 5 and score.metrics["exact_match"].value == 1
    (score,) = scores(read, [f"{true[0]} {' '.join(sentences(7, 6))}", *true[1:]], inverter.tokenizer, seed=0)
    assert score.rows["exact_match"].tolist() == [0, 1, 1, 1, 1] and score.rows["token_f1"][0] < 0.6
    with pytest.raises(InputError, match="none of the sampled vectors has a text"):
        scores(read, [None] * 7, inverter.tokenizer, seed=0)
