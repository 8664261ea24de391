"""The values that the papers publish, as data; shares in percent, as printed there.

jina-v3's vectors unless a name says otherwise. Their accuracy is a training metric: 90 % of the true text is visible.
"""

from __future__ import annotations

from dataclasses import dataclass

CAVEAT = (
    "The published values are for another encoder (jina-v3), and their accuracy is measured on training batches with "
    "90 % of the true text visible: they stand here to be seen beside ours, not to be compared number by number."
)


@dataclass(frozen=True)
class Published:
    """One line of a published table; None where the paper gives nothing."""

    accuracy: float | None = None
    exact: float | None = None
    cosine: float | None = None
    bleu: float | None = None

    def cells(self) -> list[str]:
        values = ((self.accuracy, 1), (self.exact, 1), (self.cosine, 2), (self.bleu, 1))
        # .02 % of random tokens would read as 0.0.
        return ["–" if v is None else f"{v:.2f}" if 0 < v < 0.05 else f"{v:.{digits}f}" for v, digits in values]


HEADINGS = ("published: tokens right, %", "published: exact, %", "published: cosine", "published: BLEU")
NOTHING = Published()

DECODERS = {
    "sequential": Published(77.3, 12.3, 0.83, 45.2),
    "euler": Published(65.2, 8.1, 0.81, 38.7),
    "euler_remask": Published(67.8, 10.5, 0.82, 42.1),  # at a share of .05
    "two_stage": Published(68.9, 13.1, 0.82, 44.6),
    "random": Published(0.02, 0.0, 0.12, 1.4),
    "unconditional": Published(2.1, 0.0, 0.28, 89.3),
}

REMASKING = {
    0.0: Published(65.2, None, 0.81, 38.7),
    0.05: Published(67.8, None, 0.82, 42.1),
    0.1: Published(66.3, None, 0.81, 40.2),
    0.2: Published(63.7, None, 0.80, 37.1),
}

MILESTONES = {
    10_000: Published(40.2, 1.3, 0.65, 22.1),
    25_000: Published(58.7, 5.8, 0.76, 35.4),
    50_000: Published(69.7, 12.3, 0.83, 45.2),
    100_000: Published(70.8, 13.7, 0.84, 46.8),
    200_000: Published(71.2, 14.1, 0.84, 47.3),
}


@dataclass(frozen=True)
class PublishedMasking:
    """A fixed mask ratio's line: measured at its own ratio, so that its lines cannot be compared with each other."""

    accuracy: float
    validation_loss: float


MASKING = {
    0.1: PublishedMasking(30.2, 5.994),
    0.2: PublishedMasking(21.0, 5.920),
    0.4: PublishedMasking(14.0, 5.873),
    0.8: PublishedMasking(10.8, 5.793),
    1.0: PublishedMasking(10.1, 5.841),
}


@dataclass(frozen=True)
class PublishedModel:
    """One encoder's model."""

    accuracy: float
    steps: float | None = None
    validation_loss: float | None = None


MODELS = {
    "Qwen3-Embedding": PublishedModel(81.3, 72_500, 1.317),
    "EmbeddingGemma": PublishedModel(78.8, 49_500, 1.55),
    "jina-v3, English": PublishedModel(77.3, 69_700, 1.55),
    "jina-v3, multilingual": PublishedModel(76.0, 62_500, 1.60),
    "jina-v3, mmBERT free": PublishedModel(68.2),
    "jina-v3, mmBERT frozen": PublishedModel(63.8),
}

# Cosine over ten languages, a sentence each: jina, Qwen3, Gemma.
LANGUAGES = {
    "sequential": (0.715, 0.585, 0.621),
    "euler": (0.667, 0.556, 0.604),
    "euler_remask": (0.665, 0.584, 0.595),
    "two_stage": (0.667, 0.591, 0.605),
}

# Milliseconds a vector on an A100.
MILLISECONDS = {"sequential": 150.0, "euler": 50.0}
COST = "Published: 78M trained parameters of 270M; 48 hours of training; Vec2Text 220M and 20 passes or more."
