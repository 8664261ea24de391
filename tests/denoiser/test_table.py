"""A denoiser without blocks: its table is the stock model's, and its heads say everything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from unmask.denoiser.build import build_denoiser
from unmask.denoiser.network import Denoiser, TokenSpace
from unmask.denoiser.pretrained import load_config, stock_table
from unmask.recipe import (
    ConditioningSection,
    DenoiserSection,
    LengthHeadSection,
    LexicalSection,
    NeighbourSection,
    PretrainedBackbone,
    ScratchBackbone,
)

VOCABULARY, LENGTH, DIMENSION, MASK = 120, 12, 6, 118  # the vocabulary of the stock models of these tests
SPACE = TokenSpace(VOCABULARY, mask_id=MASK, pad_id=0, forbidden_ids=(1, 2, MASK))


def make(backbone: PretrainedBackbone | ScratchBackbone, space: TokenSpace = SPACE) -> Denoiser:
    section = DenoiserSection(
        backbone=backbone,
        conditioning=ConditioningSection(adaln=False),
        lexical=LexicalSection(enabled=True, candidates=0, hidden=12, bias_start=0.5),
        length_head=LengthHeadSection(enabled=True, hidden=12, hide_padding=True),
        neighbours=NeighbourSection(enabled=True, reach=2, hidden=20),
        dropout=0.0,
    )
    return build_denoiser(section, space, LENGTH, DIMENSION).eval()


def rows_of(stock: Path) -> torch.Tensor:
    section = PretrainedBackbone(kind="pretrained", name=str(stock))
    return stock_table(load_config(section, stock, 0.0), stock, False)


def test_the_table_is_the_stock_models_and_nothing_more(stock: Path) -> None:
    denoiser = make(PretrainedBackbone(kind="pretrained", name=str(stock), layers=0))
    assert torch.equal(denoiser.table, rows_of(stock)) and denoiser.backbone.block_count == 0
    assert {name for name, _ in denoiser.backbone.named_parameters()} == {"tokens.weight", "bias"}


def test_tokens_that_the_stock_model_has_not_begin_as_the_mean_row(plain_bert: Path) -> None:
    space = TokenSpace(VOCABULARY + 2, mask_id=VOCABULARY, pad_id=VOCABULARY + 1, forbidden_ids=(VOCABULARY,))
    table = make(PretrainedBackbone(kind="pretrained", name=str(plain_bert), layers=0), space).table
    stock = rows_of(plain_bert)
    assert torch.equal(table[:VOCABULARY], stock)
    torch.testing.assert_close(table[VOCABULARY:], stock.mean(dim=0).expand(2, -1))


@pytest.mark.parametrize("part", ["freeze_backbone", "freeze_embeddings"])
def test_a_frozen_table_is_not_trained(plain_bert: Path, part: str) -> None:
    frozen = {part: True}
    denoiser = make(PretrainedBackbone(kind="pretrained", name=str(plain_bert), layers=0, **frozen))
    still = {name for name, parameter in denoiser.named_parameters() if not parameter.requires_grad}
    assert still == {"backbone.tokens.weight"}


@torch.no_grad()
def test_what_it_says_is_what_its_heads_say_and_the_weight_of_words_is_heard() -> None:
    denoiser = make(ScratchBackbone(kind="scratch", layers=0, hidden=16, heads=2))
    for parameter in denoiser.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    ids = torch.full((3, LENGTH), MASK)
    ids[:, :4] = torch.arange(12).view(3, 4) + 5
    condition, masked = denoiser.condition(torch.randn(3, DIMENSION)), ids == MASK
    found = denoiser.features(ids, masked, condition)
    torch.testing.assert_close(found, denoiser.features_of_heads(ids, masked, condition))
    assert condition.summary is not None and condition.lengths is not None
    more, less = (denoiser.features(ids, masked, condition, lexical_weight=weight) for weight in (1.5, 0.5))
    rows = masked.nonzero(as_tuple=True)[0]
    torch.testing.assert_close(more - less, condition.summary[rows])


def test_every_parameter_is_heard_in_a_loss() -> None:
    denoiser = make(ScratchBackbone(kind="scratch", layers=0, hidden=16, heads=2))
    ids = torch.full((3, LENGTH), MASK)
    vectors, is_null = torch.randn(3, DIMENSION), torch.tensor([True, False, False])
    standard = denoiser.standardise(vectors, is_null)
    summary = denoiser.summarise(standard)
    assert summary is not None and denoiser.lexical is not None and denoiser.length_head is not None
    logits = denoiser(ids, ids == MASK, denoiser.condition_from(standard, summary))
    scores = denoiser.lexical.scores(summary, denoiser.table)
    lengths = denoiser.length_head(standard, summary)
    (logits.clamp(min=-1e3).sum() + scores.sum() + lengths.sum()).backward()
    assert not [name for name, parameter in denoiser.named_parameters() if parameter.grad is None]


def test_a_stored_one_is_built_without_the_library_of_stock_models(plain_bert: Path) -> None:
    backbone = PretrainedBackbone(kind="pretrained", name=str(plain_bert), layers=0)
    stored = make(backbone).backbone.stock_config
    assert stored is not None and stored["hidden_size"] == len(rows_of(plain_bert)[0])
    code = (
        "import sys\n"
        "from unmask.denoiser.table import TokenTable\n"
        f"table = TokenTable.like({stored!r}, {VOCABULARY})\n"
        f"assert table.table.shape[0] == {VOCABULARY} and 'transformers' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
