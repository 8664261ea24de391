"""`unmask doctor`: is this installation well, and are these the vectors you think they are?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unmask.cli import encoder_options as options
from unmask.cli.console import note, print_json, print_table, say
from unmask.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from unmask.cli.installation import Check
    from unmask.encoders.base import Encoder
    from unmask.encoders.diagnosis import Diagnosis

ROWS = 8192
SIGNS = {"ok": "ok", "missing": "--", "failed": "NO"}


def doctor(
    vectors: Annotated[Path | None, typer.Option(help="Vectors of yours, one for each text of --texts.")] = None,
    texts: Annotated[str | None, typer.Option(help="Their texts: a line each, or JSONL with `text`.")] = None,
    encoder: options.EncoderName = "minilm",
    model: options.Model = None,
    prompt: options.Prompt = None,
    task: options.Task = None,
    truncate_dim: options.TruncateDim = None,
    limit: Annotated[int, typer.Option(min=1, help="Embed at most so many texts again.")] = 256,
    key: Annotated[str | None, typer.Option(help="Array, tensor, column or JSON key that holds the vectors.")] = None,
    scale: Annotated[
        str | None, typer.Option(help="For integers: a factor, `unit`, or `binary` for packed bits.")
    ] = None,
    batch_size: options.BatchSize = None,
    url: options.Url = None,
    api_key_variable: options.KeyVariable = None,
    budget: options.Budget = None,
    trust_remote_code: options.TrustRemoteCode = False,
    device: options.Device = "auto",
    threads: options.Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check this installation, or check that your vectors are what you think they are.

    Alone it shows versions, device and speed, and tries the encoder and every model that is at hand:

        unmask doctor

    With vectors and their texts it embeds the texts again and says whether the vectors match and, if not, which
    difference explains it: normalisation, prompt, pooling, dimension, truncation, precision, order, or another model.
    Vectors that are silently wrong are the most common reason for garbage.

        unmask doctor --vectors store.npy --texts texts.txt --encoder Qwen/Qwen3-Embedding-0.6B

    The exit code is 0 only if nothing essential fails, or if the vectors match.
    """
    from unmask.runtime import set_threads

    set_threads(threads)

    # fp32, so that this machine's rounding is not taken for a difference.
    made: dict[str, Any] = {"model": model, "prompt": prompt, "task": task, "truncate_dim": truncate_dim}
    run: dict[str, Any] = {"batch_size": batch_size, "precision": "fp32"}
    server: dict[str, Any] = {"url": url, "api_key_variable": api_key_variable, "budget": budget}

    def load() -> Encoder:
        return options.open_encoder(encoder, device, trust_remote_code, **made, **run, **server)

    if vectors is None and texts is None:
        report_installation(encoder, load, as_json)
    elif vectors is None or texts is None:
        missing = "--vectors" if vectors is None else "--texts"
        raise InputError(f"{missing} is missing: vectors are compared with the texts they were made of; give both")
    else:
        rows, values = read_pairs(vectors, texts, key, scale)
        report_vectors(load(), rows, values, limit, as_json)


def read_pairs(vectors: Path, texts: str, key: str | None, scale: str | None) -> tuple[list[str], np.ndarray]:
    import numpy as np

    from unmask.text_files import read_text_file
    from unmask.vectorstores import open_vectors

    source = open_vectors(vectors, key=key, scale=scale)
    values = np.concatenate([batch.values for batch in source.batches(ROWS)])
    return read_text_file(texts), values


def report_vectors(encoder: Encoder, texts: list[str], vectors: np.ndarray, limit: int, as_json: bool) -> None:
    from unmask.encoders.diagnosis import diagnose

    found = diagnose(encoder, texts, vectors, limit)
    if as_json:
        print_json({"encoder": encoder.name, "matches": found.matches, **asdict(found)})
    else:
        show_diagnosis(found, encoder.name)
    if not found.matches:
        raise typer.Exit(1)


def show_diagnosis(found: Diagnosis, encoder: str) -> None:
    say(f"{found.kind}: {found.summary}")
    for remark in found.notes:
        say(f"  {remark}")
    if not found.matches:
        say(f"what to do: {found.advice}")
    say(
        f"({found.rows} rows compared with encoder '{encoder}': {found.agreeing} agree, "
        f"mean cosine {found.cosine:.4f}, {found.given_dimension} dimensions given, {found.encoder_dimension} made)"
    )
    best = sorted(found.attempts, key=lambda attempt: -attempt.cosine)[:5]
    if best:
        note(f"tried {len(found.attempts)} other ways to make them; the nearest:")
        for attempt in best:
            note(f"  cosine {attempt.cosine:.4f}  {attempt.what}")


def report_installation(encoder: str, load: Callable[[], Encoder], as_json: bool) -> None:
    from unmask.cli import installation

    facts: dict[str, Any] = {"versions": installation.versions(), "machine": installation.machine()}
    if not as_json:
        show_facts(facts)
    checks: list[Check] = []
    tried = (
        installation.check_packages,
        lambda: [installation.check_encoder(encoder, load), *installation.check_other_encoders(encoder)],
        installation.check_models,
    )
    for check in tried:
        found = list(check())
        checks += found
        if not as_json:
            show_checks(found)
    broken = [check for check in checks if check.is_essential_failure]
    if as_json:
        print_json({"ok": not broken, **facts, "checks": [asdict(check) for check in checks]})
    else:
        say(f"{len(broken)} things fail" if broken else "everything essential works")
    if broken:
        raise typer.Exit(1)


def show_facts(facts: dict[str, Any]) -> None:
    for heading, values in facts.items():
        say(heading)
        print_table([["", name.replace("_", " "), str(value)] for name, value in values.items()])


def show_checks(checks: list[Check]) -> None:
    if not checks:
        return
    say(checks[0].group)
    print_table([[f"  {SIGNS[check.status]}", check.name, check.detail] for check in checks])
    for check in checks:
        if check.remedy:
            say(f"      {check.name}: {check.remedy}")
