from __future__ import annotations

import subprocess
from pathlib import Path

from unmask import __version__
from unmask.benchmark.provenance import _commit, provenance


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_commit_is_named_and_a_changed_checkout_is_marked(tmp_path: Path) -> None:
    assert _commit(tmp_path) is None
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    git(tmp_path, "tag", "v1")
    assert _commit(tmp_path) == git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "file").write_text("two")
    assert _commit(tmp_path) == git(tmp_path, "rev-parse", "HEAD") + "-dirty"
    assert provenance()["version"] == __version__
