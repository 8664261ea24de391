"""A named n-gram model of the training text: fluency where no causal language model can be had.

Interpolated with absolute discounting: each order gives a constant part of every count to the order below, the lowest
gives it to all tokens alike. Probabilities sum to 1 over the vocabulary, whatever came before. The end of a text is not
predicted.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from unmask.errors import InputError
from unmask.files import atomic_writer, make_folder, read_json, write_json

ORDER = 4
_BITS = 16  # of one symbol; a whole n-gram is one 64-bit key
_START, _RARE, _FIRST = 0, 1, 2  # symbols: before the text, tokens without a symbol of their own, the rest
_OWN_SYMBOLS = 2**_BITS - _FIRST
_TEXTS_AT_ONCE = 10_000
_STEPS_A_DOUBLING = 8  # as finely as packed counts are told apart
_FORMAT = 1
_MANIFEST, _COUNTS = "ngrams.json", "ngrams.npz"


@dataclass(frozen=True)
class _Order:
    """The n-grams of one length, sorted, and their contexts, which are then sorted too."""

    keys: np.ndarray  # (n-grams,) uint64
    counts: np.ndarray  # (n-grams,) float64
    contexts: np.ndarray  # (contexts,) uint64
    context_counts: np.ndarray  # (contexts,) float64; occurrences
    freed: np.ndarray  # (contexts,) float64; what of these goes to the order below
    discount: float

    @classmethod
    def from_counts(
        cls, keys: np.ndarray, counts: np.ndarray, discount: float | None = None, below: _Order | None = None
    ) -> _Order:
        """`below`, where rare n-grams have been left out, still knows how often each context occurred."""
        counts = counts.astype(np.float64)
        discount = _discount(counts) if discount is None else discount
        contexts, first = np.unique(keys >> np.uint64(_BITS), return_index=True)
        totals = kept = np.add.reduceat(counts, first) if len(keys) else counts
        if below is not None:
            known_counts, known = _look_up(below.keys, below.counts, contexts)
            totals = np.where(known, np.maximum(known_counts, kept), kept)
        freed = totals - kept + discount * np.diff(np.append(first, len(keys)))
        return cls(keys, counts, contexts, totals, freed, discount)


class NgramModel:
    """Probability of each token after the three before it, learned from the token ids of a training text."""

    def __init__(self, name: str, symbols: np.ndarray, orders: Sequence[_Order]) -> None:
        self.name = name
        self._symbols = symbols  # (vocabulary,) uint16: token id -> symbol
        self._orders = orders
        self._sizes = np.bincount(symbols, minlength=2**_BITS).astype(np.float64)  # token ids behind each symbol

    @property
    def vocabulary_size(self) -> int:
        return len(self._symbols)

    @classmethod
    def train(cls, texts: Iterable[Sequence[int]], vocabulary_size: int, name: str) -> NgramModel:
        """Count n-grams; `name` says of which text, and is reported with every figure."""
        flat, lengths = _flatten(texts)
        if not len(flat):
            raise InputError("0 tokens to learn an n-gram model from, expected some text; check the training part")
        _check_ids(flat, vocabulary_size)
        symbols = _choose_symbols(np.bincount(flat, minlength=vocabulary_size))
        return cls(name, symbols, [_Order.from_counts(*_count(keys)) for keys in _windows(symbols[flat], lengths)])

    def negative_log_likelihood(
        self, texts: Sequence[str], ids: Sequence[Sequence[int]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """In nats, and the number of tokens it is spread over, per text; only the ids are used."""
        flat, lengths = _flatten(ids)
        _check_ids(flat, self.vocabulary_size)
        rows = np.repeat(np.arange(len(lengths)), lengths)
        *_, whole = _windows(self._symbols[flat], lengths)
        kinds, place = np.unique(whole, return_inverse=True)  # texts that are much alike are read once
        within = [kinds & np.uint64(2 ** (_BITS * order) - 1) for order in range(1, ORDER)]
        surprise = -np.log(self._probabilities([*within, kinds]))[place]
        return np.bincount(rows, weights=surprise, minlength=len(lengths)), lengths.astype(np.float64)

    def next_probabilities(self, context: Sequence[int]) -> np.ndarray:
        """(vocabulary,) probabilities of what follows `context`, of which the last three tokens count."""
        tail = [*[_START] * ORDER, *self._symbols[np.asarray(context, dtype=np.int64)].tolist()][-(ORDER - 1) :]
        after = self._symbols.astype(np.uint64)
        keys = [after]
        for distance, symbol in enumerate(reversed(tail), start=1):
            keys.append(keys[-1] | np.uint64(symbol << (_BITS * distance)))
        return self._probabilities(keys)

    def save(self, folder: Path | str) -> None:
        """Write counts and manifest into a folder; what can be worked out is worked out on loading."""
        folder = make_folder(folder)
        arrays = {f"keys{n}": order.keys for n, order in enumerate(self._orders, start=1)}
        arrays |= {f"counts{n}": order.counts.astype(np.uint32) for n, order in enumerate(self._orders, start=1)}
        with atomic_writer(folder / _COUNTS) as handle:
            np.savez(handle, **{"symbols": self._symbols, **arrays})  # type: ignore[arg-type]
        write_json(folder / _MANIFEST, {"format": _FORMAT, "name": self.name, "order": ORDER})

    @classmethod
    def load(cls, folder: Path | str) -> NgramModel:
        """Read a model that `save` wrote."""
        folder = Path(folder)
        manifest = read_json(folder / _MANIFEST)
        if (manifest.get("format"), manifest.get("order")) != (_FORMAT, ORDER):
            raise InputError(
                f"{folder} holds n-gram format {manifest.get('format')}, order {manifest.get('order')}, expected "
                f"{_FORMAT} and {ORDER}; remove the folder, it is then made again"
            )
        try:
            with np.load(folder / _COUNTS, allow_pickle=False) as held:
                orders = [_Order.from_counts(held[f"keys{n}"], held[f"counts{n}"]) for n in range(1, ORDER + 1)]
                return cls(manifest["name"], held["symbols"], orders)
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise InputError(
                f"{folder / _COUNTS} cannot be read ({error}); remove {folder} and make it again"
            ) from error

    def packed(self, least: Sequence[int]) -> dict[str, np.ndarray]:
        """As bytes, without n-grams that are rarer than `least` of each order; counts to an eighth of a doubling."""
        arrays: dict[str, np.ndarray] = {"symbols": self._symbols.view(np.uint8)}
        for number, (order, fewest) in enumerate(zip(self._orders, least, strict=True), start=1):
            kept = order.counts >= fewest
            arrays[f"keys{number}"] = _squeeze(np.diff(order.keys[kept], prepend=np.uint64(0)))
            codes = np.round(np.log2(order.counts[kept]) * _STEPS_A_DOUBLING).clip(max=255)
            arrays[f"counts{number}"] = _squeeze(codes.astype(np.uint8))
            arrays[f"discount{number}"] = np.array([order.discount]).view(np.uint8)
        return arrays

    @classmethod
    def unpacked(cls, arrays: Mapping[str, np.ndarray], name: str) -> NgramModel:
        """What `packed` gave."""
        orders: list[_Order] = []
        for number in range(1, ORDER + 1):
            keys = np.cumsum(_unsqueeze(arrays[f"keys{number}"], np.uint64), dtype=np.uint64)
            counts = 2.0 ** (_unsqueeze(arrays[f"counts{number}"], np.uint8) / _STEPS_A_DOUBLING)
            discount = float(arrays[f"discount{number}"].view(np.float64)[0])
            orders.append(_Order.from_counts(keys, counts, discount, orders[-1] if orders else None))
        return cls(name, arrays["symbols"].view(np.uint16), orders)

    @staticmethod
    def is_saved_in(folder: Path | str) -> bool:
        return (Path(folder) / _MANIFEST).is_file()

    def _probabilities(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        """Of the last symbol of each window, shared out evenly among the token ids behind that symbol."""
        after = (windows[0] & np.uint64(2**_BITS - 1)).astype(np.int64)
        probability = self._sizes[after] / self.vocabulary_size
        for order, keys in zip(self._orders, windows, strict=True):
            if not len(order.keys):
                continue
            counts, known = _look_up(order.keys, order.counts, keys)
            context = np.searchsorted(order.contexts, keys >> np.uint64(_BITS)).clip(max=len(order.contexts) - 1)
            seen = order.contexts[context] == keys >> np.uint64(_BITS)
            total = order.context_counts[context]
            kept = np.where(known, counts - order.discount, 0.0)
            probability = np.where(seen, (kept + order.freed[context] * probability) / total, probability)
        return probability / self._sizes[after]


def _choose_symbols(frequency: np.ndarray) -> np.ndarray:
    """A symbol for each token id: its own for the most frequent ones, a common one for the rest."""
    symbols = np.full(len(frequency), _RARE, dtype=np.uint16)
    own = np.argsort(-frequency, kind="stable")[:_OWN_SYMBOLS]
    own = own[frequency[own] > 0]
    symbols[own] = np.arange(_FIRST, _FIRST + len(own), dtype=np.uint16)
    return symbols


def _windows(symbols: np.ndarray, lengths: np.ndarray) -> Iterator[np.ndarray]:
    """For each token its n-gram as one key, for n = 1, 2, ...; before the text stands the start symbol."""
    ends = np.cumsum(lengths)
    place = np.arange(len(symbols)) - np.repeat(ends - lengths, lengths)  # in its own text
    keys = symbols.astype(np.uint64)
    yield keys
    for distance in range(1, ORDER):
        before = np.full(len(symbols), _START, dtype=np.uint64)
        before[distance:] = symbols[:-distance]
        before[place < distance] = _START
        keys = keys | before << np.uint64(_BITS * distance)
        yield keys


def _squeeze(values: np.ndarray) -> np.ndarray:
    """Compressed, the bytes of one weight together; (bytes,) uint8."""
    planes = values.view(np.uint8).reshape(len(values), values.itemsize).T
    return np.frombuffer(zlib.compress(planes.tobytes(), 9), dtype=np.uint8)


def _unsqueeze(squeezed: np.ndarray, dtype: type[np.generic]) -> np.ndarray:
    planes = np.frombuffer(zlib.decompress(squeezed.tobytes()), dtype=np.uint8)
    width = np.dtype(dtype).itemsize
    return planes.reshape(width, len(planes) // width).T.copy().reshape(-1).view(dtype)


def _count(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kinds, counts = np.unique(keys, return_counts=True)
    return kinds, counts


def _discount(counts: np.ndarray) -> float:
    """The usual estimate from how many n-grams occur once and twice, kept inside (0, 1)."""
    once, twice = float((counts == 1).sum()), float((counts == 2).sum())
    return float(np.clip(once / (once + 2 * twice), 0.1, 0.9)) if once else 0.5


def _look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not len(keys):
        return np.zeros(len(wanted)), np.zeros(len(wanted), dtype=bool)
    place = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return values[place].astype(np.float64), keys[place] == wanted


def _flatten(texts: Iterable[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """All tokens in one array, and how many there are per text; Python's own numbers are held for a few texts only."""
    remaining = iter(texts)
    parts: list[np.ndarray] = []
    lengths: list[np.ndarray] = []
    while some := list(islice(remaining, _TEXTS_AT_ONCE)):
        parts.append(np.fromiter(chain.from_iterable(some), dtype=np.int32))
        lengths.append(np.fromiter(map(len, some), dtype=np.int64, count=len(some)))
    empty = np.zeros(0, dtype=np.int64)
    return np.concatenate(parts or [empty]), np.concatenate(lengths or [empty])


def _check_ids(flat: np.ndarray, vocabulary_size: int) -> None:
    if len(flat) and not 0 <= flat.min() <= flat.max() < vocabulary_size:
        raise InputError(
            f"token ids from {flat.min()} to {flat.max()}, expected 0 to {vocabulary_size - 1}; "
            "use the tokenizer that the n-gram model was trained with"
        )
