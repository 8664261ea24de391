"""docs/cli.md is what the commands say of themselves."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from unmask.cli.main import COMMANDS
from unmask.cli.reference import WIDTH, reference

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == reference(), "the commands' help has changed; run: make docs"


def test_the_page_shows_every_command_and_does_not_depend_on_the_terminal(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "unmask.cli.reference", str(tmp_path / "cli.md")]
    subprocess.run(command, check=True, env={"COLUMNS": "40", "TERM": "dumb", "LANG": "C.UTF-8"}, timeout=60)
    page = (tmp_path / "cli.md").read_text("utf-8")
    assert page == reference()
    assert re.findall(r"^## unmask (\w+)$", page, re.MULTILINE) == COMMANDS.names
    assert max(len(line) for line in page.splitlines()) <= WIDTH + 24
