"""The ways in which the same model makes other vectors from the same texts."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unmask.encoders.base import Encoder
from unmask.encoders.hub import adapter_names
from unmask.encoders.precomputed import PrecomputedEncoder
from unmask.encoders.sentence_transformers import SentenceTransformersEncoder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

COMMON_PREFIXES = (
    "query: ",
    "passage: ",
    "search_query: ",
    "search_document: ",
    "clustering: ",
    "classification: ",
    "title: none | text: ",
    "task: search result | query: ",
    "Represent this sentence for searching relevant passages: ",
    "Represent the query for retrieving evidence documents: ",
    "Represent the document for retrieval: ",
)
POOLINGS = ("mean", "cls", "lasttoken", "max")
LENGTHS = (32, 64, 128, 256, 384, 512, 1024, 2048, 4096, 8192)
TEXT_FORMS: dict[str, Callable[[str], str]] = {
    "in lower case": str.lower,
    "without spaces at their ends": str.strip,
    "with every run of spaces and line breaks as one space": lambda text: " ".join(text.split()),
    "in Unicode's composed form (NFKC)": lambda text: unicodedata.normalize("NFKC", text),
    "with a line break at the end": lambda text: text + "\n",
}


@dataclass(frozen=True)
class Variant:
    """One setting that may have been different."""

    kind: str  # the kind of explanation, such as `prompt`
    what: str  # continues "the vectors were made "
    advice: str
    embed: Callable[[list[str]], np.ndarray]


def variants_of(encoder: Encoder, texts: Sequence[str]) -> Iterator[Variant]:
    """Every variant that can be tried with this encoder and makes a difference for these texts."""
    if isinstance(encoder, SentenceTransformersEncoder):
        yield from _whole(encoder)
        yield from _lengths(encoder, texts)
        yield from _prompts(encoder)
        yield from _poolings(encoder)
        yield from _tasks(encoder)
    elif isinstance(encoder, PrecomputedEncoder):
        return  # it knows no other texts
    else:
        yield from _prefixes(encoder)
    yield from _text_forms(encoder, texts)


def _text_forms(encoder: Encoder, texts: Sequence[str]) -> Iterator[Variant]:
    for what, change in TEXT_FORMS.items():
        if any(change(text) != text for text in texts):
            advice = "give the texts exactly as they were embedded"
            yield Variant("text", f"from the texts {what}", advice, _changed(encoder, change))


def _changed(encoder: Encoder, change: Callable[[str], str]) -> Callable[[list[str]], np.ndarray]:
    return lambda texts: encoder.encode([change(text) for text in texts])


def _prefixes(encoder: Encoder) -> Iterator[Variant]:
    for prefix in COMMON_PREFIXES:
        yield Variant("prompt", f"with '{prefix}' before each text", f"--prompt '{prefix}'", _prefixed(encoder, prefix))


def _prefixed(encoder: Encoder, prefix: str) -> Callable[[list[str]], np.ndarray]:
    return _changed(encoder, lambda text: prefix + text)


def _prompts(encoder: SentenceTransformersEncoder) -> Iterator[Variant]:
    own = encoder.prompt or ""
    named = {text: name for name, text in encoder.prompts.items()}
    for prompt in dict.fromkeys(["", *named, *COMMON_PREFIXES]):
        if prompt == own:
            continue
        if not prompt:
            what, advice = "without a prompt", "leave --prompt out, or give --prompt '' where the model has a default"
        elif prompt in named:
            what, advice = f"with the model's prompt '{named[prompt]}'", f"--prompt {named[prompt]}"
        else:
            what, advice = f"with '{prompt}' before each text", f"--prompt '{prompt}'"
        yield Variant("prompt", what, advice, _embedder(encoder, encoder.network, prompt))


def _embedder(
    encoder: SentenceTransformersEncoder, network: SentenceTransformer, prompt: str | None
) -> Callable[[list[str]], np.ndarray]:
    return lambda texts: encoder.embed_as(texts, network, prompt)


def _whole(encoder: SentenceTransformersEncoder) -> Iterator[Variant]:
    embed = _embedder(encoder, encoder.network, encoder.prompt)
    full = encoder.full_dimension
    if encoder.dimension < full:
        yield Variant("dimension", f"with all {full} dimensions", "leave --truncate-dim out", embed)


def _poolings(encoder: SentenceTransformersEncoder) -> Iterator[Variant]:
    """Other ways from token vectors to one, and the dense heads left out: what code written by hand gets wrong."""
    from sentence_transformers import SentenceTransformer, models

    modules: list[Any] = list(encoder.network)
    place = next((index for index, module in enumerate(modules) if isinstance(module, models.Pooling)), None)
    if place is None:
        return
    config = modules[place].get_config_dict()
    width = config.get("embedding_dimension") or config["word_embedding_dimension"]
    before, after = modules[:place], modules[place + 1 :]

    def assembled(parts: list[Any]) -> Callable[[list[str]], np.ndarray]:
        return _embedder(
            encoder, SentenceTransformer(modules=parts, device=str(encoder.network.device)), encoder.prompt
        )

    embed_anew = "embed the texts anew with sentence-transformers, which reads this from the model"
    heads = [module for module in after if isinstance(module, models.Dense)]
    if heads:
        headless = [module for module in after if module not in heads]
        what = f"without the model's {len(heads)} dense heads"
        yield Variant("pooling", what, embed_anew, assembled([*before, modules[place], *headless]))
    for mode in POOLINGS:
        if mode != encoder.pooling:
            what = f"with pooling '{mode}' where the model takes '{encoder.pooling}'"
            pooling = models.Pooling(width, pooling_mode=mode)
            yield Variant("pooling", what, embed_anew, assembled([*before, pooling, *after]))


def _lengths(encoder: SentenceTransformersEncoder, texts: Sequence[str]) -> Iterator[Variant]:
    """Other cuts than the model's own, as far as some text is longer."""
    network = encoder.network
    own = network.max_seq_length or max(LENGTHS)
    longest = max(encoder.count_tokens(texts))
    positions = getattr(getattr(network[0].auto_model, "config", None), "max_position_embeddings", None) or own
    tried = {min(longest, own)}
    for length in LENGTHS:
        reach = min(longest, length)
        if reach in tried or length > positions:
            continue
        tried.add(reach)
        yield Variant(
            "truncation",
            f"with texts cut after {length} tokens where this encoder cuts after {own}",
            f"cut long texts before you embed them, or embed them anew with at most {own} tokens",
            _cut(encoder, length),
        )


def _cut(encoder: SentenceTransformersEncoder, length: int) -> Callable[[list[str]], np.ndarray]:
    def embed(texts: list[str]) -> np.ndarray:
        own = encoder.network.max_seq_length
        encoder.network.max_seq_length = length
        try:
            return encoder.embed_as(texts, encoder.network, encoder.prompt)
        finally:
            encoder.network.max_seq_length = own

    return embed


def _tasks(encoder: SentenceTransformersEncoder) -> Iterator[Variant]:
    for name in adapter_names(encoder.folder):
        if name != encoder.task:
            what, advice = f"with the adapter of the task '{name}'", f"--task {name}"
            yield Variant("task", what, advice, _adapted(encoder, name))
    if encoder.task is not None:
        yield Variant("task", "without a task's adapter", "leave --task out", _adapted(encoder, None))


def _adapted(encoder: SentenceTransformersEncoder, task: str | None) -> Callable[[list[str]], np.ndarray]:
    def embed(texts: list[str]) -> np.ndarray:
        other = SentenceTransformersEncoder(str(encoder.folder), prompt=encoder.prompt, task=task, precision="fp32")
        return other.encode(texts)

    return embed
