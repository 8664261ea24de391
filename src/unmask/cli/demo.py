"""`unmask demo`: sentences are turned into vectors and read back, step by step."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unmask.cli.console import note, printable, stdout
from unmask.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from unmask.attacks.inverter import Inverter
    from unmask.records import DecodeStep

SENTENCES = (
    "The nurse moved the appointment to Thursday morning.",
    "My sister adopted two black kittens from the shelter last week.",
    "Please send the signed contract to our office before Friday.",
    "The new bridge across the river will open to traffic next spring.",
)
HIDDEN, END = "▒▒▒", "·"
SURE, LIKELY = 0.8, 0.4  # confidence from which a token is shown bold, and from which it is no longer dim


@dataclass(frozen=True)
class Outcome:
    """One sentence, there and back."""

    right: int
    total: int
    cosine: float


def demo(
    text: Annotated[list[str] | None, typer.Option(help="A sentence of your own; may be given several times.")] = None,
    model: Annotated[str, typer.Option(help="A name from `unmask models`, or a checkpoint's folder.")] = "minilm",
    decoder: Annotated[str, typer.Option(help="A name from `unmask decoders`.")] = "confidence",
    steps: Annotated[int, typer.Option(min=1, help="Steps from all hidden to all shown.")] = 12,
    seed: Annotated[int, typer.Option(help="Where chance is involved, this decides it.")] = 0,
    pace: Annotated[float, typer.Option(min=0, help="Seconds to wait after each step, in a terminal.")] = 0.15,
    plain: Annotated[bool, typer.Option("--plain", "--no-color", help="Lines of text only, as in a file.")] = False,
) -> None:
    """Watch sentences being read back from their vectors.

    Each sentence is turned into a vector. From the vector alone, a model then fills in all words at once,
    a few more with every step: bold where it is sure, dim where it is not. Works offline, without a GPU.

        unmask demo
        unmask demo --text "The keys are under the blue flower pot."
        unmask demo --decoder sequential --plain
        unmask demo --text "The keys are under the blue flower pot." --decoder search
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from unmask.attacks.inverter import Inverter

    inverter = Inverter.from_pretrained(model)
    console = stdout(plain)
    live = console.is_terminal and not plain
    console.print(_introduction(inverter), markup=False)
    outcomes = []
    for sentence in text or SENTENCES:
        show = Screen(console, inverter, pace) if live else Lines(console, inverter)
        outcomes.append(there_and_back(inverter, sentence, show, decoder=decoder, steps=steps, seed=seed))
    console.print(_meaning(outcomes), markup=False)


class Lines:
    """One line per step: for files, pipes and whoever prefers it."""

    def __init__(self, console: Console, inverter: Inverter) -> None:
        self.console, self.inverter = console, inverter

    @contextmanager
    def drawing(self) -> Iterator[Callable[[DecodeStep], None]]:
        def show(step: DecodeStep) -> None:
            self.console.print(f"  step {step.step:>2} {draw(step, self.inverter).plain}{nearness(step)}", markup=False)

        yield show

    def final(self, text: str, ids: list[int], true_ids: list[int]) -> Text | str:
        return f" {printable(text)}"


class Screen:
    """One text in place, changing."""

    def __init__(self, console: Console, inverter: Inverter, pace: float) -> None:
        self.console, self.inverter, self.pace = console, inverter, pace

    @contextmanager
    def drawing(self) -> Iterator[Callable[[DecodeStep], None]]:
        from rich.live import Live
        from rich.text import Text

        with Live(console=self.console, auto_refresh=False, transient=True) as live:

            def show(step: DecodeStep) -> None:
                drawn = Text(overflow="fold", no_wrap=False).append(f"  step {step.step:>2} ", style="dim")
                drawn.append_text(draw(step, self.inverter)).append(nearness(step), style="dim")
                live.update(drawn, refresh=True)
                time.sleep(self.pace)

            yield show

    def final(self, text: str, ids: list[int], true_ids: list[int]) -> Text | str:
        """Green where the token is right, so that the eye need not compare."""
        is_right = [place < len(true_ids) and true_ids[place] == token for place, token in enumerate(ids)]
        return spell(self.inverter, ids, ["green" if right else "yellow" for right in is_right])


def draw(step: DecodeStep, inverter: Inverter) -> Text:
    """The first row of the batch after one step, without the padding at its end."""
    ids, pad_id = step.tokens[0].tolist(), inverter.tokenizer.pad_id
    while ids and ids[-1] == pad_id:
        ids.pop()
    confidence, is_new = step.confidence[0].tolist(), step.is_new[0].tolist()
    return spell(inverter, ids, [shade(sure, new) for sure, new in zip(confidence, is_new, strict=True)])


