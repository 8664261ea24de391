"""The search: drafts, their vectors, edits of the best, and again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch

from unmask.denoiser.conditioning import Condition
from unmask.metrics.vectors import unit
from unmask.runtime import autocast, stream_for
from unmask.search.drafts import Writer
from unmask.search.expected import expected_of
from unmask.search.ground import Ground
from unmask.search.hypotheses import DRAFT, Edit, Hypothesis, Row, Target
from unmask.search.options import WORDS, SearchOptions
from unmask.search.proposals import propose
from unmask.search.reading import conditioned, read_blanks
from unmask.search.scorers import LEAST_NOISE, Scorer, noise_between
from unmask.search.screening import Screen

if TYPE_CHECKING:
    from unmask.decoding import DecodeOptions
    from unmask.denoiser.network import Denoiser
    from unmask.diffusion.schedules import Schedule
    from unmask.search.fluency import Fluency

# A text that near may be the one; it is then embedded as exactly as can be.
NEARLY = 10 * LEAST_NOISE
LEAST_WITH_RESERVE = 16
VERIFYING_CALLS = 2  # once more as before, and once exactly: how far apart the two are is the encoder's noise


class Search:
    """Vectors that are searched for together; they may join before any round, and leave it when they are done."""

    def __init__(
        self,
        denoiser: Denoiser,
        scorer: Scorer,
        options: SearchOptions,
        decode_options: DecodeOptions,
        schedule: Schedule | None = None,
        dtype: torch.dtype | None = None,
        screen: Scorer | None = None,
        fluency: Fluency | None = None,
    ) -> None:
        self.denoiser, self.scorer, self.options = denoiser, scorer, options
        self.decode_options, self.schedule, self._dtype = decode_options, schedule, dtype
        self.fluency = None if "fluency" in options.without else fluency
        usual = scorer.likelihood_weight if self.fluency is None else scorer.fluency_weight
        self.likelihood_weight = usual if options.likelihood_weight is None else options.likelihood_weight
        # Without n-grams how likely an edit is is a guess.
        of_edits = 0.0 if self.fluency is None else self.likelihood_weight
        self.screen = None if screen is None or "screen" in options.without else Screen(
            screen, self._read, of_edits, denoiser.length, "combination" not in options.without
        )  # fmt: skip
        self._not_asked_of_heads = {*options.without, *(() if scorer.word_weight else (WORDS,))}
        # A surrogate errs alike on all drafts of a vector: those made of what it says would make up for its own errors.
        self.writer = Writer(denoiser, options, decode_options, schedule, dtype, listens=scorer.is_encoder)
        self.targets: list[Target] = []
        self.condition: Condition | None = None
        scorer.failure = None

    @property
    def active(self) -> list[Target]:
        return [target for target in self.targets if not target.is_done]

    def join(self, vectors: torch.Tensor, row_keys: Sequence[int], beginnings: Sequence[Row] | None = None) -> None:
        """Add vectors (rows, dimension), each with the key of its random stream, and score their first texts."""
        if not len(vectors):
            return
        decode_seed, given_vectors = self.decode_options.seed, vectors.cpu().numpy()
        with self._precision(), torch.no_grad():
            condition = conditioned(self.denoiser, list(given_vectors))
            expected = expected_of(self.denoiser, vectors, condition, self._not_asked_of_heads)
        sizes = np.linalg.norm(given_vectors, axis=1).tolist()
        new = [
            Target(
                len(self.targets) + place,
                key,
                vector,
                stream_for(decode_seed, 7, key),
                size,
                of_vector,
                self.scorer.lens,
            )
            for place, (vector, key, size, of_vector) in enumerate(
                zip(unit(given_vectors), row_keys, sizes, expected, strict=True)
            )
        ]
        self.targets += new
        whole = self.condition
        self.condition = condition if whole is None else Condition.concatenate([whole, condition])
        given = {} if beginnings is None else {t.number: (row,) for t, row in zip(new, beginnings, strict=True)}
        self._begin(new, given)
        self._let_go(new)

    def _begin(self, targets: list[Target], given: Mapping[int, Sequence[Row]] | None = None) -> None:
        """Score drafts of targets that have just joined or begin anew, or the texts that some of them are given."""
        if not targets:
            return
        drafts = {number: (list(rows), 0) for number, rows in (given or {}).items()}
        for begun in sorted({target.restarts for target in targets}):
            alike = [target for target in targets if target.restarts == begun and target.number not in drafts]
            if not alike:
                continue
            found = self.writer.first(self._condition_of(alike), [target.key for target in alike], begun)
            drafts |= zip((target.number for target in alike), found, strict=True)
        edits = []
        for target in targets:
            rows, passes = drafts[target.number]
            target.passes += passes
            fresh = [row for row in rows if row not in target.seen]
            if rows and target.best is None:  # something to show where there is no budget at all
                target.best = Hypothesis(rows[0], float("nan"), 0.0)
            target.is_done = not rows or (not fresh and target.restarts >= self.options.restarts)
            edits.append([Edit(row, DRAFT, 0.0, 0.0, None, target.families + n) for n, row in enumerate(fresh)])
            target.families += len(fresh)
        self._score(targets, self._read(targets, edits))
        self._settle([target for target in targets if target.is_done])
        for target in targets:
            target.nearest = max((hypothesis.cosine for hypothesis in target.beam), default=-np.inf)
            target.written = None if target.number in (given or {}) or not self.writer.most_again else 0

    def _written_again(self, targets: list[Target]) -> dict[int, list[Edit]]:
        """One more draft of each, of a vector that makes up for what those before were off by; none where it is known.

        By the targets' numbers.
        """
        drafts: dict[int, list[Edit]] = {target.number: [] for target in targets}
        groups = defaultdict[bool, list[int]](list)
        for number, target in enumerate(targets):
            groups[target.restarts > 0].append(number)
        for alike in groups.values():
            aims = [targets[number].size * unit(targets[number].aim) for number in alike]
            with self._precision(), torch.no_grad():
                condition = conditioned(self.denoiser, aims)
            keys = [targets[number].key for number in alike]
            written = [(targets[number].restarts, targets[number].written or 0) for number in alike]
            for number, (text, passes) in zip(alike, self.writer.again(condition, keys, written), strict=True):
                target = targets[number]
                target.passes, target.written = target.passes + passes, (target.written or 0) + 1
                if text in target.drafted:
                    target.listen(target.drafted[text])
                elif text and text not in target.seen:
                    drafts[target.number] = [Edit(text, DRAFT, 0.0, 0.0, None, target.families)]
                    target.seen.add(text)  # no edit needs to come to it as well,
                    target.waiting.pop(text, None)  # nor one that was made before
                    target.families += 1
        of_targets = self._read(targets, [drafts[target.number] for target in targets])
        return {target.number: edits for target, edits in zip(targets, of_targets, strict=True)}

    def _condition_of(self, targets: list[Target]) -> Condition:
        assert self.condition is not None
        return self.condition.select(torch.tensor([t.number for t in targets], device=self.denoiser.device))

    def advance(self) -> None:
        """One more draft of every target that is not done, and once they are enough one round of edits."""
        active, enough = self.active, self.writer.most_again
        ready, others = list[Target](), list[Target]()
        for target in active:
            (ready if target.written is None or target.written >= enough else others).append(target)
        only_drafts = self.options.only_drafts
        drafts = self._written_again(others if only_drafts else [t for t in active if t.written is not None])
        self._score(others, [drafts[target.number] for target in others])
        self._settle([target for target in others if target.is_done])
        if only_drafts:
            self._draw_others(ready)
        else:
            self._edit(ready, drafts)
        self._let_go(active)

    def _edit(self, active: list[Target], drafts: Mapping[int, list[Edit]]) -> None:
        """Edits of the best texts of each, made, chosen from, and compared with what `drafts` there are besides."""
        if not active:
            return
        grounds = self._grounds(active)
        besides = [drafts.get(target.number, []) for target in active]
        room = [
            max(0, min(self.options.tries, self._room(target) - len(of_target)))
            for target, of_target in zip(active, besides, strict=True)
        ]
        made = 1 if self.screen is None else self.options.screened
        proposals = [
            propose(target, of_target, made * most, self.denoiser.length, self.options.without)
            for target, of_target, most in zip(active, grounds, room, strict=True)
        ]
        proposals = self._read(active, proposals)
        if self.screen is not None:
            proposals = self.screen.choose(active, proposals, room)
        self._score(active, [[*first, *edits] for first, edits in zip(besides, proposals, strict=True)])
        stuck = []
        for target, tried in zip(active, proposals, strict=True):
            nearest = max((hypothesis.cosine for hypothesis in target.beam), default=-np.inf)
            target.idle = 0 if nearest > target.nearest else target.idle + 1
            target.nearest = max(nearest, target.nearest)
            target.rounds += 1
            target.is_done |= target.rounds >= self.options.rounds
            if not target.is_done and (target.idle >= self.options.patience or not tried):
                stuck.append(target)
        self._settle([target for target in active if target.is_done])
        self._begin_anew(stuck)

    def _draw_others(self, active: list[Target]) -> None:
        """A round where nothing is edited: other drafts, until there are no new ones."""
        before = {target.number: (target.calls, target.idle) for target in active}
        self._begin_anew(active)
        for target in active:
            calls, idle = before[target.number]
            target.rounds, target.idle = target.rounds + 1, 0 if target.calls > calls else idle + 1
            target.is_done |= target.rounds >= self.options.rounds or target.idle >= self.options.patience
        self._settle(active)

    def _settle(self, targets: list[Target]) -> None:
        """Read the texts of beams that will not be edited any more, where the denoiser has a say in the answer."""
        if not self.scorer.is_encoder:
            self._grounds([target for target in targets if target.beam])

    def _begin_anew(self, stuck: list[Target]) -> None:
        """Other drafts for those that get no further; the best text so far is kept, but no longer edited."""
        self._settle(stuck)
        for target in stuck:
            target.is_done = target.restarts >= self.options.restarts
            target.restarts, target.idle, target.nearest = target.restarts + 1, 0, -np.inf
            target.beam, target.aim = [], target.vector
            target.forget()
        self._begin([target for target in stuck if not target.is_done])

    def _grounds(self, active: list[Target]) -> list[list[Ground]]:
        """Read the texts that are new in the beams: all blanks of all of them in the same passes."""
        unread = [(target, text) for target in active for text in target.beam if text.tokens not in target.grounds]
        self._read_blanks(unread)
        for target in active:
            target.grounds = {hypothesis.tokens: target.grounds[hypothesis.tokens] for hypothesis in target.beam}
            target.beam = [ground.hypothesis for ground in target.grounds.values()]
            if not self.scorer.is_encoder:
                target.prefer(target.beam, self.likelihood_weight)
                target.hold(target.beam, self.likelihood_weight)
        return [list(target.grounds.values()) for target in active]

    def _read_blanks(self, unread: list[tuple[Target, Hypothesis]]) -> None:
        if not unread:
            return
        with self._precision():
            grounds = read_blanks(
                self.denoiser, unread, self.options.alternatives, self.fluency is None, self.options.without
            )
        for (target, _), ground in zip(unread, grounds, strict=True):
            target.grounds[ground.tokens] = ground

    def _read(self, targets: Sequence[Target], proposals: list[list[Edit]]) -> list[list[Edit]]:
        """The same edits with what is expected, and with what the fluency model says, where there is one."""
        edits = [
            replace(edit, expected=self._expected(target, edit.tokens))
            for target, of_target in zip(targets, proposals, strict=True)
            for edit in of_target
        ]
        if self.fluency is not None:
            likelihoods = self.fluency.log_likelihoods([edit.tokens for edit in edits])
            edits = [replace(edit, likelihood=nats) for edit, nats in zip(edits, likelihoods.tolist(), strict=True)]
        read = iter(edits)
        return [list(islice(read, len(of_target))) for of_target in proposals]

    def _expected(self, target: Target, tokens: Row) -> float:
        """How far a text is what its vector's heads expect, in weighed nats."""
        assert target.expected is not None, "nothing is read of a vector that is done"
        scorer, expected = self.scorer, target.expected
        return scorer.length_weight * expected.length(tokens) + scorer.word_weight * expected.words(tokens)

    def _room(self, target: Target) -> int:
        """Calls that are left for a vector's edits; a search of some size keeps those back that verify."""
        budget = self.options.budget
        return max(0, budget - target.calls - (VERIFYING_CALLS if budget >= LEAST_WITH_RESERVE else 0))

    def _score(self, targets: list[Target], proposals: list[list[Edit]]) -> None:
        """Embed all proposals in the same calls, and take in what came out."""
        spent = [edits[: self._room(target)] for target, edits in zip(targets, proposals, strict=True)]
        vectors, sent = self.scorer.vectors([edit.tokens for edits in spent for edit in edits])
        start = 0
        for target, edits in zip(targets, spent, strict=True):
            part = slice(start, start + len(edits))
            start, values = part.stop, vectors[part]
            answered = np.isfinite(values).all(axis=1)  # (edits,) bool
            target.calls += int(sent[part].sum())
            target.seen |= {edit.tokens for edit in edits}
            self._take(target, [edits[place] for place in np.flatnonzero(answered)], values[answered])
        if self.scorer.is_encoder:
            self._verify([target for target in targets if target.cosine >= 1 - NEARLY])
        for target in targets:
            if not self._room(target) or self.scorer.failure is not None:
                target.is_done = True

    def _verify(self, nearly: list[Target]) -> None:
        """Whether a text that seems to be the one is it, by a second and exact call."""
        doubtful = [
            (target, target.best.tokens)
            for target in nearly
            if target.best is not None and target.best.tokens != target.checked and not target.is_done
            and target.calls + VERIFYING_CALLS <= self.options.budget
        ]  # fmt: skip
        rows = [tokens for _, tokens in doubtful]
        (screened, sent), (exact, sent_again) = self.scorer.vectors(rows), self.scorer.exact_vectors(rows)
        for place, (target, tokens) in enumerate(doubtful):
            quickly, surely = screened[place], exact[place]
            target.calls, target.checked = target.calls + int(sent[place] + sent_again[place]), tokens
            known = bool(np.isfinite([quickly, surely]).all())
            if known and surely @ target.vector >= 1 - min(NEARLY, noise_between(quickly, surely)):
                target.is_verified = target.is_done = True

    def _take(self, target: Target, edits: list[Edit], values: np.ndarray) -> None:
        """values: (edits, dimension)."""
        of_parent = {hypothesis.tokens: hypothesis.cosine for hypothesis in target.beam}
        drafted = {edit.tokens: value for edit, value in zip(edits, values, strict=True) if edit.kind == DRAFT}
        if drafted:
            target.drafted |= drafted
            target.listen(np.mean(list(drafted.values()), axis=0))
        found, cosines = [], (target.compared(values) @ target.goal).tolist()
        for edit, cosine, value in zip(edits, cosines, values, strict=True):
            target.tried[edit.kind] += 1
            of_edit = edit.likelihood, edit.kind, edit.parent, edit.family, edit.expected
            hypothesis = Hypothesis(edit.tokens, cosine, *of_edit)
            found.append(hypothesis)
            target.vectors[edit.tokens] = value
            if self.screen is not None:
                target.told[edit.tokens] = value
            if edit.parent in of_parent:
                target.helped[edit.kind] += cosine > of_parent[edit.parent]
                target.children.setdefault(edit.parent, []).append(hypothesis)
        target.take(found, self.options.beam, self.likelihood_weight)
        if self.scorer.is_encoder:
            target.prefer(target.beam + found, None)
            if "order" not in self.options.without:
                target.orders.learn([text.tokens for text in found], values)
        elif self.fluency is not None:  # else how likely they are is a guess
            target.hold(found, self.likelihood_weight)
        target.forget()

    def _precision(self) -> AbstractContextManager[object]:
        return autocast(self.denoiser.device, self._dtype)

    def _let_go(self, targets: list[Target]) -> None:
        """Of those that are done keep the answers: where a surrogate compares, what its best texts agree on most."""
        done = [target for target in targets if target.is_done]
        for target in done:
            target.agree(self.likelihood_weight)
        answers = [(target, target.best) for target in done if target.held and target.best is not None]
        unread = [(target, answer) for target, answer in answers if answer.tokens not in target.grounds]
        vectors, _ = self.scorer.vectors([answer.tokens for _, answer in unread])  # it is read moved away from its own
        for (target, answer), vector in zip(unread, vectors, strict=True):
            target.vectors[answer.tokens] = vector
        self._read_blanks(unread)
        for target in done:
            target.rest()
