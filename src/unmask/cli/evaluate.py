"""`unmask evaluate`: how much comes back, in figures."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unmask.cli.console import print_json, print_table, progress_bar, say
from unmask.cli.search_options import USUAL, Answers, Beam, Budget, Rounds, Scorer, check_scorer, search_options

if TYPE_CHECKING:
    from unmask.attacks.inverter import Inverter
    from unmask.benchmark.evaluation import Evaluation
    from unmask.benchmark.lineup import LineUp
    from unmask.decoding import DecodeOptions
    from unmask.metrics.perplexity import LanguageModel
    from unmask.pairs.dataset import PairsDataset
    from unmask.search import SearchOptions


Texts = Annotated[
    list[Path],
    typer.Option("--texts", help="JSONL with `text`, plain lines, a folder of such files, or -. Repeatable: one pool."),
]
Model = Annotated[str, typer.Option(help="A name from `unmask models`, or the folder of a checkpoint.")]
Decoders = Annotated[list[str] | None, typer.Option(help="A name from `unmask decoders`. Repeatable.")]
Baselines = Annotated[list[str] | None, typer.Option(help="random, unconditional, shuffled or nearest. Repeatable.")]
Everything = Annotated[bool, typer.Option("--all", help="Every decoder but search, and every baseline; needs --pairs.")]
Steps = Annotated[int | None, typer.Option(help="Decoding steps, for all decoders but sequential.")]
Temperature = Annotated[float, typer.Option(help="0 takes the likeliest token.")]
Drafts = Annotated[int, typer.Option(help="Texts written for each vector; the model's own favourite is measured.")]
Pairs = Annotated[
    Path | None, typer.Option(help="The pairs that the model was trained on: for `nearest`, `random` and `ngram`.")
]
Limit = Annotated[int | None, typer.Option(help="At most this many texts, each with the same chance.")]
Seed = Annotated[int, typer.Option(help="Of the choice of texts, the decoding and the intervals.")]
BatchSize = Annotated[
    int | None, typer.Option(help="Vectors in the network together; what suits the device by default.")
]
Results = Annotated[
    Path | None, typer.Option(help="Write a line per text: true text, found text, figures. Only you can read it.")
]
Perplexity = Annotated[
    str | None, typer.Option(help="Also measure fluency: `ngram` (with --pairs), or a causal model such as gpt2.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Precision = Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print a table for a page.")]


def evaluate(
    texts: Texts,
    model: Model = "minilm",
    decoder: Decoders = None,
    baseline: Baselines = None,
    everything: Everything = False,
    steps: Steps = None,
    temperature: Temperature = 0.0,
    drafts: Drafts = 1,
    scorer: Scorer = USUAL.scorer,
    budget: Budget = USUAL.budget,
    rounds: Rounds = USUAL.rounds,
    beam: Beam = USUAL.beam,
    answers: Answers = None,
    pairs: Pairs = None,
    limit: Limit = None,
    seed: Seed = 0,
    batch_size: BatchSize = None,
    results: Results = None,
    perplexity: Perplexity = None,
    device: Device = "auto",
    precision: Precision = "auto",
    as_json: AsJson = False,
    markdown: Markdown = False,
) -> None:
    """Measure how much text comes back from vectors, on text that was never trained on.

    Each text is cut to the model's length, embedded, and read back from its vector alone: nothing is shown to the
    model, not even the length. What it found is compared with the text, token by token and by its own vector.

      unmask evaluate --texts held-out.jsonl --limit 500

      unmask evaluate --model runs/mine --texts held-out/ --decoder euler --steps 16 --json

      unmask evaluate --model runs/mine --texts held-out/ --all --pairs data/mine --markdown

    token_accuracy is the share of the true tokens found in their place, token_f1 compares the sets of tokens, rouge_l
    their order, bleu (0 to 100) is sacrebleu's for all texts together, length_error counts tokens. Every value comes
    with a 95 % interval: low, high.
    """
    from unmask.benchmark.held_out import read_texts
    from unmask.decoding import DecodeOptions
    from unmask.errors import InputError
    from unmask.files import check_writable

    if as_json and markdown:
        raise InputError("--json and --markdown were both given; choose one")
    check_scorer(scorer, decoder or [])
    options = DecodeOptions(temperature=temperature, seed=seed, drafts=drafts)
    options = options if steps is None else replace(options, steps=steps)
    search = search_options(scorer, budget, rounds, beam, answers)
    line_up = _line_up(everything, decoder or [], baseline or [], options, batch_size, search)
    line_up.check(has_pairs=pairs is not None)
    if results is not None:
        check_writable(results)
    pool = read_texts(texts)
    evaluations = _measure(pool, line_up, limit, results, model, *_load(model, pairs, perplexity, device, precision))
    _show(evaluations, as_json, markdown)


def _measure(
    pool: list[str],
    line_up: LineUp,
    limit: int | None,
    results: Path | None,
    model: str,
    inverter: Inverter,
    pairs: PairsDataset | None,
    language_model: LanguageModel | None,
) -> list[Evaluation]:
    """Measure one attack after the other; what is finished is in the results file before the next begins."""
    from unmask.benchmark.evaluation import write_results
    from unmask.benchmark.lineup import measure

    evaluations: list[Evaluation] = []
    with Stages() as stages:
        for evaluation in measure(
            inverter,
            pool,
            line_up,
            pairs=pairs,
            limit=limit,
            language_model=language_model,
            details={"model": model},
            on_progress=stages,
        ):
            evaluations.append(evaluation)
            if results is not None:
                write_results(results, evaluations)
    return evaluations


def _load(
    model: str, pairs: Path | None, perplexity: str | None, device: str, precision: str
) -> tuple[Inverter, PairsDataset | None, LanguageModel | None]:
    from unmask.attacks.inverter import Inverter
    from unmask.benchmark.fluency import load_language_model
    from unmask.pairs.dataset import PairsDataset

    dataset = None if pairs is None else PairsDataset.open(pairs)
    inverter = Inverter.from_pretrained(model, device=device, precision=precision)
    if perplexity is None:
        return inverter, dataset, None
    return inverter, dataset, load_language_model(perplexity, inverter.tokenizer, dataset, str(inverter.device))


def _line_up(
    everything: bool,
    decoders: list[str],
    baselines: list[str],
    options: DecodeOptions,
    batch_size: int | None,
    search: SearchOptions,
) -> LineUp:
    from unmask.attacks.baselines import BASELINES
    from unmask.benchmark.lineup import LineUp
    from unmask.decoding import DECODERS, DEFAULT_DECODER
    from unmask.errors import InputError

    if everything:
        if decoders or baselines:
            raise InputError("--all already means every decoder and baseline; leave out --decoder and --baseline")
        decoders, baselines = DECODERS.names, BASELINES.names
    elif not baselines:
        decoders = decoders or [DEFAULT_DECODER]
    return LineUp(decoders, baselines, options, batch_size, search)


def _show(evaluations: list[Evaluation], as_json: bool, markdown: bool) -> None:
    from unmask.benchmark.tables import markdown_table, notes, table

    if as_json:
        trees = [evaluation.to_json() for evaluation in evaluations]
        print_json(trees[0] if len(trees) == 1 else {"evaluations": trees})
        return
    if markdown:
        for line in markdown_table(evaluations).splitlines():
            say(line)
        return
    headings, rows = table(evaluations)
    if len(rows) == 1:
        print_table(list(zip(headings, rows[0], strict=True)))
    else:
        print_table(rows, headings)
    for line in ["", *notes(evaluations)]:
        say(line)


class Stages:
    """A bar on stderr for each stage, one after the other."""

    def __init__(self) -> None:
        self._bar = ExitStack()
        self._stage, self._done = "", 0
        self._advance: Callable[..., None] = lambda amount: None

    def __enter__(self) -> Stages:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage != self._stage:
            self._bar.close()
            self._advance = self._bar.enter_context(progress_bar(stage, total))
            self._stage, self._done = stage, 0
        self._advance(done - self._done)
        self._done = done
