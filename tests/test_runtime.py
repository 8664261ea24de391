"""Device, precision, seed: chosen in one place, refused with a next step."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from unmask import runtime
from unmask.errors import InputError
from unmask.records import VectorBatch


def test_the_automatic_device_exists_and_a_named_one_is_taken_at_its_word() -> None:
    torch.zeros(1, device=runtime.choose_device())
    assert runtime.choose_device("cpu").type == "cpu"


@pytest.mark.parametrize("name", ["quantum", "cpu:x"])
def test_an_unknown_device_lists_what_may_be_said(name: str) -> None:
    with pytest.raises(InputError, match="use auto, cpu, cuda"):
        runtime.choose_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_where_there_is_none_says_what_to_do_instead() -> None:
    with pytest.raises(InputError, match="--device cpu"):
        runtime.choose_device("cuda")


def test_precision_by_name_and_only_by_name() -> None:
    cpu = torch.device("cpu")
    named = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    assert {name: runtime.choose_dtype(name, cpu) for name in named} == named
    assert runtime.choose_dtype("auto", cpu) == (torch.bfloat16 if runtime.cpu_has_fast_bf16() else torch.float32)
    with pytest.raises(InputError, match="unknown precision 'int3'"):
        runtime.choose_dtype("int3", cpu)


def test_autocast_multiplies_in_the_given_precision_and_is_nothing_for_fp32() -> None:
    cpu, matrix = torch.device("cpu"), torch.ones(4, 4)
    with runtime.autocast(cpu, torch.bfloat16):
        assert (matrix @ matrix).dtype == torch.bfloat16
    with runtime.autocast(cpu, torch.float32):
        assert (matrix @ matrix).dtype == torch.float32


def test_threads_are_set_or_refused() -> None:
    before = torch.get_num_threads()
    try:
        runtime.set_threads(1)
        assert torch.get_num_threads() == 1
        runtime.set_threads(None)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    with pytest.raises(InputError, match="at least 1, got 0"):
        runtime.set_threads(0)


def test_one_seed_rules_every_source_of_chance() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    runtime.seed_everything(5)
    first = draw()
    runtime.seed_everything(5)
    assert draw() == first
    runtime.seed_everything(6)
    assert all(new != old for new, old in zip(draw(), first, strict=True))


def test_a_stream_depends_on_its_keys_alone() -> None:
    assert (runtime.stream_for(1, 2, 3).random(4) == runtime.stream_for(1, 2, 3).random(4)).all()
    others = [runtime.stream_for(*keys).random() for keys in [(1, 2, 3), (1, 3, 2), (2, 2, 3), (1, 2), (1, 2, 4)]]
    assert len(set(others)) == len(others)


def test_rank_comes_from_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert runtime.is_main_process()
    monkeypatch.setenv("RANK", "3")
    assert runtime.process_rank() == 3 and not runtime.is_main_process()


def test_records_cannot_be_changed_on_their_way() -> None:
    batch = VectorBatch(np.zeros((2, 3), dtype=np.float32), ("a", "b"))
    assert len(batch) == 2
    with pytest.raises(AttributeError):
        batch.first_row = 5  # type: ignore[misc]
