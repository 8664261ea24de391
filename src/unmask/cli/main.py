"""`unmask`: the table of commands, each imported only when it is called, and how errors leave the program."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from unmask import __version__
from unmask.errors import InterruptedRun, UnmaskError
from unmask.registry import Entry, Registry

COMMANDS: Registry[Any] = Registry(
    "command",
    [
        Entry("demo", "unmask.cli.demo:demo", "Watch sentences being read back from their vectors."),
        Entry("embed", "unmask.cli.embed:embed", "Turn texts into vectors."),
        Entry("invert", "unmask.cli.invert:invert", "Turn vectors back into text."),
        Entry("audit", "unmask.cli.audit:audit", "Say how much can be read back from a vector store."),
        Entry("prepare", "unmask.cli.prepare:prepare", "Make (tokens, vector) pairs for training."),
        Entry("train", "unmask.cli.train:train", "Train a denoiser from prepared pairs."),
        Entry(
            "train-surrogate",
            "unmask.cli.train_surrogate:train_surrogate",
            "Train a stand-in for the encoder, to search without it.",
        ),
        Entry("calibrate", "unmask.cli.calibrate:calibrate", "Learn what a model's confidence is worth."),
        Entry("export", "unmask.cli.export:export", "Write a smaller copy of a trained model."),
        Entry("evaluate", "unmask.cli.evaluate:evaluate", "Measure how much comes back, on text never trained on."),
        Entry("bench", "unmask.cli.bench:bench", "Measure the published tables, and draw them."),
        Entry("serve", "unmask.cli.serve:serve", "Serve the page, and models over HTTP."),
        Entry("models", "unmask.cli.listings:models", "List the trained models that are at hand."),
        Entry("encoders", "unmask.cli.listings:encoders", "List the encoders that can be attacked."),
        Entry("decoders", "unmask.cli.listings:decoders", "List the ways of decoding."),
        Entry("recipes", "unmask.cli.listings:recipes", "List the shipped recipes."),
        Entry("doctor", "unmask.cli.doctor:doctor", "Check this installation, or your own vectors."),
    ],
)

CONTEXT = {"help_option_names": ["-h", "--help"]}
BROKEN_PIPE = 141  # what a shell reports for a program that SIGPIPE ended
INTERRUPTED = InterruptedRun.exit_code


def load_command(name: str) -> Any:
    """The real command behind a line of the table; this is where its module is imported."""
    function = COMMANDS.resolve(name)
    alone = typer.Typer(rich_markup_mode=None, add_completion=False)
    alone.command(name, help=keep_examples(function.__doc__ or ""), context_settings=CONTEXT)(function)
    return typer.main.get_command(alone)


def keep_examples(docstring: str) -> str:
    """Mark indented paragraphs so that the help does not re-wrap them."""
    import inspect

    paragraphs = inspect.cleandoc(docstring).split("\n\n")
    return "\n\n".join(f"\b\n{part}" if part.startswith("  ") else part for part in paragraphs)


class LazyGroup(TyperGroup):
    """Lists one-line stand-ins; the real command is imported when it is resolved for a call."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, stand_in, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name and stand_in else stand_in, rest

    def invoke(self, ctx: Any) -> Any:
        # Here and not in `run`, so that a test of the app sees what a user sees.
        try:
            return super().invoke(ctx)
        except UnmaskError as error:
            report(str(error))
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            report("stopped")
            raise typer.Exit(INTERRUPTED) from error
        except BrokenPipeError as error:
            discard_output()
            raise typer.Exit(BROKEN_PIPE) from error


app = typer.Typer(
    name="unmask",
    cls=LazyGroup,
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    context_settings=CONTEXT,
)
for _entry in COMMANDS:
    app.command(_entry.name, help=_entry.summary)(lambda: None)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"unmask {__version__}")
        raise typer.Exit


@app.callback()
def unmask(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and leave.", callback=_show_version, is_eager=True)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more about what is going on.")] = False,
) -> None:
    """How much of your text can be read back from your vectors?

    Start with `unmask demo`. Every command explains itself: `unmask invert --help`.
    """
    logging.basicConfig(format="unmask: %(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("unmask").setLevel(logging.INFO if verbose else logging.WARNING)
    if not verbose:
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def report(message: str) -> None:
    """One line on stderr; the trace before it for who asks."""
    if wants_trace() and sys.exc_info()[0] is not None:
        traceback.print_exc(file=sys.stderr)
    sys.stderr.write(f"unmask: {' '.join(message.split())}\n")


def wants_trace() -> bool:
    return os.environ.get("UNMASK_DEBUG", "") not in ("", "0")


def discard_output() -> None:
    """After the reader of a pipe has left, what is still buffered must not raise again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run() -> None:
    """The program: exit code 0 only on success."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            app(prog_name="unmask")
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
        sys.exit(BROKEN_PIPE)
    except KeyboardInterrupt:
        report("stopped")
        sys.exit(INTERRUPTED)
    except Exception as error:
        report(
            f"unexpected {type(error).__name__}: {error}. This is a fault of unmask, not yours; "
            "run it again with UNMASK_DEBUG=1 to see where, and report that."
        )
        sys.exit(1)
