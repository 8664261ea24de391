"""From stored numbers to vectors: types, quantisation, and everything that can be wrong with values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unmask.errors import InputError, VectorError

# Embeddings are of the order of 1; beyond this the bytes were read as something they are not.
LARGEST = 1e6


@dataclass(frozen=True)
class Numbers:
    """How what is stored becomes a vector: as it is, or by the scale that the user gave."""

    scale: float | None = None
    is_unit: bool = False
    is_binary: bool = False

    @classmethod
    def parse(cls, scale: float | str | None) -> Numbers:
        """A number, `unit`, `binary` or nothing."""
        if scale is None:
            return cls()
        if scale in ("unit", "binary"):
            return cls(is_unit=scale == "unit", is_binary=scale == "binary")
        try:
            factor = float(scale)
        except ValueError:
            factor = 0.0
        if not np.isfinite(factor) or factor == 0:
            raise InputError(f"scale is '{scale}', expected a number such as 0.00787, unit or binary; change --scale")
        return cls(scale=factor)

    def dimension(self, stored: np.dtype[Any], columns: int) -> int:
        """The dimension of the vectors that `columns` stored numbers make."""
        return columns * 8 if self.is_binary and stored.kind in "iu" else columns

    def require(self, stored: np.dtype[Any], columns: int, origin: str) -> None:
        """Refuse types that cannot be vectors, before anything is read."""
        kind = stored.kind
        if self.is_binary and not (stored.itemsize == 1 and kind in "iub"):
            raise VectorError(f"{origin} holds {stored}, expected int8, uint8 or bool for --scale binary; drop --scale")
        if kind == "f" or _is_bfloat16(stored):
            return
        if kind not in "iub":
            raise VectorError(f"{origin} holds {stored} values, expected floating point; save it again as float32")
        if self == Numbers():
            packed = f", binary unpacks bits ({columns * 8} dimensions)" if stored.itemsize == 1 else ""
            raise VectorError(
                f"{origin} holds {stored} integers in {columns} columns, expected floating point; if these are "
                "quantised vectors say how: --scale NUMBER multiplies every value (1/127 = 0.00787 is common), "
                f"--scale unit brings each vector to length 1{packed}"
            )

    def convert(
        self, stored: np.ndarray, origin: str, first_row: int = 0, ids: Sequence[str] | None = None
    ) -> np.ndarray:
        """Checked vectors (rows, dimension) float32 from stored numbers (rows, columns)."""
        self.require(stored.dtype, stored.shape[1], origin)
        if self.is_binary:
            return _unpack_bits(stored)
        values = self.as_floats(stored)
        _check_values(values, origin, first_row, ids)
        values = values.astype(np.float32, copy=False)
        if self.scale is not None:
            values = values * np.float32(self.scale)
        if self.is_unit:
            values = values / np.linalg.norm(values, axis=1, keepdims=True)
        # Writable, since torch will not share the memory of a read-only array.
        return np.require(values, requirements=["C", "W"])

    def as_floats(self, stored: np.ndarray) -> np.ndarray:
        """The same numbers as floating point, neither checked nor scaled."""
        if _is_bfloat16(stored.dtype):
            return (np.ascontiguousarray(stored).view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        return stored if stored.dtype.kind == "f" else stored.astype(np.float32)


def check_vectors(
    values: Any,
    expected_dimension: int | None = None,
    origin: str = "the input",
    first_row: int = 0,
    ids: Sequence[str] | None = None,
) -> np.ndarray:
    """Vectors (rows, dimension) float32 from any array of numbers; one vector alone counts as one row."""
    try:
        array = np.asarray(values)
    except ValueError:  # rows of different lengths
        array = np.empty(0, dtype=object)
    if array.dtype.hasobject:
        raise VectorError(f"{origin} is no rectangular array of numbers, expected (vectors, dimension); check each row")
    rows, columns = as_rows(array.shape, origin)
    checked = Numbers().convert(array.reshape(rows, columns), origin, first_row, ids)
    if expected_dimension is not None:
        check_dimension(columns, expected_dimension)
    return checked


def check_dimension(found: int, expected: int) -> None:
    if found != expected:
        raise VectorError(
            f"this checkpoint expects {expected}-d vectors, got {found}-d; "
            "pass --model, or choose one trained for your encoder"
        )


def as_rows(shape: tuple[int, ...], origin: str) -> tuple[int, int]:
    """(rows, columns) of an array of vectors; a single vector is one row."""
    if len(shape) not in (1, 2):
        hint = "; if these are token embeddings, pool them to one vector per text" if len(shape) == 3 else ""
        raise VectorError(f"{origin} has {len(shape)} axes {shape}, expected 2: (vectors, dimension){hint}")
    rows, columns = (1, shape[0]) if len(shape) == 1 else shape
    if not rows or not columns:
        raise VectorError(f"{origin} holds no vectors (shape {shape}), expected at least one; check how it was made")
    return rows, columns


def faults(values: np.ndarray) -> np.ndarray:
    """Which rows of (rows, dimension) cannot be embeddings; (rows,) bool."""
    # One pass for the common case: a comparison with NaN is false, so this covers NaN and infinity too.
    size = np.abs(values).max(axis=1).astype(np.float64)  # (rows,)
    return ~(size <= LARGEST) | (size == 0)


def fault_of(row: np.ndarray) -> tuple[str, str, str]:
    """What is wrong with such a row in general, exactly where, and what to do about it."""
    if not row.any():
        return "all zeros", "is all zeros, expected an embedding", "remove it or embed that text again"
    column = int(np.argmax(~(np.abs(row) <= LARGEST)))
    if not np.isfinite(row[column]):
        found = f"holds {row[column]} at position {column}, expected finite numbers"
        return "numbers that are not finite", found, "remove that row or embed that text again"
    found = f"holds {row[column]:.3g} at position {column}, expected numbers of the order of 1"
    advice = "check the type and byte order that the file was written with, or give --scale"
    return "numbers far beyond 1", found, advice


def _check_values(values: np.ndarray, origin: str, first_row: int, ids: Sequence[str] | None) -> None:
    wrong = faults(values)
    if not wrong.any():
        return
    row = int(wrong.argmax())
    name = f"row {first_row + row}" + (f" (id '{ids[row]}')" if ids is not None else "")
    _, found, advice = fault_of(values[row])
    raise VectorError(f"{origin}: {name} {found}; {advice}")


def _is_bfloat16(stored: np.dtype[Any]) -> bool:
    # NumPy has no bfloat16 of its own and stores it as two opaque bytes.
    return stored.kind == "V" and stored.itemsize == 2 and stored.names is None


def _unpack_bits(stored: np.ndarray) -> np.ndarray:
    """-1 and 1 from bits, at length 1; (rows, dimension)."""
    if stored.dtype.kind == "i":
        # Signed bytes are the packed bits less 128, as quantising libraries write them.
        stored = (stored.astype(np.int16) + 128).astype(np.uint8)
    bits = stored if stored.dtype.kind == "b" else np.unpackbits(np.ascontiguousarray(stored), axis=1)
    return (bits.astype(np.float32) * 2 - 1) / np.float32(np.sqrt(bits.shape[1]))
