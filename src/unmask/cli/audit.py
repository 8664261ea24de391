"""`unmask audit`: a vector store in, a leak report out."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unmask.cli.console import note, print_table, say
from unmask.cli.evaluate import Stages
from unmask.errors import InputError
from unmask.files import check_writable

if TYPE_CHECKING:
    from unmask.audit.run import Findings

OVER = 3  # the exit code where more leaked than --fail-over allows
Source = Annotated[str, typer.Argument(help="A file of vectors, or a vector store: its file, folder or address.")]
Model = Annotated[str, typer.Option(help="A name from `unmask models`, or a checkpoint's folder.")]
Sample = Annotated[int, typer.Option(min=1, help="Vectors that are attacked, each with the same chance.")]
Budget = Annotated[list[int] | None, typer.Option(min=1, help="Encoder calls for each vector; repeatable.  [160]")]
NoEncoder = Annotated[bool, typer.Option("--no-encoder", help="Leave out attackers who have the encoder.")]
Pairs = Annotated[
    Path | None, typer.Option(help="Other texts with their vectors (`unmask prepare`), to look for neighbours in.")
]
Detector = Annotated[
    str,
    typer.Option(
        help="Of personal data: patterns, presidio (beside them), or auto: presidio with an English pipeline."
    ),
]
SpacyModel = Annotated[str | None, typer.Option(help="For presidio: a spaCy pipeline's name or folder.")]
NoDefences = Annotated[bool, typer.Option("--no-defences", help="Do not try what would help.")]
Html = Annotated[Path, typer.Option(help="The report, one file.")]
Lines = Annotated[Path | None, typer.Option("--jsonl", help="Every figure and record as JSON lines, without texts.")]
Junit = Annotated[Path | None, typer.Option(help="A test for each attacker, as build servers show them.")]
Texts = Annotated[Path | None, typer.Option(help="Also write what was read back, readable by you alone.")]
ShowText = Annotated[bool, typer.Option("--show-text", help="Show texts in the report.")]
FailOver = Annotated[
    float | None,
    typer.Option(min=0, max=1, help=f"Exit with {OVER} if a larger share of words than this is read beyond a guess."),
]


def audit(
    source: Source,
    model: Model = "minilm",
    sample: Sample = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample, the attacks and the intervals.")] = 0,
    budget: Budget = None,
    no_encoder: NoEncoder = False,
    pairs: Pairs = None,
    no_defences: NoDefences = False,
    detector: Detector = "auto",
    spacy_model: SpacyModel = None,
    texts_field: Annotated[str | None, typer.Option(help="Field that holds the original texts.")] = None,
    collection: Annotated[str | None, typer.Option(help="Table or collection of a store that has several.")] = None,
    key: Annotated[str | None, typer.Option(help="Array, column or field that holds the vectors.")] = None,
    scale: Annotated[str | None, typer.Option(help="For integers: a factor, `unit`, or `binary`.")] = None,
    html: Html = Path("audit.html"),
    jsonl: Lines = None,
    junit: Junit = None,
    texts_out: Texts = None,
    show_text: ShowText = False,
    fail_over: FailOver = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all if left out.")] = None,
) -> None:
    """Say how much of its texts can be read back from a vector store.

    A sample of the vectors is attacked by all who might: with the dump alone, with a stand-in for the encoder, with the
    encoder. What was read is compared with the texts in the store, and with what would have been guessed without the
    vectors. Then defences are tried, each with what it costs a search. The store is only read.

        unmask audit notes.parquet --texts-field body
        unmask audit ./chroma_folder --collection notes --sample 100
        unmask audit notes.parquet --no-encoder --fail-over 0.2

    The exit code is 0 unless something fails, or more leaks than --fail-over allows.
    """
    from unmask.attacks.inverter import Inverter
    from unmask.audit.run import Asked
    from unmask.audit.run import audit as run_audit
    from unmask.runtime import set_threads

    check_outputs(source, [path for path in (html, jsonl, junit, texts_out) if path is not None])
    set_threads(threads)
    inverter = Inverter.from_pretrained(model)
    budgets = {} if budget is None else {"budgets": tuple(sorted(budget))}
    asked = Asked(
        source, sample, seed, may_ask_encoder=not no_encoder, key=key, scale=scale, texts_field=texts_field,
        collection=collection, needs_texts=fail_over is not None, tries_defences=not no_defences, pairs=pairs,
        detector=detector, spacy_model=spacy_model, **budgets,
    )  # fmt: skip
    with Stages() as stages:
        findings = run_audit(asked, inverter, stages)
    write_reports(findings, html, jsonl, junit, texts_out, show_text, fail_over)
    show(findings)
    note(f"the report is {html}")
    if fail_over is not None:
        fail_if_over(findings, fail_over)


def write_reports(
    findings: Findings, html: Path, jsonl: Path | None, junit: Path | None, texts: Path | None, show_text: bool,
    limit: float | None,
) -> None:  # fmt: skip
    """The page, and of the other files those that were asked for."""
    from unmask.audit.junit import write_junit
    from unmask.audit.lines import write_lines, write_texts
    from unmask.audit.page import write_page

    write_page(html, findings, shlex.join(["unmask", *sys.argv[1:]]), show_text)
    if jsonl is not None:
        write_lines(jsonl, findings)
    if junit is not None:
        write_junit(junit, findings, limit)
    if texts is not None:
        write_texts(texts, findings)


def fail_if_over(findings: Findings, limit: float) -> None:
    if findings.verdict is None:
        raise InputError("no attacker could try, so --fail-over has nothing to go by; the report says why")
    if findings.verdict.is_over(limit):
        note(f"more leaks than --fail-over {limit:g} allows: {findings.verdict.leak.value:.3f}")
        raise typer.Exit(OVER)


def check_outputs(source: str, paths: list[Path]) -> None:
    """Complain before anything is computed about files that could not be written, or that are needed otherwise."""
    for number, path in enumerate(paths):
        check_writable(path)
        if path.resolve() in [other.resolve() for other in paths[:number]]:
            raise InputError(f"{path} is named for two outputs, expected one each; choose another")
        place = Path(source)
        if path.resolve() == place.resolve() or place.resolve() in path.resolve().parents:
            raise InputError(f"{path} is the store that is audited, or lies in it; choose another place")


def show(findings: Findings) -> None:
    from unmask.audit.protection import advice
    from unmask.audit.verdict import prediction

    ruling = findings.verdict
    if ruling is None:
        sentence = prediction(findings.predicted, [outcome.rung for outcome in findings.outcomes])
        say(sentence or "how much of what was read is right is not known: no texts (--texts-field), or no guess")
    else:
        say(f"grade {ruling.grade}: {ruling.meaning}")
        say(ruling.sentence)
    scored = {score.rung: score for score in findings.scored}
    rows = []
    for outcome in findings.outcomes:
        score = scored.get(outcome.rung.name)
        if outcome.left_out:
            rows.append((outcome.rung.name, f"left out: {outcome.left_out}"))
        elif score is not None:
            words = score.metrics["token_f1"]
            rows.append((outcome.rung.name, f"{words.value:.0%} of the words [{words.low:.0%}, {words.high:.0%}]"))
        else:
            rows.append((outcome.rung.name, f"{len(outcome.found)} texts read"))
    print_table(rows)
    if findings.protections.rows:
        say(advice(findings.protections))
