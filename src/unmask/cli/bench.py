"""`unmask bench`: the published tables and pictures, each by one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unmask.cli.console import note, print_table, say
from unmask.cli.search_options import USUAL

if TYPE_CHECKING:
    from unmask.benchmark.publishing.results import Result
    from unmask.benchmark.publishing.setting import Setting, Table
    from unmask.decoding import DecodeOptions

PLOT, MILESTONES = "plot", "milestones"

What = Annotated[
    str,
    typer.Argument(
        metavar="TABLE",
        help="decoders, remask, guidance, milestones, masking, conditioning, breakdown, cost, search, search-ablation, "
        "search-order or examples; or plot.",
    ),
]
Place = Annotated[
    Path | None, typer.Argument(metavar="PLACE", help="The training run for milestones; the results for plot.")
]
Texts = Annotated[
    list[Path] | None,
    typer.Option("--texts", help="JSONL with `text` and perhaps `domain`, plain lines, or a folder. Repeatable."),
]
Model = Annotated[str, typer.Option(help="A name from `unmask models`, or the folder of a checkpoint.")]
Out = Annotated[Path, typer.Option(help="The folder of results: TABLE.jsonl, and what is trained for it.")]
Markdown = Annotated[Path | None, typer.Option(help="Also write the Markdown table into this file.")]
Limit = Annotated[int | None, typer.Option(help="At most this many texts, each with the same chance.")]
Seed = Annotated[int, typer.Option(help="Of the choice of texts, the decoding and the intervals.")]
Decoders = Annotated[
    list[str] | None, typer.Option(help="A name from `unmask decoders`; repeatable for decoders and cost.")
]
Steps = Annotated[int | None, typer.Option(help="Decoding steps, for all decoders but sequential.")]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", help="Change one decoding option, such as restart_t=0.3. Repeatable."),
]
Pairs = Annotated[
    Path | None, typer.Option(help="Training pairs: for `nearest`, perplexity and word frequency, and to train on.")
]
Perplexity = Annotated[
    str | None, typer.Option(help="`ngram` (what --pairs brings with it), or a causal model such as gpt2.")
]
RecipeName = Annotated[
    str | None,
    typer.Option("--recipe", help="The recipe that is varied: masking, usually minilm; conditioning, minilm-deep."),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="masking, conditioning: change one key of it. Repeatable.")
]
Rows = Annotated[int, typer.Option(help="masking, conditioning: training rows of each variant.")]
Budget = Annotated[int, typer.Option(help="The tables of the search: texts compared with each vector.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="masking, conditioning: list what would be trained.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Precision = Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; all by default.")]


def bench(
    table: What,
    place: Place = None,
    texts: Texts = None,
    model: Model = "minilm",
    out: Out = Path("results"),
    markdown: Markdown = None,
    limit: Limit = None,
    seed: Seed = 0,
    decoder: Decoders = None,
    steps: Steps = None,
    option: Options = None,
    pairs: Pairs = None,
    perplexity: Perplexity = None,
    recipe: RecipeName = None,
    overrides: Overrides = None,
    rows: Rows = 100_000,
    budget: Budget = USUAL.budget,
    dry_run: DryRun = False,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
) -> None:
    """Measure a table of docs/results.md, or draw the tables that were measured.

    A table's results go to OUT/TABLE.jsonl (each with n, seed, 95 % interval, commit and the weights' fingerprint), and
    are printed as Markdown. masking and conditioning train a model for each line first; one that is finished in OUT is
    not trained again.

      unmask bench decoders --texts benchmarks/publication --limit 8

      unmask bench milestones runs/minilm --texts benchmarks/publication --markdown milestones.md

      unmask bench masking --texts benchmarks/publication --pairs data/minilm --rows 50000 --dry-run

      unmask bench plot results
    """
    from unmask.benchmark.publishing import TABLES
    from unmask.benchmark.publishing.setting import with_options
    from unmask.decoding import DecodeOptions
    from unmask.errors import InputError
    from unmask.runtime import set_threads

    if table == PLOT:
        _draw(place or out)
        return
    chosen = TABLES.resolve(table)
    if place is not None and table != MILESTONES:
        raise InputError(f"{place} was given, but only {MILESTONES} and {PLOT} take a place; did you mean --out?")
    chosen_steps: dict[str, Any] = {} if steps is None else {"steps": steps}
    options = with_options(DecodeOptions(seed=seed, **chosen_steps), option or [])
    setting = _setting(
        out, model, place, decoder, options, limit, pairs, perplexity, device, precision,
        recipe or chosen.recipe, overrides, rows, budget,
    )  # fmt: skip
    setting.check()
    set_threads(threads)
    _list(table, chosen, setting) if dry_run else _measure(table, chosen, setting, texts, markdown)


def _setting(
    out: Path,
    model: str,
    run: Path | None,
    decoders: list[str] | None,
    options: DecodeOptions,
    limit: int | None,
    pairs: Path | None,
    perplexity: str | None,
    device: str,
    precision: str,
    recipe: str,
    overrides: list[str] | None,
    rows: int,
    budget: int,
) -> Setting:
    from unmask.benchmark.publishing.setting import Setting
    from unmask.pairs.dataset import PairsDataset

    return Setting(
        texts=(),
        out=out,
        model=model,
        run=run,
        decoders=tuple(decoders or ()),
        options=options,
        limit=limit,
        pairs=None if pairs is None else PairsDataset.open(pairs),
        perplexity=perplexity,
        device=device,
        precision=precision,
        recipe=recipe,
        overrides=tuple(overrides or ()),
        rows=rows,
        budget=budget,
    )


def _measure(name: str, table: Table, setting: Setting, texts: list[Path] | None, markdown: Path | None) -> None:
    """Check everything that can be checked, measure, write, and print."""
    from dataclasses import replace

    from unmask.benchmark.held_out import read_labelled_texts
    from unmask.benchmark.publishing.results import write_rows
    from unmask.cli.evaluate import Stages
    from unmask.errors import InputError
    from unmask.files import check_writable, make_folder, write_text

    table.check(setting)
    if not texts:
        raise InputError(
            "--texts is missing; give a file or a folder of held-out texts, such as benchmarks/publication"
        )
    file = make_folder(setting.out) / f"{name}.jsonl"
    for path in (file, *([] if markdown is None else [markdown])):
        check_writable(path)
    results: list[Result] = []
    with Stages() as stages:
        for result in table.measure(replace(setting, texts=read_labelled_texts(texts), on_progress=stages)):
            results.append(result)
            note(f"{name}: {result.label} is measured")
    write_rows(file, results, mode=0o600 if table.holds_texts else 0o644)
    page = table.markdown(results)
    if markdown is not None:
        write_text(markdown, page + "\n")
    for line in page.splitlines():
        say(line)
    note(f"written: {file}")


def _list(name: str, table: Table, setting: Setting) -> None:
    from unmask.errors import InputError

    if table.plan is None:
        raise InputError(f"--dry-run was given, but {name} trains nothing; leave it out")
    print_table(table.plan(setting), ["variant", "changes to the recipe"])


def _draw(folder: Path) -> None:
    from unmask.benchmark.publishing.plots import draw_all

    for picture in draw_all(folder):
        say(str(picture))
