"""The conditional denoiser: a vector and a partly masked text in, the masked tokens' logits out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from unmask.denoiser.attention import MemoryReader, split_heads
from unmask.denoiser.backbone import Backbone, MemoryLook
from unmask.denoiser.conditioning import Condition, Modulator, TimeFeatures, VectorProjection
from unmask.denoiser.length import LengthHead, median_length
from unmask.denoiser.lexical import CandidateEmbedding, LexicalHead, repeat_costs, spent_candidates
from unmask.denoiser.neighbours import NeighbourHead
from unmask.errors import VectorError
from unmask.products import is_steady, steady_linear

if TYPE_CHECKING:
    from unmask.recipe import DenoiserSection


@dataclass(frozen=True)
class TokenSpace:
    """What the network must know of the tokenizer."""

    vocabulary_size: int
    mask_id: int
    pad_id: int
    forbidden_ids: tuple[int, ...]  # never predicted; pad is not among them, but with a length head it is not either


class Denoiser(nn.Module):
    forbidden: torch.Tensor
    repeat_cost: torch.Tensor | None  # (vocabulary,); what each word's coming again costs, where words differ in that

    def __init__(
        self, section: DenoiserSection, backbone: Backbone, space: TokenSpace, length: int, dimension: int
    ) -> None:
        super().__init__()
        self.space, self.length, self.dimension = space, length, dimension
        self.backbone = backbone
        hidden, conditioning, lexical = backbone.hidden, section.conditioning, section.lexical
        rows = len(backbone.table)
        self.has_blocks = section.has_blocks
        self.vector = VectorProjection(
            dimension, (conditioning.projection_hidden or hidden) if self.has_blocks else 0, hidden
        )
        self.modulator = Modulator(hidden, backbone.block_count, hidden) if conditioning.adaln else None
        self.time_features = TimeFeatures(hidden) if conditioning.time else None
        self.time_modulator = (
            Modulator(2 * max(hidden // 2, 1), backbone.block_count, hidden) if conditioning.time else None
        )
        self.prefix_count = conditioning.prefix
        self.prefix = nn.Linear(hidden, conditioning.prefix * hidden) if conditioning.prefix else None
        self.lexical = LexicalHead(dimension, lexical.hidden, hidden, rows, lexical.looks) if lexical.enabled else None
        self.candidate_count = lexical.candidates if lexical.enabled else 0
        self.candidates = CandidateEmbedding(hidden) if self.candidate_count else None
        self.lexical_weight = lexical.decoding_weight if lexical.enabled and lexical.bias else None
        self.repeat_penalty = lexical.repeat_penalty if lexical.enabled else 0.0
        by_word = lexical.enabled and lexical.repeat_by_word
        self.register_buffer("repeat_cost", torch.ones(rows) if by_word else None)
        self.uses_coverage = bool(self.candidate_count) and lexical.coverage
        self.summary_entrance = nn.Linear(hidden, hidden, bias=False) if lexical.enabled and lexical.condition else None
        if self.summary_entrance is not None:
            nn.init.zeros_(self.summary_entrance.weight)
        self.bias_gate = None
        if lexical.enabled and lexical.bias:
            self.bias_gate = nn.Parameter(torch.tensor(lexical.bias_start), requires_grad=lexical.bias_trained)
        inputs = dimension + (hidden if lexical.enabled else 0)  # of heads that read the vector and the summary
        self.length_head = (
            LengthHead(inputs, section.length_head.hidden, length) if section.length_head.enabled else None
        )
        self.hides_padding = section.length_head.enabled and section.length_head.hide_padding
        near = section.neighbours
        self.neighbours = NeighbourHead(inputs, hidden, near.hidden, near.reach, length) if near.enabled else None
        if self.neighbours is not None and self.has_blocks:
            # The network begins with the head's guesses before it, and has only to say what they lack.
            self.draft_entrance = nn.Linear(hidden, hidden, bias=False)
            nn.init.zeros_(self.draft_entrance.weight)
            self.network_gate = nn.Parameter(torch.zeros(hidden))
        has_memory = bool(self.prefix_count or self.candidate_count)
        self.memory_keys = nn.Linear(hidden, hidden) if has_memory else None
        self.memory_values = nn.Linear(hidden, hidden) if has_memory else None
        self.readers = nn.ModuleList(
            MemoryReader(hidden, backbone.heads) for _ in range(backbone.block_count if has_memory else 0)
        )
        forbidden = torch.zeros(rows)
        forbidden[list(space.forbidden_ids)] = -math.inf
        forbidden[space.vocabulary_size :] = -math.inf
        if self.length_head is not None:
            forbidden[space.pad_id] = -math.inf
        self.register_buffer("forbidden", forbidden, persistent=False)

    @property
    def mask_id(self) -> int:
        return self.space.mask_id

    @property
    def pad_id(self) -> int:
        return self.space.pad_id

    @property
    def vocabulary_size(self) -> int:
        return len(self.backbone.table)

    @property
    def uses_time(self) -> bool:
        return self.time_modulator is not None

    @property
    def ends_are_given(self) -> bool:
        """Whether a text's length comes from a head of its own, so that padding is never masked nor predicted."""
        return self.length_head is not None

    @property
    def heads_are_frozen(self) -> bool:
        return self.lexical is not None and not self.lexical.bias.requires_grad

    @property
    def device(self) -> torch.device:
        return self.backbone.table.device

    @property
    def table(self) -> torch.Tensor:
        return self.backbone.table

    def output_bias(self) -> torch.Tensor:
        """Bias of the tied head, -inf for what may never be predicted; (vocabulary,)."""
        return self.backbone.output_bias + self.forbidden

    def set_vector_statistics(self, mean: torch.Tensor, spread: torch.Tensor) -> None:
        """The training set's mean and spread, by which vectors are standardised."""
        self.vector.mean.copy_(mean)
        self.vector.spread.copy_(spread.clamp(min=1e-6))

    def set_repeat_statistics(self, occurrences: torch.Tensor, texts: torch.Tensor) -> None:
        """How often each token stands in the training texts, and in how many of them; (tokens,) each."""
        assert self.repeat_cost is not None
        self.repeat_cost[: len(texts)] = repeat_costs(occurrences, texts)

    def standardise(self, vectors: torch.Tensor, is_null: torch.Tensor | None = None) -> torch.Tensor:
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise VectorError(
                f"this checkpoint expects {self.dimension}-d vectors, got shape {tuple(vectors.shape)}; "
                "pass --model, or choose one trained for your encoder"
            )
        return self.vector.standardise(vectors, is_null)

    def condition(self, vectors: torch.Tensor, is_null: torch.Tensor | None = None) -> Condition:
        """Everything that depends on the vectors (batch, dimension) alone."""
        standard = self.standardise(vectors, is_null)
        summary = self.summarise(standard)  # (batch, hidden)
        return self.condition_from(standard, summary)

    def require_null_vector(self) -> None:
        if not self.vector.null_vector.any():
            raise VectorError(
                "guidance compares with what is written without a vector, which this checkpoint never learnt "
                "(conditioning.null_dropout was 0 in its training); leave guidance at 0, or train with null_dropout"
            )

    def condition_of_none(self) -> Condition:
        """A single row that stands for no vector."""
        self.require_null_vector()
        nothing = torch.zeros(1, self.dimension, device=self.device)
        return self.condition(nothing, torch.ones(1, dtype=torch.bool, device=self.device))

    def summarise(self, standard: torch.Tensor) -> torch.Tensor | None:
        """The lexical head's summary (batch, hidden): its product with the token table scores every token."""
        if self.lexical is None:
            return None
        summary: torch.Tensor = self.lexical(standard, self.table)
        return summary

    def condition_of_heads(self, standard: torch.Tensor, summary: torch.Tensor | None) -> Condition:
        """What the heads alone ask of the vector, for `features_of_heads`."""
        near = None if self.neighbours is None else self.neighbours.of_vector(standard, summary)  # (batch, inner)
        return Condition(None, None, None, None, summary, self._lengths(standard, summary), near)

    def condition_from(self, standard: torch.Tensor, summary: torch.Tensor | None) -> Condition:
        """The same from the standardised vector and the lexical head's summary, which training has at hand."""
        of_heads = self.condition_of_heads(standard, summary)
        if not self.has_blocks:
            return of_heads
        projected = self.vector(standard)  # (batch, hidden)
        if self.summary_entrance is not None and summary is not None:
            projected = projected + self.summary_entrance(summary.detach())
        modulation = None if self.modulator is None else self.modulator(projected)
        pieces, candidate_ids = [], None
        if self.candidates is not None and summary is not None:
            candidate_ids, embedded = self._choose_candidates(summary)
            pieces.append(embedded)
        if self.prefix is not None:
            pieces.append(self.prefix(projected).view(-1, self.prefix_count, self.backbone.hidden))
        if not pieces:
            return replace(of_heads, modulation=modulation)
        memory = torch.cat(pieces, dim=1)  # (batch, candidates + prefix, hidden)
        assert self.memory_keys is not None and self.memory_values is not None
        keys = split_heads(self.memory_keys(memory), self.backbone.heads)  # (batch, heads, memory, head_size)
        values = split_heads(self.memory_values(memory), self.backbone.heads)
        return replace(of_heads, modulation=modulation, keys=keys, values=values, candidate_ids=candidate_ids)

    def features(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        condition: Condition,
        time: torch.Tensor | None = None,
        lexical_weight: float | None = None,
    ) -> torch.Tensor:
        """What the tied head is applied to, at the chosen positions only; (positions, hidden).

        `lexical_weight` stands in for the gate of the lexical head's scores.
        """
        if not self.has_blocks:
            return self.features_of_heads(ids, positions, condition, lexical_weight)
        seen = ids != self.pad_id if self.hides_padding else None  # (batch, length)
        guesses = self._guesses(ids, positions, condition)  # (batch, length, hidden)
        states = self.backbone(
            ids, self._modulation(condition, time), self._memory_look(ids, condition), seen, self._draft(ids, guesses)
        )
        rows, places = positions.nonzero(as_tuple=True)
        features = self.backbone.head(states[rows, places])  # (positions, hidden)
        if guesses is not None:
            features = torch.addcmul(guesses[rows, places], features, self.network_gate.to(features.dtype))
        return self._add_words(features, rows, condition, lexical_weight)

    def features_of_heads(
        self, ids: torch.Tensor, positions: torch.Tensor, condition: Condition, lexical_weight: float | None = None
    ) -> torch.Tensor:
        """The same without the blocks: what the heads of neighbours and words say; (positions, hidden)."""
        assert self.neighbours is not None and condition.near is not None
        features = self.neighbours(ids, positions, condition.near, self.table, self.mask_id, self.pad_id)
        return self._add_words(features, positions.nonzero(as_tuple=True)[0], condition, lexical_weight)

    def _add_words(
        self, features: torch.Tensor, rows: torch.Tensor, condition: Condition, lexical_weight: float | None
    ) -> torch.Tensor:
        if self.bias_gate is None or condition.summary is None:
            return features
        # Adding to the features is adding to the logits, since both heads share the token table. Detached: the
        # summary is trained by its own loss, the gate by the denoiser's.
        weight = self.bias_gate if lexical_weight is None else lexical_weight
        bias = condition.summary.detach() * weight  # (batch, hidden)
        return features + bias[rows].to(features.dtype)

    def _guesses(self, ids: torch.Tensor, positions: torch.Tensor, condition: Condition) -> torch.Tensor | None:
        """What the neighbour head says of every position that is masked or asked for, zero elsewhere."""
        if self.neighbours is None or condition.near is None:
            return None
        chosen = positions | (ids == self.mask_id)  # (batch, length)
        said = self.neighbours(ids, chosen, condition.near, self.table, self.mask_id, self.pad_id)  # (chosen, hidden)
        guesses = said.new_zeros((*ids.shape, self.backbone.hidden))
        return guesses.index_put(chosen.nonzero(as_tuple=True), said)

    def _draft(self, ids: torch.Tensor, guesses: torch.Tensor | None) -> torch.Tensor | None:
        """The guesses as part of the network's input, where nothing else is known; (batch, length, hidden)."""
        if guesses is None:
            return None
        draft: torch.Tensor = self.draft_entrance(guesses.detach() * (ids == self.mask_id)[..., None])
        return draft

    def forward(
        self, ids: torch.Tensor, positions: torch.Tensor, condition: Condition, time: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits (positions, vocabulary) at `positions` of ids (batch, length), row by row."""
        return self.logits(self.features(ids, positions, condition, time))

    def logits(self, features: torch.Tensor, tokens: torch.Tensor | None = None) -> torch.Tensor:
        """The tied head on any part of the features: logits (positions, vocabulary) in fp32, or those of `tokens`."""
        table, bias = self.table, self.output_bias()
        if tokens is not None:
            table, bias = table[tokens], bias[tokens]
        table = table if is_steady(features, table) else table.to(features.dtype)
        scores = steady_linear(features, table).float()
        return scores.add_(bias)

    def logits_of_few(
        self, features: torch.Tensor, counts: Sequence[int], vocabularies: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """The same for rows of so many of the features each, and of the tokens of each row alone; (count, few) each."""
        if not is_steady(features, self.table):
            of_rows = zip(features.split(list(counts)), vocabularies, strict=True)
            return [self.logits(of_row, tokens) for of_row, tokens in of_rows]
        # All columns at once are made sooner than a table of few is put together for every row.
        whole = steady_linear(features, self.table).split(list(counts))  # (count, vocabulary) each
        bias = self.output_bias()
        return [
            of_row.index_select(1, tokens).float().add_(bias[tokens])
            for of_row, tokens in zip(whole, vocabularies, strict=True)
        ]

    def columns_of_few(self, features: torch.Tensor, few: int) -> int:
        """How many logits are made of a position, where those of a few tokens are wanted."""
        return self.vocabulary_size if is_steady(features, self.table) else few

    def lexical_scores(self, standard: torch.Tensor) -> torch.Tensor:
        """Which tokens occur, from the standardised vector; (batch, vocabulary)."""
        assert self.lexical is not None
        return self.lexical.scores(self.lexical(standard, self.table), self.table)

    def freeze_heads(self) -> list[str]:
        """Take the heads of words and length, and what they read, out of training; the names of all that.

        They read the token table, and the null vector: one that went on learning would soon mean nothing to them.
        """
        heads = [head for head in (self.lexical, self.length_head) if head is not None]
        read = [self.table, self.vector.null_vector]
        return self._freeze([*read, *(parameter for head in heads for parameter in head.parameters())])

    def freeze_neighbours(self) -> list[str]:
        """Take the neighbour head, and what it reads, out of training; the names of all that."""
        assert self.neighbours is not None
        return self._freeze([self.table, self.vector.null_vector, *self.neighbours.parameters()])

    def _freeze(self, parameters: list[nn.Parameter | torch.Tensor]) -> list[str]:
        for parameter in parameters:
            parameter.requires_grad_(False)
        chosen = {id(parameter) for parameter in parameters}
        return [name for name, parameter in self.named_parameters() if id(parameter) in chosen]

    @torch.no_grad()
    def log_lengths(self, vectors: torch.Tensor, condition: Condition) -> torch.Tensor | None:
        """How likely each length is, from vectors (batch, dimension) and their condition; (batch, longest + 1) nats."""
        if self.length_head is None:
            return None
        return self.length_head(self.standardise(vectors), condition.summary).float().log_softmax(dim=1)

    @torch.no_grad()
    def _lengths(self, standard: torch.Tensor, summary: torch.Tensor | None) -> torch.Tensor | None:
        return None if self.length_head is None else median_length(self.length_head(standard, summary))

    def _choose_candidates(self, summary: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.lexical is not None and self.candidates is not None
        with torch.no_grad():
            # The choice itself has no gradient; the head learns from its own loss.
            scores = self.lexical.scores(summary, self.table).float() + self.forbidden
            scores[:, self.pad_id] = -math.inf
            best, ids = scores.topk(self.candidate_count, dim=1)  # (batch, candidates)
            log_scores = best - scores.logsumexp(dim=1, keepdim=True)
        # A gradient into the table from here would be a second one of its whole size, for 32 rows a text.
        return ids, self.candidates(nn.functional.embedding(ids, self.table.detach()), log_scores)

    def _modulation(self, condition: Condition, time: torch.Tensor | None) -> torch.Tensor | None:
        modulation = condition.modulation
        if self.time_modulator is None or self.time_features is None:
            return modulation
        assert time is not None, "this denoiser is conditioned on time"
        of_time: torch.Tensor = self.time_modulator(self.time_features(time))
        return of_time if modulation is None else modulation + of_time

    def _memory_look(self, ids: torch.Tensor, condition: Condition) -> MemoryLook | None:
        if condition.keys is None or condition.values is None:
            return None
        keys, values = condition.keys, condition.values
        if self.uses_coverage and condition.candidate_ids is not None:
            keys, values = self._mark_spent(ids, condition.candidate_ids, keys, values)

        def look(number: int, states: torch.Tensor) -> torch.Tensor:
            seen: torch.Tensor = self.readers[number](states, keys, values)
            return seen

        return look

    def _mark_spent(
        self, ids: torch.Tensor, candidate_ids: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values are linear in the memory, so the mark is added after the projection."""
        assert self.candidates is not None and self.memory_keys is not None and self.memory_values is not None
        spent = spent_candidates(ids, candidate_ids).to(keys.dtype)  # (batch, candidates)
        spent = nn.functional.pad(spent, (0, keys.shape[2] - spent.shape[1]))[:, None, :, None]  # (batch, 1, memory, 1)
        heads = self.backbone.heads
        marks = [
            nn.functional.linear(self.candidates.spent, projection.weight).view(1, heads, 1, -1).to(keys.dtype)
            for projection in (self.memory_keys, self.memory_values)
        ]
        return keys + spent * marks[0], values + spent * marks[1]
