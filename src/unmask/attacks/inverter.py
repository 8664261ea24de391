"""A trained model, ready to read texts back from vectors."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

import torch
from huggingface_hub import ModelHubMixin

from unmask.attacks.decoders import ALL_DECODERS, SEARCH
from unmask.attacks.judges import Judges
from unmask.decoding import DEFAULT_DECODER, DecodeOptions
from unmask.decoding.loop import Decoding, decode
from unmask.denoiser.checkpoint import Checkpoint, checkpoint_files, find_checkpoint, load_checkpoint
from unmask.diffusion.schedules import build_schedule
from unmask.errors import CheckpointError, EncoderError, InputError, UnknownName
from unmask.files import copy_file, make_folder
from unmask.products import make_steady
from unmask.records import Cost, DecodeStep, Reconstruction, VectorBatch
from unmask.runtime import choose_device, choose_dtype
from unmask.vectorstores.numbers import check_vectors

if TYPE_CHECKING:
    import numpy as np

    from unmask.encoders.base import Encoder
    from unmask.search import SearchOptions
    from unmask.search.loop import Search

DEFAULT_MODEL = "minilm"
HIDDEN = "▒▒▒"
LENGTH_RATIO = 3  # a single vector of an encoder that does not normalise may well be this far from the others

log = logging.getLogger(__name__)
# Vectors that go through the network together where the user does not say: what fills the machine.
CPU_BATCH, GPU_BATCH = 64, 512


class Choices(TypedDict, total=False):
    """The fields of DecodeOptions as keywords."""

    steps: int
    temperature: float
    top_p: float
    seed: int
    drafts: int
    lexical_weight: float | None
    repeat_penalty: float | None
    guidance: float
    counts: Literal["linear", "cosine"]
    resample_all: bool
    remask_mode: Literal["lowest", "threshold"]
    remask_share: float
    restart_t: float


class Inverter(ModelHubMixin, library_name="unmask", tags=["embedding-inversion"], license="apache-2.0"):  # type: ignore[call-arg]
    """Reads texts back from vectors.

    `inverter = Inverter.from_pretrained("minilm")`, then `inverter.invert(vectors)` or `inverter.stream(vector)`.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        self.denoiser, self.tokenizer = checkpoint.denoiser, checkpoint.tokenizer
        self.recipe, self.manifest, self.folder = checkpoint.recipe, checkpoint.manifest, checkpoint.folder
        self.device, self.dtype = device, dtype
        self.schedule = build_schedule(self.recipe.schedule)
        self._encoder: Encoder | None = None
        self._judges = Judges(checkpoint, dtype, self.encoder)
        # The manifest says everything; the mixin would write a second account, made from these arguments.
        self._hub_mixin_config = None

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        name_or_path: str | Path = DEFAULT_MODEL,
        *,
        device: str = "auto",
        precision: str = "auto",
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
    ) -> Inverter:
        """Load a model that ships with unmask (see `unmask models`), a checkpoint's folder, or a hub repository."""
        chosen_device = choose_device(device)
        dtype = choose_dtype(precision, chosen_device)
        try:
            folder = find_checkpoint(name_or_path)
        except UnknownName:
            if not _looks_like_hub_name(str(name_or_path)):
                raise
            folder = _download(
                str(name_or_path),
                revision=revision,
                token=token,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
            )
        checkpoint = load_checkpoint(folder, chosen_device)
        store_matrices_in(checkpoint.denoiser, dtype)
        make_steady(checkpoint.denoiser)
        return cls(checkpoint, chosen_device, dtype)

    def _save_pretrained(self, save_directory: Path) -> None:
        """Copy the checkpoint's files, the manifest last; `save_pretrained` and `push_to_hub` call this."""
        from unmask.search.surrogate import surrogate_files

        for source in [*surrogate_files(self.folder), *checkpoint_files(self.folder)]:
            target = save_directory / source.relative_to(self.folder)
            make_folder(target.parent)
            copy_file(source, target)

    @property
    def dimension(self) -> int:
        """The dimension of the vectors that this model reads."""
        return self.denoiser.dimension

    @property
    def default_batch_size(self) -> int:
        return GPU_BATCH if self.device.type == "cuda" else CPU_BATCH

    def encoder(self) -> Encoder:
        """The encoder whose vectors this model was trained on."""
        if self._encoder is None:
            from unmask.encoders import load_encoder

            found = load_encoder(self.recipe.encoder)
            expected = self.manifest["encoder"].get("fingerprint", found.fingerprint)
            if found.fingerprint != expected:
                raise EncoderError(
                    f"encoder '{found.name}' is not the one this model was trained for (fingerprint "
                    f"{found.fingerprint[:12]}, expected {expected[:12]}): it has other weights or settings; "
                    "restore them, or choose another model"
                )
            self._encoder = found
        return self._encoder

    def search(
        self,
        values: torch.Tensor,
        row_keys: Sequence[int],
        options: DecodeOptions | None = None,
        search: SearchOptions | None = None,
        **how: Any,
    ) -> Iterator[DecodeStep]:
        """The steps of a search for vectors (batch, dimension); `how` is what `searched` takes beside."""
        from unmask.search.stream import searched

        return searched(self.new_search(search, options), values, row_keys, **how)

    def new_search(self, search: SearchOptions | None = None, options: DecodeOptions | None = None) -> Search:
        """A search that vectors may join; `options` are those of its drafts."""
        from unmask.search import SearchOptions
        from unmask.search.loop import Search

        chosen = search or SearchOptions()
        return Search(
            self.denoiser, self._judges.scorer(chosen.scorer, chosen.answers), chosen, options or DecodeOptions(),
            self.schedule, self.dtype, self._judges.screen(chosen.scorer), self._judges.fluency(chosen.scorer),
        )  # fmt: skip

    def surrogate_of(self, scorer: str) -> Path | None:
        """The folder of the surrogate that has a say in a search, as its scorer or beside the encoder as its screen."""
        return self._judges.surrogate_of(scorer)

    def surrogate_vectors(self, texts: Sequence[tuple[int, ...]]) -> np.ndarray | None:
        """About what vectors the encoder gives texts of these tokens, (texts, dimension); None without surrogate."""
        from unmask.search.options import ENCODER

        screen = self._judges.screen(ENCODER)
        return None if screen is None else screen.vectors(texts)[0]

    def invert(
        self,
        vectors: Any,
        *,
        decoder: str = DEFAULT_DECODER,
        batch_size: int | None = None,
        options: DecodeOptions | None = None,
        search: SearchOptions | None = None,
        **choices: Unpack[Choices],
    ) -> list[Reconstruction]:
        """Texts of vectors (n, dimension), or of one vector (dimension,): arrays, tensors or lists.

        `choices` are fields of DecodeOptions, such as `steps=16` or `seed=1`; a row comes out the same in any batch.
        `search` is for decoder `search`, which compares texts with the vector by calling the encoder.
        """
        values = self._as_vectors(vectors)
        batch = VectorBatch(values, tuple(str(row) for row in range(len(values))))
        found = self.invert_batches(
            [batch], decoder=decoder, batch_size=batch_size, options=options, search=search, **choices
        )
        return list(found)

    def invert_batches(
        self,
        batches: Iterable[VectorBatch],
        *,
        decoder: str = DEFAULT_DECODER,
        batch_size: int | None = None,
        options: DecodeOptions | None = None,
        search: SearchOptions | None = None,
        **choices: Unpack[Choices],
    ) -> Iterator[Reconstruction]:
        """The same for vectors in batches, as `open_vectors(...).batches(...)` gives them; holds one at a time."""
        size = self.default_batch_size if batch_size is None else batch_size
        if size < 1:
            raise InputError(f"batch_size is {size}, expected at least 1; leave it out for {self.default_batch_size}")
        ALL_DECODERS.resolve(decoder)
        chosen = replace(options or DecodeOptions(), **choices)
        for number, batch in enumerate(batches):
            values = check_vectors(batch.values, self.dimension, "the batch", batch.first_row, batch.ids)
            if number == 0:
                self._warn_of_another_length(values)
            for start in range(0, len(values), size):
                part = slice(start, start + size)
                first_row = batch.first_row + start
                part_of_batch = VectorBatch(values[part], batch.ids[part], first_row)
                yield from self._invert_part(part_of_batch, decoder, chosen, search)

    def stream(
        self,
        vector: Any,
        *,
        decoder: str = DEFAULT_DECODER,
        options: DecodeOptions | None = None,
        search: SearchOptions | None = None,
        **choices: Unpack[Choices],
    ) -> Iterator[DecodeStep]:
        """Every step of decoding one vector, or several at once; `readable` turns a step into text."""
        ALL_DECODERS.resolve(decoder)
        values = torch.from_numpy(self._as_vectors(vector))
        return self._decode(values, range(len(values)), decoder, replace(options or DecodeOptions(), **choices), search)

    def alternatives(
        self, vector: Any, token_ids: Sequence[int], place: int, count: int = 8, options: DecodeOptions | None = None
    ) -> list[tuple[int, float]]:
        """What else might stand at one place of a text (mask_id where it is hidden), with probabilities.

        The place itself counts as hidden, so that the token that stands there is judged like the others.
        """
        length, known = self.denoiser.length, range(self.tokenizer.vocabulary_size)
        if not 0 <= place < len(token_ids) <= length or not all(token in known for token in token_ids):
            raise InputError(
                f"{len(token_ids)} token ids and place {place}, expected at most {length} ids of this model's "
                "vocabulary, and a place among them"
            )
        decoding = Decoding(self.denoiser, DEFAULT_DECODER, options, self.schedule, self.dtype)
        tokens = torch.tensor([[*token_ids, *[self.tokenizer.pad_id] * (length - len(token_ids))]])
        decoding.join(torch.from_numpy(self._as_vectors(vector)), [0], tokens)
        return decoding.alternatives(place, min(count, len(known)))

    def readable(self, step: DecodeStep, row: int = 0, hidden: str = HIDDEN) -> str:
        """What is known of one row after a step, with `hidden` for each token that is still masked."""
        parts: list[str] = []
        visible: list[int] = []
        for token in [*step.tokens[row].tolist(), self.tokenizer.pad_id]:
            if token not in (self.tokenizer.mask_id, self.tokenizer.pad_id):
                visible.append(token)
                continue
            if visible:
                parts.append(self.tokenizer.decode(visible).strip())
                visible = []
            if token == self.tokenizer.mask_id:
                parts.append(hidden)
            else:
                break
        return " ".join(parts)

    def _warn_of_another_length(self, values: np.ndarray) -> None:
        """Vectors of another length than the training's give confident nonsense, which must not pass for safety."""
        projection = self.denoiser.vector
        expected = float((projection.mean.float() ** 2 + projection.spread.float() ** 2).sum().sqrt())
        found = float((values.astype("float64") ** 2).sum(axis=1).mean() ** 0.5) if len(values) else expected
        if not 1 / LENGTH_RATIO < found / max(expected, 1e-12) < LENGTH_RATIO:
            log.warning(
                "the vectors have a length of about %.3g, those this model was trained on of about %.3g: what comes "
                "back means nothing; scale them, or ask unmask doctor with some of their texts",
                found,
                expected,
            )

    def _decode(
        self,
        values: torch.Tensor,
        row_keys: Sequence[int],
        decoder: str,
        options: DecodeOptions,
        search: SearchOptions | None,
    ) -> Iterator[DecodeStep]:
        if decoder == SEARCH:
            return self.search(values, row_keys, options, search)
        return decode(self.denoiser, values, decoder, options, row_keys, self.schedule, self.dtype)

    def _invert_part(
        self, batch: VectorBatch, decoder: str, options: DecodeOptions, search: SearchOptions | None
    ) -> list[Reconstruction]:
        """One batch through the network."""
        started = time.perf_counter()
        row_keys = range(batch.first_row, batch.first_row + len(batch))
        *_, last = self._decode(torch.from_numpy(batch.values), row_keys, decoder, options, search)
        lengths = (last.tokens != self.tokenizer.pad_id).sum(1).tolist()
        ids = [row[:length] for row, length in zip(last.tokens.tolist(), lengths, strict=True)]
        confidence = [row[:length] for row, length in zip(last.confidence.tolist(), lengths, strict=True)]
        texts = self.tokenizer.decode_all(ids)
        seconds = (time.perf_counter() - started) / len(batch)
        compared = last.compared()
        return [
            Reconstruction(
                id=name,
                text=text,
                token_ids=tuple(row),
                tokens=self.tokenizer.pieces(row),
                confidence=tuple(sure),
                cost=Cost(forward_passes=passes, encoder_calls=calls, seconds=seconds),
                cosine=nearness,
                verified=is_verified,
            )
            for name, text, row, sure, passes, (calls, nearness, is_verified) in zip(
                batch.ids, texts, ids, confidence, last.forward_passes.tolist(), compared, strict=True
            )
        ]

    def _as_vectors(self, vectors: Any) -> np.ndarray:
        if isinstance(vectors, torch.Tensor):
            vectors = vectors.detach().cpu()
            vectors = (vectors.float() if vectors.is_floating_point() else vectors).numpy()
        return check_vectors(vectors, self.dimension)


def store_matrices_in(denoiser: torch.nn.Module, dtype: torch.dtype) -> None:
    """Keep the matrices in the type they are multiplied in, instead of converting them at every pass."""
    if dtype == torch.float32:
        return
    for module in denoiser.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Embedding):
            module.to(dtype)


def _looks_like_hub_name(name: str) -> bool:
    owner, separator, repository = name.partition("/")
    return bool(separator and owner and repository) and "/" not in repository and not name.startswith((".", "~"))


def _download(name: str, **how: Any) -> Path:
    """The files of a checkpoint in a hub repository."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return find_checkpoint(snapshot_download(name, **how))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"no model '{name}': there is no such folder, and the hub did not give it ({str(error).splitlines()[0]}); "
            "check the name, or choose one from unmask models"
        ) from error
