"""FAISS indexes: flat, IVF, HNSW and ID maps; what is quantised is reconstructed, which loses something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from unmask.errors import InputError, MissingExtra, VectorError
from unmask.vectorstores.base import Fields, LeftOut, Piece, VectorSource, refuse_texts, spans
from unmask.vectorstores.numbers import Numbers
from unmask.vectorstores.rows import SINGLE

EXACT = ("IndexFlat", "IndexFlatL2", "IndexFlatIP", "IndexFlat1D", "IndexHNSWFlat", "IndexIVFFlat", "IndexIVFFlatDedup")


class FaissFile(VectorSource):
    def __init__(self, path: str, fields: Fields, numbers: Numbers) -> None:
        try:
            import faiss
        except ImportError as error:
            raise MissingExtra(f"{path} is a FAISS index: reading it", "faiss") from error

        refuse_texts(fields, path)
        if fields.vectors is not None:
            raise InputError(f"{path} holds a single index, which has no key '{fields.vectors}'; leave --key out")
        try:
            index = self._owner = faiss.read_index(path)  # whose memory goes with it, that of parts included
        except RuntimeError as error:
            raise _unreadable(path, error) from error
        self._ids: np.ndarray | None = None
        if isinstance(index, faiss.IndexIDMap | faiss.IndexIDMap2):
            self._ids = faiss.vector_to_array(index.id_map)
            index = faiss.downcast_index(index.index)
        self._index = index
        if not index.ntotal:
            raise VectorError(f"{path} holds no vectors, expected at least one; check how it was made")
        if isinstance(index, faiss.IndexIVF):
            held = [_ids_of(faiss, index, number) for number in range(index.nlist)]
            self._keys: np.ndarray | None = np.sort(np.concatenate(held))
            index.set_direct_map_type(faiss.DirectMap.Hashtable)  # type: ignore[attr-defined]
            if self._ids is None:
                self._ids = self._keys
        else:
            self._keys = None
        kind = type(index).__name__
        self.loss = None if kind in EXACT else f"{kind} keeps approximations; they are read, not the vectors put in"
        super().__init__(path, numbers, SINGLE, index.ntotal, index.d, self._ids is not None)

    def _read(self, batch_size: int, skip: int, left_out: LeftOut | None) -> Iterator[Piece]:
        for span in spans(self._index.ntotal, batch_size, skip):
            try:
                if self._keys is None:
                    values = self._index.reconstruct_n(span.start, span.stop - span.start)
                else:
                    values = self._index.reconstruct_batch(self._keys[span])
            except RuntimeError as error:
                raise _unreadable(self.origin, error) from error
            yield Piece(values, None if self._ids is None else [str(name) for name in self._ids[span]])


def _ids_of(faiss: Any, index: Any, number: int) -> np.ndarray:
    """Of the vectors in one inverted list; (vectors,) int64."""
    size = index.invlists.list_size(number)
    return faiss.rev_swig_ptr(index.invlists.get_ids(number), size).copy() if size else np.empty(0, dtype=np.int64)


def _unreadable(path: str, error: Exception) -> InputError:
    why = (str(error).strip().splitlines() or [type(error).__name__])[-1][:200]
    return InputError(
        f"{path} cannot be read as a FAISS index of vectors ({why}); copy it again, or export its vectors"
    )
