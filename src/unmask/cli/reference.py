"""`python -m unmask.cli.reference docs/cli.md` writes the command reference from the commands' own help."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from unmask.cli.main import COMMANDS, app, load_command
from unmask.files import write_text

WIDTH = 96


def reference() -> str:
    """The whole page."""
    from typer.main import get_command

    parts = [
        "# Command line\n\nWritten by `make docs` from the commands' own `--help`; a test holds the two together.\n",
        _section("unmask", get_command(app)),
    ]
    return "\n".join([*parts, *(_section(f"unmask {name}", load_command(name)) for name in COMMANDS.names)])


def _section(title: str, command: Any) -> str:
    context = command.make_context(title, [], resilient_parsing=True, terminal_width=WIDTH, max_content_width=WIDTH)
    lines = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    return f"## {title}\n\n```text\n{lines}\n```\n"


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), reference())
