"""`import unmask` and `unmask --help` cost nothing, and the public names are all there."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

import unmask
from unmask.cli.main import COMMANDS

HEAVY = ("torch", "transformers", "sentence_transformers", "pyarrow", "datasets", "numpy", "rich", "pydantic")
SOURCE = Path(unmask.__file__).parent


def imported_after(statement: str) -> set[str]:
    script = f"import sys\n{statement}\nprint(' '.join(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(ended.stdout.splitlines()[-1].split())


def seconds_of(*arguments: str) -> float:
    """The best of three, since the machine may be busy with something else."""
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True, timeout=60)
        taken.append(time.perf_counter() - started)
    return min(taken)


@pytest.mark.parametrize(
    "arguments", [("-c", "import unmask"), ("-m", "unmask", "--help"), ("-m", "unmask", "--version")]
)
def test_the_doorway_opens_within_half_a_second(arguments: tuple[str, ...]) -> None:
    assert seconds_of(*arguments) < 0.5


def test_importing_the_package_and_its_command_line_loads_nothing_heavy() -> None:
    assert not imported_after("import unmask, unmask.cli.main") & set(HEAVY)


def test_no_command_needs_torch_to_explain_itself() -> None:
    statement = f"from unmask.cli.main import load_command\nfor name in {COMMANDS.names}: load_command(name)"
    assert not imported_after(statement) & {"torch", "transformers", "sentence_transformers"}


def test_every_public_name_is_there_and_documented() -> None:
    for name in unmask.__all__:
        assert name == "__version__" or getattr(unmask, name).__doc__
    assert dir(unmask) == sorted(unmask.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = unmask.nothing


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_fits_in_a_head(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert len(path.read_text("utf-8").splitlines()) < 400
    assert ast.get_docstring(tree) or not tree.body
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            assert (node.end_lineno or 0) - body[0].lineno < 60, f"{node.name} is too long"
