"""What every reader of vectors offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from unmask.errors import InputError
from unmask.records import VectorBatch
from unmask.vectorstores.numbers import Numbers, as_rows, fault_of, faults

ID_NAMES = ("id", "ids", "_id")
TEXT_NAMES = ("text", "texts", "document", "documents", "content", "body", "chunk", "page_content")
# Rows that are named beside the count of those that are left out for the same reason.
MOST_NAMED = 5


@dataclass(frozen=True)
class Fields:
    """Which parts of a source are meant; None where it has only one that can be, or names it as usual."""

    vectors: str | None = None
    texts: str | None = None
    collection: str | None = None


class LeftOut:
    """Rows that could not be read: how many for which reason, and the first few by name."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.named: dict[str, list[str]] = {}

    def add(self, name: str, reason: str) -> None:
        self.counts[reason] += 1
        named = self.named.setdefault(reason, [])
        if len(named) < MOST_NAMED:
            named.append(name)

    @property
    def total(self) -> int:
        return self.counts.total()


@dataclass(frozen=True)
class Piece:
    """Some rows as they are stored."""

    stored: np.ndarray  # (rows, columns)
    ids: Sequence[str] | None = None
    texts: Sequence[str | None] | None = None
    numbers: Sequence[int] | None = None  # of these rows in the source, where others between them were left out


class VectorSource(ABC):
    """Vectors in a fixed order, read batch by batch; every batch is checked."""

    # Whether the same vectors can be read a second time.
    is_repeatable = True
    # The file or folder that is read; None where there is none.
    place: Path | None = None
    # Where what is stored is not what was put in: in what way.
    loss: str | None = None

    def __init__(
        self,
        origin: str,
        numbers: Numbers,
        stored: np.dtype[Any],
        count: int | None,
        columns: int,
        has_ids: bool,
        has_texts: bool = False,
    ) -> None:
        numbers.require(stored, columns, origin)
        self.origin, self.count, self.has_ids, self.has_texts = origin, count, has_ids, has_texts
        self.stored = stored
        self.dimension = numbers.dimension(stored, columns)
        self._numbers = numbers

    def batches(self, batch_size: int, skip: int = 0, left_out: LeftOut | None = None) -> Iterator[VectorBatch]:
        """Batches of `batch_size` vectors, the last one smaller, after the first `skip` vectors.

        A row that is no vector is an error; with `left_out` it is noted there, and its batch is smaller.
        """
        if batch_size < 1:
            raise InputError(f"the batch size is {batch_size}, expected at least 1; change --batch-size")
        row = skip
        for piece in self._read(batch_size, skip, left_out):
            numbers = range(row, row + len(piece.stored)) if piece.numbers is None else piece.numbers
            names = [str(number) for number in numbers] if piece.ids is None else piece.ids
            kept = self._sound(piece.stored, names, left_out)
            chosen = range(len(names)) if kept is None else kept.tolist()
            stored = piece.stored if kept is None else piece.stored[kept]
            values = self._numbers.convert(stored, self.origin, row, None if piece.ids is None else names)
            texts = None if piece.texts is None else tuple(piece.texts[place] for place in chosen)
            yield VectorBatch(values, tuple(names[place] for place in chosen), row, texts)
            row = (numbers[-1] if len(numbers) else row - 1) + 1

    def close(self) -> None:  # noqa: B027 - most hold nothing open
        """Let go of what is held; nothing can be read any more."""

    def _sound(self, stored: np.ndarray, names: Sequence[str], left_out: LeftOut | None) -> np.ndarray | None:
        """Which rows are vectors, the others noted; None for all."""
        if left_out is None or self._numbers.is_binary:
            return None
        values = self._numbers.as_floats(stored)
        wrong = faults(values)
        for row in np.flatnonzero(wrong).tolist():
            left_out.add(names[row], fault_of(values[row])[0])
        return np.flatnonzero(~wrong) if wrong.any() else None

    @abstractmethod
    def _read(self, batch_size: int, skip: int, left_out: LeftOut | None) -> Iterator[Piece]:
        """Stored rows and what stands beside them; rows that are not of `columns` numbers are errors, or noted."""


def choose_key(shapes: dict[str, tuple[int, ...]], key: str | None, origin: str) -> str:
    """Which of several arrays holds the vectors: the one that was asked for, or the only one that can."""
    listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"
    if key is not None:
        if key not in shapes:
            raise InputError(f"{origin} has no array '{key}', it has: {listed}; give one of these with --key")
        return key
    matrices = [name for name, shape in shapes.items() if len(shape) == 2]
    if len(shapes) == 1:
        return next(iter(shapes))
    if len(matrices) != 1:
        raise InputError(
            f"{origin} has {len(shapes)} arrays, expected one that holds the vectors ({listed}); name it with --key"
        )
    return matrices[0]


