"""The typed recipe: everything that decides what a trained model is, frozen and complete."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TextSource(Section):
    """Where text comes from: one file, one folder or one hub data set."""

    kind: Literal["auto", "plain", "jsonl", "parquet", "folder", "hub"] = "auto"
    path: str = ""  # file or folder; for `hub` the data set's name, such as allenai/c4
    field: str = "text"  # column or key that holds the text
    domain_field: str | None = None  # column that says the domain; needed by `domain_weights`
    domain_weights: dict[str, float] = {}  # relative share of each domain; {} takes the text as it comes
    languages: tuple[str, ...] = ()  # hub configurations, such as en, de; interleaved evenly
    split: str = "train"
    shuffle_buffer: int = Field(10_000, ge=1)
    exclude_sources: tuple[str, ...] = ()  # values of `source_field` that are left out (held back for publication)
    source_field: str | None = None


class CutMix(Section):
    """Shares of the three ways of cutting a paragraph; they are normalised."""

    sentence: float = Field(0.6, ge=0)  # one whole sentence
    run: float = Field(0.2, ge=0)  # consecutive whole sentences that fit together
    window: float = Field(0.2, ge=0)  # a stretch of tokens from anywhere


class TextSection(Section):
    sources: tuple[TextSource, ...] = ()
    length: int = Field(32, ge=2, le=512)  # L: longest text in tokens
    min_tokens: int = Field(4, ge=1)
    mix: CutMix = CutMix()
    cuts_per_paragraph: int = Field(4, ge=1)

    @model_validator(mode="after")
    def _shortest_fits(self) -> TextSection:
        if self.min_tokens > self.length:
            raise ValueError(f"min_tokens {self.min_tokens} is greater than length {self.length}")
        return self


class TokenizerSection(Section):
    name: str = "minilm"  # `minilm` is the bundled one; else a local path or a hub name
    trust_remote_code: bool = False


class EncoderSection(Section):
    name: str = "minilm"  # a registered kind or an alias of it, see `unmask encoders`
    model: str = ""  # path or hub name for sentence-transformers; model name for an API
    prompt: str | None = None  # a prompt's text, or the name of a prompt that the model defines
    task: str | None = None
    truncate_dim: int | None = None
    normalize: bool = True
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch_size: int = Field(256, ge=1)
    trust_remote_code: bool = False
    url: str | None = None  # for `api`
    api_key_variable: str = "OPENAI_API_KEY"
    requests_per_minute: int | None = None
    budget: int | None = None  # most texts that may be sent
    vectors: str | None = None  # for `precomputed`: the file of vectors
    texts: str | None = None  # for `precomputed`: the file of texts, same order


class PairsSection(Section):
    max_rows: int = Field(2_000_000, ge=1)
    shard_rows: int = Field(65_536, ge=1)
    validation_share: float = Field(0.002, ge=0, lt=0.5)
    test_share: float = Field(0.002, ge=0, lt=0.5)
    near_duplicates: Literal["minhash", "equal"] = "minhash"
    vector_dtype: Literal["float16", "float32"] = "float16"


class ScratchBackbone(Section):
    kind: Literal["scratch"]
    layers: int = Field(8, ge=0)  # 0 is the token table alone
    hidden: int = Field(768, ge=1)
    heads: int = Field(12, ge=1)
    feed_forward: int = Field(3072, ge=1)

    @model_validator(mode="after")
    def _heads_divide(self) -> ScratchBackbone:
        if self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} is not divisible by heads {self.heads}")
        return self


class PretrainedBackbone(Section):
    kind: Literal["pretrained"]
    name: str = "minilm"  # `minilm` is the bundled one; else a local path or a hub name
    layers: int | None = Field(None, ge=0)  # the first n; None takes all, 0 only the token table
    freeze_backbone: bool = False
    freeze_embeddings: bool = False
    trust_remote_code: bool = False


Backbone = Annotated[ScratchBackbone | PretrainedBackbone, Field(discriminator="kind")]


class ConditioningSection(Section):
    adaln: bool = True  # scale, shift and gate per block from the vector
    projection_hidden: int = Field(0, ge=0)  # width inside the vector's projection; 0 means the network's width
    prefix: int = Field(0, ge=0)  # positions made from the vector and put before the text
    time: bool = False  # the paper's equations 6-9
    null_dropout: float = Field(0.1, ge=0, lt=1)  # share of rows trained with the null vector


class LexicalSection(Section):
    enabled: bool = False
    hidden: int = Field(1536, ge=1)
    looks: int = Field(0, ge=0)  # times that the head looks again: at what its scores would make of the text
    looks_after: int = Field(0, ge=0)  # steps of the head alone before it looks again: they are several times as fast
    condition: bool = False  # the head's summary joins the vector in the blocks' modulation and prefix
    candidates: int = Field(32, ge=0)  # the head's best tokens that the denoiser may attend to
    coverage: bool = True  # mark the candidates that the visible tokens have spent
    repeat_penalty: float = Field(0.0, ge=0)  # decoding takes it off the logit of words that the text has already
    repeat_by_word: bool = False  # that is then a factor of what each word's coming again costs by the training texts
    bias: bool = True  # the head's scores enter the logits through a learned gate
    decoding_weight: float | None = Field(None, ge=0)  # that gate in decoding; None: as it was learnt
    bias_start: float = 0.0  # that gate at step 0; at 0 the network begins as its backbone would
    bias_trained: bool = True  # or the gate stays where it starts
    loss_weight: float = Field(0.1, ge=0)
    warmup_steps: int = Field(0, ge=0)  # first steps that train the head alone
    warmup_batch: int = Field(0, ge=0)  # rows of each of those steps; 0 takes training.batch_size
    warmup_learning_rate: float = Field(3e-3, gt=0)  # the head alone bears, and wants, far more than the network
    freeze: bool = False  # after its own steps the head stays as it is, and with it the token table that it reads

    @property
    def head_steps(self) -> int:
        """Steps that train the head alone."""
        return self.warmup_steps if self.enabled else 0


class LengthHeadSection(Section):
    enabled: bool = False  # the text's length is read from the vector first, and padding is never predicted
    hide_padding: bool = False  # nor attended to: a text is the same however much of it follows
    hidden: int = Field(512, ge=1)
    loss_weight: float = Field(0.1, ge=0)


class NeighbourSection(Section):
    enabled: bool = False  # a head that guesses each word from those beside it; the network says what it lacks
    reach: int = Field(3, ge=1)  # how many words it sees to either side
    hidden: int = Field(1024, ge=1)
    warmup_steps: int = Field(0, ge=0)  # steps that train it alone, after the lexical head's own
    warmup_batch: int = Field(0, ge=0)  # rows of each of those steps; 0 takes training.batch_size
    warmup_learning_rate: float = Field(2e-3, gt=0)
    freeze: bool = False  # after its own steps it stays as it is

    @property
    def head_steps(self) -> int:
        """Steps that train the head alone."""
        return self.warmup_steps if self.enabled else 0

    @model_validator(mode="after")
    def _learns_before_it_freezes(self) -> NeighbourSection:
        if self.enabled and self.freeze and not self.warmup_steps:
            raise ValueError(
                "neighbours.freeze with warmup_steps 0 freezes a head that has learnt nothing: give it steps"
            )
        return self


class DenoiserSection(Section):
    backbone: Backbone = ScratchBackbone(kind="scratch")
    conditioning: ConditioningSection = ConditioningSection()
    lexical: LexicalSection = LexicalSection()
    length_head: LengthHeadSection = LengthHeadSection()
    neighbours: NeighbourSection = NeighbourSection()
    dropout: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _what_a_frozen_head_reads_is_frozen(self) -> DenoiserSection:
        if self.neighbours.enabled and self.neighbours.freeze and self.lexical.enabled and not self.lexical.freeze:
            raise ValueError(
                "neighbours.freeze is on and lexical.freeze is off, but the neighbour head reads the lexical head's "
                "summary: freeze both or none"
            )
        return self

    @model_validator(mode="after")
    def _without_blocks_the_heads_say_it_all(self) -> DenoiserSection:
        if self.backbone.layers != 0:
            return self
        if not self.neighbours.enabled or self.neighbours.head_steps:
            raise ValueError(
                "backbone.layers is 0, so the neighbour head is the network: enable neighbours, with warmup_steps 0"
            )
        conditioning, lexical = self.conditioning, self.lexical
        idle = {
            "conditioning.adaln": conditioning.adaln,
            "conditioning.prefix": conditioning.prefix,
            "conditioning.time": conditioning.time,
            "lexical.candidates": lexical.enabled and lexical.candidates,
            "lexical.condition": lexical.enabled and lexical.condition,
        }
        named = [key for key, is_on in idle.items() if is_on]
        if named:
            raise ValueError(
                f"backbone.layers is 0, and only blocks can use {', '.join(named)}: set them to false or 0"
            )
        return self

    @property
    def has_blocks(self) -> bool:
        return self.backbone.layers != 0

    @property
    def head_steps(self) -> int:
        """Steps that train heads alone, before the network's."""
        return self.lexical.head_steps + self.neighbours.head_steps


