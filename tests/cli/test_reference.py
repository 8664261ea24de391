"""docs/cli.md is what the commands say of themselves."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from unmask.cli.main import COMMANDS, load_command
from unmask.cli.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == reference(), "the commands' help has changed; run: make docs"


def test_it_is_written_as_make_docs_writes_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "unmask.cli.reference", str(tmp_path / "cli.md")]
    subprocess.run(command, check=True, env={"COLUMNS": "40", "TERM": "dumb", "LANG": "C.UTF-8"}, timeout=60)
    assert (tmp_path / "cli.md").read_text("utf-8") == reference()


@pytest.mark.parametrize("name", COMMANDS.names)
def test_every_option_of_every_command_is_on_the_page(name: str) -> None:
    section = re.split(r"^## unmask ", reference(), flags=re.MULTILINE)[1 + COMMANDS.names.index(name)]
    assert section.startswith(name)
    for parameter in load_command(name).params:
        spelling = parameter.opts[0] if parameter.param_type_name == "option" else parameter.name.upper()
        assert f"`{spelling}`" in section and " ".join(parameter.help.split()).replace("|", "/") in section
