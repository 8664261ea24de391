"""The demo on a tiny untrained model: what it shows is what happened, in a terminal and in a pipe, and it is safe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from unmask.cli.demo import HIDDEN, SENTENCES, shade
from unmask.cli.main import app

ATTACK = "\x1b[2J[red]x[/red]"
WORDS = ["the", "keys", "are", "under", "pot", ATTACK]
LENGTH = 8


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, eight positions, and a vocabulary in which some words are attacks on the terminal."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from unmask.denoiser.build import build_denoiser, token_space
    from unmask.denoiser.checkpoint import save_checkpoint
    from unmask.encoders import load_encoder
    from unmask.recipe import DenoiserSection, Recipe, ScratchBackbone, TextSection, TrainingSection
    from unmask.text.tokens import TextTokenizer

    names = ["[PAD]", "[UNK]", "[MASK]", *WORDS]
    inner = Tokenizer(models.WordLevel({name: row for row, name in enumerate(names)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", pad_token="[PAD]", mask_token="[MASK]")
    tokenizer = TextTokenizer.from_transformers(wrapped, "words")
    section = DenoiserSection(backbone=ScratchBackbone(kind="scratch", layers=1, hidden=16, heads=2, feed_forward=16))
    encoder = load_encoder("minilm")
    torch.manual_seed(0)
    denoiser = build_denoiser(section, token_space(tokenizer), LENGTH, encoder.dimension)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.normal_(std=0.5)
        denoiser.backbone.bias[names.index(ATTACK)] = 6.0
    recipe = Recipe(
        name="tiny", text=TextSection(length=LENGTH), denoiser=section, training=TrainingSection(max_steps=1)
    )
    folder = tmp_path_factory.mktemp("demo") / "tiny"
    save_checkpoint(folder, denoiser, tokenizer, recipe, {"name": "minilm", "fingerprint": encoder.fingerprint}, {})
    return folder


def show(checkpoint: Path, *arguments: str, **environment: str) -> Result:
    command = ["demo", "--model", str(checkpoint), "--pace", "0", *arguments]
    return CliRunner().invoke(app, command, env=environment)


def without_times(output: str) -> str:
    return re.sub(r"\d+\.\d\d s", "", output)


def test_in_a_pipe_each_step_is_a_line_and_each_hides_less_than_the_one_before(checkpoint: Path) -> None:
    shown = show(checkpoint, "--text", "the keys are under the pot", "--steps", "4")
    assert shown.exit_code == 0, shown.output
    hidden = [line.count(HIDDEN) for line in shown.stdout.splitlines() if line.startswith("  step")]
    assert hidden == sorted(hidden, reverse=True) and hidden[0] < LENGTH and hidden[-1] == 0
    assert "\x1b" not in shown.stdout


def test_the_closing_figures_are_those_of_the_text_shown(checkpoint: Path) -> None:
    import numpy as np

    from unmask.encoders import load_encoder

    sentence = "the keys are under the pot"
    shown = show(checkpoint, "--text", sentence).stdout
    found = re.search(r"^read back  (.*)$", shown, re.MULTILINE)
    figures = re.search(r"(\d+) of (\d+) tokens right, cosine (-?[\d.]+), (\d+) forward passes", shown)
    assert found is not None and figures is not None
    text = found[1].replace("\\x1b", "\x1b")
    right = sum(a == b for a, b in zip(sentence.split(), text.split(), strict=False))
    one, other = load_encoder("minilm").encode([sentence, text])
    assert [int(figures[1]), int(figures[2])] == [right, len(sentence.split())]
    assert abs(float(figures[3]) - float(np.dot(one, other))) < 0.02
    assert f"{right} of {len(sentence.split())} tokens came back" in shown


def test_without_a_text_it_shows_its_own_and_says_what_to_do_next(checkpoint: Path) -> None:
    shown = show(checkpoint).stdout
    assert len(re.findall(r"^original", shown, re.MULTILINE)) == len(SENTENCES)
    assert all(f"unmask {command}" in shown for command in ("invert", "evaluate", "doctor"))


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1", "TERM": "xterm-256color"}], ids=["pipe", "terminal"])
def test_recovered_text_can_neither_command_the_terminal_nor_pose_as_markup(
    checkpoint: Path, environment: dict[str, str]
) -> None:
    shown = show(checkpoint, "--text", "the keys", **environment).stdout
    assert ATTACK not in shown and "\x1b[2J" not in shown
    assert ATTACK.replace("\x1b", "\\x1b") in re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert ("\x1b[" in shown) == bool(environment)


def test_the_same_seed_shows_the_same_and_every_decoder_can_be_watched(checkpoint: Path) -> None:
    from unmask.decoding import DECODERS

    for decoder in DECODERS.names:
        runs = [show(checkpoint, "--text", "the pot", "--decoder", decoder, "--seed", "3") for _ in range(2)]
        assert [run.exit_code for run in runs] == [0, 0]
        assert without_times(runs[0].stdout) == without_times(runs[1].stdout)


def test_a_text_that_is_too_long_is_read_as_far_as_the_model_reaches(checkpoint: Path) -> None:
    shown = show(checkpoint, "--text", "the keys are under the pot " * 3)
    assert shown.exit_code == 0 and f"this model reads {LENGTH}" in shown.stderr
    assert f" of {LENGTH} tokens right" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (["--text", ""], 1, "expected at least one word"),
        (["--decoder", "confidense"], 2, "did you mean 'confidence'"),
        (["--model", "no-such-model"], 2, "no model 'no-such-model'"),
        (["--steps", "0"], 2, "--steps"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_a_sentence(
    checkpoint: Path, arguments: list[str], code: int, hint: str
) -> None:
    shown = show(checkpoint, *arguments)
    assert shown.exit_code == code and hint in shown.stderr


def test_confidence_and_news_look_different() -> None:
    looks = {shade(confidence, is_new) for confidence in (0.1, 0.5, 0.9) for is_new in (True, False)}
    assert len(looks) == 6
