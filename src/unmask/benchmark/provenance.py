"""Which code made a figure."""

from __future__ import annotations

import subprocess
from pathlib import Path

from unmask import __version__


def provenance() -> dict[str, str | None]:
    """The library's version, and the commit where it runs from a checkout of its own repository."""
    return {"version": __version__, "commit": _commit(Path(__file__).parents[3])}


def _commit(checkout: Path) -> str | None:
    """`…-dirty` where tracked files were changed since; None outside a checkout or without git."""
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
