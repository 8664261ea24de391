"""Tiny stock models of the real architectures, saved as a user would have them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

VOCABULARY = 120
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}


def make_stock(kind: str, folder: Path) -> Path:
    import transformers

    torch.manual_seed(0)
    if kind in ("bert", "bert_lm"):
        config = transformers.BertConfig(**SIZES)
        model = transformers.BertForMaskedLM(config) if kind == "bert_lm" else transformers.BertModel(config)
    elif kind == "xlm_roberta_lm":
        config = transformers.XLMRobertaConfig(**SIZES, pad_token_id=1)
        model = transformers.XLMRobertaForMaskedLM(config)
    else:
        config = transformers.ModernBertConfig(
            **SIZES, pad_token_id=0, cls_token_id=1, sep_token_id=2, bos_token_id=1, eos_token_id=2, local_attention=8,
            global_attn_every_n_layers=2,
        )  # fmt: skip
        model = transformers.ModernBertForMaskedLM(config)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=0.1, mean=1.0 if parameter.mean() > 0.5 else 0.0)
    model.save_pretrained(folder)
    return folder


STOCKS = ("bert", "bert_lm", "xlm_roberta_lm", "modernbert_lm")


@pytest.fixture(scope="session", params=STOCKS)
def stock(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_stock(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def plain_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_stock("bert", tmp_path_factory.mktemp("plain_bert"))
