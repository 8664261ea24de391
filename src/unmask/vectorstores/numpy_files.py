"""NumPy's .npy and .npz, read in pieces and never unpickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from unmask.errors import InputError
from unmask.vectorstores.base import (
    Fields,
    LeftOut,
    Piece,
    VectorSource,
    as_names,
    choose_key,
    find_ids,
    find_texts,
    refuse_texts,
    rows_of,
    spans,
)
from unmask.vectorstores.numbers import Numbers, as_rows

BLOCK = 1 << 20


@dataclass(frozen=True)
class Layout:
    """What the header of one array says."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]
    offset: int  # bytes before the data

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def read_header(handle: IO[bytes], origin: str) -> Layout:
    try:
        version = np.lib.format.read_magic(handle)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(handle)
    except (ValueError, EOFError) as error:
        raise InputError(f"{origin} has a damaged NumPy header ({error}); copy or make the file again") from error
    if dtype.hasobject:
        raise InputError(
            f"{origin} holds pickled Python objects, which can run code when loaded and are never read; save it again "
            "as a plain array: numpy.save(path, numpy.asarray(vectors, dtype='float32'))"
        )
    return Layout(shape, is_fortran, dtype, handle.tell())


def cut_off(origin: str, found: int, promised: int) -> InputError:
    return InputError(f"{origin} is cut off: {found} bytes of data, its header promises {promised}; copy it again")


class NpyFile(VectorSource):
    def __init__(self, path: str, fields: Fields, numbers: Numbers) -> None:
        if fields.vectors is not None:
            raise InputError(f"{path} holds a single array, which has no key '{fields.vectors}'; leave --key out")
        refuse_texts(fields, path)
        with Path(path).open("rb") as handle:
            self._layout = read_header(handle, path)
        found = Path(path).stat().st_size - self._layout.offset
        if found < self._layout.bytes:
            raise cut_off(path, found, self._layout.bytes)
        self._rows, self._columns = as_rows(self._layout.shape, path)
        super().__init__(path, numbers, self._layout.dtype, self._rows, self._columns, has_ids=False)

    def _read(self, batch_size: int, skip: int, left_out: LeftOut | None) -> Iterator[Piece]:
        layout = self._layout
        order: Any = "F" if layout.is_fortran and len(layout.shape) == 2 else "C"
        for span in spans(self._rows, batch_size, skip):
            # Mapped anew for each batch: pages of one long mapping would all stay counted as this process's memory.
            mapped = np.memmap(
                self.origin, layout.dtype, "r", layout.offset, shape=(self._rows, self._columns), order=order
            )
            values = np.array(mapped[span])
            del mapped
            yield Piece(values)


class NpzFile(VectorSource):
    def __init__(self, path: str, fields: Fields, numbers: Numbers) -> None:
        try:
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.endswith(".npy")]
                layouts = {name.removesuffix(".npy"): self._header(archive, name, path) for name in names}
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise InputError(f"{path} is a damaged or cut off .npz ({error}); copy or make it again") from error
        shapes = {name: layout.shape for name, layout in layouts.items()}
        if not shapes:
            raise InputError(f"{path} is a zip without NumPy arrays, expected numpy.savez; make it with numpy.savez")
        words = [name for name, layout in layouts.items() if layout.dtype.kind in "US"]
        self._name = choose_key({name: shapes[name] for name in shapes if name not in words}, fields.vectors, path)
        self._layout = layouts[self._name]
        self._rows, self._columns = rows_of(shapes, self._name, path)
        self._ids = find_ids(shapes, self._rows)
        self._texts = find_texts([name for name in words if shapes[name] == (self._rows,)], fields.texts, path)
        self._beside = {name: layouts[name] for name in (self._ids, self._texts) if name is not None}
        super().__init__(
            path, numbers, self._layout.dtype, self._rows, self._columns, self._ids is not None,
            self._texts is not None,
        )  # fmt: skip

    @staticmethod
    def _header(archive: zipfile.ZipFile, name: str, path: str) -> Layout:
        with archive.open(name) as member:
            return read_header(member, f"{path}[{name.removesuffix('.npy')}]")

    def _read(self, batch_size: int, skip: int, left_out: LeftOut | None) -> Iterator[Piece]:
        with zipfile.ZipFile(self.origin) as archive:
            vectors = self._pieces(archive, self._name, self._layout, self._rows, batch_size, skip)
            beside = {
                name: self._pieces(archive, name, layout, self._rows, batch_size, skip)
                for name, layout in self._beside.items()
            }
            for piece in vectors:
                words = {name: as_names(next(pieces)) for name, pieces in beside.items()}
                ids, texts = (words.get(name or "") for name in (self._ids, self._texts))
                yield Piece(piece.reshape(-1, self._columns), ids, texts)

    def _pieces(
        self, archive: zipfile.ZipFile, name: str, layout: Layout, rows: int, batch_size: int, skip: int
    ) -> Iterator[np.ndarray]:
        """Consecutive rows of one member, decompressed as they are needed."""
        row_bytes = layout.bytes // rows
        with archive.open(f"{name}.npy") as member:
            self._take(member, layout.offset, layout)
            if layout.is_fortran and len(layout.shape) == 2:
                # Stored column by column: no row is whole before the last column is there.
                data = self._take(member, layout.bytes, layout)
                whole = np.frombuffer(data, layout.dtype).reshape(layout.shape, order="F")
                yield from (whole[span] for span in spans(rows, batch_size, skip))
                return
            left = skip * row_bytes
            while left:
                left -= len(self._take(member, min(left, BLOCK), layout))
            for span in spans(rows, batch_size, skip):
                yield np.frombuffer(self._take(member, (span.stop - span.start) * row_bytes, layout), layout.dtype)

    def _take(self, member: IO[bytes], size: int, layout: Layout) -> bytes:
        try:
            data = member.read(size)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise InputError(f"{self.origin} is damaged ({error}); copy or make it again") from error
        if len(data) < size:
            raise cut_off(self.origin, len(data), size)
        return data
