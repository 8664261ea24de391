"""Training runs: resumed bit for bit, learnt by heart, stopped cleanly."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unmask.decoding import DecodeOptions, decode
from unmask.denoiser.checkpoint import load_checkpoint
from unmask.errors import CheckpointError, InterruptedRun, OutputError, PairsError
from unmask.pairs.dataset import PairsDataset
from unmask.training.journal import read_journal
from unmask.training.loop import train


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run / "last").denoiser.state_dict()


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_twenty_steps_equal_ten_resumed_and_ten_more(pairs: Path, recipe_for: Any, tmp_path: Path) -> None:
    whole = train(recipe_for(training__optimizer__cooldown="constant"), pairs, tmp_path / "whole")
    half = recipe_for(training__optimizer__cooldown="constant", training__max_steps=10)
    train(half, pairs, tmp_path / "parts")
    parts = train(recipe_for(training__optimizer__cooldown="constant"), pairs, tmp_path / "parts", resume=True)
    assert same(weights_of(whole), weights_of(parts))
    losses = [
        [event["loss"] for event in read_journal(run / "log.jsonl") if event["event"] == "step" and event["step"] > 10]
        for run in (whole, parts)
    ]
    assert losses[0] and losses[0] == losses[1]


FAST = {
    "denoiser__lexical__warmup_steps": 6,
    "denoiser__lexical__warmup_batch": 24,
    "training__length_pool": 4,
    "training__whole_share": 0.25,
    "training__softmax_sample": 8,
    "training__milestones": (2, 8),
    "training__optimizer__cooldown": "constant",
}
FROZEN = {
    "denoiser__lexical__looks": 2,
    "denoiser__lexical__looks_after": 4,
    "denoiser__lexical__freeze": True,
    "denoiser__length_head__enabled": True,
}
NEIGHBOURS = {
    **FROZEN,
    "denoiser__neighbours__enabled": True,
    "denoiser__neighbours__hidden": 12,
    "denoiser__neighbours__warmup_steps": 4,
    "denoiser__neighbours__warmup_batch": 20,
    "denoiser__neighbours__freeze": True,
    "denoiser__length_head__hide_padding": True,
    "training__whole_share": 0.0,
}


HEADS_ALONE = {
    **NEIGHBOURS,
    "denoiser__backbone__layers": 0,
    "denoiser__conditioning__adaln": False,
    "denoiser__conditioning__prefix": 0,
    "denoiser__lexical__candidates": 0,
    "denoiser__neighbours__warmup_steps": 0,
    "denoiser__neighbours__freeze": False,
}


@pytest.mark.parametrize(
    ("head", "rows"),
    [({}, 14 * 16), (FROZEN, 14 * 16), (NEIGHBOURS, 4 * 20 + 10 * 16), (HEADS_ALONE, 14 * 16)],
    ids=["trained", "frozen", "neighbours", "heads alone"],
)
@pytest.mark.parametrize("stop", [3, 6, 9, 10, 11])  # among the head's own steps, at their end, and inside a pool
def test_a_run_by_all_the_shortcuts_resumes_bit_for_bit(
    pairs: Path, recipe_for: Any, tmp_path: Path, stop: int, head: dict[str, Any], rows: int
) -> None:
    changes = {**FAST, **head}
    whole = train(recipe_for(**changes), pairs, tmp_path / "whole")
    train(recipe_for(**{**changes, "training__max_steps": stop}), pairs, tmp_path / "parts")
    parts = train(recipe_for(**changes), pairs, tmp_path / "parts", resume=True)
    assert same(weights_of(whole), weights_of(parts))
    saved = [event for event in read_journal(parts / "log.jsonl") if event["event"] == "end"][-1]
    assert saved["samples"] == 6 * 24 + rows


def test_a_frozen_head_keeps_what_its_own_steps_averaged_and_the_network_goes_on(
    pairs: Path, recipe_for: Any, tmp_path: Path
) -> None:
    run = train(recipe_for(**FAST, **FROZEN), pairs, tmp_path / "run")
    early, late = (load_checkpoint(run / "milestones" / f"step-{step}").denoiser for step in (8, 14))
    assert late.lexical is not None and early.lexical is not None and len(late.lexical.looks) == 2
    assert late.length_head is not None and early.length_head is not None
    assert same(early.length_head.state_dict(), late.length_head.state_dict())
    assert torch.equal(early.vector.null_vector, late.vector.null_vector)
    assert torch.equal(early.table, late.table) and same(early.lexical.state_dict(), late.lexical.state_dict())
    moved = [name for name, value in late.state_dict().items() if not torch.equal(early.state_dict()[name], value)]
    assert len(moved) > 10
    free = train(recipe_for(**FAST, **{**FROZEN, "denoiser__lexical__freeze": False}), pairs, tmp_path / "free")
    early, late = (load_checkpoint(free / "milestones" / f"step-{step}").denoiser for step in (8, 14))
    assert not torch.equal(early.table, late.table)


def test_each_phase_trains_its_own_part(pairs: Path, recipe_for: Any, tmp_path: Path) -> None:
    def weights(steps: int) -> dict[str, torch.Tensor]:
        recipe = recipe_for(**{**FAST, **NEIGHBOURS, "training__max_steps": steps, "training__ema": 0.0})
        return weights_of(train(recipe, pairs, tmp_path / f"to-{steps}"))

    def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
        return {name.partition(".")[0] for name, value in after.items() if not torch.equal(before[name], value)}

    begun, words, near, end = (weights(steps) for steps in (1, 6, 10, 14))
    assert moved(begun, words) == {"lexical", "length_head", "backbone"}  # of the backbone the table
    assert moved(words, near) == {"neighbours", "backbone", "bias_gate"}  # of the backbone the bias
    assert {"lexical", "length_head", "neighbours"}.isdisjoint(moved(near, end))
    assert {"backbone", "network_gate", "draft_entrance", "modulator"} <= moved(near, end)


def test_the_looks_join_after_their_steps(pairs: Path, recipe_for: Any, tmp_path: Path) -> None:
    def leaving(steps: int) -> torch.Tensor:
        recipe = recipe_for(**FAST, **FROZEN, training__max_steps=steps)
        return weights_of(train(recipe, pairs, tmp_path / f"to-{steps}"))["lexical.looks.0.layers.2.weight"]

    assert not leaving(4).any() and leaving(5).any()


def test_the_rate_falls_over_the_networks_own_part_of_the_run(pairs: Path, recipe_for: Any, tmp_path: Path) -> None:
    changes = {**FAST, "training__optimizer__cooldown": "linear", "training__optimizer__final_share": 0.0}
    recipe = recipe_for(**changes, training__optimizer__warmup_steps=0, training__log_every=1)
    run = train(recipe, pairs, tmp_path / "run")
    rates = [event["learning_rate"] for event in read_journal(run / "log.jsonl") if event["event"] == "step"]
    top = recipe.training.optimizer.learning_rate
    assert rates[6:] == pytest.approx([top * (1 - step / 14) for step in range(14)])


def test_milestones_are_checkpoints_of_their_own(pairs: Path, recipe_for: Any, tmp_path: Path) -> None:
    run = train(recipe_for(**FAST), pairs, tmp_path / "run")
    assert sorted(folder.name for folder in (run / "milestones").iterdir()) == ["step-14", "step-8"]
    kept = load_checkpoint(run / "milestones" / "step-8")
    assert kept.manifest["progress"]["step"] == 8


def test_another_seed_gives_another_model(pairs: Path, recipe_for: Any, tmp_path: Path) -> None:
    first = train(recipe_for(training__max_steps=3), pairs, tmp_path / "first")
    second = train(recipe_for(training__max_steps=3, seed=8), pairs, tmp_path / "second")
    assert not same(weights_of(first), weights_of(second))


@pytest.mark.parametrize("backbone", ["lexical", "paper", "heads alone"])
def test_sixty_four_sentences_are_learnt_to_exact_match_from_full_mask(
    pairs: Path, recipe_for: Any, tmp_path: Path, backbone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.arange(64)
    monkeypatch.setattr(PairsDataset, "count", lambda self, split: 64 if split == "train" else 0)
    changes: dict[str, Any] = {
        "training__max_steps": 400, "training__batch_size": 64, "denoiser__dropout": 0.0, "training__ema": 0.9,
        "training__save_every": 10_000, "denoiser__lexical__enabled": backbone != "paper",
    }  # fmt: skip
    if backbone == "paper":
        changes |= {"denoiser__conditioning__prefix": 0, "schedule": {"kind": "linear"}}
    if backbone == "heads alone":
        changes |= {**HEADS_ALONE, "denoiser__neighbours__hidden": 96, "denoiser__lexical__warmup_steps": 300}
        changes |= {"training__max_steps": 700}
    run = train(recipe_for(**changes), pairs, tmp_path / "run")
    ids, vectors = PairsDataset.open(pairs).rows("train", rows)
    denoiser = load_checkpoint(run / "last").denoiser
    last = list(decode(denoiser, torch.from_numpy(vectors), "sequential", DecodeOptions()))[-1]
    assert (last.tokens.numpy() == ids).all(axis=1).mean() == 1.0


def test_validation_keeps_the_best_and_logs_what_it_saw(pairs: Path, recipe_for: Any, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    run = train(recipe_for(), pairs, tmp_path / "run", on_event=events.append)
    measured = [event for event in events if event["event"] == "validation"]
    assert [event["step"] for event in measured] == [10, 20]
    assert {"validation_loss", "validation_token_f1", "validation_exact_match"} <= set(measured[0])
    best = min(measured, key=lambda event: event["validation_loss"])
    assert load_checkpoint(run).manifest["progress"]["step"] == best["step"]
    assert [event["event"] for event in read_journal(run / "log.jsonl")] == [event["event"] for event in events]


def test_a_signal_stops_the_run_saved_and_resumable(pairs: Path, recipe_for: Any, tmp_path: Path) -> None:
    def interrupt(event: dict[str, Any]) -> None:
        if event["event"] == "step" and event["step"] == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(InterruptedRun, match=r"stopped at step 5; .*--resume"):
        train(recipe_for(), pairs, tmp_path / "run", on_event=interrupt)
    resumed = train(recipe_for(), pairs, tmp_path / "run", resume=True)
    whole = train(recipe_for(), pairs, tmp_path / "whole")
    assert same(weights_of(resumed), weights_of(whole))


def test_a_second_run_into_the_same_folder_is_refused(pairs: Path, recipe_for: Any, tmp_path: Path) -> None:
    train(recipe_for(training__max_steps=2), pairs, tmp_path / "run")
    with pytest.raises(CheckpointError, match="holds a training run already; go on with --resume"):
        train(recipe_for(training__max_steps=4), pairs, tmp_path / "run")


def test_resuming_with_another_recipe_is_refused(pairs: Path, recipe_for: Any, tmp_path: Path) -> None:
    train(recipe_for(training__max_steps=2), pairs, tmp_path / "run")
    with pytest.raises(CheckpointError, match="trained with another recipe"):
        train(recipe_for(training__batch_size=8), pairs, tmp_path / "run", resume=True)


def test_a_truncated_state_is_called_damaged(pairs: Path, recipe_for: Any, tmp_path: Path) -> None:
    train(recipe_for(training__max_steps=2), pairs, tmp_path / "run")
    state = next((tmp_path / "run" / "state").glob("*.safetensors"))
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="damaged or missing"):
        train(recipe_for(training__max_steps=4), pairs, tmp_path / "run", resume=True)


def test_pairs_of_another_recipe_are_refused(pairs: Path, recipe_for: Any, tmp_path: Path) -> None:
    with pytest.raises(PairsError, match=r"length"):
        train(recipe_for(text__length=12), pairs, tmp_path / "run")
    assert not (tmp_path / "run" / "log.jsonl").exists()


def test_pairs_of_another_encoder_are_refused(pairs: Path, recipe_for: Any, tmp_path: Path) -> None:
    with pytest.raises(PairsError, match=r"encoder\.name is 'minilm' there and 'api' now"):
        train(recipe_for(encoder={"name": "api"}), pairs, tmp_path / "run")


def test_resuming_on_other_pairs_is_refused(
    pairs: Path, recipe_for: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(recipe_for(training__max_steps=2), pairs, tmp_path / "run")
    other = dataclasses.replace(PairsDataset.open(pairs).manifest, recipe_hash="other")
    monkeypatch.setattr("unmask.pairs.dataset.read_manifest", lambda folder: other)
    with pytest.raises(CheckpointError, match="another recipe or other pairs"):
        train(recipe_for(training__max_steps=4), pairs, tmp_path / "run", resume=True)


def test_two_runs_in_one_folder_are_refused(pairs: Path, recipe_for: Any, tmp_path: Path) -> None:
    def begin_another(event: dict[str, Any]) -> None:
        if event["event"] == "start":
            with pytest.raises(OutputError, match="another process is training in"):
                train(recipe_for(), pairs, tmp_path / "run")
            seen.append(event)

    seen: list[dict[str, Any]] = []
    train(recipe_for(training__max_steps=2), pairs, tmp_path / "run", on_event=begin_another)
    assert seen


def test_killed_while_saving_the_run_goes_on_from_the_state_before(
    pairs: Path, recipe_for: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise SystemExit

    recipe = recipe_for(training__max_steps=6, training__save_every=2)
    whole = train(recipe, pairs, tmp_path / "whole")
    train(recipe_for(training__max_steps=2, training__save_every=2), pairs, tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr("unmask.training.state.write_json", die)
        with pytest.raises(SystemExit):
            train(recipe, pairs, tmp_path / "run", resume=True)
    assert same(weights_of(whole), weights_of(train(recipe, pairs, tmp_path / "run", resume=True)))


def test_a_loss_that_is_no_number_ends_the_run_with_advice(pairs: Path, recipe_for: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"not a number .*learning_rate"):
        wild = recipe_for(training__optimizer__learning_rate=1e30, training__optimizer__warmup_steps=0)
        train(wild, pairs, tmp_path / "run")


def test_accumulated_parts_take_the_rows_of_a_whole_batch(pairs: Path, recipe_for: Any, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    train(
        recipe_for(training__batch_size=8, training__accumulate=4, training__max_samples=96), pairs, tmp_path / "run",
        on_event=events.append,
    )  # fmt: skip
    assert events[-1]["event"] == "end" and events[-1]["step"] == 3 and events[-1]["samples"] == 96


def test_minutes_end_a_run(pairs: Path, recipe_for: Any, tmp_path: Path) -> None:
    recipe = recipe_for(training__max_steps=None, training__max_minutes=0.005)
    events: list[dict[str, Any]] = []
    train(recipe, pairs, tmp_path / "run", on_event=events.append)
    assert events[-1]["event"] == "end" and events[-1]["seconds"] >= 0.3