class ScheduleSection(Section):
    kind: Literal["linear", "exponential", "cosine", "fixed", "exact_k", "paper"] = "exact_k"
    rate: float = Field(5.0, gt=0)  # λ of `exponential` and `paper`
    ratio: float = Field(0.1, gt=0, le=1)  # masked share of `fixed`
    full_mask_share: float = Field(0.15, ge=0, le=1)  # share of the rows of `exact_k` that are masked whole


class OptimizerSection(Section):
    learning_rate: float = Field(1e-4, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    warmup_steps: int = Field(2_000, ge=0)
    gate_multiplier: float = Field(1.0, gt=0)  # of the rate of gates, which begin at zero and have far to go
    cooldown: Literal["cosine", "linear", "constant", "late"] = "cosine"  # `late`: constant, then linear
    cooldown_share: float = Field(0.2, gt=0, le=1)  # the part of the run that `late` cools down in
    final_share: float = Field(0.1, ge=0, le=1)  # of the learning rate, at the end
    clip_norm: float = Field(1.0, gt=0)


class TrainingSection(Section):
    batch_size: int = Field(128, ge=1)
    accumulate: int = Field(1, ge=1)
    max_steps: int | None = Field(None, ge=1)
    max_samples: int | None = Field(None, ge=1)
    max_minutes: float | None = Field(None, gt=0)
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # fp16 would need its gradients scaled
    compile: bool = False
    softmax_sample: int = Field(0, ge=0)  # tokens drawn beside those in play for the softmax; 0 takes the vocabulary
    length_pool: int = Field(0, ge=0)  # batches whose rows are sorted by length and cut to it; 0 leaves all whole
    whole_share: float = Field(0.2, ge=0, le=1)  # share of those that stay whole: the end of the text is learnt there
    ema: float = Field(0.999, ge=0, lt=1)
    log_every: int = Field(50, ge=1)
    validate_every: int = Field(1_000, ge=1)
    validation_rows: int = Field(512, ge=1)
    validation_decode_rows: int = Field(64, ge=0)
    save_every: int = Field(1_000, ge=1)
    milestones: tuple[int, ...] = ()  # steps of the whole network after which a checkpoint is kept for good
    optimizer: OptimizerSection = OptimizerSection()

    @model_validator(mode="after")
    def _ends(self) -> TrainingSection:
        if self.max_steps is None and self.max_samples is None and self.max_minutes is None:
            raise ValueError("give one of max_steps, max_samples and max_minutes, or the run never ends")
        return self


class ExpectedSection(Section):
    """Sizes of what the recipe names, for counting parameters where the hub cannot be reached."""

    vocabulary_size: int | None = None
    dimension: int | None = None
    stock_config: dict[str, Any] = {}  # the backbone's own configuration, as far as it decides sizes


class Recipe(Section):
    name: str
    summary: str = ""
    seed: int = Field(0, ge=0, lt=2**63)
    text: TextSection = TextSection()
    tokenizer: TokenizerSection = TokenizerSection()
    encoder: EncoderSection = EncoderSection()
    pairs: PairsSection = PairsSection()
    denoiser: DenoiserSection = DenoiserSection()
    schedule: ScheduleSection = ScheduleSection()
    training: TrainingSection
    expected: ExpectedSection = ExpectedSection()

    @model_validator(mode="after")
    def _ends_are_learnt(self) -> Recipe:
        training, length_head = self.training, self.denoiser.length_head
        knows_ends = length_head.enabled and length_head.hide_padding
        if training.length_pool and not training.whole_share and not knows_ends:
            raise ValueError(
                "training.whole_share is 0, so the network would never see whole texts and their padding: give it a "
                "share, or enable denoiser.length_head and its hide_padding"
            )
        return self
