"""The one decode loop: ask the policy, run the network once, propose, reveal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from unmask.decoding import DECODERS, DEFAULT_DECODER
from unmask.decoding.drafts import decode_drafts
from unmask.decoding.offered import Offered, whole_rows
from unmask.decoding.options import DecodeOptions
from unmask.decoding.policy import Canvas, Policy, StepPlan, time_of_share
from unmask.decoding.proposals import Proposals, Readings, positions_at_once, propose, read_logits
from unmask.decoding.state import DecodeState, RowKey
from unmask.denoiser.conditioning import Condition
from unmask.diffusion.schedules import LinearSchedule, Schedule, decoding_schedule
from unmask.records import DecodeStep
from unmask.runtime import autocast

if TYPE_CHECKING:
    from unmask.denoiser.network import Denoiser


Logits = Iterator[tuple[slice, torch.Tensor]]  # of a part of the positions, (part, vocabulary)

# Passes that judge a text: so many blocks of it, each given those before it.
JUDGING_PASSES = 8


class Decoding:
    """Rows being decoded together. Rows may join before any step and be taken out after any.

    `dtype` is what matrix products are made in; None leaves that as the caller has set it.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        decoder: str = DEFAULT_DECODER,
        options: DecodeOptions | None = None,
        schedule: Schedule | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.denoiser = denoiser
        self.options = options or DecodeOptions()
        self.canvas = Canvas(denoiser.length, denoiser.mask_id, denoiser.pad_id, denoiser.ends_are_given)
        schedule = decoding_schedule(schedule or LinearSchedule())
        self.policy: Policy = DECODERS.resolve(decoder)(self.options, self.canvas, schedule)
        self.state: DecodeState | None = None
        self.condition: Condition | None = None
        self._dtype = dtype
        self._steps_taken = 0
        chosen = self.options.lexical_weight
        self._lexical_weight = denoiser.lexical_weight if chosen is None else chosen
        with self._precision(), torch.no_grad():
            self._unguided = denoiser.condition_of_none() if self.options.guidance else None

    @torch.no_grad()
    def join(
        self,
        vectors: torch.Tensor | Condition,
        row_keys: Sequence[RowKey],
        tokens: torch.Tensor | None = None,
        seeds: Sequence[int] | None = None,
    ) -> None:
        """Add rows: vectors (rows, dimension) or their condition, a key per row for its random stream, and a text to
        start from, (rows, length) with mask_id where it is open; without one everything is open, up to the text's end
        where the network has a head for its length. `seeds` are those of their streams, unless all
        have that of the options."""
        device = self.denoiser.device
        if isinstance(vectors, torch.Tensor):
            with self._precision():
                condition = self.denoiser.condition(vectors.to(device))
        else:
            condition = vectors
        if tokens is None:
            tokens = torch.full((len(row_keys), self.canvas.length), self.canvas.mask_id, device=device)
            if condition.lengths is not None:
                places = torch.arange(self.canvas.length, device=device)
                tokens = tokens.masked_fill(places >= condition.lengths[:, None], self.canvas.pad_id)
        seeds = [self.options.seed] * len(row_keys) if seeds is None else seeds
        state = DecodeState.fresh(tokens.to(device), self.canvas.mask_id, seeds, row_keys)
        self.policy.begin(state)
        if self.state is None or self.condition is None:
            self.state, self.condition = state, condition
        else:
            both = Condition.concatenate([self.condition, condition])  # first: where it fails nobody has joined
            self.state, self.condition = self.state.extend(state), both

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only; `rows` is an index tensor."""
        if self.state is not None and self.condition is not None:
            self.state, self.condition = self.state.select(rows), self.condition.select(rows)

    @property
    def is_finished(self) -> bool:
        return self.state is None or bool(self.state.finished.all())

    @torch.no_grad()
    def advance(self) -> DecodeStep:
        """One step of every row that is not finished."""
        assert self.state is not None and self.condition is not None, "no row has joined"
        rows = (~self.state.finished).nonzero()[:, 0]
        active = self.state.select(rows)
        plan = self.policy.plan(active)
        asked = plan.positions.any(dim=1)  # (rows,)
        proposals = self._propose(active, plan, asked, rows)
        set_now = self.policy.apply(active, plan, proposals)  # (rows, length)
        active.step += 1
        active.passes += asked if self._unguided is None else 2 * asked
        active.finished |= active.step >= active.total
        self.state.write(rows, active)
        self._steps_taken += 1
        is_new = torch.zeros_like(self.state.tokens, dtype=torch.bool)
        is_new[rows] = set_now
        return self.snapshot(is_new)

    def snapshot(self, is_new: torch.Tensor | None = None) -> DecodeStep:
        """What is known now, as a record of its own."""
        assert self.state is not None, "no row has joined"
        state = self.state
        return DecodeStep(
            step=self._steps_taken,
            total_steps=max(int(state.total.max()) if len(state) else 0, self._steps_taken),
            tokens=state.tokens.clone(),
            is_new=torch.zeros_like(state.tokens, dtype=torch.bool) if is_new is None else is_new,
            confidence=state.confidence.clone(),
            forward_passes=state.passes.clone(),
        )

    @torch.no_grad()
    def log_likelihood(self, tokens: torch.Tensor) -> tuple[torch.Tensor, int]:
        """How likely the network finds whole texts (rows, length), read from left to right, and the passes it took.

        Read in the order of speech rather than in that of the decoding: a text that was begun at both ends and does not
        meet in the middle is found out.
        """
        assert self.condition is not None, "no row has joined"
        is_read = (
            tokens != self.canvas.pad_id if self.canvas.ends_are_given else torch.ones_like(tokens, dtype=torch.bool)
        )
        counts = is_read.sum(dim=1, keepdim=True).clamp(min=1)  # (rows, 1)
        block = torch.arange(tokens.shape[1], device=tokens.device) * JUDGING_PASSES // counts  # (rows, length)
        total = torch.zeros(len(tokens), device=tokens.device)
        for number in range(JUDGING_PASSES):
            hidden, asked = is_read & (block >= number), is_read & (block == number)  # (rows, length) each
            time = time_of_share(self.policy.schedule, hidden.sum(dim=1) / self.canvas.length)
            said = self._log_probabilities(tokens, hidden, asked, time)  # (asked,)
            total.index_add_(0, asked.nonzero(as_tuple=True)[0], said)
        return total, JUDGING_PASSES

    @torch.no_grad()
    def alternatives(self, place: int, count: int) -> list[tuple[int, float]]:
        """Of the first row: the likeliest tokens at one place if it were masked, each with its probability."""
        assert self.state is not None and self.condition is not None, "no row has joined"
        first = torch.zeros(1, dtype=torch.int64, device=self.state.tokens.device)
        tokens = self.state.tokens[first].clone()
        tokens[0, place] = self.canvas.mask_id
        asked = torch.zeros_like(tokens, dtype=torch.bool)
        asked[0, place] = True
        hidden = (tokens == self.canvas.mask_id).sum(dim=1)  # (1,)
        time = time_of_share(self.policy.schedule, hidden / self.canvas.length)
        condition = self.condition.select(first).of_any_words()
        with self._precision():
            ((_, logits),) = self._lowered_logits(tokens, asked, condition, time)  # (1, vocabulary)
        best, ids = logits.float().softmax(dim=1).topk(count, dim=1)
        return list(zip(ids[0].tolist(), best[0].tolist(), strict=True))

    def _log_probabilities(
        self, tokens: torch.Tensor, hidden: torch.Tensor, asked: torch.Tensor, time: torch.Tensor
    ) -> torch.Tensor:
        """Of the tokens at the `asked` positions, where the `hidden` ones are masked; (asked,)."""
        assert self.condition is not None
        masked, targets = tokens.masked_fill(hidden, self.canvas.mask_id), tokens[asked]
        found = [torch.empty(0, device=tokens.device)]
        with self._precision():
            condition = self.condition.of_any_words()
            features = self._features(masked, asked, condition, time)
            for part, logits in self._logits(features, asked, condition):  # (part, vocabulary)
                found.append(logits.gather(1, targets[part, None])[:, 0] - logits.logsumexp(dim=1))
        return torch.cat(found)

    def _features(
        self, tokens: torch.Tensor, positions: torch.Tensor, condition: Condition, time: torch.Tensor
    ) -> torch.Tensor:
        """What the network says at the positions, (positions, hidden)."""
        given = time if self.denoiser.uses_time else None
        return self.denoiser.features(tokens, positions, condition, given, self._lexical_weight)

    def _guided_features(
        self, tokens: torch.Tensor, positions: torch.Tensor, condition: Condition, time: torch.Tensor
    ) -> torch.Tensor:
        """The same, moved away from what it says without the vector. Logits are linear in features, so that moves
        them alike."""
        features = self._features(tokens, positions, condition, time)
        if self._unguided is None:
            return features
        nothing = self._unguided.select(torch.zeros(len(tokens), dtype=torch.int64, device=tokens.device))
        return torch.lerp(self._features(tokens, positions, nothing, time), features, 1 + self.options.guidance)

    def _logits(self, features: torch.Tensor, positions: torch.Tensor, condition: Condition) -> Logits:
        """The output head in pieces, so that memory stays bounded."""
        few = Offered(condition.vocabulary, self.canvas.pad_id).few  # (rows, 1 + few)
        if few is None:
            size = positions_at_once(self.denoiser.vocabulary_size, features.device)
            for start in range(0, len(features), size):
                part = slice(start, start + size)
                yield part, self.denoiser.logits(features[part])
            return
        counts, columns = positions.sum(dim=1).tolist(), self.denoiser.columns_of_few(features, few.shape[1])
        for rows, part in whole_rows(counts, positions_at_once(columns, features.device)):
            yield part, torch.cat(self.denoiser.logits_of_few(features[part], counts[rows], list(few[rows])))

    def _lowered_logits(
        self, tokens: torch.Tensor, positions: torch.Tensor, condition: Condition, time: torch.Tensor
    ) -> Logits:
        """One pass of the network; guided, and less what words lose that stand in the text already."""
        row_of, place_of = positions.nonzero(as_tuple=True)  # (positions,) each
        lowering = self._lowering(tokens)  # (rows, length)
        each_time = self.denoiser.repeat_cost is not None
        offered = Offered(condition.vocabulary, self.canvas.pad_id)
        columns = offered.columns(tokens)
        if lowering is not None:  # a token without a column of its own stands in PAD's, where it must lose nothing
            lowering = lowering.masked_fill(columns == offered.pad_column, 0.0)
        features = self._guided_features(tokens, positions, condition, time)
        for part, logits in self._logits(features, positions, condition):  # (part, vocabulary)
            if lowering is not None:
                lower_others(logits, columns[row_of[part]], lowering[row_of[part]], place_of[part], each_time)
            yield part, logits

    def _propose(self, active: DecodeState, plan: StepPlan, asked: torch.Tensor, rows: torch.Tensor) -> Proposals:
        """Proposals for the active rows; only the rows that asked go through the network."""
        proposals = Proposals(torch.full_like(active.tokens, self.canvas.mask_id), torch.zeros_like(active.confidence))
        if not bool(asked.any()):
            return proposals
        chosen = asked.nonzero()[:, 0]
        tokens, positions, by_token = active.tokens[chosen], plan.positions[chosen], plan.by_token[chosen]
        uniforms = active.select(chosen).draw(self.canvas.length) if self.options.temperature > 0 else None
        readings = self._read(tokens, positions, by_token, plan.time[chosen], rows[chosen], uniforms)
        found = propose(readings, tokens, positions, by_token, self.canvas.pad_id, self.canvas.mask_id)
        proposals.tokens[chosen], proposals.confidence[chosen] = found.tokens, found.confidence
        return proposals

    def _read(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        by_token: torch.Tensor,
        time: torch.Tensor,
        rows: torch.Tensor,
        uniforms: torch.Tensor | None,
    ) -> Readings:
        """What one pass of the network proposes at the asked positions."""
        assert self.condition is not None
        whole = len(rows) == self.condition.batch_size
        condition = self.condition if whole else self.condition.select(rows)
        drawn = None if uniforms is None else uniforms[positions]  # (positions,)
        competes = by_token[:, None].expand_as(positions)[positions]  # (positions,)
        offered, parts = Offered(condition.vocabulary, self.canvas.pad_id), []
        with self._precision():
            for part, logits in self._lowered_logits(tokens, positions, condition, time):  # (part, vocabulary)
                of_part = None if drawn is None else drawn[part]
                parts.append(read_logits(logits, offered.pad_column, self.options, of_part, competes[part]))
        readings = Readings.concatenate(parts)
        return replace(readings, words=offered.tokens(positions.nonzero(as_tuple=True)[0], readings.words))

    def _lowering(self, tokens: torch.Tensor) -> torch.Tensor | None:
        """What the words that stand in tokens (rows, length) already lose of their logits; None if nothing."""
        chosen = self.options.repeat_penalty
        penalty = self.denoiser.repeat_penalty if chosen is None else chosen
        if not penalty:
            return None
        visible = (tokens != self.canvas.mask_id) & (tokens != self.canvas.pad_id)  # (rows, length)
        cost = self.denoiser.repeat_cost
        return penalty * visible if cost is None else penalty * cost[tokens] * visible

    def _precision(self) -> AbstractContextManager[object]:
        return autocast(self.denoiser.device, self._dtype)


def lower_others(
    logits: torch.Tensor, tokens: torch.Tensor, amounts: torch.Tensor, places: torch.Tensor, each_time: bool
) -> None:
    """Take amounts off the logits (positions, vocabulary) of the words in each position's text (positions, length).

    A word that stands twice loses its amount once, or `each_time`. A position that is asked anew while its own word
    stands there does not count that word against itself.
    """
    own = tokens.gather(1, places[:, None])  # (positions, 1)
    stands_once = (tokens == own).sum(dim=1, keepdim=True) == 1
    kept = amounts.gather(1, places[:, None]).masked_fill(stands_once | each_time, 0.0)
    amounts = amounts.scatter(1, places[:, None], kept)
    if each_time:
        logits.scatter_add_(1, tokens, -amounts.to(logits.dtype))
    else:
        logits.scatter_(1, tokens, logits.gather(1, tokens) - amounts)


def decode(
    denoiser: Denoiser,
    vectors: torch.Tensor | Condition,
    decoder: str = DEFAULT_DECODER,
    options: DecodeOptions | None = None,
    row_keys: Sequence[int] | None = None,
    schedule: Schedule | None = None,
    dtype: torch.dtype | None = None,
    seeds: Sequence[int] | None = None,
) -> Iterator[DecodeStep]:
    """Decode vectors (batch, dimension) or their condition, one record per step for the whole batch.

    `row_keys` name each row's random stream (0, 1, 2, … if left out), so that a row comes out the same in any batch;
    `seeds` are those of the streams, unless all have that of the options. `schedule` is the one the denoiser was
    trained with.
    """
    count = len(vectors) if isinstance(vectors, torch.Tensor) else vectors.batch_size
    keys = range(count) if row_keys is None else row_keys
    chosen = options or DecodeOptions()

    def start(options: DecodeOptions, keys: Sequence[RowKey]) -> Decoding:
        nonlocal vectors
        decoding = Decoding(denoiser, decoder, options, schedule, dtype)
        decoding.join(vectors, keys, seeds=seeds)
        vectors = decoding.condition or vectors  # made once for all drafts
        return decoding

    if chosen.drafts > 1:
        yield from decode_drafts(start, chosen, keys)
        return
    decoding = start(chosen, keys)
    while not decoding.is_finished:
        yield decoding.advance()
