"""The search as a decoder: vectors in, a record after every round out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from unmask.decoding import DecodeOptions
from unmask.decoding.options import require
from unmask.records import DecodeStep
from unmask.search.hypotheses import Row, Target
from unmask.search.loop import Search
from unmask.search.options import SearchOptions
from unmask.search.scorers import Scorer

if TYPE_CHECKING:
    from unmask.denoiser.network import Denoiser
    from unmask.diffusion.schedules import Schedule
    from unmask.search.fluency import Fluency

# Vectors that are searched for at one time; when one is done another joins.
TOGETHER = 64


def search(
    denoiser: Denoiser,
    scorer: Scorer,
    vectors: torch.Tensor,
    options: SearchOptions | None = None,
    decode_options: DecodeOptions | None = None,
    row_keys: Sequence[int] | None = None,
    schedule: Schedule | None = None,
    dtype: torch.dtype | None = None,
    together: int = TOGETHER,
    beginnings: Sequence[Row] | None = None,
    screen: Scorer | None = None,
    fluency: Fluency | None = None,
) -> Iterator[DecodeStep]:
    """Search for vectors (batch, dimension); each step holds the best text of every row so far.

    A row whose turn has not come is masked. Rows come out the same whatever else is searched for beside them. Each row
    may be given a text to begin with, instead of the denoiser's first drafts. `screen` is a cheaper scorer that chooses
    which edits are worth the scorer's own answer; `fluency` says how likely texts are.
    """
    chosen = options or SearchOptions()
    running = Search(denoiser, scorer, chosen, decode_options or DecodeOptions(), schedule, dtype, screen, fluency)
    return searched(running, vectors, row_keys, together, beginnings)


def searched(
    running: Search,
    vectors: torch.Tensor,
    row_keys: Sequence[int] | None = None,
    together: int = TOGETHER,
    beginnings: Sequence[Row] | None = None,
) -> Iterator[DecodeStep]:
    """The same by a search that nothing has joined yet."""
    require(together >= 1, "together", together, "at least 1")
    denoiser = running.denoiser
    keys = list(range(len(vectors)) if row_keys is None else row_keys)
    shown = np.full((len(vectors), denoiser.length), denoiser.mask_id, dtype=np.int64)
    step, waves = 0, -(-len(vectors) // together)
    while running.active or len(running.targets) < len(vectors):
        if running.active:
            running.advance()
        room = together - len(running.active)
        joined = len(running.targets)
        if room > 0 and joined < len(vectors):
            part = slice(joined, joined + room)
            running.join(vectors[part], keys[part], None if beginnings is None else beginnings[part])
        step += 1
        most = waves * (1 + running.writer.most_again + running.options.rounds)
        record = record_of(running, running.targets, shown, step, max(step, most))
        shown = record.tokens.numpy()
        yield record


def record_of(running: Search, targets: Sequence[Target], before: np.ndarray, step: int, total: int) -> DecodeStep:
    """What the search holds of some targets, one a row; before: (rows, length), of which the last may have none yet."""
    denoiser, rows = running.denoiser, len(before)
    tokens = np.full((rows, denoiser.length), denoiser.mask_id, dtype=np.int64)
    confidence = torch.zeros(tokens.shape)
    numbers: dict[str, list[float]] = {
        "passes": [0] * rows, "calls": [0] * rows, "compared": [0] * rows, "cosine": [float("nan")] * rows,
    }  # fmt: skip
    verified = [False] * rows
    for row, target in enumerate(targets):
        text = () if target.best is None else target.best.tokens
        tokens[row] = [*text, *[denoiser.pad_id] * (denoiser.length - len(text))]
        confidence[row, : len(text)] = torch.tensor(_sureness(target, text))
        numbers["compared"][row] = target.calls
        numbers["passes"][row], verified[row] = target.passes, target.is_verified
        if running.scorer.is_encoder:  # what a surrogate believes is neither a call nor a cosine
            numbers["calls"][row], numbers["cosine"][row] = target.calls, target.cosine
    return DecodeStep(
        step=step,
        total_steps=total,
        tokens=torch.from_numpy(tokens),
        is_new=torch.from_numpy(tokens != before),
        confidence=confidence,
        forward_passes=torch.tensor(numbers["passes"], dtype=torch.int64),
        encoder_calls=torch.tensor(numbers["calls"], dtype=torch.int64),
        cosine=torch.tensor(numbers["cosine"]),
        is_verified=torch.tensor(verified, dtype=torch.bool),
        compared_texts=torch.tensor(numbers["compared"], dtype=torch.int64),
    )


def _sureness(target: Target, text: Row) -> list[float]:
    """The denoiser's probability of each token given the others, where it was read; else how near the text is."""
    if target.is_verified:
        return [1.0] * len(text)
    ground = target.grounds.get(text)
    if ground is not None:
        return np.exp(ground.present).tolist()
    return [max(0.0, float(np.nan_to_num(target.cosine)))] * len(text)
