"""Fill-in accuracy: a tenth of the tokens hidden, the others and the length visible, one pass of the network.

This is what the published headline measures. It says how good the model is at a cloze text; it says nothing about
reading a text back from its vector.
"""

from __future__ import annotations

import numpy as np
import torch

from unmask.attacks.inverter import Inverter
from unmask.benchmark.held_out import HeldOut
from unmask.decoding import DecodeOptions
from unmask.decoding.loop import Decoding
from unmask.metrics.bootstrap import interval_of_sums
from unmask.records import Interval
from unmask.runtime import stream_for

SHARE = 0.1
DECODER = "confidence"  # in one step it takes the likeliest token at every hidden position
_ROWS_AT_ONCE = 256


def fill_in_accuracy(inverter: Inverter, held_out: HeldOut, share: float = SHARE, seed: int = 0) -> Interval:
    """Right tokens ÷ hidden ones; at least one of each text is hidden."""
    counts = np.zeros((len(held_out), 2))
    for start in range(0, len(held_out), _ROWS_AT_ONCE):
        rows = range(start, min(start + _ROWS_AT_ONCE, len(held_out)))
        true = inverter.tokenizer.pad([held_out.ids[row] for row in rows], inverter.denoiser.length).ids
        hidden = torch.from_numpy(np.stack([_hidden(held_out, row, true.shape[1], share, seed) for row in rows]))
        decoding = Decoding(inverter.denoiser, DECODER, DecodeOptions(steps=1), inverter.schedule, inverter.dtype)
        shown = true.masked_fill(hidden, inverter.denoiser.mask_id)  # (rows, length)
        decoding.join(torch.from_numpy(held_out.vectors[rows.start : rows.stop]), rows, shown)
        while not decoding.is_finished:
            found = decoding.advance().tokens.cpu()
        counts[rows.start : rows.stop, 0] = ((found == true) & hidden).sum(dim=1).numpy()
        counts[rows.start : rows.stop, 1] = hidden.sum(dim=1).numpy()
    return interval_of_sums(counts, lambda sums: sums[:, 0] / np.maximum(sums[:, 1], 1), seed)


def _hidden(held_out: HeldOut, row: int, length: int, share: float, seed: int) -> np.ndarray:
    size = len(held_out.ids[row])
    chosen = stream_for(seed, row).choice(size, size=max(1, round(share * size)), replace=False)
    hidden = np.zeros(length, dtype=bool)
    hidden[chosen] = True
    return hidden
