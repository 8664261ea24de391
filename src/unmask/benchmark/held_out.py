"""The texts that an attack is measured on: sampled, cut to the model's length, and turned into vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unmask.errors import InputError
from unmask.records import VectorBatch
from unmask.runtime import stream_for
from unmask.text_files import TEXT_KEY, describe, iterate_records, read_text_file

if TYPE_CHECKING:
    from unmask.encoders.base import Encoder
    from unmask.text.tokens import TextTokenizer

SUFFIXES = (".jsonl", ".ndjson", ".txt")
Progress = Callable[[str, int, int], None]  # what is being done, how many are done, of how many


def no_progress(stage: str, done: int, total: int) -> None:
    return None


@dataclass(frozen=True)
class HeldOut:
    """Texts, the tokens that an attack should find, and the vectors that it is given."""

    rows: tuple[str, ...]  # what each text is called: its place among the texts that were given
    texts: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    vectors: np.ndarray  # (texts, dimension) float32
    given: int  # texts there were to choose from
    cut: int  # texts that were longer than the model's length
    with_unknown: int  # texts with a token that the tokenizer does not know; they count, and cannot be found whole
    empty: int  # texts without any token that the tokenizer knows, left out

    def __len__(self) -> int:
        return len(self.texts)

    def batches(self, size: int) -> Iterator[VectorBatch]:
        for start in range(0, len(self), size):
            yield VectorBatch(self.vectors[start : start + size], self.rows[start : start + size], start)


def read_texts(places: Sequence[Path | str]) -> list[str]:
    """All texts of files and of the text files directly inside folders, as one pool."""
    return [text for file in _files_of(places) for text in read_text_file(file)]


@dataclass(frozen=True)
class LabelledText:
    text: str
    domain: str  # its record's `domain`; without one, the name of its file


def read_labelled_texts(places: Sequence[Path | str]) -> list[LabelledText]:
    """As `read_texts`, each text with its domain."""
    pool: list[LabelledText] = []
    for file in _files_of(places):
        known = len(pool)
        for record in iterate_records(file):
            domain = record.get("domain")
            pool.append(LabelledText(str(record[TEXT_KEY]), domain if isinstance(domain, str) else Path(file).stem))
        if len(pool) == known:
            raise InputError(f"{describe(file)} holds no text, expected one text per line or JSONL with '{TEXT_KEY}'")
    return pool


def _files_of(places: Sequence[Path | str]) -> Iterator[Path | str]:
    for place in places:
        folder = Path(place)
        if not folder.is_dir():
            yield place
            continue
        files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
        if not files:
            raise InputError(f"{folder} holds no {', '.join(SUFFIXES)} file; give a file or another folder")
        yield from files


def hold_out(
    texts: Sequence[str],
    tokenizer: TextTokenizer,
    encoder: Encoder,
    length: int,
    *,
    limit: int | None = None,
    seed: int = 0,
    batch_size: int = 256,
    on_progress: Progress = no_progress,
) -> HeldOut:
    """Take at most `limit` texts, each with the same chance, cut them to `length` tokens, and embed what is left.

    The encoder sees the text of the tokens that are the target, as in training.
    """
    rows = _sample(len(texts), limit, seed)
    targets = [
        target for target in _targets([texts[row] for row in rows], rows, tokenizer, length) if target.text.strip()
    ]
    if not targets:
        raise InputError(
            f"{len(rows)} texts of which nothing is left by tokenizer '{tokenizer.name}', expected text that it knows; "
            "check the file, and that the right key was read"
        )
    kept = tuple(target.text for target in targets)
    return HeldOut(
        rows=tuple(target.row for target in targets),
        texts=kept,
        ids=tuple(target.ids for target in targets),
        vectors=embed(encoder, kept, batch_size, on_progress, "embedding the texts"),
        given=len(texts),
        cut=sum(target.is_cut for target in targets),
        with_unknown=sum(tokenizer.unknown_id in target.ids for target in targets),
        empty=len(rows) - len(targets),
    )


def embed(
    encoder: Encoder,
    texts: Sequence[str],
    batch_size: int,
    on_progress: Progress = no_progress,
    stage: str = "embedding",
) -> np.ndarray:
    """(texts, dimension) vectors; equal texts are sent once, blank ones not at all: zero vectors."""
    to_send = list(dict.fromkeys(text for text in texts if text.strip()))
    sent = np.zeros((len(to_send) + 1, encoder.dimension), dtype=np.float32)  # the last one stays zero
    on_progress(stage, 0, len(to_send))
    for start in range(0, len(to_send), batch_size):
        some = to_send[start : start + batch_size]
        sent[start : start + len(some)] = encoder.encode(some)
        on_progress(stage, start + len(some), len(to_send))
    place = {text: number for number, text in enumerate(to_send)}
    return sent[[place.get(text, -1) for text in texts]]


def _sample(count: int, limit: int | None, seed: int) -> list[int]:
    """Row numbers in their order."""
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}, expected at least 1; leave it out to take every text")
    if not count:
        raise InputError("0 texts, expected at least 1; check the file")
    if limit is None or limit >= count:
        return list(range(count))
    chosen: list[int] = np.sort(stream_for(seed).choice(count, size=limit, replace=False)).tolist()
    return chosen


@dataclass(frozen=True)
class _Target:
    row: str
    text: str
    ids: tuple[int, ...]
    is_cut: bool


def _targets(texts: Sequence[str], rows: Sequence[int], tokenizer: TextTokenizer, length: int) -> Iterator[_Target]:
    """The tokens to be found and their text, which a tokenizer may read back in other pieces than the cut left."""
    whole = tokenizer.encode(texts)
    cut_texts = tokenizer.decode_all(ids[:length] for ids in whole)
    for row, ids, text, reread in zip(rows, whole, cut_texts, tokenizer.encode(cut_texts), strict=True):
        cut = ids[:length]
        # Decoding drops what the tokenizer did not know; it was in the owner's text, so it stays in the target.
        is_stable = tokenizer.unknown_id not in cut and 0 < len(reread) <= length
        yield _Target(str(row), text, tuple(reread if is_stable else cut), len(ids) > length)
