"""The frame of the command line: help without imports, errors as one line, and the exit code of each way out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from unmask import __version__
from unmask.cli import main
from unmask.cli.main import COMMANDS, app, keep_examples, load_command
from unmask.errors import InterruptedRun, UnknownName, UnmaskError


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "unmask", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=60)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Let `unmask demo` fail in a given way."""

    def arrange(error: BaseException) -> None:
        def demo() -> None:
            """A demo that fails."""
            raise error

        monkeypatch.setattr(main, "COMMANDS", COMMANDS)
        monkeypatch.setattr(COMMANDS, "resolve", lambda name: demo)

    return arrange


def test_help_lists_every_command_with_its_summary() -> None:
    shown = CliRunner().invoke(app, ["--help"])
    assert shown.exit_code == 0
    for entry in COMMANDS:
        assert re.search(rf"^  {entry.name} +{re.escape(entry.summary)}$", shown.output, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS.names)
def test_every_command_teaches_with_an_example(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"])
    assert shown.exit_code == 0
    taught, _, _ = shown.output.partition("\n\n")[2].partition("Options:")
    assert re.search(r"^ +(\$ )?(\w+ \S+ \| )?unmask \w+", taught, re.MULTILINE)
    assert [option.name for option in load_command(name).params if not getattr(option, "help", None)] == []


def test_a_command_is_loaded_as_itself() -> None:
    assert load_command("recipes").name == "recipes"
    with pytest.raises(UnknownName, match="did you mean 'demo'"):
        load_command("demoo")


def test_the_version_is_the_packages() -> None:
    assert run("--version").stdout.split() == ["unmask", __version__]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [(["embde"], "'embed'"), (["recipes", "--jsn"], "--json"), (["recipes", "surplus"], "surplus")],
)
def test_a_slip_of_the_hand_is_exit_code_2_with_a_hint(arguments: list[str], hint: str) -> None:
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 2 and hint in ended.output


@pytest.mark.parametrize("error", [UnmaskError("the value\nfound"), UnknownName("no such"), InterruptedRun("saved")])
def test_an_error_for_the_user_is_one_line_and_its_own_exit_code(error: UnmaskError, broken: Any) -> None:
    broken(error)
    ended = CliRunner().invoke(app, ["demo"])
    assert ended.exit_code == error.exit_code
    assert ended.stderr == f"unmask: {' '.join(str(error).split())}\n" and ended.stdout == ""


def test_a_stopped_program_says_so_and_exits_with_130(broken: Any) -> None:
    broken(KeyboardInterrupt())
    ended = CliRunner().invoke(app, ["demo"])
    assert ended.exit_code == 130 and ended.stderr == "unmask: stopped\n"


@pytest.mark.parametrize("debug", ["0", "1"])
def test_a_fault_of_ours_is_one_sentence_and_the_trace_is_for_who_asks(
    debug: str, broken: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(RuntimeError("tensor of the wrong shape"))
    monkeypatch.setenv("UNMASK_DEBUG", debug)
    monkeypatch.setattr(sys, "argv", ["unmask", "demo"])
    with pytest.raises(SystemExit) as ended:
        main.run()
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert "unexpected RuntimeError: tensor of the wrong shape" in said and "UNMASK_DEBUG=1" in said
    assert ("Traceback" in said) == (debug == "1")


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
def test_a_reader_that_leaves_early_ends_the_program_quietly() -> None:
    script = f"{sys.executable} -m unmask recipes --json | true; echo ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert ended.stderr == "" and int(ended.stdout) in (0, 141)


def test_indented_paragraphs_of_a_docstring_are_kept_as_they_are() -> None:
    assert keep_examples("One.\n\n    a\n    b\n\nTwo.") == "One.\n\n\b\n    a\n    b\n\nTwo."
