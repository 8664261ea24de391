"""How fluent text is: perplexity per token under a causal language model or an n-gram model of the training text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from unmask.errors import EncoderError, InputError
from unmask.metrics.bootstrap import interval_of_sums
from unmask.records import Interval

if TYPE_CHECKING:
    import torch

DEFAULT_MODEL = "gpt2"


class LanguageModel(Protocol):
    """Anything that says how surprising a text is."""

    name: str

    def negative_log_likelihood(
        self, texts: Sequence[str], ids: Sequence[Sequence[int]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Nats per text, and the number of tokens they are spread over."""
        ...


def perplexity(model: LanguageModel, texts: Sequence[str], ids: Sequence[Sequence[int]], seed: int = 0) -> Interval:
    """exp(nats ÷ tokens) over all texts together; a text without tokens adds nothing."""
    nats, tokens = model.negative_log_likelihood(texts, ids)
    if not tokens.sum():
        raise InputError(f"{len(texts)} texts without any token, expected some text to take the perplexity of")
    return interval_of_sums(np.stack([nats, tokens], axis=1), _perplexity_of_sums, seed)


def _perplexity_of_sums(sums: np.ndarray) -> np.ndarray:
    # A resample may hold nothing but texts without tokens; exp(0) = 1 then says "no surprise" and stays finite.
    return np.exp(sums[:, 0] / np.maximum(sums[:, 1], 1))


class CausalModel:
    """A causal language model of transformers, by hub name or folder."""

    def __init__(self, name_or_path: str = DEFAULT_MODEL, device: str = "cpu", batch_size: int = 16) -> None:
        import torch

        self.name = name_or_path
        self._tokenizer, model = _load(name_or_path)
        self._model = model.to(torch.device(device)).eval()
        self._batch_size = batch_size
        start = self._tokenizer.bos_token_id
        start = self._tokenizer.eos_token_id if start is None else start
        if start is None:
            raise EncoderError(
                f"language model '{name_or_path}' has no token to begin a text with; choose another model"
            )
        self._start = int(start)
        self._longest = int(getattr(model.config, "max_position_embeddings", 0) or 1024)

    def negative_log_likelihood(
        self, texts: Sequence[str], ids: Sequence[Sequence[int]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """In nats under the model's own tokens, which are counted per text; the given ids are not used."""
        rows = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"] if len(texts) else []
        rows = [[self._start, *row][: self._longest] for row in rows]
        by_length = sorted(range(len(rows)), key=lambda row: len(rows[row]))  # less padding in a batch
        nats = np.zeros(len(rows))
        for begin in range(0, len(rows), self._batch_size):
            some = by_length[begin : begin + self._batch_size]
            nats[some] = self._nats([rows[row] for row in some])
        return nats, np.array([len(row) - 1 for row in rows], dtype=np.float64)

    def _nats(self, rows: list[list[int]]) -> np.ndarray:
        import torch

        width = max(len(row) for row in rows)
        ids = torch.tensor([row + [self._start] * (width - len(row)) for row in rows])  # (batch, width)
        is_text = torch.arange(width) < torch.tensor([len(row) for row in rows])[:, None]
        ids, is_text = ids.to(self._model.device), is_text.to(self._model.device)
        with torch.inference_mode():
            logits: torch.Tensor = self._model(input_ids=ids, attention_mask=is_text.long()).logits
        surprise = torch.nn.functional.cross_entropy(
            logits[:, :-1].transpose(1, 2).float(), ids[:, 1:], reduction="none"
        )  # (batch, width - 1)
        return (surprise * is_text[:, 1:]).sum(dim=1).double().cpu().numpy()


def _load(name_or_path: str) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name_or_path)
        return tokenizer, AutoModelForCausalLM.from_pretrained(name_or_path)
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EncoderError(
            f"language model '{name_or_path}' cannot be loaded ({reason}); give the folder of a causal language model, "
            "or use the n-gram model of the training text: --perplexity ngram --pairs DIR"
        ) from error
