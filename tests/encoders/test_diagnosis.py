"""Each explanation is found where it is true, among all the others."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unmask.encoders import load_encoder
from unmask.encoders.base import Encoder
from unmask.encoders.diagnosis import Diagnosis, diagnose
from unmask.encoders.precomputed import PrecomputedEncoder
from unmask.encoders.sentence_transformers import SentenceTransformersEncoder
from unmask.errors import BudgetExhausted, InputError

TEXTS = [
    "the old house stood by a river",
    "nobody could say who built it",
    "a town by the river",
    "who built the old town",
    "it stood in the old town",
    "nobody stood by the house",
    "the river",
    "say who could",
    "a house",
    "the town had it",
]


def tiny(folder: Path, **settings: Any) -> SentenceTransformersEncoder:
    return SentenceTransformersEncoder(str(folder), precision="fp32", device="cpu", **settings)


def cut_after(folder: Path, tokens: int) -> SentenceTransformersEncoder:
    encoder = tiny(folder)
    encoder.network.max_seq_length = tokens
    return encoder


def expect(diagnosis: Diagnosis, kind: str, *words: str) -> None:
    assert diagnosis.kind == kind, diagnosis.summary
    for word in words:
        assert word in f"{diagnosis.summary} {' '.join(diagnosis.notes)} {diagnosis.advice}"
    assert diagnosis.matches == (kind == "match")


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    return load_encoder("minilm", precision="fp32", device="cpu")


@pytest.fixture(scope="module")
def right(minilm: Encoder) -> np.ndarray:
    return minilm.encode(TEXTS)


def test_the_encoders_own_vectors_match(minilm: Encoder, right: np.ndarray) -> None:
    found = diagnose(minilm, TEXTS, right)
    expect(found, "match", "10 of 10")
    assert (found.rows, found.agreeing, found.attempts) == (10, 10, ())


def test_lower_precision_is_noise(minilm: Encoder, right: np.ndarray) -> None:
    bf16 = load_encoder("minilm", precision="bf16", device="cpu").encode(TEXTS)
    expect(diagnose(minilm, TEXTS, bf16), "match")
    expect(diagnose(minilm, TEXTS, right.astype(np.float16)), "match")


def test_fine_quantisation_is_noise_and_told(minilm: Encoder, right: np.ndarray) -> None:
    step = np.abs(right).max() / 127
    expect(diagnose(minilm, TEXTS, np.round(right / step) * step), "match", "quantised")


def test_normalisation(minilm: Encoder, right: np.ndarray) -> None:
    lengths = np.random.default_rng(0).uniform(2, 8, size=(len(right), 1)).astype(np.float32)
    expect(diagnose(minilm, TEXTS, right * lengths), "normalisation", "the encoder's 1.000")
    expect(diagnose(minilm, TEXTS, right * 3), "normalisation", "3.000, the")


@pytest.mark.parametrize(("renormalised", "words"), [(True, "length 1 again"), (False, "that the cut left them")])
def test_dimension(minilm: Encoder, right: np.ndarray, renormalised: bool, words: str) -> None:
    cut = right[:, :128]
    if renormalised:
        cut = cut / np.linalg.norm(cut, axis=1, keepdims=True)
    expect(diagnose(minilm, TEXTS, cut), "dimension", words, "first 128 of the encoder's 384", "--truncate-dim 128")


def test_dimension_that_the_encoder_itself_cut(byte_folder: Path) -> None:
    whole = tiny(byte_folder).encode(TEXTS)
    cut = tiny(byte_folder, truncate_dim=16)
    expect(diagnose(cut, TEXTS, whole), "dimension", "all 32 dimensions", "leave --truncate-dim out")


def test_order_of_rows(minilm: Encoder, right: np.ndarray) -> None:
    shuffled = [3, 7, 0, 9, 1, 8, 2, 6, 5, 4]
    expect(diagnose(minilm, TEXTS, right[shuffled]), "order", "shuffled", "10 of 10")
    expect(diagnose(minilm, TEXTS, np.roll(right, 1, axis=0)), "order", "1 row too late", "10 of 10")
    without_one = [*TEXTS[:4], *TEXTS[5:]]
    expect(diagnose(minilm, without_one, right[:-1]), "order", "from row 4 on", "1 row too late")


def test_order_is_seen_even_if_the_right_row_is_beyond_the_limit(minilm: Encoder, right: np.ndarray) -> None:
    expect(diagnose(minilm, TEXTS, right[::-1], limit=4), "order", "4 of 4")


def test_precision(minilm: Encoder, right: np.ndarray) -> None:
    expect(diagnose(minilm, TEXTS, np.sign(right)), "precision", "only the signs")
    low, high = right.min(axis=0), right.max(axis=0)
    calibrated = np.round((right - low) / (high - low) * 255) - 128
    expect(diagnose(minilm, TEXTS, calibrated), "precision", "scale and an offset of its own")
    step = np.abs(right).max() / 3
    expect(diagnose(minilm, TEXTS, np.round(right / step) * step), "precision", "quantised coarsely")


def test_a_rotation(minilm: Encoder, right: np.ndarray) -> None:
    turned = right @ np.linalg.qr(np.random.default_rng(2).normal(size=(384, 384)))[0]
    expect(diagnose(minilm, TEXTS, turned), "rotation", "rotated or reordered")
    expect(diagnose(minilm, TEXTS, right[:, ::-1]), "rotation")


def test_a_common_prefix(minilm: Encoder) -> None:
    given = minilm.encode(["passage: " + text for text in TEXTS])
    expect(diagnose(minilm, TEXTS, given), "prompt", "'passage: ' before each", "--prompt 'passage: '")


def test_a_named_prompt_and_a_prompt_too_many(gemma_folder: Path) -> None:
    plain, prompted = (tiny(gemma_folder, prompt=name) for name in (None, "document"))
    expect(diagnose(plain, TEXTS, prompted.encode(TEXTS)), "prompt", "model's prompt 'document'", "--prompt document")
    expect(diagnose(prompted, TEXTS, plain.encode(TEXTS)), "prompt", "without a prompt")


def test_a_prompt_with_fewer_dimensions_and_other_lengths(byte_folder: Path) -> None:
    encoder = tiny(byte_folder)
    given = 2 * encoder.encode(["query: " + text for text in TEXTS])[:, :24]
    expect(diagnose(encoder, TEXTS, given), "prompt", "'query: '", "first 24 of 32", "lengths differ")


@pytest.mark.parametrize("mode", ["cls", "lasttoken", "max"])
def test_pooling(byte_folder: Path, mode: str) -> None:
    encoder = tiny(byte_folder)
    texts = [f"{number} {text}" for number, text in enumerate(TEXTS)]  # the first token must not always be the same
    states = encoder.network.encode(texts, output_value="token_embeddings", show_progress_bar=False)
    picked = {"cls": lambda s: s[0], "lasttoken": lambda s: s[-1], "max": lambda s: s.max(dim=0).values}
    given = np.stack([picked[mode](state).numpy() for state in states])
    expect(diagnose(encoder, texts, given), "pooling", f"pooling '{mode}' where the model takes 'mean'", "anew")


def test_dense_heads_left_out(gemma_folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    encoder = tiny(gemma_folder)
    headless = SentenceTransformer(modules=[encoder.network[0], encoder.network[1]], device="cpu")
    expect(diagnose(encoder, TEXTS, headless.encode(TEXTS)), "pooling", "without the model's 2 dense heads")


def test_another_tasks_adapter(jina_folder: Path) -> None:
    given = tiny(jina_folder, task="retrieval.query").encode(TEXTS)
    expect(diagnose(tiny(jina_folder, task="text-matching"), TEXTS, given), "task", "'retrieval_query'", "--task retr")


def test_truncation_of_the_long_texts_only(byte_folder: Path) -> None:
    texts = [*TEXTS, *(f"{first} and {second}" for first, second in itertools.pairwise(TEXTS[:6]))]
    whole, cut = tiny(byte_folder), cut_after(byte_folder, 32)  # every byte is a token
    given = cut.encode(texts)
    expect(
        diagnose(whole, texts, given), "truncation", "after 32 tokens where this encoder cuts after 128", "in 5 of 15"
    )
    expect(diagnose(cut, texts, whole.encode(texts)), "truncation", "where this encoder cuts after 32")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (str.lower, "in lower case"),
        (lambda text: text + "\n", "line break at the end"),
        (lambda text: " ".join(text.split()), "every run of spaces"),
    ],
)
def test_other_forms_of_the_texts(change: Any, words: str, byte_folder: Path) -> None:
    encoder = tiny(byte_folder)
    texts = [f" {text.title().replace(' ', '  ')}" for text in TEXTS]
    given = encoder.encode([change(text) for text in texts])
    expect(diagnose(encoder, texts, given), "text", words, "exactly as they were embedded")


def test_some_rows_that_were_edited(byte_folder: Path) -> None:
    encoder = tiny(byte_folder)
    given = encoder.encode(TEXTS)
    given[[3, 8]] = encoder.encode(["Something quite different.", "And another thing."])
    found = diagnose(encoder, TEXTS, given)
    expect(found, "some rows", "2 of 10", "row 3")
    assert found.agreeing == 8


def test_a_linear_map() -> None:
    source = np.random.default_rng(3)
    made = source.normal(size=(100, 8))
    texts = [f"text {row}" for row in range(100)]
    encoder = PrecomputedEncoder(texts, made)
    expect(diagnose(encoder, texts, made @ source.normal(size=(8, 8))), "linear map")
    expect(diagnose(encoder, texts, source.normal(size=(100, 8))), "another model", "nothing that this encoder")


def test_another_model(minilm: Encoder, gemma_folder: Path) -> None:
    found = diagnose(minilm, TEXTS, np.random.default_rng(4).normal(size=(10, 384)))
    expect(found, "another model", "nothing that this encoder", "--limit 768")
    assert len(found.attempts) > 10
    words = "384 dimensions and the encoder only 16"
    expect(diagnose(tiny(gemma_folder), TEXTS, minilm.encode(TEXTS)), "another model", words)


class Stingy(PrecomputedEncoder):
    """Another model's vectors, and no patience for texts it was not given."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        if self.queries:
            raise BudgetExhausted("the budget is spent")
        return super().encode(texts)