def find_ids(shapes: dict[str, tuple[int, ...]], rows: int) -> str | None:
    """The array that names each vector, if there is one."""
    return next((name for name in ID_NAMES if shapes.get(name) == (rows,)), None)


def choose_column(
    names: Iterable[str], candidates: Sequence[str], asked: str | None, origin: str, what: str = "column"
) -> str:
    """Which of a table's columns holds the vectors: the one that was asked for, or the only one that can."""
    if asked is not None:
        if asked not in names:
            raise InputError(f"{origin} has no {what} '{asked}', it has: {', '.join(names)}; change --key")
        return asked
    if len(candidates) != 1:
        listed = ", ".join(candidates) or "none"
        raise InputError(
            f"{origin} has {len(candidates)} {what}s of vectors, expected one ({listed}); name it with --key"
        )
    return candidates[0]


def choose_collection(names: Sequence[str], usable: Sequence[str], asked: str | None, origin: str, what: str) -> str:
    """Which of a store's collections is meant: the one that was asked for, or the only one that holds vectors."""
    listed = ", ".join(names) or "none"
    if asked is not None:
        if asked not in names:
            raise InputError(f"{origin} has no {what} '{asked}', it has: {listed}; change --collection")
        return asked
    if len(usable) != 1:
        raise InputError(
            f"{origin} has {len(usable)} {what}s that hold vectors, expected one; "
            f"{'name it with --collection' if usable else 'check that this is the store you mean'}: {listed}"
        )
    return usable[0]


def address_of(place: str, port: int, options: Sequence[str] = ()) -> tuple[str, str, int, str]:
    """Scheme, host, port and path of an address that holds no secret, and no option but those."""
    try:
        parts = urlsplit(place)
        found = parts.scheme, parts.hostname or "localhost", parts.port or port, parts.path.strip("/")
    except ValueError as error:
        raise InputError(f"{place} is no address ({error}), expected SCHEME://HOST:PORT/COLLECTION; mend it") from error
    unknown = [name for name in parse_qs(parts.query, keep_blank_values=True) if name not in options]
    if unknown or parts.fragment:
        raise InputError(
            f"the address of {found[1]} has options ({', '.join(unknown) or '#'}), expected "
            f"{' or '.join(options) or 'none'}; they would come into reports, so set what your client needs by its "
            "environment (docs/stores.md)"
        )
    if parts.username or parts.password:
        raise InputError(
            f"the address of {found[1]} holds a name or password, which would come into reports; leave it out, "
            "docs/stores.md says where keys are taken from"
        )
    return found


def quoted(*parts: str) -> str:
    """A name in SQL, whatever it holds."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def first_line(error: Exception) -> str:
    """What a library's error says, short enough for a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def text_names(documents: Iterable[Any]) -> list[str]:
    """The fields that hold text in any of some documents without a schema: one may be missing in the first."""
    known = (document for document in documents if isinstance(document, dict))
    return list({name: None for document in known for name, value in document.items() if isinstance(value, str)})


def find_texts(names: Sequence[str], asked: str | None, origin: str) -> str | None:
    """Which of the fields that hold texts is meant: the one that was asked for, or one of a usual name."""
    if asked is not None and asked not in names:
        listed = ", ".join(names) or "none"
        raise InputError(f"{origin} has no field '{asked}' of texts, it has: {listed}; change --texts-field")
    return asked or next((name for name in TEXT_NAMES if name in names), None)


def refuse_texts(fields: Fields, origin: str) -> None:
    if fields.texts is not None:
        raise InputError(f"{origin} holds numbers only, no field '{fields.texts}' of texts; leave --texts-field out")


def rows_of(shapes: dict[str, tuple[int, ...]], name: str, origin: str) -> tuple[int, int]:
    return as_rows(shapes[name], f"{origin}[{name}]" if len(shapes) > 1 else origin)


def as_names(ids: np.ndarray) -> list[str]:
    """Ids as text, whatever type they were stored in."""
    return [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in ids.tolist()]


def spans(count: int, batch_size: int, skip: int) -> Iterator[slice]:
    """The rows of each batch."""
    for start in range(skip, count, batch_size):
        yield slice(start, min(start + batch_size, count))
