"""Texts that the search holds of one vector, and which of them it keeps."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from unmask.search.consensus import HEARD, likeliest
from unmask.search.foresight import Foresight
from unmask.search.orders import Orders

if TYPE_CHECKING:
    from unmask.search.expected import Expected
    from unmask.search.ground import Ground
    from unmask.search.lens import Lens

Row = tuple[int, ...]


def by_length(rows: Sequence[Row]) -> list[list[int]]:
    """The numbers of the rows, those of one length together: only such share a pass or a call, since what is said of a
    text must not depend on what else is being searched for."""
    found: dict[int, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        found[len(row)].append(number)
    return list(found.values())


# What a text is that was not made of another.
DRAFT = "draft"
# Of what drafts were off by so far, this part goes on being made up for, and of what the last one was off by this.
AIM_KEPT, AIM_GAIN = 0.8, 0.2
# Below this a text is as bad as any: one impossible token must not outweigh what the vector says.
WORST_LIKELIHOOD = -12.0


@dataclass(frozen=True)
class Edit:
    """A text that may be better than the one it was made from."""

    tokens: Row
    kind: str
    gain: float  # what its maker expects of it; comparable within a kind
    likelihood: float  # mean log probability per token: the fluency model's, or where there is none the denoiser's
    parent: Row | None = None
    family: int = 0  # texts of one family descend from one draft
    expected: float = 0.0  # how far its length and its words are what the vector's heads expect, weighed; negative


def value_of(cosine: float, likelihood: float, expected: float, weight: float) -> float:
    """Cosine first; how likely the text, its length and its words are counts less the nearer the cosine is to 1."""
    likely = weight * max(likelihood, WORST_LIKELIHOOD) + max(expected, WORST_LIKELIHOOD)
    return cosine + max(0.0, 1 - cosine) * likely


@dataclass(frozen=True)
class Hypothesis:
    """A text whose vector is known."""

    tokens: Row
    cosine: float
    likelihood: float
    kind: str = DRAFT
    parent: Row | None = None
    family: int = 0
    expected: float = 0.0

    def value(self, weight: float | None) -> float:
        """By the cosine alone where there is no weight."""
        return self.cosine if weight is None else value_of(self.cosine, self.likelihood, self.expected, weight)


class Shelf:
    """Edits in the order in which they are to be taken, made when they are."""

    def __init__(self, edits: Iterator[Edit]) -> None:
        self._edits = edits
        self.first = next(edits, None)

    def take(self) -> Edit:
        taken, self.first = self.first, next(self._edits, None)
        assert taken is not None
        return taken


@dataclass
class Target:
    """One vector that is being searched for."""

    number: int  # where it stands among the vectors that were given
    key: int  # of its random streams
    vector: np.ndarray  # (dimension,), of unit length
    stream: np.random.Generator
    size: float  # length of the vector as it was given, which is how the denoiser knows vectors
    expected: Expected | None  # what is expected of its text; None when it is done
    lens: Lens | None = None  # how texts' vectors are compared with it, where they are a surrogate's
    beam: list[Hypothesis] = field(default_factory=list)
    best: Hypothesis | None = None
    held: dict[Row, Hypothesis] = field(default_factory=dict)  # of which one is the answer in the end, if there are any
    seen: set[Row] = field(default_factory=set)
    checked: Row | None = None  # the text that was last embedded exactly
    vectors: dict[Row, np.ndarray] = field(default_factory=dict)  # of the texts in the beam and of their children
    children: dict[Row, list[Hypothesis]] = field(default_factory=dict)  # what was made of the texts in the beam
    grounds: dict[Row, Ground] = field(default_factory=dict)  # what was read of the texts in the beam
    shelves: dict[Row, dict[str, Shelf]] = field(default_factory=dict)  # of those, by kind: edits not taken yet
    waiting: dict[Row, Edit] = field(default_factory=dict)  # edits that a screen has read and not chosen yet
    read: dict[Row, np.ndarray] = field(default_factory=dict)  # the screen's vectors, of these and of the last round's
    told: dict[Row, np.ndarray] = field(default_factory=dict)  # the encoder's, of the last round's texts
    foresight: Foresight = field(default_factory=Foresight)
    orders: Orders = field(default_factory=Orders)
    drafted: dict[Row, np.ndarray] = field(default_factory=dict)  # vectors of the drafts
    goal: np.ndarray = field(init=False)  # what texts' vectors are compared with; the vector itself, or by the lens
    aim: np.ndarray = field(init=False)  # the vector that the next draft is written of
    tried: Counter[str] = field(default_factory=Counter)
    helped: Counter[str] = field(default_factory=Counter)
    families: int = 0  # drafts so far
    # Drafts since the search last began that listened to those before; None where there are to be none.
    written: int | None = None
    calls: int = 0
    passes: int = 0
    nearest: float = -np.inf  # cosine of the best text since the search last began
    idle: int = 0  # rounds since that last grew
    restarts: int = 0
    rounds: int = 0
    is_done: bool = False
    is_verified: bool = False

    def __post_init__(self) -> None:
        self.aim = self.vector
        self.goal = self.vector if self.lens is None else self.lens.of_vectors(self.vector)

    def compared(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (texts, dimension) of the scorer, made so that their products with the goal are cosines."""
        return vectors if self.lens is None else self.lens.of_texts(vectors)

    def listen(self, vector: np.ndarray) -> None:
        """Aim the next draft as far to the other side as the last one, whose vector this is, was off."""
        self.aim = self.vector + AIM_KEPT * (self.aim - self.vector) + AIM_GAIN * (self.vector - vector)

    @property
    def cosine(self) -> float:
        return float("nan") if self.best is None else self.best.cosine

    def worth(self, weight: float | None) -> float:
        """Of the answer so far; NaN where its vector is not known."""
        return float("nan") if self.best is None else self.best.value(weight)

    def knows(self, tokens: Row) -> bool:
        """Whether a text has been compared or read already."""
        return tokens in self.seen or tokens in self.waiting

    def take(self, found: Iterable[Hypothesis], width: int, weight: float) -> None:
        """Texts whose vectors are known now: the best ones are edited next."""
        pool = {hypothesis.tokens: hypothesis for hypothesis in [*self.beam, *found]}
        order = sorted(pool.values(), key=lambda hypothesis: (-hypothesis.value(weight), hypothesis.tokens))
        self.beam = _diverse(order, width)

    def forget(self) -> None:
        """Let go of what was made of texts that are not edited any more."""
        held = {hypothesis.tokens for hypothesis in self.beam}
        self.children = {parent: made for parent, made in self.children.items() if parent in held}
        self.shelves = {parent: made for parent, made in self.shelves.items() if parent in held}
        self.waiting = {tokens: edit for tokens, edit in self.waiting.items() if edit.parent in held}
        held |= {child.tokens for made in self.children.values() for child in made}
        self.vectors = {tokens: vector for tokens, vector in self.vectors.items() if tokens in held}

    def rest(self) -> None:
        """Let go of all that only going on needs: there may be thousands of vectors. What was read of the answer says
        how sure it is."""
        answer = None if self.best is None else self.best.tokens
        self.grounds = {tokens: ground for tokens, ground in self.grounds.items() if tokens == answer}
        self.seen, self.held = set(), {}
        self.vectors, self.drafted, self.read, self.told, self.waiting = {}, {}, {}, {}, {}
        self.children, self.shelves = {}, {}
        self.foresight, self.orders, self.expected = Foresight(), Orders(), None

    def prefer(self, found: Iterable[Hypothesis], weight: float | None) -> None:
        """The text that is given as the answer: by the cosine alone where that is the encoder's word, else by both."""
        for hypothesis in found:
            if not hypothesis.value(weight) <= self.worth(weight):
                self.best = hypothesis

    def hold(self, found: Iterable[Hypothesis], weight: float) -> None:
        """Remember the best texts, of which one will be the answer; how far apart the values of good texts are is known
        by a lens alone."""
        if self.lens is None:
            return
        self.held |= {hypothesis.tokens: hypothesis for hypothesis in found}
        if len(self.held) > 2 * HEARD:
            best = sorted(self.held.values(), key=lambda hypothesis: -hypothesis.value(weight))[:HEARD]
            self.held = {hypothesis.tokens: hypothesis for hypothesis in best}

    def agree(self, weight: float) -> None:
        """Answer with what the best texts agree on most, where such were held."""
        if self.held:
            texts = list(self.held.values())
            values = np.array([hypothesis.value(weight) for hypothesis in texts])
            self.best = texts[likeliest(list(self.held), values)]


def _diverse(order: list[Hypothesis], width: int) -> list[Hypothesis]:
    """The best ones, but not all of one family: siblings sit in the same trap."""
    kept: list[Hypothesis] = []
    of_family: Counter[int] = Counter()
    most = max(1, (width + 1) // 2)
    for hypothesis in order:
        if of_family[hypothesis.family] < most:
            of_family[hypothesis.family] += 1
            kept.append(hypothesis)
            if len(kept) == width:
                return kept
    return kept + [hypothesis for hypothesis in order if hypothesis not in kept][: width - len(kept)]