def nearness(step: DecodeStep) -> str:
    """Of a decoder that compares: how near the text's own vector is by now, and what that has cost."""
    calls, cosine, _ = step.compared()[0]
    return "" if cosine is None else f"  ({cosine:.3f} after {calls} calls)"


def spell(inverter: Inverter, ids: list[int], styles: list[str]) -> Text:
    """Tokens with a style each; never markup, since the text may be anything."""
    from rich.text import Text

    tokenizer, spelt = inverter.tokenizer, Text()
    for token, piece, style in zip(ids, tokenizer.spelt(ids), styles, strict=False):
        if token in (tokenizer.pad_id, tokenizer.mask_id):
            spelt.append(" ").append(END if token == tokenizer.pad_id else HIDDEN, style="dim")
            continue
        spelt.append(" " if piece.startswith(" ") else "").append(printable(piece.strip(" ")), style=style)
    return spelt


def shade(confidence: float, is_new: bool) -> str:
    """Weight for confidence and colour for news: readable on a light and on a dark ground."""
    weight = "bold" if confidence >= SURE else "not dim" if confidence >= LIKELY else "dim"
    return f"{weight} green" if is_new else weight


def there_and_back(inverter: Inverter, sentence: str, show: Lines | Screen, **how: Any) -> Outcome:
    """Embed one sentence, read it back before the user's eyes, and say how close it came."""
    from unmask.metrics.text import token_accuracy
    from unmask.metrics.vectors import cosine

    tokenizer, encoder = inverter.tokenizer, inverter.encoder()
    true_ids = _readable_part(inverter, sentence)
    vector = encoder.encode([tokenizer.decode(true_ids)])[0]  # (dimension,)
    numbers = " ".join(f"{value:+.3f}" for value in vector[:6])
    show.console.print(f"original   {printable(tokenizer.decode(true_ids))}", markup=False)
    show.console.print(f"vector     {numbers} … {len(vector)} numbers", markup=False)
    seconds, last = _stream(inverter, vector, show, **how)
    found_ids = [token for token in last.tokens[0].tolist() if token != tokenizer.pad_id]
    found = tokenizer.decode(found_ids)
    right = round(float(token_accuracy([true_ids], [found_ids])[0]) * len(true_ids))
    outcome = Outcome(right, len(true_ids), float(cosine(encoder.encode([found]), vector[None, :])[0]))
    show.console.print("read back ", show.final(found, found_ids, true_ids), sep="", markup=False)
    calls, _, is_verified = last.compared()[0]
    asked = "" if is_verified is None else f"{calls} encoder calls, {'' if is_verified else 'not '}verified, "
    show.console.print(
        f"           {outcome.right} of {outcome.total} tokens right, cosine {outcome.cosine:.2f}, "
        f"{int(last.forward_passes[0])} forward passes, {asked}{seconds:.2f} s\n",
        markup=False,
    )
    return outcome


def _readable_part(inverter: Inverter, sentence: str) -> list[int]:
    """The tokens that are embedded and compared: as many as this model can read."""
    whole, length = inverter.tokenizer.encode([sentence])[0], inverter.denoiser.length
    if not whole:
        raise InputError(f"the text {sentence!r} has no tokens, expected at least one word; give another --text")
    if len(whole) > length:
        note(f"the text has {len(whole)} tokens, this model reads {length}: the rest is left out")
    return whole[:length]


def _stream(inverter: Inverter, vector: Any, show: Lines | Screen, **how: Any) -> tuple[float, DecodeStep]:
    """Decode before the user's eyes; the seconds are the network's, not the drawing's."""
    seconds, last = 0.0, None
    with show.drawing() as draw_step:
        started = time.perf_counter()
        for last in inverter.stream(vector, **how):
            seconds += time.perf_counter() - started
            draw_step(last)
            started = time.perf_counter()
    assert last is not None, "every decoder yields at least one step"
    return seconds, last


def _introduction(inverter: Inverter) -> str:
    encoder = inverter.encoder()
    return (
        f"Each sentence becomes a vector of {encoder.dimension} numbers (encoder: {encoder.name}). "
        "From those numbers alone:\n"
    )


def _meaning(outcomes: list[Outcome]) -> str:
    right, total = sum(outcome.right for outcome in outcomes), sum(outcome.total for outcome in outcomes)
    return (
        f"What it means: {right:.0f} of {total} tokens came back in their place, so whoever can read your vectors "
        "can read that much of what you wrote.\n\n"
        "Next:\n"
        "  unmask invert vectors.npy        read back vectors of your own\n"
        "  unmask evaluate --texts my.txt   measure how much comes back, with intervals\n"
        "  unmask doctor                    check this installation and your vectors"
    )
