"""The README's quick start runs as written, and what it points to is there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from unmask.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def run(command: list[str], folder: Path) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    ended = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_python_of_the_quick_start_prints_a_text(tmp_path: Path) -> None:
    (block,) = blocks("python")
    assert len(block.strip().splitlines()) <= 4
    assert run([sys.executable, "-W", "error::UserWarning", "-c", block], tmp_path).strip()


def test_the_commands_of_the_quick_start_leave_what_the_readme_says(tmp_path: Path) -> None:
    (block,) = blocks("console")
    lines = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
    run(["bash", "-ec", "\n".join(lines)], tmp_path)
    texts = (tmp_path / "texts.txt").read_text("utf-8").splitlines()
    found = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text("utf-8").splitlines()]
    assert len(found) == len(texts) and all(line["text"] for line in found)


def test_every_command_is_in_the_table() -> None:
    table = "\n".join(line for line in README.splitlines() if line.startswith("| `unmask"))
    assert [name for name in COMMANDS.names if name not in table] == []


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", README))
def test_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make (\w+)", README))))
def test_make_knows_what_the_readme_asks_of_it(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
