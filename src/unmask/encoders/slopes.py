"""A local encoder's slope: what any token at any place of a text would add to its cosine with a vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from unmask.encoders.sentence_transformers import SentenceTransformersEncoder
from unmask.runtime import autocast

if TYPE_CHECKING:
    from unmask.encoders.base import Encoder

# A forward pass, and a backward pass that costs two.
CALLS_PER_TEXT = 3
TEXTS_AT_ONCE = 64


@dataclass(frozen=True)
class TextSlope:
    """To first order, from the gradient with respect to the token embeddings."""

    best_tokens: np.ndarray  # (places, best)
    best_gains: np.ndarray  # (places, best)
    of_asked: np.ndarray  # (places, asked)


def read_gradient(
    gradient: torch.Tensor, table: torch.Tensor, named: torch.Tensor, asked: np.ndarray, best: int
) -> TextSlope | None:
    """What a gradient (places, hidden) says of a table (vocabulary, hidden); None where it is not a number.

    asked: (places, asked) tokens wanted at each place; named: (named,) tokens of which the best are looked for.
    """
    named = named[named < len(table)].to(table.device)
    wanted, places = np.unique(asked, return_inverse=True)
    rows = table[torch.cat([named, torch.from_numpy(wanted).to(table.device)])]  # (named + wanted, hidden)
    gains = (gradient.to(table.dtype) @ rows.T).float()  # (places, named + wanted)
    if not torch.isfinite(gains).all():
        return None
    top, numbers = gains[:, : len(named)].topk(min(best, len(named)), dim=1)
    of_wanted = gains[:, len(named) :].cpu().numpy()
    of_asked = np.take_along_axis(of_wanted, places.reshape(asked.shape), axis=1)
    return TextSlope(named[numbers].cpu().numpy(), top.cpu().numpy(), of_asked)


class EncoderSlopes:
    """The gradient through one encoder, every text counted as three calls."""

    def __init__(self, encoder: SentenceTransformersEncoder) -> None:
        self.encoder = encoder
        transformer: Any = encoder.network[0]
        self.embedding = transformer.auto_model.get_input_embeddings()
        table = self.embedding.weight.detach()
        self.table = table.to(torch.bfloat16 if table.device.type == "cpu" else table.dtype)  # (vocabulary, hidden)

    def __call__(
        self, rows: Sequence[tuple[int, ...]], texts: Sequence[str], targets: np.ndarray, asked: Sequence[np.ndarray],
        named: Sequence[torch.Tensor], best: int,
    ) -> list[TextSlope | None]:  # fmt: skip
        """For each text of tokens `rows`; `asked` (places, asked) are tokens wanted at its places, `named` (named,)
        those of which the best are looked for.

        None for a text that the encoder cuts into other tokens, or cuts off.
        """
        found: list[TextSlope | None] = []
        for start in range(0, len(rows), TEXTS_AT_ONCE):
            part = slice(start, start + TEXTS_AT_ONCE)
            found += self._some(rows[part], texts[part], targets[part], asked[part], named[part], best)
        return found

    def _some(
        self, rows: Sequence[tuple[int, ...]], texts: Sequence[str], targets: np.ndarray, asked: Sequence[np.ndarray],
        named: Sequence[torch.Tensor], best: int,
    ) -> list[TextSlope | None]:  # fmt: skip
        gradient, ids = self._gradient(texts, targets)  # (texts, length, hidden)
        self.encoder.queries += CALLS_PER_TEXT * len(texts)
        found: list[TextSlope | None] = []
        for number, row in enumerate(rows):
            start = _find(row, ids[number])
            if start is None:
                found.append(None)
                continue
            of_row = gradient[number, start : start + len(row)]  # (places, hidden)
            found.append(read_gradient(of_row, self.table, named[number], asked[number], best))
        return found

    def _gradient(self, texts: Sequence[str], targets: np.ndarray) -> tuple[torch.Tensor, list[list[int]]]:
        encoder, held = self.encoder, []
        prompt = encoder.prompt or ""
        network: Any = encoder.network
        cut = getattr(network, "preprocess", None) or network.tokenize  # the newer name, or the older
        features = cut([prompt + text for text in texts])
        device = self.embedding.weight.device
        features = {name: value.to(device) if hasattr(value, "to") else value for name, value in features.items()}

        def take_hold(module: torch.nn.Module, args: object, output: torch.Tensor) -> torch.Tensor:
            held.append(output.detach().requires_grad_(True))
            return held[0]

        handle = self.embedding.register_forward_hook(take_hold)
        try:
            with torch.enable_grad(), autocast(device, encoder.dtype):
                vectors = network(features)["sentence_embedding"].float()[:, : encoder.dimension]
                wanted = torch.as_tensor(targets, device=vectors.device)
                (gradient,) = torch.autograd.grad(torch.cosine_similarity(vectors, wanted).sum(), held[0])
        finally:
            handle.remove()
        return gradient, features["input_ids"].tolist()


def slopes_of(encoder: Encoder, vocabulary: dict[str, int]) -> EncoderSlopes | None:
    """The slopes of a local encoder whose tokens are those of `vocabulary`; None for any other."""
    if not isinstance(encoder, SentenceTransformersEncoder) or encoder.task is not None:
        return None
    if not hasattr(encoder.network[0], "auto_model"):
        return None
    tokenizer: Any = encoder.network.tokenizer
    theirs = tokenizer.get_vocab()
    if any(theirs.get(token) != number for token, number in vocabulary.items() if number < len(theirs)):
        return None
    return EncoderSlopes(encoder)


def _find(row: tuple[int, ...], ids: list[int]) -> int | None:
    wanted = list(row)
    for start in range(len(ids) - len(wanted) + 1):
        if ids[start : start + len(wanted)] == wanted:
            return start
    return None
