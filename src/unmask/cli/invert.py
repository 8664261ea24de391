"""`unmask invert`: vectors in, one JSON line per vector out."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unmask.cli.console import note, print_json, printable, progress_bar
from unmask.cli.search_options import (
    USUAL,
    Answers,
    Beam,
    Budget,
    Rounds,
    Scorer,
    check_scorer,
    search_options,
    what_decides,
)
from unmask.errors import InterruptedRun, OutputError, UnmaskError

if TYPE_CHECKING:
    from unmask.attacks.inverter import Inverter
    from unmask.attacks.output import ResumableLines
    from unmask.decoding import DecodeOptions
    from unmask.records import Reconstruction, VectorBatch
    from unmask.search import SearchOptions
    from unmask.vectorstores.base import VectorSource


Input = Annotated[str, typer.Argument(help="A file (.npy, .parquet, ...), - for JSON lines, or a vector store.")]
Steps = Annotated[int, typer.Option(help="Steps from all masked to all set; sequential takes its own.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Vectors at a time; chosen for the device if left out.")]
Seed = Annotated[int, typer.Option(help="Where chance is involved, this decides it.")]
Temperature = Annotated[float, typer.Option(help="0 takes the likeliest token, 1 draws as the model believes.")]
TopP = Annotated[float, typer.Option(help="Draw from the likeliest tokens that make up this share.")]
Drafts = Annotated[
    int, typer.Option(help="Write so many texts (all but the first drawn) and keep the model's own favourite.")
]
LexicalWeight = Annotated[
    float | None, typer.Option(help="What the words read from the vector count for; the model's if left out.")
]
RepeatPenalty = Annotated[
    float | None,
    typer.Option(help="Against words that come again: logits, or a factor if by word; the model's if left out."),
]
Guidance = Annotated[
    float, typer.Option(help="Move on by so much from what would be written without the vector; twice the passes.")
]
Counts = Annotated[str, typer.Option(help="confidence: how the number still masked falls: linear, cosine.")]
ResampleAll = Annotated[bool, typer.Option("--resample-all", help="euler: set every position anew at each step.")]
RemaskShare = Annotated[float, typer.Option(help="euler_remask: share masked again, or least confidence.")]
RemaskMode = Annotated[str, typer.Option(help="euler_remask: lowest or threshold.")]
RestartT = Annotated[float, typer.Option(help="two_stage: share of the first text masked again.")]
Out = Annotated[Path | None, typer.Option(help="File for the lines; stdout if left out.")]
Resume = Annotated[bool, typer.Option(help="Go on with an interrupted --out, or start it over.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first so many vectors.")]
Key = Annotated[str | None, typer.Option(help="Array, tensor, column or JSON key that holds the vectors.")]
Collection = Annotated[str | None, typer.Option(help="Table or collection of a store that has several.")]
Scale = Annotated[str | None, typer.Option(help="For integers: a factor, `unit`, or `binary` for packed bits.")]


def invert(
    vectors: Input,
    model: Annotated[str, typer.Option(help="A name from `unmask models`, or a checkpoint's folder.")] = "minilm",
    decoder: Annotated[str, typer.Option(help="A name from `unmask decoders`.")] = "confidence",
    steps: Steps = 8,
    batch_size: BatchSize = None,
    seed: Seed = 0,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    drafts: Drafts = 1,
    lexical_weight: LexicalWeight = None,
    repeat_penalty: RepeatPenalty = None,
    guidance: Guidance = 0.0,
    counts: Counts = "linear",
    resample_all: ResampleAll = False,
    remask_share: RemaskShare = 0.05,
    remask_mode: RemaskMode = "lowest",
    restart_t: RestartT = 0.5,
    scorer: Scorer = USUAL.scorer,
    budget: Budget = USUAL.budget,
    rounds: Rounds = USUAL.rounds,
    beam: Beam = USUAL.beam,
    answers: Answers = None,
    out: Out = None,
    resume: Resume = True,
    limit: Limit = None,
    key: Key = None,
    scale: Scale = None,
    collection: Collection = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; all if left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --out: print one JSON object about the run.")] = False,
) -> None:
    """Turn vectors back into text: one JSON line per vector.

    Each line has id, text, tokens, the confidence of each token, and the forward passes it took; with decoder search
    also the encoder calls, the cosine of the text's own vector with the given one, and whether that is the same but for
    the encoder's noise. Ids are those of the file, or row numbers. Memory does not grow with the number of vectors.

        unmask invert vectors.npy
        unmask invert store.parquet --key embedding --out texts.jsonl
        unmask invert vectors.npy --decoder euler_remask --steps 32 --seed 1
        unmask invert vectors.npy --decoder search --budget 500
        unmask invert ./chroma_folder --collection notes
        head -3 vectors.jsonl | unmask invert -

    With --out an interrupted run is picked up where it stopped: give the same command again.
    """
    from unmask.attacks.decoders import ALL_DECODERS
    from unmask.attacks.inverter import Inverter
    from unmask.decoding import DecodeOptions
    from unmask.runtime import set_threads
    from unmask.vectorstores import open_vectors

    ALL_DECODERS.resolve(decoder)
    check_scorer(scorer, [decoder])
    choices: dict[str, Any] = {
        "steps": steps, "temperature": temperature, "top_p": top_p, "seed": seed, "drafts": drafts,
        "lexical_weight": lexical_weight, "repeat_penalty": repeat_penalty, "guidance": guidance,
        "counts": counts, "resample_all": resample_all, "remask_share": remask_share, "remask_mode": remask_mode,
        "restart_t": restart_t,
    }  # fmt: skip
    options, search = DecodeOptions(**choices), search_options(scorer, budget, rounds, beam, answers)
    set_threads(threads)
    source = open_vectors(vectors, key=key, scale=scale, collection=collection)
    inverter = Inverter.from_pretrained(model, device=device, precision=precision)
    run = Run(source, inverter, decoder, options, search, batch_size or inverter.default_batch_size, limit)
    if out is None:
        run.to_stdout()
        return
    reading = {"key": key, "scale": scale, **({} if collection is None else {"collection": collection})}
    summary = run.to_file(out, resume, reading)
    print_json(summary) if as_json else note(f"{summary['vectors']} vectors read back into {out}")


class Run:
    """One pass over a source of vectors."""

    def __init__(
        self,
        source: VectorSource,
        inverter: Inverter,
        decoder: str,
        options: DecodeOptions,
        search: SearchOptions,
        batch_size: int,
        limit: int | None,
    ) -> None:
        from unmask.vectorstores.numbers import check_dimension

        check_dimension(source.dimension, inverter.dimension)
        self.source, self.inverter, self.decoder, self.options = source, inverter, decoder, options
        self.search, self.batch_size, self.limit = search, batch_size, limit

    def to_stdout(self) -> None:
        import json

        shown: Callable[[str], str] = printable if sys.stdout.isatty() else str
        for records in self._batches(0):
            lines = [json.dumps(record, ensure_ascii=False) for record in records]
            sys.stdout.write("".join(f"{shown(line)}\n" for line in lines))
            sys.stdout.flush()

    def to_file(self, out: Path, resume: bool, reading: dict[str, Any]) -> dict[str, Any]:
        """Write `out`, resuming where an earlier run stopped; returns what was done."""
        from unmask.attacks.output import ResumableLines

        place = self.source.place
        if place is not None and out.exists() and out.samefile(place):
            raise OutputError(f"{out} is the file of vectors itself; choose another --out")
        lines = ResumableLines(out, self._settings(reading), self.batch_size, resume)
        with stoppable(), lines:
            resumed = lines.done
            if resumed and not self.source.is_repeatable:
                raise OutputError(
                    f"{lines.partial} holds {resumed} results and standard input cannot be taken up again; "
                    "give the vectors as a file, choose another --out, or start over with --no-resume"
                )
            self._fill(lines)
            lines.finish()
        return {"out": str(out), "vectors": lines.done, "resumed_at": resumed}

    def _fill(self, lines: ResumableLines) -> None:
        total = self._total()
        try:
            with progress_bar("inverting", total) as advance:
                advance(lines.done)
                for records in self._batches(lines.done):
                    advance(lines.write(records))
        except KeyboardInterrupt as error:
            raise InterruptedRun(f"stopped; {_kept(lines)}") from error
        except UnmaskError as error:
            if lines.done:
                note(_kept(lines))
            raise error

    def _batches(self, skip: int) -> Iterator[list[dict[str, Any]]]:
        """The records of each batch after the first `skip` vectors."""
        for batch in self._limited(self.source.batches(self.batch_size, skip)):
            found = self.inverter.invert_batches(
                [batch], decoder=self.decoder, options=self.options, batch_size=self.batch_size, search=self.search
            )
            yield [_record(item) for item in found]

    def _limited(self, batches: Iterator[VectorBatch]) -> Iterator[VectorBatch]:
        from unmask.records import VectorBatch

        for batch in batches:
            left = len(batch) if self.limit is None else self.limit - batch.first_row
            if left <= 0:
                return
            yield batch if left >= len(batch) else VectorBatch(batch.values[:left], batch.ids[:left], batch.first_row)

    def _surrogate(self) -> str | None:
        """The hash of the surrogate that has a say in the search, if any has."""
        from unmask.search.surrogate import surrogate_hash, surrogate_manifest

        folder = self.inverter.surrogate_of(self.search.scorer)
        manifest = None if folder is None else surrogate_manifest(folder)
        return None if manifest is None else surrogate_hash(manifest)

    def _total(self) -> int | None:
        known = [number for number in (self.source.count, self.limit) if number is not None]
        return min(known) if known else None

    def _settings(self, reading: dict[str, Any]) -> dict[str, Any]:
        """Everything that decides the lines; a run with other settings must not go on with this one's file."""
        from unmask.attacks.decoders import SEARCH
        from unmask.attacks.output import source_identity

        source = self.source
        return {
            "model": self.inverter.manifest["weights"]["sha256"],
            "decoder": self.decoder,
            **asdict(self.options),
            **({"search": what_decides(self.search), "surrogate": self._surrogate()} if self.decoder == SEARCH else {}),
            "batch_size": self.batch_size,
            "device": self.inverter.device.type,
            "precision": str(self.inverter.dtype).removeprefix("torch."),
            "vectors": source_identity(source) if source.is_repeatable else source.origin,
            **reading,
        }


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM ends the run as cleanly as Ctrl-C does."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _kept(lines: ResumableLines) -> str:
    return f"{lines.done} vectors are done and kept in {lines.partial}; give the same command again to go on"


def _record(found: Reconstruction) -> dict[str, Any]:
    line = {
        "id": found.id,
        "text": found.text,
        "tokens": list(found.tokens),
        "confidence": [round(value, 4) for value in found.confidence],
        "forward_passes": found.cost.forward_passes,
    }
    if found.verified is None:
        return line
    near = None if found.cosine is None else round(found.cosine, 6)
    return {**line, "encoder_calls": found.cost.encoder_calls, "cosine": near, "verified": found.verified}
