"""Safetensors: named tensors, read slice by slice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
    refuse_texts,
    rows_of,
    spans,
)
from unmask.vectorstores.numbers import Numbers

# bfloat16 as NumPy would store it: two opaque bytes.
TYPES = {
    "F64": "f8",
    "F32": "f4",
    "F16": "f2",
    "BF16": "V2",
    "I64": "i8",
    "I32": "i4",
    "I16": "i2",
    "I8": "i1",
    "U64": "u8",
    "U32": "u4",
    "U16": "u2",
    "U8": "u1",
    "BOOL": "?",
}


class SafetensorsFile(VectorSource):
    def __init__(self, path: str, fields: Fields, numbers: Numbers) -> None:
        refuse_texts(fields, path)
        self._path = path
        with self._open() as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
            if not shapes:
                raise InputError(f"{path} holds no tensors, expected one with vectors; make it again")
            self._name = choose_key(shapes, fields.vectors, path)
            kind = slices[self._name].get_dtype()
        if kind not in TYPES:
            raise InputError(f"{path} holds {kind} values, expected floating point of 16 bits or more; convert it")
        self._is_single = len(shapes[self._name]) == 1
        self._rows, self._columns = rows_of(shapes, self._name, path)
        self._ids = find_ids(shapes, self._rows)
        super().__init__(path, numbers, np.dtype(TYPES[kind]), self._rows, self._columns, self._ids is not None)

    def _open(self) -> Any:
        from safetensors import SafetensorError, safe_open

        try:
            # Through torch, since NumPy has no bfloat16.
            return safe_open(self._path, framework="pt")
        except (SafetensorError, OSError) as error:
            raise InputError(f"{self._path} is a damaged or cut off .safetensors ({error}); copy it again") from error

    def _read(self, batch_size: int, skip: int, left_out: LeftOut | None) -> Iterator[Piece]:
        for span in spans(self._rows, batch_size, skip):
            # Opened anew for each batch: pages of one long mapping would all stay counted as this process's memory.
            with self._open() as file:
                part = file.get_slice(self._name)
                tensor = (part[:][None] if self._is_single else part[span]).clone()  # (rows, columns)
                ids = None if self._ids is None else as_names(file.get_slice(self._ids)[span].numpy())
            yield Piece(_as_array(tensor), ids)


def _as_array(tensor: Any) -> np.ndarray:
    import torch

    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view("V2")  # type: ignore[no-any-return]
    return tensor.numpy()  # type: ignore[no-any-return]
