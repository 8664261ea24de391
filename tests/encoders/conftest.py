"""Tiny randomly initialised models of the real architectures, saved as the hub's folders are, and a local API."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

WORDS = ("the", "old", "house", "stood", "by", "a", "river", "nobody", "could", "say", "who", "built", "town", "it")
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def tiny_tokenizer(folder: Path, template: str, specials: list[str], **settings: Any) -> int:
    """A word-level tokenizer that puts its special tokens where the real one does; returns its size."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate([*specials, *sorted(set(WORDS)), "query", ":"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=specials[0]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    used = [(name, vocabulary[name]) for name in specials if name in template.split()]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=used)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=specials[0], **settings)
    fast.save_pretrained(folder)
    return len(vocabulary)


def save_as_encoder(
    folder: Path, pooling: str, dense: tuple[int, ...] = (), normalize: bool = True, prompts: Any = None
) -> Path:
    """Put sentence-transformers' modules around the model that lies in `folder`, into its sibling."""
    import torch
    from sentence_transformers import SentenceTransformer, models

    transformer = models.Transformer(str(folder), max_seq_length=32)
    width = SIZES["hidden_size"]
    modules: list[Any] = [transformer, models.Pooling(width, pooling_mode=pooling)]
    for size in dense:
        modules.append(models.Dense(width, size, bias=False, activation_function=torch.nn.Identity()))
        width = size
    if normalize:
        modules.append(models.Normalize())
    out = folder.with_name(folder.name.removesuffix("-stock"))
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save_pretrained(str(out))
    return out


@pytest.fixture(scope="session")
def qwen_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Qwen3-Embedding: causal attention, the end-of-text token last, padding on the left, the last token's state."""
    import torch
    from transformers import Qwen3Config, Qwen3Model

    stock = tmp_path_factory.mktemp("qwen") / "qwen-stock"
    size = tiny_tokenizer(
        stock, "$A <|endoftext|>", ["<unk>", "<|endoftext|>"], pad_token="<|endoftext|>", padding_side="left"
    )
    torch.manual_seed(1)
    Qwen3Model(Qwen3Config(vocab_size=size, num_key_value_heads=1, head_dim=8, **SIZES)).save_pretrained(stock)
    return save_as_encoder(stock, "lasttoken", prompts={"query": "query : ", "document": ""})


@pytest.fixture(scope="session")
def gemma_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EmbeddingGemma: Gemma 3's text model with attention both ways, the mean, two dense heads, unit length."""
    import torch
    from transformers import Gemma3TextConfig, Gemma3TextModel

    stock = tmp_path_factory.mktemp("gemma") / "gemma-stock"
    size = tiny_tokenizer(
        stock, "<bos> $A <eos>", ["<unk>", "<pad>", "<bos>", "<eos>"], pad_token="<pad>", bos_token="<bos>"
    )
    torch.manual_seed(2)
    config = Gemma3TextConfig(
        vocab_size=size, num_key_value_heads=1, head_dim=8, use_bidirectional_attention=True, **SIZES
    )
    Gemma3TextModel(config).save_pretrained(stock)
    prompts = {"query": "task: search result | query: ", "document": "title: none | text: "}
    return save_as_encoder(stock, "mean", dense=(64, 16), prompts=prompts)


@pytest.fixture(scope="session")
def jina_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """jina-embeddings-v3: transformers' own class, and a low-rank adapter for each task in a folder of its own."""
    import peft
    import torch
    from transformers import AutoModel, JinaEmbeddingsV3Config, JinaEmbeddingsV3Model

    stock = tmp_path_factory.mktemp("jina") / "jina-stock"
    size = tiny_tokenizer(
        stock, "<s> $A </s>", ["<unk>", "<pad>", "<s>", "</s>"], pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    torch.manual_seed(3)
    JinaEmbeddingsV3Model(JinaEmbeddingsV3Config(vocab_size=size, **SIZES)).save_pretrained(stock)
    folder = save_as_encoder(stock, "mean")
    for task in ("text_matching", "retrieval_query"):
        low_rank = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        adapted = peft.get_peft_model(AutoModel.from_pretrained(stock), low_rank)
        adapted.save_pretrained(folder / task)
    return folder


def vector_of(text: str, dimension: int) -> list[float]:
    """What the local API answers: a vector that depends on nothing but the text."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    values = np.random.default_rng(seed).normal(size=dimension)
    return [float(value) for value in 3 * values / np.linalg.norm(values)]


class LocalApi:
    """An OpenAI-compatible server on this machine whose behaviour a test can script."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.failures: list[int] = []  # status codes to answer first
        self.dimension = 8
        self.change: Callable[[list[dict[str, Any]]], Any] = lambda data: data
        self.key = "right"
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, answer = api.answer(self.path, self.headers["Authorization"], body)
                raw = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if isinstance(answer, str) else "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.send_header("retry-after-ms", "1")
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def answer(self, path: str, key: str, body: dict[str, Any]) -> tuple[int, Any]:
        self.requests.append(body)
        self.keys.append(key)
        if self.failures:
            return self.failures.pop(0), {"error": {"message": "the server is busy"}}
        if key != f"Bearer {self.key}":
            return 401, {"error": {"message": f"bad key {key}"}}
        if path != "/v1/embeddings" or body["model"] != "tiny":
            return 404, {"error": {"message": "no such model"}}
        dimension = body.get("dimensions", self.dimension)
        data = [
            {"object": "embedding", "index": index, "embedding": vector_of(text, dimension)}
            for index, text in enumerate(body["input"])
        ]
        changed = self.change(data)
        return 200, changed if isinstance(changed, str) else {"object": "list", "data": changed, "model": "tiny"}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalApi]:
    monkeypatch.setenv("UNMASK_TEST_KEY", "right")
    local = LocalApi()
    yield local
    local.server.shutdown()
    local.server.server_close()
