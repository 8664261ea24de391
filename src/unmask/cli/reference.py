"""`python -m unmask.cli.reference docs/cli.md` writes the command reference from what `--help` shows.

The page is laid out here and not by typer, whose layout changes from version to version.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from pathlib import Path
from typing import Any

from unmask.cli.main import COMMANDS, load_command, unmask
from unmask.files import write_text

HEADING = """# Command line

Written by `make docs` from the commands' own `--help`; a test holds the two together.
"""


def reference() -> str:
    """The whole page."""
    lines = [f"- [`unmask {entry.name}`](#unmask-{entry.name}): {entry.summary}" for entry in COMMANDS]
    opening = [HEADING, _explanation(unmask), "\n".join(lines) + "\n"]
    return "\n".join([*opening, *(_section(name) for name in COMMANDS.names)])


def _section(name: str) -> str:
    parameters = load_command(name).params
    arguments = [parameter for parameter in parameters if parameter.param_type_name == "argument"]
    options = [parameter for parameter in parameters if parameter.param_type_name == "option"]
    usage = " ".join([f"unmask {name}", *(parameter.name.upper() for parameter in arguments), "[OPTIONS]"])
    rows = [_row(f"`{parameter.name.upper()}`", parameter) for parameter in arguments]
    rows += [_row(_spelling(parameter), parameter) for parameter in options]
    table = "\n".join(["| | | default |", "|---|---|---|", *rows])
    return f"## unmask {name}\n\n```text\n{usage}\n```\n\n{_explanation(COMMANDS.resolve(name))}\n{table}\n"


def _explanation(function: Any) -> str:
    """A docstring with its indented examples as code."""
    parts = []
    for paragraph in inspect.cleandoc(function.__doc__ or "").split("\n\n"):
        is_example = paragraph.startswith("  ")
        parts.append(f"```sh\n{textwrap.dedent(paragraph)}\n```" if is_example else paragraph)
    return "\n\n".join(parts) + "\n"


def _spelling(option: Any) -> str:
    return ", ".join(f"`{spelling}`" for spelling in (*option.opts, *option.secondary_opts))


def _row(spelling: str, parameter: Any) -> str:
    default = parameter.default
    is_silent = parameter.required or default is None or default is False or callable(default)
    shown = (
        "required"
        if parameter.required
        else ""
        if is_silent
        else f"`{str(default).lower() if default is True else default}`"
    )
    return f"| {spelling} | {' '.join((parameter.help or '').split()).replace('|', '/')} | {shown} |"


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), reference())
