"""Tiny, randomly initialised models of the real architectures, and tokenizers of the real families, on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SUBJECTS = (
    "The old harbour",
    "A quiet teacher",
    "My neighbour's dog",
    "Die kleine Stadt",
    "Le grand jardin",
    "La casa blanca",
)
VERBS = ("waits for", "remembers", "never saw", "sucht", "regarde", "encuentra")
OBJECTS = (
    "the morning train",
    "three green apples",
    "das helle Fenster",
    "un vieux livre",
    "el camino largo",
    "它的名字",
)


def sentences() -> list[str]:
    """Short sentences, no two alike, in several scripts."""
    return [f"{subject} {verb} {thing}." for subject in SUBJECTS for verb in VERBS for thing in OBJECTS]


SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
JINA = "jinaai/jina-embeddings-v3-hf"


@dataclass(frozen=True)
class TinyHub:
    """Folders that stand in for the hub's models, by the hub's names."""

    encoders: dict[str, Path]
    tokenizers: dict[str, Path]
    backbones: dict[str, Path]
    text: Path


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> TinyHub:
    import torch

    root = tmp_path_factory.mktemp("hub")
    torch.manual_seed(0)
    tokenizers = {
        "Qwen/Qwen3-Embedding-0.6B": save(
            byte_pair(pad_token="<|endoftext|>", eos_token="<|endoftext|>"), root / "qwen"
        ),
        "openai-community/gpt2": save(byte_pair(eos_token="<|endoftext|>"), root / "gpt2"),
        JINA: save(unigram(mask_token="<mask>", bos_token="<s>", eos_token="</s>"), root / "xlm-r"),
        "google/embeddinggemma-300m": save(unigram(bos_token="<bos>", eos_token="<eos>"), root / "gemma"),
        "jhu-clsp/mmBERT-base": save(
            unigram(mask_token="<mask>", bos_token="<bos>", eos_token="<eos>"), root / "mmbert"
        ),
    }
    encoders = {
        "Qwen/Qwen3-Embedding-0.6B": qwen3_encoder(tokenizers["Qwen/Qwen3-Embedding-0.6B"], root / "qwen-encoder"),
        "google/embeddinggemma-300m": gemma_encoder(tokenizers["google/embeddinggemma-300m"], root / "gemma-encoder"),
        JINA: jina_encoder(tokenizers[JINA], root / "jina-encoder"),
    }
    backbones = {"jhu-clsp/mmBERT-base": modernbert(tokenizers["jhu-clsp/mmBERT-base"], root / "mmbert")}
    text = root / "text.jsonl"
    lines = [
        {"text": sentence, "domain": ("fiction", "wiki")[number % 2], "source": f"book {number % 5}"}
        for number, sentence in enumerate(sentences())
    ]
    text.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    return TinyHub(encoders, tokenizers, backbones, text)


def byte_pair(**special: str) -> Any:
    """The family of GPT-2 and Qwen: bytes, no unknown token, no mask."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences(), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def unigram(bos_token: str, eos_token: str, mask_token: str | None = None) -> Any:
    """The family of XLM-R, Gemma and mmBERT: sentencepiece's pieces with a mark for the space."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    specials = [bos_token, "<pad>", eos_token, "<unk>", *([mask_token] if mask_token else [])]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=specials, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(sentences(), trainer)
    ends = [(name, tokenizer.token_to_id(name)) for name in (bos_token, eos_token)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{bos_token} $A {eos_token}", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=bos_token,
        eos_token=eos_token,
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token=mask_token,
    )


def qwen3_encoder(tokenizer: Path, folder: Path) -> Path:
    """Qwen3-Embedding's: a causal model, the last token's state, normalised."""
    from transformers import Qwen3Config, Qwen3Model

    config = Qwen3Config(vocab_size=512, num_key_value_heads=1, head_dim=8, **SIZES)
    return save_encoder(Qwen3Model(config), tokenizer, folder, "lasttoken", prompts={"query": "Instruct: find\nQuery:"})


def gemma_encoder(tokenizer: Path, folder: Path) -> Path:
    """EmbeddingGemma's: attention both ways, the mean, two dense heads, normalised; a prompt for each side."""
    from transformers import Gemma3TextConfig, Gemma3TextModel

    config = Gemma3TextConfig(
        vocab_size=256, num_key_value_heads=1, head_dim=8, use_bidirectional_attention=True, **SIZES
    )
    prompts = {"query": "task: search result | query: ", "document": "title: none | text: "}
    return save_encoder(Gemma3TextModel(config), tokenizer, folder, "mean", dense=(64, 16), prompts=prompts)


def jina_encoder(tokenizer: Path, folder: Path) -> Path:
    """jina-embeddings-v3's: XLM-R with rotary positions, the mean, normalised, an adapter for the task."""
    import peft
    from transformers import JinaEmbeddingsV3Config, JinaEmbeddingsV3Model

    config = JinaEmbeddingsV3Config(vocab_size=256, **SIZES)
    save_encoder(JinaEmbeddingsV3Model(config), tokenizer, folder, "mean")
    low_rank = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    peft.get_peft_model(JinaEmbeddingsV3Model(config), low_rank).save_pretrained(folder / "text_matching")
    return folder


def modernbert(tokenizer: Path, folder: Path) -> Path:
    """mmBERT's: ModernBERT with its masked-LM head and all of its 22 layers."""
    from transformers import AutoTokenizer, ModernBertConfig, ModernBertForMaskedLM

    held = AutoTokenizer.from_pretrained(tokenizer)
    config = ModernBertConfig(
        vocab_size=len(held),
        hidden_size=16,
        intermediate_size=24,
        num_attention_heads=2,
        num_hidden_layers=22,
        pad_token_id=held.pad_token_id,
        bos_token_id=held.bos_token_id,
        eos_token_id=held.eos_token_id,
        cls_token_id=held.bos_token_id,
        sep_token_id=held.eos_token_id,
    )
    ModernBertForMaskedLM(config).save_pretrained(folder)
    return folder


def save(tokenizer: Any, folder: Path) -> Path:
    tokenizer.save_pretrained(folder)
    return folder


def save_encoder(
    model: Any,
    tokenizer: Path,
    folder: Path,
    pooling: str,
    dense: tuple[int, ...] = (),
    prompts: dict[str, str] | None = None,
) -> Path:
    """A sentence-transformers folder around a transformers model."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers import models as modules
    from transformers import AutoTokenizer

    stock = folder.with_name(f"{folder.name}-stock")
    model.save_pretrained(stock)
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(stock)
    transformer = modules.Transformer(str(stock), max_seq_length=64)
    width = transformer.get_embedding_dimension()
    parts: list[Any] = [transformer, modules.Pooling(width, pooling_mode=pooling)]
    for size in dense:
        parts.append(modules.Dense(width, size, bias=False, activation_function=torch.nn.Identity()))
        width = size
    SentenceTransformer(modules=[*parts, modules.Normalize()], prompts=prompts, device="cpu").save_pretrained(
        str(folder)
    )
    return folder
