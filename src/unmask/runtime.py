"""Device, dtype, threads, seed and rank: everything about where the numbers are computed."""

from __future__ import annotations

import os
import random
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from unmask.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import torch

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def choose_device(name: str = "auto") -> torch.device:
    """`auto` prefers CUDA, then Apple's MPS, then the CPU."""
    import torch

    if name != "auto":
        try:
            device = torch.device(name)
        except RuntimeError as error:
            raise InputError(f"unknown device '{name}'; use auto, cpu, cuda, cuda:N or mps") from error
        if device.type == "cuda" and not torch.cuda.is_available():
            raise InputError(f"device '{name}' was asked for, but torch sees no CUDA device; use --device cpu")
        return device
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def cpu_has_fast_bf16() -> bool:
    """Whether this CPU multiplies bf16 in hardware; without that bf16 is emulated and slower than fp32."""
    import torch

    if hasattr(torch.cpu, "_is_avx512_bf16_supported"):
        return bool(torch.cpu._is_avx512_bf16_supported())
    return False


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """`auto` is bf16 where the hardware multiplies it, else fp32."""
    import torch

    if precision not in PRECISIONS:
        raise InputError(f"unknown precision '{precision}'; use one of {', '.join(PRECISIONS)}")
    if precision == "fp32":
        return torch.float32
    if precision == "fp16":
        return torch.float16
    if precision == "bf16":
        return torch.bfloat16
    fast = (
        torch.cuda.is_bf16_supported(including_emulation=False)
        if device.type == "cuda"
        else device.type == "cpu" and cpu_has_fast_bf16()
    )
    return torch.bfloat16 if fast else torch.float32


def autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[object]:
    """Matrix products in `dtype`; nothing for fp32, and None leaves them as they are."""
    import torch

    if dtype is None or dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def set_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        if threads < 1:
            raise InputError(f"threads must be at least 1, got {threads}")
        torch.set_num_threads(threads)


def seed_everything(seed: int) -> None:
    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def stream_for(seed: int, *keys: int) -> np.random.Generator:
    """An independent random stream for (seed, keys): the same whatever else is in the batch."""
    import numpy

    return numpy.random.Generator(numpy.random.Philox(numpy.random.SeedSequence([seed % 2**63, *keys])))


def process_rank() -> int:
    return int(os.environ.get("RANK", "0"))


def is_main_process() -> bool:
    return process_rank() == 0


def keep_freed_memory() -> None:
    """Let the process keep large freed blocks instead of giving them back to the system.

    On a CPU every step frees and takes the same few large blocks; taking them anew costs a few percent of it.
    """
    import ctypes

    # Large pages for new memory, where no tensor has been made yet: torch reads this at its first allocation.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    mmap_max, trim_threshold, top_pad = -4, -1, -2  # glibc's numbers of these settings
    try:
        library = ctypes.CDLL(None)
        library.mallopt(mmap_max, 0)
        library.mallopt(trim_threshold, 2**31 - 1)
        library.mallopt(top_pad, 2**26)
    except (OSError, AttributeError):  # not glibc: slower, nothing else
        return
