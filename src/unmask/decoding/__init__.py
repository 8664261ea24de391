"""From vectors to text: one loop, and a small policy object for each way of decoding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unmask.decoding.options import DecodeOptions
from unmask.registry import Entry, Registry

if TYPE_CHECKING:
    from unmask.decoding.loop import Decoding, decode
    from unmask.decoding.policy import Policy

__all__ = ["DECODERS", "DEFAULT_DECODER", "DecodeOptions", "Decoding", "decode"]

DECODERS: Registry[Policy] = Registry(
    "decoder",
    [
        Entry(
            "confidence",
            "unmask.decoding.confidence:ConfidencePolicy",
            "All positions at once; the surest proposals stay at each step. The default.",
        ),
        Entry(
            "sequential",
            "unmask.decoding.sequential:SequentialPolicy",
            "Left to right, one token a pass, until the end of the text is predicted.",
        ),
        Entry(
            "euler",
            "unmask.decoding.euler:EulerPolicy",
            "The diffusion process itself: each step reveals as many positions as the schedule says, at random.",
        ),
        Entry(
            "euler_remask",
            "unmask.decoding.euler:EulerRemaskPolicy",
            "Euler that masks its least confident tokens again after each step.",
        ),
        Entry(
            "two_stage",
            "unmask.decoding.two_stage:TwoStagePolicy",
            "Sequential, then Euler with the least confident half of that text masked again.",
        ),
    ],
)
DEFAULT_DECODER = "confidence"


def __getattr__(name: str) -> Any:
    # Names and options are needed where torch is not, such as in listings and help.
    if name not in ("Decoding", "decode"):
        raise AttributeError(f"module 'unmask.decoding' has no attribute '{name}'")
    from unmask.decoding import loop

    return getattr(loop, name)