def test_what_could_not_be_tried_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unmask.encoders.variants.PrecomputedEncoder", SentenceTransformersEncoder)
    source = np.random.default_rng(5)
    found = diagnose(Stingy(TEXTS, source.normal(size=(10, 8))), TEXTS, source.normal(size=(10, 8)))
    expect(found, "another model", "not everything could be tried: the budget is spent")


def test_texts_and_vectors_must_be_as_many(minilm: Encoder, right: np.ndarray) -> None:
    with pytest.raises(InputError, match="10 texts and 9 vectors"):
        diagnose(minilm, TEXTS, right[:-1])


@pytest.fixture(scope="module")
def byte_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that sees case, spaces and line breaks, since its tokens are bytes."""
    import torch
    from sentence_transformers import SentenceTransformer, models
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

    stock = tmp_path_factory.mktemp("bytes") / "stock"
    alphabet = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(BPE({**alphabet, "<pad>": len(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>").save_pretrained(stock)
    torch.manual_seed(5)
    config = Qwen3Config(
        vocab_size=len(alphabet) + 1,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        initializer_range=0.3,
    )
    Qwen3Model(config).save_pretrained(stock)
    transformer = models.Transformer(str(stock), max_seq_length=128)
    folder = stock.with_name("model")
    SentenceTransformer(modules=[transformer, models.Pooling(32, "mean")], device="cpu").save_pretrained(str(folder))
    return folder
