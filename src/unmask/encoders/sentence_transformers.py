"""Any sentence-transformers model; pooling, prompts, dense heads and normalisation are that library's business."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from unmask.encoders.base import check_answer
from unmask.encoders.fingerprint import fingerprint_of, model_folder, module_settings, weight_hashes
from unmask.errors import EncoderError
from unmask.runtime import autocast, choose_device, choose_dtype

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from unmask.recipe import EncoderSection


class SentenceTransformersEncoder:
    """An encoder by folder or hub name."""

    def __init__(
        self,
        model: str,
        *,
        name: str | None = None,
        prompt: str | None = None,
        truncate_dim: int | None = None,
        normalize: bool = True,
        precision: str = "auto",
        batch_size: int = 256,
        device: str = "auto",
        attention: str | None = None,
    ) -> None:
        import torch

        self.name = name or model
        self._model = model
        self.queries = 0
        self._device = choose_device(device)
        self._dtype = choose_dtype(precision, self._device)
        self._batch_size = batch_size
        self._normalize = normalize
        self._truncate_dim = truncate_dim
        self._prompt = prompt
        from sentence_transformers import SentenceTransformer

        model_kwargs: dict[str, Any] = {"dtype": torch.float32}
        if attention is not None:
            model_kwargs["attn_implementation"] = attention
        self.network: SentenceTransformer = SentenceTransformer(
            model, device=str(self._device), model_kwargs=model_kwargs
        )
        self.network.eval()
        self.dimension: int = truncate_dim or self.network.get_embedding_dimension()

    @classmethod
    def from_section(cls, section: EncoderSection) -> SentenceTransformersEncoder:
        if not section.model:
            raise EncoderError(
                "encoder 'sentence-transformers' needs a model; set encoder.model to a folder or hub name"
            )
        return cls(
            section.model,
            prompt=section.prompt,
            truncate_dim=section.truncate_dim,
            normalize=section.normalize,
            precision=section.precision,
            batch_size=section.batch_size,
        )

    @property
    def max_tokens(self) -> int | None:
        return self.network.max_seq_length

    @cached_property
    def fingerprint(self) -> str:
        """Of the weights and of everything that changes the vectors, precision apart."""
        settings = {
            "modules": module_settings(self.network),
            "prompt": self._prompt or "",
            "dimension": self.dimension,
            "normalize": self._normalize,
            "max_tokens": self.max_tokens,
        }
        return fingerprint_of("sentence-transformers", weight_hashes(model_folder(self._model)), settings)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors in the order of the texts, (texts, dimension) float32."""
        texts = list(texts)
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        with autocast(self._device, self._dtype):
            values = self.network.encode(
                texts,
                batch_size=self._batch_size,  # sentence-transformers sorts by length and restores the order
                prompt=self._prompt,
                truncate_dim=self._truncate_dim,
                normalize_embeddings=self._normalize,
                show_progress_bar=False,
            )
        self.queries += len(texts)
        return check_answer(np.asarray(values), len(texts), self.dimension, self.name)
