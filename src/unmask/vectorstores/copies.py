"""Copies of stores whose own client writes into what it opens."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from unmask.errors import InputError


def copied(place: str) -> tuple[tempfile.TemporaryDirectory[str], Path]:
    """A store's file or folder in a temporary place, which goes when the first of the two is let go."""
    kept, source = tempfile.TemporaryDirectory(prefix="unmask-store-"), Path(place)
    target = Path(kept.name) / (source.resolve().name or "store")
    try:
        files = [path for path in source.rglob("*") if path.is_file()] if source.is_dir() else [source]
        size = sum(path.stat().st_size for path in files)
        if size > shutil.disk_usage(kept.name).free:
            raise OSError(f"{size:,} bytes are more than {kept.name} has room for; set TMPDIR to a larger place")
        shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)
    except OSError as error:
        raise InputError(f"{place} could not be copied to be read ({error}); make room, or check its rights") from error
    return kept, target
