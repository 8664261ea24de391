"""What a user may choose about the search."""

from __future__ import annotations

from dataclasses import dataclass

from unmask.decoding.options import require


@dataclass(frozen=True)
class SearchOptions:
    budget: int = 1500  # most encoder calls that one vector may cost
    rounds: int = 60  # most rounds of edits
    beam: int = 4  # texts kept from round to round
    drafts: int = 16  # texts to begin with
    tries: int = 48  # edits embedded for one vector in one round
    alternatives: int = 12  # tokens that the denoiser names at each place
    patience: int = 8  # rounds without any gain after which it begins anew, from other drafts
    restarts: int = 3  # times that it may; after the last it ends
    draft_temperature: float = 0.7
    likelihood_weight: float = 0.05  # of the denoiser's own opinion, against the cosine's distance from 1
    without: tuple[str, ...] = ()  # kinds of edits that are left out: what is each worth?

    def __post_init__(self) -> None:
        for name in ("rounds", "beam", "drafts", "tries", "alternatives", "patience"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        require(self.restarts >= 0, "restarts", self.restarts, "0 (never) or more")
        require(self.budget >= 0, "budget", self.budget, "0 (no call at all) or more")
        require(self.draft_temperature >= 0, "draft_temperature", self.draft_temperature, "0 or more")
        require(self.likelihood_weight >= 0, "likelihood_weight", self.likelihood_weight, "0 or more")
