"""What a user may choose about the search."""

from __future__ import annotations

from dataclasses import dataclass

from unmask.decoding.options import require

EDITS = ("substitution", "insertion", "recall", "deletion", "swap", "move", "order", "span", "combination")
FEEDBACK, AIM, LENGTH, WORDS = "feedback", "aim", "length", "words"
# What else can be left out: drafts that make up for what those before were off by, blanks that are read from a vector
# moved away from the text's own, a surrogate's choice among many edits, how likely the n-grams of the training texts
# make a text, and beside them what the length head says of its length and, for a surrogate, the lexical head of its
# words.
KINDS = (*EDITS, FEEDBACK, AIM, "screen", "fluency", LENGTH, WORDS)


ENCODER, SURROGATE = "encoder", "surrogate"


@dataclass(frozen=True)
class SearchOptions:
    scorer: str = ENCODER  # what compares texts: the encoder, the model's surrogate, or a surrogate's folder
    budget: int = 1500  # most texts compared with one vector: encoder calls, unless a surrogate compares
    rounds: int = 60  # most rounds of edits
    beam: int = 4  # texts kept from round to round
    drafts: int = 32  # texts to begin with; where the encoder compares all but the first few make up for those before
    tries: int = 32  # edits embedded for one vector in one round
    screened: int = 5  # times as many edits are made, where a surrogate can choose among them
    alternatives: int = 12  # tokens that the denoiser names at each place
    patience: int = 8  # rounds without any gain after which it begins anew, from other drafts
    restarts: int = 3  # times that it may; after the last it ends
    draft_temperature: float = 0.7
    likelihood_weight: float | None = None  # of the denoiser's opinion against the cosine; None: the scorer's own
    answers: str | None = None  # file that keeps the encoder's answers: what was asked once is never sent again
    without: tuple[str, ...] = ()  # kinds of edits that are left out: what is each worth?

    def __post_init__(self) -> None:
        for name in ("rounds", "beam", "drafts", "tries", "screened", "alternatives", "patience"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for kind in self.without:
            require(kind in KINDS, "without", kind, f"kinds of edits: {', '.join(KINDS)}")
        require(self.restarts >= 0, "restarts", self.restarts, "0 (never) or more")
        require(self.budget >= 0, "budget", self.budget, "0 (no call at all) or more")
        require(self.draft_temperature >= 0, "draft_temperature", self.draft_temperature, "0 or more")
        weight = self.likelihood_weight
        require(weight is None or weight >= 0, "likelihood_weight", weight, "0 or more")

    @property
    def only_drafts(self) -> bool:
        """Whether nothing is edited, and the best of many drafts is all that is looked for."""
        return set(EDITS) <= set(self.without)
