"""Perplexity under a causal model: a tiny randomly initialised one, saved locally."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unmask.errors import EncoderError
from unmask.metrics.perplexity import CausalModel, perplexity

TEXTS = ["the cat sat", "a dog", "", "the the the the cat"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate(["<s>", "<unk>", "the", "cat", "sat", "a", "dog"])}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path_factory.mktemp("gpt")
    PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", unk_token="<unk>").save_pretrained(folder)
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=7, n_positions=16, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def test_batches_give_what_one_text_alone_gives_by_hand(folder: Path) -> None:
    from transformers import GPT2LMHeadModel

    model = CausalModel(str(folder), batch_size=3)
    nats, tokens = model.negative_log_likelihood(TEXTS, [[]] * 4)
    assert tokens.tolist() == [3, 2, 0, 5]
    assert nats[2] == 0
    by_hand = torch.tensor([[0, 2, 3, 4]])  # <s> the cat sat
    loss = GPT2LMHeadModel.from_pretrained(folder).eval()(input_ids=by_hand, labels=by_hand).loss
    assert nats[0] / 3 == pytest.approx(loss.item(), rel=1e-5)


def test_perplexity_is_over_all_tokens_together(folder: Path) -> None:
    model = CausalModel(str(folder))
    nats, tokens = model.negative_log_likelihood(TEXTS, [[]] * 4)
    interval = perplexity(model, TEXTS, [[]] * 4)
    assert interval.low <= interval.value <= interval.high
    assert torch.log(torch.tensor(interval.value)).item() == pytest.approx(nats.sum() / tokens.sum(), rel=1e-5)


def test_no_texts_and_texts_past_the_models_length(folder: Path) -> None:
    model = CausalModel(str(folder))
    assert [len(part) for part in model.negative_log_likelihood([], [])] == [0, 0]
    _, tokens = model.negative_log_likelihood(["cat " * 100], [[]])
    assert tokens.tolist() == [15]


def test_a_model_that_cannot_be_had_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EncoderError, match="--perplexity ngram"):
        CausalModel(str(tmp_path / "nothing-here"))
