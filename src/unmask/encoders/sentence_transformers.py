"""Any sentence-transformers model; pooling, prompts, dense heads and normalisation are that library's business."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unmask.encoders.base import check_answer, check_texts
from unmask.encoders.fingerprint import fingerprint_of, weight_hashes
from unmask.encoders.hub import (
    adapter_folder,
    adapter_names,
    code_of_its_own,
    defined_prompts,
    model_folder,
    module_paths,
    replaced_code,
)
from unmask.errors import EncoderError, MissingExtra
from unmask.runtime import autocast, choose_device, choose_dtype

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from unmask.recipe import EncoderSection

log = logging.getLogger(__name__)


class SentenceTransformersEncoder:
    """An encoder by folder or hub name."""

    def __init__(
        self,
        model: str,
        *,
        name: str | None = None,
        prompt: str | None = None,
        task: str | None = None,
        truncate_dim: int | None = None,
        normalize: bool = True,
        precision: str = "auto",
        batch_size: int = 256,
        trust_remote_code: bool = False,
        device: str = "auto",
        attention: str | None = None,
    ) -> None:
        self.name = name or model
        self.queries = 0
        self.folder = model_folder(model)
        self._device = choose_device(device)
        self.dtype = choose_dtype(precision, self._device)
        self._batch_size = batch_size
        self._normalize = normalize
        self._check_code(trust_remote_code)
        self.network = self._load(trust_remote_code, attention)
        self.prompts = defined_prompts(self.folder)
        self.prompt = self._resolve_prompt(prompt)
        self.task = task
        self._adapter, self._task_arguments = self._use_task(task)
        from unmask.products import make_steady  # which imports torch

        make_steady(self.network)
        self.full_dimension = _embedding_dimension(self.network)
        self._truncate_dim = self._check_truncation(truncate_dim)
        self.dimension: int = self._truncate_dim or self.full_dimension

    @classmethod
    def from_section(cls, section: EncoderSection, device: str = "auto") -> SentenceTransformersEncoder:
        if not section.model:
            raise EncoderError(
                "encoder 'sentence-transformers' needs a model; give its folder or hub name as the model"
            )
        return cls(section.model, device=device, **settings_of(section))

    @property
    def max_tokens(self) -> int | None:
        return self.network.max_seq_length

    @property
    def pooling(self) -> str | None:
        """How token vectors become one: `mean`, `cls`, `lasttoken`, ...; None if the model has a way of its own."""
        for module in self.network:
            if hasattr(module, "get_pooling_mode_str"):  # sentence-transformers 5
                return module.get_pooling_mode_str()
            mode = getattr(module, "pooling_mode", None)
            if mode is not None:
                return mode if isinstance(mode, str) else "+".join(mode)
        return None

    @cached_property
    def fingerprint(self) -> str:
        """Of the weights and of everything that changes the vectors, precision apart."""
        modules = [type(module).__name__ for module in self.network]
        is_whole = self.dimension == self.full_dimension
        places = module_paths(self.folder) + ([self._adapter] if self._adapter else [])
        settings = {
            "modules": [module for module in modules if module != "Normalize"],
            "pooling": self.pooling,
            "unit_length": self._normalize or (is_whole and modules[-1] == "Normalize"),
            "dimension": self.dimension,
            "prompt": self.prompt or "",
            "task": self.task or "",
        }
        return fingerprint_of("sentence-transformers", weight_hashes(self.folder, places), settings)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors in the order of the texts, (texts, dimension) float32."""
        texts = check_texts(texts)
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        values = self.embed_as(texts, self.network, self.prompt, self._truncate_dim, self._normalize)
        self.queries += len(texts)
        return check_answer(values, len(texts), self.dimension, self.name)

    def encode_exactly(self, texts: Sequence[str]) -> np.ndarray:
        """The same in fp32, whatever precision this encoder works in; counted as well."""
        dtype, self.dtype = self.dtype, choose_dtype("fp32", self._device)
        try:
            return self.encode(texts)
        finally:
            self.dtype = dtype

    def count_cut(self, texts: Sequence[str]) -> int:
        """How many of the texts are too long to be embedded whole."""
        limit = self.max_tokens
        # No token is shorter than a byte, so most texts need no look.
        doubtful = [text for text in texts if limit is not None and len(text.encode("utf-8", "replace")) + 2 > limit]
        return sum(length > (limit or 0) for length in self.count_tokens(doubtful))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as the model would see it uncut, its own special ones included."""
        if not texts:
            return []
        return [len(ids) for ids in self.network.tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]]

    def embed_as(
        self,
        texts: list[str],
        network: SentenceTransformer,
        prompt: str | None,
        truncate_dim: int | None = None,
        normalize: bool = False,
    ) -> np.ndarray:
        """Vectors under settings that need not be this encoder's own; neither checked nor counted."""
        # Weights stay in fp32 and only products run in the lower precision: nearer to the exact vector than casting the
        # whole network, and just as fast.
        with autocast(self._device, self.dtype):
            values = network.encode(
                texts,
                batch_size=self._batch_size,  # sorted by length and put back in order inside
                prompt=prompt,
                truncate_dim=truncate_dim,
                normalize_embeddings=normalize,
                show_progress_bar=False,
                **self._task_arguments,
            )
        return np.asarray(values, dtype=np.float32)

    def _check_code(self, trusted: bool) -> None:
        own = code_of_its_own(self.folder)
        if own and not trusted:
            raise EncoderError(
                f"'{self.name}' brings program code of its own ({', '.join(own)}), which was not run; take a version "
                "of it that transformers knows (its name often ends in -hf), or set trust_remote_code if you trust it"
            )
        if not own and not trusted and (replaced := replaced_code(self.folder)):
            log.warning(
                "'%s' names a class of its own (%s); transformers' class is used instead, so compare a few vectors "
                "with `unmask doctor --vectors`, or set trust_remote_code",
                self.name,
                replaced,
            )
        if not (self.folder / "modules.json").is_file():
            log.warning("'%s' does not say how it pools (no modules.json): the mean of its tokens is taken", self.name)

    def _load(self, trusted: bool, attention: str | None) -> SentenceTransformer:
        import torch
        from sentence_transformers import SentenceTransformer

        model_kwargs: dict[str, Any] = {"dtype": torch.float32}
        if attention is not None:
            model_kwargs["attn_implementation"] = attention
        try:
            with _without_progress_bars():
                network = SentenceTransformer(
                    str(self.folder),
                    device=str(self._device),
                    trust_remote_code=trusted,
                    model_kwargs=model_kwargs,
                    local_files_only=not trusted,  # code of its own may lie in another repository
                )
        except (OSError, ValueError, ImportError, RuntimeError, KeyError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise EncoderError(
                f"'{self.name}' cannot be loaded: {type(error).__name__}: {reason}; "
                "check that its files are complete, or run: pip install -U sentence-transformers transformers"
            ) from error
        return network.eval()

    def _resolve_prompt(self, prompt: str | None) -> str | None:
        """A name that the model defines stands for its text; anything that cannot be a name is the text itself."""
        if prompt is None:
            return self.prompts.get(self.network.default_prompt_name or "")
        if prompt in self.prompts:
            return self.prompts[prompt]
        if re.fullmatch(r"[\w.-]+", prompt):
            known = f"it defines {', '.join(self.prompts)}" if self.prompts else "it defines none"
            raise EncoderError(
                f"'{self.name}' has no prompt named '{prompt}', {known}; "
                f"if '{prompt}' is meant as the text of the prompt, end it with a colon or a space"
            )
        return prompt

    def _use_task(self, task: str | None) -> tuple[Path | None, dict[str, str]]:
        """Switch on the task's adapter if the model keeps one, else hand the task to the model's own code."""
        if task is None:
            return None, {}
        folder = adapter_folder(self.folder, task)
        if folder is not None:
            self._load_adapter(task, folder)
            return folder, {}
        if "task" in self.network.get_model_kwargs():
            return None, {"task": task}
        names = adapter_names(self.folder)
        known = f"it has {', '.join(names)}" if names else "it has none; leave the task out"
        raise EncoderError(f"'{self.name}' has no adapter for the task '{task}': {known}")

    def _load_adapter(self, task: str, folder: Path) -> None:
        try:
            import peft  # noqa: F401
        except ImportError as error:
            raise MissingExtra(f"the task adapter '{task}' of '{self.name}'", "adapters") from error
        name = folder.name
        transformer = self.network[0].auto_model
        with _without_progress_bars():
            transformer.load_adapter(str(folder), adapter_name=name)
        transformer.set_adapter(name)
        self.network.to(self._device)

    def _check_truncation(self, truncate_dim: int | None) -> int | None:
        if truncate_dim is not None and not 1 <= truncate_dim <= self.full_dimension:
            raise EncoderError(
                f"truncate_dim is {truncate_dim}, but '{self.name}' gives {self.full_dimension} dimensions; "
                f"use 1 to {self.full_dimension} or leave it out"
            )
        return truncate_dim


def settings_of(section: EncoderSection) -> dict[str, Any]:
    """What a recipe says about any encoder of this kind."""
    names = ("prompt", "task", "truncate_dim", "normalize", "precision", "batch_size", "trust_remote_code")
    return {name: getattr(section, name) for name in names}


def _embedding_dimension(network: SentenceTransformer) -> int:
    get = getattr(network, "get_embedding_dimension", None) or network.get_sentence_embedding_dimension
    dimension = get()
    if dimension is None:
        dimension = int(network.encode("one", show_progress_bar=False).shape[-1])
    return int(dimension)


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """The library draws its own on stderr, which belongs to the program."""
    from transformers.utils import logging as transformers_logging

    was_on = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            transformers_logging.enable_progress_bar()
