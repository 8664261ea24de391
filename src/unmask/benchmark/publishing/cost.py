"""What a model costs: parameters, passes of the network, calls of the encoder, seconds a vector."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from unmask.attacks.inverter import Inverter
from unmask.benchmark.publishing import published
from unmask.benchmark.publishing.markdown import NONE, lay_out, notes, number
from unmask.benchmark.publishing.results import Result
from unmask.benchmark.publishing.setting import Opened, Setting, Table
from unmask.benchmark.tables import show
from unmask.decoding import DECODERS
from unmask.errors import UnmaskError
from unmask.metrics.bootstrap import intervals_of_means

NAME = "cost"
ALONE, TOGETHER = 1, 256
RUNS_ALONE, RUNS_TOGETHER = 16, 3


def measure_cost(setting: Setting) -> Iterator[Result]:
    opened = setting.open()
    shared = {**opened.details, **machine(opened.inverter), **parameters(opened.inverter)}
    for decoder in setting.decoders or DECODERS.names:
        for size, runs in ((ALONE, RUNS_ALONE), (TOGETHER, RUNS_TOGETHER)):
            yield _time(opened, decoder, size, runs, shared)


def _time(opened: Opened, decoder: str, size: int, runs: int, shared: dict[str, Any]) -> Result:
    """Some batches of one size, after one that does not count; the vectors are used again where there are too few."""
    setting, vectors = opened.setting, opened.held_out.vectors
    stage = f"timing: {decoder}, {size} together"
    seconds, passes, calls = [], 0.0, 0.0
    for run in range(runs + 1):
        setting.on_progress(stage, run, runs + 1)
        rows = (np.arange(size) + run * size) % len(vectors)
        started = time.perf_counter()
        found = opened.inverter.invert(vectors[rows], decoder=decoder, batch_size=size, options=setting.options)
        if run:
            seconds.append((time.perf_counter() - started) / size)
            passes += float(np.mean([row.cost.forward_passes for row in found])) / runs
            calls += float(np.mean([row.cost.encoder_calls for row in found])) / runs
    setting.on_progress(stage, runs + 1, runs + 1)
    return Result(
        NAME,
        decoder,
        runs,
        setting.seed,
        intervals_of_means({"seconds_per_vector": np.array(seconds)}, setting.seed),
        {"batch": size, "forward_passes_per_vector": passes, "encoder_calls_per_vector": calls},
        {**shared, "steps": setting.options.steps},
    )


def machine(inverter: Inverter) -> dict[str, Any]:
    import torch

    on_gpu = inverter.device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(inverter.device) if on_gpu else inverter.device.type,
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "precision": str(inverter.dtype).removeprefix("torch."),
    }


def parameters(inverter: Inverter) -> dict[str, Any]:
    """Parameters of the network, those that its recipe trains, and the bytes of its weights."""
    total = sum(parameter.numel() for parameter in inverter.denoiser.parameters())
    weights = inverter.folder / inverter.manifest["weights"]["file"]
    sizes = {"parameters": total, "weight_bytes": weights.stat().st_size}
    try:
        from unmask.training.planning import plan

        return {**sizes, "trained_parameters": plan(inverter.recipe)["trained_parameters"]}
    except UnmaskError:  # the parts that the recipe names are not at hand
        return sizes


def markdown(results: Sequence[Result]) -> str:
    headings = ["decoder", "vectors together", "passes per vector", "encoder calls", "seconds per vector"]
    rows = [
        [
            result.label,
            f"{result.numbers['batch']:.0f}",
            number(result.numbers["forward_passes_per_vector"]),
            number(result.numbers["encoder_calls_per_vector"]),
            show(result.metrics["seconds_per_vector"], 1, 4),
            f"{published.MILLISECONDS[result.label] / 1000:.3f}" if result.label in published.MILLISECONDS else NONE,
        ]
        for result in results
    ]
    details = results[0].details
    trained = details.get("trained_parameters")
    of_them = "" if trained is None else f", {trained:,} of them trained"
    size = (
        f"{details['parameters']:,} parameters{of_them}; {details['weight_bytes'] / 1e6:.1f} MB on disk. "
        f"Timed on {details['device']} ({details['processor']}), {details['threads']} threads, {details['precision']}; "
        f"the mean of {RUNS_ALONE} batches of {ALONE} and of {RUNS_TOGETHER} of {TOGETHER}."
    )
    made_with = notes(results).splitlines()[-1]
    return "\n\n".join([lay_out([*headings, "published, A100"], rows), f"{size}\n{made_with}", published.COST])


TABLE = Table(measure_cost, markdown)
