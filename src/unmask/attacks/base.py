"""What every attack is to the rest of unmask: vectors in, texts out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from unmask.records import Reconstruction, VectorBatch

if TYPE_CHECKING:
    from unmask.pairs.dataset import PairsDataset


@runtime_checkable
class Attack(Protocol):
    """Anything that reads texts back from vectors."""

    name: str

    def fit(self, pairs: PairsDataset) -> None:
        """Learn from (tokens, vector) pairs; an attack that is trained elsewhere does nothing here."""

    def invert(self, vectors: VectorBatch, budget: int | None = None) -> list[Reconstruction]:
        """One reconstruction per vector, in order; `budget` is the most encoder calls that it may make."""
