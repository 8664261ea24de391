"""Jobs that share forward passes: they join before any step and leave after any."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from unmask.attacks.decoders import SEARCH
from unmask.decoding.loop import Decoding
from unmask.records import DecodeStep
from unmask.search.stream import record_of
from unmask.serve.jobs import Asked, Job

if TYPE_CHECKING:
    from unmask.attacks.inverter import Inverter

# A search remembers what it has searched for; after so many vectors a new one is begun.
MOST_SEARCHED = 256


class Group(Protocol):
    jobs: list[Job]
    is_search: bool

    @property
    def is_open(self) -> bool:
        """Whether others may still join."""

    @property
    def rows(self) -> int:
        """That are not done."""

    def join(self, job: Job) -> None: ...

    def advance(self) -> Iterator[tuple[Job, DecodeStep, bool]]:
        """One step of every job, and whether it was its last; such a job has left."""

    def drop(self, job: Job) -> None:
        """It leaves before its end."""


def kind_of(asked: Asked) -> Hashable:
    """Jobs of one kind can share their passes."""
    if asked.decoder == SEARCH:
        return SEARCH, asked.options, asked.search
    return asked.decoder, replace(asked.options, seed=0)


def new_group(inverter: Inverter, asked: Asked) -> Group:
    return SearchGroup(inverter, asked) if asked.decoder == SEARCH else DecodingGroup(inverter, asked)


class DecodingGroup:
    """Rows of one Decoding."""

    def __init__(self, inverter: Inverter, asked: Asked) -> None:
        self.jobs: list[Job] = []
        self._decoding = Decoding(inverter.denoiser, asked.decoder, asked.options, inverter.schedule, inverter.dtype)
        self._taken: dict[int, int] = {}  # steps of each job

    is_open, is_search = True, False

    @property
    def rows(self) -> int:
        return sum(job.rows for job in self.jobs)

    def join(self, job: Job) -> None:
        asked = job.asked
        self._decoding.join(asked.vectors, asked.row_keys, seed=asked.options.seed)
        self.jobs.append(job)
        self._taken[id(job)] = 0

    def advance(self) -> Iterator[tuple[Job, DecodeStep, bool]]:
        step = self._decoding.advance()
        state = self._decoding.state
        assert state is not None
        start, done = 0, []
        for job in list(self.jobs):
            part = slice(start, start + job.rows)
            start = part.stop
            self._taken[id(job)] += 1
            taken, is_last = self._taken[id(job)], bool(state.finished[part].all())
            of_job = replace(
                step, step=taken, total_steps=max(int(state.total[part].max()), taken), tokens=step.tokens[part],
                is_new=step.is_new[part], confidence=step.confidence[part], forward_passes=step.forward_passes[part],
            )  # fmt: skip
            if is_last:
                done.append(job)
            yield job, of_job, is_last
        self._leave(done)

    def drop(self, job: Job) -> None:
        self._leave([job])

    def _leave(self, leaving: list[Job]) -> None:
        gone = {id(job) for job in leaving}
        if not gone:
            return
        stays = torch.tensor([id(job) not in gone for job in self.jobs for _ in range(job.rows)])
        self._decoding.keep(stays.nonzero()[:, 0])
        self.jobs = [job for job in self.jobs if id(job) not in gone]
        self._taken = {id(job): self._taken[id(job)] for job in self.jobs}


class SearchGroup:
    """Targets of one Search."""

    is_search = True

    def __init__(self, inverter: Inverter, asked: Asked) -> None:
        self.jobs: list[Job] = []
        self._search = inverter.new_search(asked.search, asked.options)
        self._first: dict[int, int] = {}  # number of each job's first target
        self._shown: dict[int, np.ndarray] = {}  # what each job saw last, (rows, length)
        self._taken: dict[int, int] = {}

    @property
    def is_open(self) -> bool:
        return len(self._search.targets) < MOST_SEARCHED

    @property
    def rows(self) -> int:
        return len(self._search.active)

    def join(self, job: Job) -> None:
        self._first[id(job)] = len(self._search.targets)
        self._search.join(job.asked.vectors, job.asked.row_keys)
        denoiser = self._search.denoiser
        self._shown[id(job)] = np.full((job.rows, denoiser.length), denoiser.mask_id, dtype=np.int64)
        self._taken[id(job)] = 0
        self.jobs.append(job)

    def advance(self) -> Iterator[tuple[Job, DecodeStep, bool]]:
        if self._search.active and any(self._taken.values()):  # drafts are shown before anything is edited
            self._search.advance()
        for job in list(self.jobs):
            targets = self._search.targets[self._first[id(job)] :][: job.rows]
            self._taken[id(job)] += 1
            taken, is_last = self._taken[id(job)], all(target.is_done for target in targets)
            total = max(taken, self._search.options.rounds + 1)
            step = record_of(self._search, targets, self._shown[id(job)], taken, total)
            self._shown[id(job)] = step.tokens.numpy()
            if is_last:
                self._forget(job)
            yield job, step, is_last

    def drop(self, job: Job) -> None:
        for target in self._search.targets[self._first[id(job)] :][: job.rows]:
            target.is_done = True
        self._forget(job)

    def _forget(self, job: Job) -> None:
        self.jobs = [other for other in self.jobs if other is not job]
        for held in (self._first, self._shown, self._taken):
            held.pop(id(job), None)  # type: ignore[attr-defined]
