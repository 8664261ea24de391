"""What a user may choose about decoding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from unmask.errors import InputError


@dataclass(frozen=True)
class DecodeOptions:
    """One set of options for all decoders; each decoder takes what concerns it."""

    steps: int = 8  # for all but `sequential`, whose steps are the tokens
    temperature: float = 0.0  # 0 takes the likeliest token
    top_p: float = 1.0  # share of the probability from which tokens are drawn
    seed: int = 0
    drafts: int = 1  # texts written for each vector; the one stays that the network finds likeliest
    lexical_weight: float | None = None  # of the lexical head's scores; None: the model's own
    repeat_penalty: float | None = None  # against words that the text has: logits, or a factor where costs are by word
    # How far logits are moved on, away from what they are where no vector is known: 1 as far again, 0 not at all.
    guidance: float = 0.0
    counts: Literal["linear", "cosine"] = "linear"  # `confidence`: how the number of masked positions falls
    resample_all: bool = False  # `euler`: set every position anew at each step, as the papers do
    remask_mode: Literal["lowest", "threshold"] = "lowest"  # `euler_remask`: which reading of τ
    remask_share: float = 0.05  # `euler_remask`: τ, a share of the visible tokens or a least confidence
    restart_t: float = 0.5  # `two_stage`: share of the first text that is masked again

    def __post_init__(self) -> None:
        require(self.steps >= 1, "steps", self.steps, "a whole number of at least 1")
        require(1 <= self.drafts < 2**31, "drafts", self.drafts, "a whole number of at least 1")
        require(
            0 <= self.temperature < float("inf"), "temperature", self.temperature, "0 (the likeliest token) or more"
        )
        require(0 < self.top_p <= 1, "top_p", self.top_p, "a share above 0 and up to 1")
        weight = self.lexical_weight
        require(weight is None or 0 <= weight < float("inf"), "lexical_weight", weight, "0 (none) or more")
        free = self.repeat_penalty is None or 0 <= self.repeat_penalty < float("inf")
        require(free, "repeat_penalty", self.repeat_penalty, "0 (none) or more")
        require(0 <= self.guidance < float("inf"), "guidance", self.guidance, "0 (none) or more")
        require(0 <= self.seed < 2**63, "seed", self.seed, "a whole number from 0 to 2^63 - 1")
        require(self.counts in ("linear", "cosine"), "counts", self.counts, "linear or cosine")
        require(self.remask_mode in ("lowest", "threshold"), "remask_mode", self.remask_mode, "lowest or threshold")
        require(0 <= self.remask_share <= 1, "remask_share", self.remask_share, "a share from 0 to 1")
        require(0 < self.restart_t <= 1, "restart_t", self.restart_t, "a share above 0 and up to 1")


def require(holds: bool, name: str, found: Any, expected: str) -> None:
    """Complain about an option, unless it holds."""
    if not holds:
        raise InputError(f"{name} is {found}, expected {expected}; change that option")
