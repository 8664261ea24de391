"""The neighbour head, what it sees and what the network makes of it; and padding that nobody sees."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unmask.denoiser.build import build_denoiser
from unmask.denoiser.network import Denoiser, TokenSpace
from unmask.recipe import (
    DenoiserSection,
    LengthHeadSection,
    LexicalSection,
    NeighbourSection,
    PretrainedBackbone,
    ScratchBackbone,
)

VOCABULARY, LENGTH, DIMENSION, ROWS, PAD, MASK, REACH = 50, 12, 6, 5, 0, 48, 2
SPACE = TokenSpace(VOCABULARY, mask_id=MASK, pad_id=PAD, forbidden_ids=(1, 2, MASK))
PLACE = 6  # the one masked position of these tests


def make(backbone: ScratchBackbone | PretrainedBackbone | None = None, fresh: bool = False) -> Denoiser:
    torch.manual_seed(0)
    section = DenoiserSection(
        backbone=backbone or ScratchBackbone(kind="scratch", layers=2, hidden=16, heads=2, feed_forward=24),
        lexical=LexicalSection(enabled=True, candidates=4, hidden=12, bias_start=0.5),
        length_head=LengthHeadSection(enabled=True, hidden=12, hide_padding=True),
        neighbours=NeighbourSection(enabled=True, reach=REACH, hidden=20),
        dropout=0.0,
    )
    denoiser = build_denoiser(section, SPACE, LENGTH, DIMENSION).eval()
    if not fresh:
        for parameter in denoiser.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    return denoiser


def vectors(rows: int = ROWS) -> torch.Tensor:
    return torch.randn(rows, DIMENSION, generator=torch.Generator().manual_seed(3))


def texts() -> torch.Tensor:
    ids = torch.randint(3, MASK, (ROWS, LENGTH), generator=torch.Generator().manual_seed(4))
    ids[:, PLACE] = MASK
    return ids


@torch.no_grad()
def heads_say(denoiser: Denoiser, ids: torch.Tensor) -> torch.Tensor:
    return denoiser.features_of_heads(ids, ids == MASK, denoiser.condition(vectors(len(ids))))


@torch.no_grad()
def test_a_fresh_head_and_network_leave_the_lexical_head_the_word() -> None:
    denoiser, ids = make(fresh=True), texts()
    condition = denoiser.condition(vectors())
    found = denoiser.features(ids, ids == MASK, condition)
    assert condition.summary is not None
    torch.testing.assert_close(found, 0.5 * condition.summary)


def test_it_sees_the_words_beside_a_position_and_where_they_stand() -> None:
    denoiser, ids = make(), texts()
    said = heads_say(denoiser, ids)
    for offset in (-2, -1, 1, 2):
        other = ids.clone()
        other[:, PLACE + offset] = (other[:, PLACE + offset] - 3 + 7) % (MASK - 3) + 3
        assert not torch.allclose(heads_say(denoiser, other), said)
    swapped = ids.clone()
    swapped[:, [PLACE - 1, PLACE + 1]] = ids[:, [PLACE + 1, PLACE - 1]]
    assert not torch.allclose(heads_say(denoiser, swapped), said)


def test_of_words_further_off_it_knows_that_they_are_there_but_not_where() -> None:
    denoiser, ids = make(), texts()
    far = ids.clone()
    far[:, [0, LENGTH - 1]] = ids[:, [LENGTH - 1, 0]]
    torch.testing.assert_close(heads_say(denoiser, far), heads_say(denoiser, ids))
    far[:, 0] = (ids[:, 0] - 3 + 5) % (MASK - 3) + 3
    assert not torch.allclose(heads_say(denoiser, far), heads_say(denoiser, ids))


@torch.no_grad()
def test_the_network_starts_from_the_guesses_at_masked_positions_only() -> None:
    denoiser, ids = make(), texts()
    condition = denoiser.condition(vectors())
    everywhere = torch.ones_like(ids, dtype=torch.bool)
    guesses = denoiser._guesses(ids, everywhere, condition)
    draft = denoiser._draft(ids, guesses)
    assert guesses is not None and draft is not None
    assert bool((guesses != 0).any(dim=2).all()) and torch.equal((draft != 0).any(dim=2), ids == MASK)
    # Which positions are asked for does not change what is said of one.
    asked, whole = ids == MASK, denoiser.features(ids, everywhere, condition)
    torch.testing.assert_close(denoiser.features(ids, asked, condition), whole[asked.flatten()])


def test_freezing_takes_its_parameters_and_what_it_reads() -> None:
    denoiser = make()
    assert denoiser.neighbours is not None
    frozen = set(denoiser.freeze_neighbours())
    read = {"backbone.tokens.weight", "vector.null_vector"}
    assert frozen == read | {f"neighbours.{name}" for name, _ in denoiser.neighbours.named_parameters()}
    assert {name for name, p in denoiser.named_parameters() if not p.requires_grad} == frozen


@torch.no_grad()
@pytest.mark.parametrize("kind", ["scratch", "stock"])
def test_a_text_is_the_same_however_much_padding_follows_it(kind: str, request: pytest.FixtureRequest) -> None:
    backbone = None
    if kind == "stock":
        folder: Path = request.getfixturevalue("plain_bert")
        backbone = PretrainedBackbone(kind="pretrained", name=str(folder))
    denoiser, words = make(backbone), 9
    ids = texts()
    ids[:, words:] = PAD
    condition = denoiser.condition(vectors())
    short, whole = (denoiser.features(part, part == MASK, condition) for part in (ids[:, :words], ids))
    torch.testing.assert_close(short, whole)
