"""The layout of a folder of pairs, its lock, and what it was prepared from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unmask.errors import PairsError
from unmask.files import explain_write_failure, make_folder, read_json, try_lock, write_json

SPLITS = ("train", "validation", "test")
MANIFEST = "manifest.json"
STATISTICS = "statistics.safetensors"
TOKENIZER = "tokenizer"
PLAN = "plan.json"
_WORK = "work"
_LOCK = ".lock"


class PairsFolder:
    """Where each file of a folder of pairs is."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.work = self.root / _WORK  # what is only needed until the manifest stands

    def tokens(self, split: str, shard: int) -> Path:
        return self.root / f"{split}-{shard:05d}.tokens.npy"

    def vectors(self, split: str, shard: int) -> Path:
        return self.root / f"{split}-{shard:05d}.vectors.npy"

    def draft(self, number: int) -> Path:
        return self.work / f"draft-{number:05d}.safetensors"

    def part(self, split: str, shard: int, number: int) -> Path:
        return self.work / f"{split}-{shard:05d}-{number:05d}.npy"

    @property
    def selection(self) -> Path:
        return self.work / "selection.json"

    @property
    def is_complete(self) -> bool:
        return (self.root / MANIFEST).is_file()

    def claim(self, plan: dict[str, Any]) -> None:
        """Write down what is prepared here, or complain that it is something else."""
        held_path = self.root / PLAN
        if held_path.is_file():
            differences = list(differing(read_json(held_path), plan))
            if differences:
                raise PairsError(
                    f"{self.root} was prepared from something else: {'; '.join(differences[:3])}; "
                    "give another --out, or delete that folder"
                )
            return
        if any(self.root.glob("*.npy")) or self.is_complete:
            raise PairsError(f"{self.root} holds pairs but no {PLAN}; give another --out, or delete that folder")
        write_json(held_path, plan)

    def make_work(self) -> None:
        """Make room for the work, and remove half-written files of a run that was killed.

        Only safe for who holds the lock.
        """
        make_folder(self.work)
        for folder in (self.root, self.work, self.root / TOKENIZER):
            for leftover in folder.glob(".*.partial"):
                leftover.unlink()


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold a folder for one process; the lock dies with the process, however that ends."""
    path = make_folder(root) / _LOCK
    try:
        handle = path.open("a")
    except OSError as error:
        raise explain_write_failure(path, error) from error
    with handle:
        if not try_lock(handle):
            raise PairsError(f"another process is preparing into {root}; wait until it is done, or give another --out")
        yield


def differing(held: Any, wanted: Any, place: str = "") -> Iterator[str]:
    """Every place where two trees differ, as a phrase."""
    if isinstance(held, dict) and isinstance(wanted, dict):
        for key in sorted({*held, *wanted}):
            yield from differing(held.get(key), wanted.get(key), f"{place}.{key}" if place else str(key))
    elif isinstance(held, list) and isinstance(wanted, list) and len(held) == len(wanted):
        for index, (left, right) in enumerate(zip(held, wanted, strict=True)):
            yield from differing(left, right, f"{place}.{index}")
    elif held != wanted:
        yield f"{place} is {_short(held)} there and {_short(wanted)} now"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
