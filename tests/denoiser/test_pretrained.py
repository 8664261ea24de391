"""A wrapped stock model is the stock model until training says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unmask.denoiser.build import build_denoiser, parameter_counts
from unmask.denoiser.network import Denoiser, TokenSpace
from unmask.errors import CheckpointError
from unmask.recipe import ConditioningSection, DenoiserSection, LexicalSection, PretrainedBackbone

VOCABULARY, LENGTH, DIMENSION = 120, 12, 10
SPACE = TokenSpace(VOCABULARY, mask_id=4, pad_id=0, forbidden_ids=(1, 2, 3, 4))
IDS = torch.randint(5, VOCABULARY, (3, LENGTH), generator=torch.Generator().manual_seed(0))


def wrap(folder: Path, **backbone: object) -> Denoiser:
    section = DenoiserSection(
        backbone=PretrainedBackbone(kind="pretrained", name=str(folder), **backbone),
        conditioning=ConditioningSection(prefix=2, time=True),
        lexical=LexicalSection(enabled=True, candidates=60, hidden=16),
        dropout=0.0,
    )
    return build_denoiser(section, SPACE, LENGTH, DIMENSION).eval()


def stock_model(folder: Path, layers: int | None = None):
    from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM

    config = AutoConfig.from_pretrained(folder)
    if layers is not None:
        config.num_hidden_layers = layers
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:layers]
    has_head = "MaskedLM" in config.architectures[0]
    return (AutoModelForMaskedLM if has_head else AutoModel).from_pretrained(folder, config=config).eval(), has_head


@pytest.mark.parametrize("layers", [None, 2])
@torch.no_grad()
def test_hidden_states_and_logits_equal_the_stock_model_for_any_vector(stock: Path, layers: int | None) -> None:
    denoiser = wrap(stock, layers=layers)
    model, has_head = stock_model(stock, layers)
    time = torch.tensor([0.1, 0.5, 1.0])
    for vectors in (torch.zeros(3, DIMENSION), 10 * torch.randn(3, DIMENSION)):
        condition = denoiser.condition(vectors)
        states = denoiser.backbone(IDS, denoiser._modulation(condition, time), denoiser._memory_look(IDS, condition))
        expected = model.base_model(input_ids=IDS).last_hidden_state
        torch.testing.assert_close(states, expected, atol=1e-5, rtol=1e-5)
        if has_head:
            logits = denoiser(IDS, torch.ones_like(IDS, dtype=torch.bool), condition, time).view(3, LENGTH, -1)
            allowed = [i for i in range(VOCABULARY) if i not in SPACE.forbidden_ids]
            torch.testing.assert_close(
                logits[..., allowed], model(input_ids=IDS).logits[..., allowed], atol=1e-5, rtol=1e-5
            )


def test_every_new_part_acts_after_one_step(stock: Path) -> None:
    """Zero gates must not be dead gates: all the extras get a gradient, at once or once the gate has moved."""
    denoiser = wrap(stock)
    optimizer = torch.optim.SGD(denoiser.parameters(), lr=0.1)
    seen: set[str] = set()
    for _ in range(3):
        optimizer.zero_grad()
        condition = denoiser.condition(torch.randn(3, DIMENSION))
        logits = denoiser(IDS, torch.ones_like(IDS, dtype=torch.bool), condition, torch.rand(3))
        allowed = logits.masked_fill(logits.isinf(), 0)
        (allowed**2).mean().backward()
        optimizer.step()
        seen |= {n for n, p in denoiser.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    # The null vector and the lexical head's own output have losses of their own.
    missing = {name for name, _ in denoiser.named_parameters()} - seen
    assert all(name.startswith(("vector.null", "lexical.")) or "memory_keys.bias" in name for name in missing), missing


def test_frozen_backbone_trains_only_what_is_new(stock: Path) -> None:
    denoiser = wrap(stock, freeze_backbone=True)
    frozen = {name for name, p in denoiser.named_parameters() if not p.requires_grad}
    assert frozen == {name for name, _ in denoiser.named_parameters() if name.startswith("backbone.model.")}
    trained, total = parameter_counts(denoiser)
    assert 0 < trained < total


def test_frozen_embeddings_freeze_the_token_table_alone(plain_bert: Path) -> None:
    denoiser = wrap(plain_bert, freeze_embeddings=True)
    frozen = [name for name, p in denoiser.named_parameters() if not p.requires_grad]
    assert len(frozen) == 1 and "word_embeddings" in frozen[0]


def test_stock_weights_keep_their_names(plain_bert: Path) -> None:
    model, _ = stock_model(plain_bert)
    names = {name for name in model.state_dict() if not name.startswith("pooler.")}
    assert {name.removeprefix("backbone.model.") for name in wrap(plain_bert).state_dict()} >= names


def test_a_larger_vocabulary_gets_rows_of_its_own(plain_bert: Path) -> None:
    space = TokenSpace(VOCABULARY + 2, mask_id=VOCABULARY, pad_id=VOCABULARY + 1, forbidden_ids=(VOCABULARY,))
    section = DenoiserSection(backbone=PretrainedBackbone(kind="pretrained", name=str(plain_bert)))
    denoiser = build_denoiser(section, space, LENGTH, DIMENSION)
    model, _ = stock_model(plain_bert)
    assert denoiser.table.shape[0] == VOCABULARY + 2
    torch.testing.assert_close(denoiser.table[:VOCABULARY], model.get_input_embeddings().weight)


def test_an_empty_network_is_built_from_the_stored_configuration(stock: Path) -> None:
    denoiser = wrap(stock, layers=2)
    section = DenoiserSection(
        backbone=PretrainedBackbone(kind="pretrained", name="not/on-this-machine", layers=2),
        conditioning=ConditioningSection(prefix=2, time=True),
        lexical=LexicalSection(enabled=True, candidates=60, hidden=16),
        dropout=0.0,
    )
    again = build_denoiser(section, SPACE, LENGTH, DIMENSION, denoiser.backbone.stock_config).eval()
    again.load_state_dict(denoiser.state_dict())
    condition, everywhere, time = (
        denoiser.condition(torch.ones(3, DIMENSION)),
        torch.ones_like(IDS).bool(),
        torch.rand(3),
    )
    torch.testing.assert_close(again(IDS, everywhere, condition, time), denoiser(IDS, everywhere, condition, time))


def test_more_layers_than_there_are_is_refused(plain_bert: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has 3 layers.*first 9"):
        wrap(plain_bert, layers=9)


def test_a_backbone_that_cannot_be_found_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere.*cannot be loaded.*local folder"):
        wrap(tmp_path / "nowhere")


def test_an_unknown_architecture_is_named(tmp_path: Path) -> None:
    import transformers

    config = transformers.GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=32)
    transformers.GPT2Model(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="built in a way that unmask does not know"):
        wrap(tmp_path)
