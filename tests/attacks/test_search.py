"""Decoder `search` as everyone else sees it: one more decoder, with calls counted and texts checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from unmask.attacks.decoders import ALL_DECODERS, SEARCH
from unmask.attacks.inverter import Inverter
from unmask.benchmark.lineup import ModelAttack
from unmask.decoding import DECODERS, DecodeOptions
from unmask.errors import CheckpointError, EncoderError, UnknownName
from unmask.records import VectorBatch
from unmask.search import SearchOptions


@pytest.fixture
def inverter(checkpoint: Path, words: type) -> Inverter:
    found = Inverter.from_pretrained(checkpoint)
    found._encoder = words()
    return found


@pytest.fixture(scope="module")
def targets(words: type) -> np.ndarray:
    return words().encode(["word1 word2 word3", "word7 word7", "word30 word4 word9 word2"])


def test_it_stands_beside_the_decoders_of_the_loop() -> None:
    assert ALL_DECODERS.names == [*DECODERS.names, SEARCH]
    assert ALL_DECODERS.resolve(SEARCH).__module__ == "unmask.search.stream"


def test_a_reconstruction_says_what_was_asked_and_what_came_of_it(
    inverter: Inverter, targets: np.ndarray, words: type
) -> None:
    before = inverter.encoder().queries
    found = inverter.invert(targets, decoder=SEARCH, search=SearchOptions(budget=150), steps=4)
    assert sum(row.cost.encoder_calls for row in found) == inverter.encoder().queries - before
    units = targets / np.linalg.norm(targets, axis=1, keepdims=True)
    own = words().encode([row.text for row in found])
    cosines = (own / np.linalg.norm(own, axis=1, keepdims=True) * units).sum(axis=1)
    for row, cosine in zip(found, cosines, strict=True):
        assert 0 < row.cost.encoder_calls <= 150 and row.cost.forward_passes > 0
        assert row.cosine == pytest.approx(cosine, abs=1e-4)
        assert row.verified == (row.cosine > 1 - 1e-4)
    blind = inverter.invert(targets, steps=4)
    assert all(row.verified is None and row.cosine is None and not row.cost.encoder_calls for row in blind)


def test_a_row_comes_out_the_same_in_any_batch(inverter: Inverter, targets: np.ndarray) -> None:
    whole, parts = (
        [
            (row.text, row.cost.encoder_calls)
            for row in inverter.invert(targets, decoder=SEARCH, search=SearchOptions(budget=60), batch_size=size)
        ]
        for size in (3, 1)
    )
    assert whole == parts


def test_its_steps_stream_and_end_where_invert_ends(inverter: Inverter, targets: np.ndarray) -> None:
    search = SearchOptions(budget=60)
    steps = list(inverter.stream(targets[0], decoder=SEARCH, search=search))
    assert len(steps) > 1 and [step.step for step in steps] == list(range(1, len(steps) + 1))
    (found,) = inverter.invert(targets[0], decoder=SEARCH, search=search)
    assert inverter.readable(steps[-1]) == found.text
    (calls, cosine, verified) = steps[-1].compared()[0]
    assert (calls, cosine, verified) == (found.cost.encoder_calls, found.cosine, found.verified)


def test_an_attacks_budget_is_the_searchs(inverter: Inverter, targets: np.ndarray) -> None:
    attack = ModelAttack(inverter, SEARCH, DecodeOptions(), None)
    found = attack.invert(VectorBatch(targets, ("a", "b", "c")), budget=7)
    assert all(row.cost.encoder_calls <= 7 for row in found)


def test_without_a_budget_a_draft_is_shown_and_nothing_is_claimed(inverter: Inverter, targets: np.ndarray) -> None:
    found = inverter.invert(targets, decoder=SEARCH, search=SearchOptions(budget=0))
    assert all(row.text and row.cosine is None and not row.verified and not row.cost.encoder_calls for row in found)


def test_an_encoder_of_another_kind_is_refused(inverter: Inverter, targets: np.ndarray) -> None:
    inverter.encoder().dimension = 5  # type: ignore[misc]
    with pytest.raises(EncoderError, match="gives 5-d vectors, this model reads 8-d"):
        inverter.invert(torch.from_numpy(targets), decoder=SEARCH)


def test_a_scorer_that_is_none_is_named(inverter: Inverter, targets: np.ndarray) -> None:
    with pytest.raises(UnknownName, match="no scorer 'surogate'; did you mean 'surrogate'"):
        inverter.invert(targets, decoder=SEARCH, search=SearchOptions(scorer="surogate"))
    with pytest.raises(CheckpointError, match="holds no surrogate"):
        inverter.invert(targets, decoder=SEARCH, search=SearchOptions(scorer="surrogate"))


@pytest.mark.parametrize("command", [["invert", "v.npy"], ["evaluate", "--texts", "t.txt"]])
def test_a_scorer_that_nothing_hears_is_refused(command: list[str]) -> None:
    from typer.testing import CliRunner

    from unmask.cli.main import app

    result = CliRunner().invoke(app, [*command, "--scorer", "surrogate"])
    assert result.exit_code and "only decoder search compares" in " ".join(result.stderr.split())


def test_answers_that_are_kept_are_not_asked_for_again(
    inverter: Inverter, targets: np.ndarray, tmp_path: Path, checkpoint: Path, words: type
) -> None:
    plain = inverter.invert(targets, decoder=SEARCH, search=SearchOptions(budget=150), steps=4)
    kept = SearchOptions(budget=150, answers=str(tmp_path / "new" / "answers"))
    first = inverter.invert(targets, decoder=SEARCH, search=kept, steps=4)
    assert (tmp_path / "new" / "answers").is_file()
    again = Inverter.from_pretrained(checkpoint)
    again._encoder = encoder = words()
    second = again.invert(targets, decoder=SEARCH, search=kept, steps=4)
    assert [row.text for row in second] == [row.text for row in first] == [row.text for row in plain]
    assert [row.cost.encoder_calls for row in second] == [row.cost.encoder_calls for row in plain]
    assert encoder.queries == 0
    longer = SearchOptions(budget=200, answers=kept.answers)
    more = again.invert(targets, decoder=SEARCH, search=longer, steps=4)
    assert 0 < encoder.queries < sum(row.cost.encoder_calls for row in more), "only what is new is paid for"


def test_what_was_answered_before_a_failure_is_kept(
    inverter: Inverter, targets: np.ndarray, tmp_path: Path, words: type
) -> None:
    class Breaking(words):  # type: ignore[misc,valid-type]
        left = 3

        def encode(self, texts: Sequence[str]) -> np.ndarray:
            self.left -= 1
            if self.left < 0:
                raise EncoderError("the connection was lost; try again later")
            return super().encode(texts)

    kept = SearchOptions(budget=150, answers=str(tmp_path / "answers"))
    inverter._encoder = broken = Breaking()
    inverter.invert(targets, decoder=SEARCH, search=kept, steps=4)
    inverter._encoder = whole = words()
    inverter._judges._scorers.clear()
    found = inverter.invert(targets, decoder=SEARCH, search=kept, steps=4)
    assert whole.queries == sum(row.cost.encoder_calls for row in found) - broken.queries
