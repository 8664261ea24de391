"""What requests and answers look like."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from unmask.decoding import DEFAULT_DECODER
from unmask.defences.blurring import MOST_NOISE
from unmask.search.options import SearchOptions

USUAL = SearchOptions()
MOST_STEPS, MOST_BUDGET, MOST_ROUNDS, MOST_BEAM = 512, 100_000, 10_000, 64
SEEDS = 2**31 - 1
EXAMPLE = "The keys are under the blue flower pot."

Vector = Annotated[list[float], Field(min_length=1, max_length=65_536, description="Finite numbers, one a dimension.")]
ModelName = Annotated[
    str | None, Field(max_length=500, description="A served model or an alias; the first if left out.")
]


class Strict(BaseModel):
    """A key that nobody knows is a mistake."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class ErrorAnswer(BaseModel):
    error: str = Field(description="One sentence: what was found, what was expected, what to do.")


class EncodeRequest(Strict):
    text: str = Field(min_length=1, description="What does not fit into the model is cut off.")
    model: ModelName = None


class EncodeAnswer(BaseModel):
    embedding: list[float]
    text: str = Field(description="What was embedded.")
    tokens: list[str] = Field(description="Its tokens, as the model counts them.")
    was_cut: bool
    model: str


class SearchChoices(Strict):
    """For decoder `search`."""

    scorer: Literal["encoder", "surrogate"] = "encoder"
    budget: int = Field(USUAL.budget, ge=0, le=MOST_BUDGET, description="Most texts compared with one vector.")
    rounds: int = Field(USUAL.rounds, ge=1, le=MOST_ROUNDS)
    beam: int = Field(USUAL.beam, ge=1, le=MOST_BEAM)


class Choices(Strict):
    """How vectors are read back."""

    model: ModelName = None
    decoder: str = Field(DEFAULT_DECODER, max_length=100, description="A name from GET /models.")
    steps: int = Field(12, ge=1, le=MOST_STEPS)
    seed: int = Field(0, ge=0, le=SEEDS)
    temperature: float = Field(0.0, ge=0, le=10)
    search: SearchChoices = Field(default_factory=SearchChoices)
    check: bool = Field(False, description="Embed what was found, and say how near it is; one encoder call a vector.")


class InvertRequest(Choices):
    embedding: Vector
    text: str | None = Field(None, description="The true text, if it is known: the answer is then compared with it.")


class BatchRequest(Choices):
    embeddings: list[Vector] = Field(min_length=1)
    ids: list[Annotated[str, Field(max_length=500)]] | None = Field(None, description="Row numbers if left out.")


class Token(BaseModel):
    text: str = Field(description='"[MASK]" while it is hidden.')
    id: int
    confidence: float
    state: Literal["masked", "new", "kept"]


class ComparedToken(BaseModel):
    text: str
    state: Literal["right", "moved", "wrong", "missing"]


class Comparison(BaseModel):
    """With the true text, token by token."""

    found: list[ComparedToken]
    true: list[ComparedToken]
    exact: bool
    tokens_right: int = Field(description="In their very place.")
    token_f1: float
    rouge_l: float


class Step(BaseModel):
    step: int
    total: int
    progress: float = Field(description="0 to 1.")
    text: str
    tokens: list[Token]
    forward_passes: int
    encoder_calls: int
    cosine: float | None = None
    seconds: float
    done: bool = False


class Found(BaseModel):
    """One vector read back."""

    id: str = "0"
    text: str
    tokens: list[Token]
    forward_passes: int
    encoder_calls: int
    cosine: float | None = Field(None, description="With the given vector; null where nobody looked.")
    verified: bool | None = Field(None, description="Whether that is 1 but for the encoder's noise.")
    seconds: float
    comparison: Comparison | None = None


class LastStep(Step):
    done: bool = True
    found: Found


class AlternativesRequest(Strict):
    model: ModelName = None
    embedding: Vector
    tokens: list[Annotated[int, Field(ge=0, le=SEEDS)] | None] = Field(
        min_length=1, max_length=65_536, description="Ids of the text before a step, null where it is hidden."
    )
    place: int = Field(ge=0, le=65_535, description="Which of them is asked about; it counts as hidden.")


class Alternative(BaseModel):
    text: str = Field(description="Empty for the end of the text.")
    id: int
    probability: float


class AlternativesAnswer(BaseModel):
    alternatives: list[Alternative]


class DefendRequest(Strict):
    embedding: Vector
    noise: float = Field(0.0, ge=0, le=MOST_NOISE, description="Length of Gaussian noise, as a share of the vector's.")
    precision: Literal["fp32", "fp16", "int8", "binary"] = "fp32"
    dimensions: int | None = Field(None, ge=1, le=65_536, description="The first so many are kept; null: all.")
    seed: int = Field(0, ge=0, le=SEEDS)


class DefendAnswer(BaseModel):
    embedding: list[float]
    cosine: float = Field(description="With what was given.")


class ModelAnswer(BaseModel):
    name: str
    aliases: list[str]
    loaded: bool
    dimension: int | None = None
    length: int | None = Field(None, description="Tokens that it reads at most.")
    encoder: str | None = None
    has_surrogate: bool | None = None


class Choice(BaseModel):
    name: str
    summary: str


class ModelsAnswer(BaseModel):
    models: list[ModelAnswer]
    decoders: list[Choice]


class PublishedDecodeRequest(BaseModel):
    """As clients of the published demo send it; what they send beside is not looked at."""

    model_config = ConfigDict(allow_inf_nan=False)

    embedding: Vector
    steps: int = Field(32, description="Clipped to 1 ... the model's length.")
    model: ModelName = None


class RandomAnswer(BaseModel):
    text: str


class QueueAnswer(BaseModel):
    active: int
    waiting: int


class HealthAnswer(BaseModel):
    status: Literal["ok", "loading"]
    device: str
    models: list[str]
    queue: QueueAnswer


class ReadyAnswer(BaseModel):
    ready: bool
