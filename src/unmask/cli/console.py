"""What every command writes with: two streams, a progress bar, tables and JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def stdout(plain: bool = False) -> Console:
    """The results' stream; rich decides by itself whether it is a terminal."""
    from rich.console import Console

    console = Console(highlight=False, no_color=plain or None)
    # Only a terminal has a width; lines in a file are as long as they are.
    console.soft_wrap = not console.is_terminal
    return console


def say(line: str = "") -> None:
    """One line of result."""
    sys.stdout.write(printable(line) + "\n")


def note(line: str) -> None:
    """One line beside the result, on stderr."""
    sys.stderr.write(printable(line) + "\n")
    sys.stderr.flush()


def print_json(value: Any, indent: int | None = 2) -> None:
    """One JSON value on stdout; what is not finite becomes null, since JSON has no word for it."""
    sys.stdout.write(json.dumps(_finite(value), indent=indent, ensure_ascii=False) + "\n")


def print_table(rows: Sequence[Sequence[str]], headings: Sequence[str] = ()) -> None:
    """Left-aligned columns, two spaces apart, the last one free to run."""
    lines = [tuple(printable(cell) for cell in row) for row in ([headings, *rows] if headings else rows)]
    if not lines:
        return
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = [cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=False)]
        sys.stdout.write("  ".join([*padded, line[-1]]).rstrip() + "\n")


def printable(text: str) -> str:
    """Text that may come from anywhere, made safe for a terminal: no control codes, no turned direction."""
    return "".join(character if _is_safe(character) else _visible(character) for character in text)


@contextmanager
def progress_bar(description: str, total: float | None = None) -> Iterator[Callable[..., None]]:
    """A bar on stderr when that is a terminal, else nothing.

    Yields `advance(amount=1, total=None, description=None)`.
    """
    if not sys.stderr.isatty():
        yield lambda amount=1, total=None, description=None: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(escape(description), total=total)

        def advance(amount: float = 1, total: float | None = None, description: str | None = None) -> None:
            shown = {} if description is None else {"description": escape(printable(description))}
            progress.update(task, advance=amount, **({} if total is None else {"total": total}), **shown)  # type: ignore[arg-type]

        yield advance


def _is_safe(character: str) -> bool:
    code = ord(character)
    is_control = code < 0x20 or 0x7F <= code < 0xA0
    turns_direction = 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
    is_half = 0xD800 <= code <= 0xDFFF
    return not (is_control or turns_direction or is_half) or character == "\t"


def _visible(character: str) -> str:
    return " " if character in "\n\r" else character.encode("unicode_escape", "surrogatepass").decode("ascii")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
