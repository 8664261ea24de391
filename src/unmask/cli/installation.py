"""What `unmask doctor` finds out about this installation and machine; nothing here writes to the terminal."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from unmask.errors import UnmaskError

if TYPE_CHECKING:
    import torch

    from unmask.encoders.base import Encoder

SENTENCE = "The meeting with the two lawyers is moved to Friday morning."
SIMILAR = "On Friday morning the meeting with both lawyers takes place."
DIFFERENT = "Grate the cheese and heat the oven to two hundred degrees."
READ_BACK = (
    SENTENCE,
    "The doctor says the knee will need an operation.",
    "We ate fish and potatoes at a small place near the harbour.",
    "The new version of the software crashes when it starts.",
)
MATRIX = 1024


@dataclass(frozen=True)
class Check:
    """One thing that works, is not there, or fails, and the command that mends it."""

    group: Literal["packages", "encoders", "models"]
    name: str
    status: Literal["ok", "missing", "failed"]
    detail: str
    remedy: str = ""

    @property
    def is_essential_failure(self) -> bool:
        """What is merely not installed or not shipped leaves the rest working."""
        return self.status == "failed"


def versions() -> dict[str, str]:
    from importlib.metadata import version

    from unmask import __version__

    packages = ("torch", "transformers", "sentence-transformers", "huggingface_hub", "numpy")
    return {"unmask": __version__, "python": platform.python_version(), **{name: version(name) for name in packages}}


def machine() -> dict[str, Any]:
    """Device, threads, and the speed of a matrix product."""
    import torch

    from unmask.runtime import choose_device, choose_dtype, cpu_has_fast_bf16

    device = choose_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "system": platform.platform(),
        "device": str(device),
        "device_name": name,
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bf16_in_cpu_hardware": cpu_has_fast_bf16(),
        "precision_auto": str(choose_dtype("auto", device)).removeprefix("torch."),
        "matrix_gflops_fp32": round(matrix_speed(device, torch.float32)),
        "matrix_gflops_bf16": round(matrix_speed(device, torch.bfloat16)),
    }


def matrix_speed(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float:
    """The best rate of a square matrix product within some time, in GFLOP/s."""
    import torch

    left = torch.randn(MATRIX, MATRIX, device=device).to(dtype)
    right = torch.randn(MATRIX, MATRIX, device=device).to(dtype)
    best, end = float("inf"), time.perf_counter() + seconds
    rounds = 0
    while rounds < 2 or time.perf_counter() < end:
        start = time.perf_counter()
        float((left @ right)[0, 0])  # reading a value waits for the device
        best = min(best, time.perf_counter() - start)
        rounds += 1
    return 2 * MATRIX**3 / best / 1e9


def check_packages() -> Iterator[Check]:
    """Every requirement of the installed package, those of the extras too."""
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    try:
        requirements = [Requirement(line) for line in requires("unmask") or []]
    except PackageNotFoundError:
        yield Check("packages", "unmask", "missing", "runs from its source folder", "pip install -e .")
        return
    for requirement in requirements:
        extra = _extra_of(requirement)
        if extra == "dev":
            continue
        remedy = (
            f"pip install 'unmask[{extra}]'" if extra else f"pip install -U '{requirement.name}{requirement.specifier}'"
        )
        absent: Literal["missing", "failed"] = "missing" if extra else "failed"
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            detail = f"not installed; only needed for {extra}" if extra else "not installed"
            yield Check("packages", requirement.name, absent, detail, remedy)
            continue
        if requirement.specifier.contains(found, prereleases=True):
            yield Check("packages", requirement.name, "ok", found)
        else:
            yield Check("packages", requirement.name, "failed", f"{found}, expected {requirement.specifier}", remedy)


def _extra_of(requirement: Any) -> str | None:
    """The extra that alone asks for a requirement."""
    import re

    found = re.search(r"extra == [\"'](\w+)[\"']", str(requirement.marker or ""))
    return found.group(1) if found else None


def check_encoder(name: str, load: Callable[[], Encoder]) -> Check:
    """Load it and see that its vectors are stable, of one length, and nearer for sentences that mean the same."""
    import numpy as np

    try:
        encoder = load()
        first = encoder.encode([SENTENCE, SIMILAR, DIFFERENT])
        again = encoder.encode([SENTENCE])[0]
    except UnmaskError as error:
        return Check("encoders", name, "failed", str(error))
    norms = np.linalg.norm(first, axis=1)
    a, b, c = first / norms[:, None]
    drift = float(1 - a @ again / np.linalg.norm(again))
    if drift > 0.001:
        return Check("encoders", name, "failed", f"the same sentence gave two vectors, cosine {1 - drift:.4f}")
    if a @ b <= a @ c:
        detail = (
            f"a rewording is farther (cosine {a @ b:.2f}) than another subject ({a @ c:.2f}): the weights are wrong"
        )
        return Check("encoders", name, "failed", detail, "load the model's files anew")
    detail = f"{encoder.dimension}-d, norm {norms.min():.3f}, rewording {a @ b:.2f}, another subject {a @ c:.2f}"
    return Check("encoders", name, "ok", detail)


def check_other_encoders(tried: str) -> Iterator[Check]:
    """The registered encoders that nobody asked for, by what they need."""
    from unmask.encoders import ENCODERS

    for entry in ENCODERS:
        if entry.name == tried:
            continue
        try:
            ENCODERS.resolve(entry.name)
        except ImportError as error:
            yield Check("encoders", entry.name, "failed", f"cannot be imported: {error}", "pip install -U unmask")
            continue
        missing = entry.name == "api" and not _is_installed("openai")
        detail = "the client is not installed" if missing else "ready; " + entry.summary
        remedy = "pip install 'unmask[api]'" if missing else ""
        yield Check("encoders", entry.name, "missing" if missing else "ok", detail, remedy)


def _is_installed(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None


def check_models() -> Iterator[Check]:
    """Each model that ships: read a sentence back from its vector."""
    from unmask.denoiser.checkpoint import shipped_models

    names = [str(manifest["name"]) for manifest in shipped_models()]
    if not names:
        remedy = "unmask prepare minilm, then unmask train minilm"
        yield Check("models", "-", "missing", "no model ships with this installation", remedy)
    for name in names:
        yield check_model(name)


def check_model(name: str) -> Check:
    from unmask.attacks.inverter import Inverter

    try:
        inverter = Inverter.from_pretrained(name)
        encoder = inverter.encoder()
        vectors = encoder.encode(READ_BACK)  # (sentences, dimension)
        found = [answer.text for answer in inverter.invert(vectors)]
        likeness = encoder.encode(found) @ vectors.T  # (found, sentences)
    except UnmaskError as error:
        return Check("models", name, "failed", str(error), "install unmask again from where you got it")
    recognised = int((likeness.argmax(axis=1) == range(len(READ_BACK))).sum())
    detail = f"{recognised} of {len(READ_BACK)} sentences recognisable; '{READ_BACK[0]}' came back as '{found[0]}'"
    # A weak model still comes closest to its own sentence; one that does not read its vectors does so by chance.
    if recognised < len(READ_BACK) - 1:
        return Check("models", name, "failed", detail, "install unmask again from where you got it")
    return Check("models", name, "ok", detail)
