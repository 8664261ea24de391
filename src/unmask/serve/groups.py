"""Jobs that share forward passes: they join before any step and leave after any."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from unmask.attacks.decoders import SEARCH
from unmask.decoding.loop import Decoding
from unmask.records import DecodeStep
from unmask.search.hypotheses import Target
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

    def join(self, jobs: Sequence[Job]) -> None:
        """All at once: what is read from their vectors costs hardly more for many than for one."""

    def advance(self) -> Iterator[tuple[Job, DecodeStep, bool]]:
        """One step of every job that is watched or at its end, and whether it was its last; such a job has left."""

    def drop(self, job: Job) -> None:
        """It leaves before its end."""


def kind_of(asked: Asked) -> Hashable:
    """Jobs of one kind can share their passes."""
    if asked.decoder == SEARCH:
        return SEARCH, asked.options, asked.search
    return asked.decoder, replace(asked.options, seed=0)


def together(jobs: Sequence[Job]) -> tuple[torch.Tensor, list[int]]:
    """Their vectors (rows, dimension), and the keys of their random streams."""
    return torch.cat([job.asked.vectors for job in jobs]), [key for job in jobs for key in job.asked.row_keys]


def new_group(inverter: Inverter, asked: Asked) -> Group:
    return SearchGroup(inverter, asked) if asked.decoder == SEARCH else DecodingGroup(inverter, asked)


class DecodingGroup:
    """Rows of one Decoding."""

    def __init__(self, inverter: Inverter, asked: Asked) -> None:
        self.jobs: list[Job] = []
        self._decoding = Decoding(inverter.denoiser, asked.decoder, asked.options, inverter.schedule, inverter.dtype)

    is_open, is_search = True, False

    @property
    def rows(self) -> int:
        return sum(job.rows for job in self.jobs)

    def join(self, jobs: Sequence[Job]) -> None:
        vectors, keys = together(jobs)
        seeds = [job.asked.options.seed for job in jobs for _ in range(job.rows)]
        self._decoding.join(vectors, keys, seeds=seeds)
        self.jobs += jobs

    def advance(self) -> Iterator[tuple[Job, DecodeStep, bool]]:
        step = self._decoding.advance()
        state = self._decoding.state
        assert state is not None
        finished = state.finished.tolist()
        start, done = 0, []
        for job in list(self.jobs):
            part = slice(start, start + job.rows)
            start = part.stop
            job.taken += 1
            is_last = all(finished[part])
            if not (job.is_watched or is_last):
                continue
            total = max(int(state.total[part].max()), job.taken)
            of_job = replace(
                step, step=job.taken, total_steps=total, tokens=step.tokens[part],
                is_new=step.is_new[part], confidence=step.confidence[part], forward_passes=step.forward_passes[part],
            )  # fmt: skip
            if is_last:
                done.append(job)
            yield job, of_job, is_last
        self._leave(done)

    def drop(self, job: Job) -> None:
        self._leave([job])

    def _leave(self, leaving: list[Job]) -> None:
        if not leaving:
            return
        stays = torch.tensor([job not in leaving for job in self.jobs for _ in range(job.rows)])
        self._decoding.keep(stays.nonzero()[:, 0])
        self.jobs = [job for job in self.jobs if job not in leaving]


class SearchGroup:
    """Targets of one Search."""

    is_search = True

    def __init__(self, inverter: Inverter, asked: Asked) -> None:
        self.jobs: list[Job] = []
        self._search = inverter.new_search(asked.search, asked.options)
        self._targets: dict[Job, list[Target]] = {}
        self._shown: dict[Job, np.ndarray] = {}  # what each job saw last, (rows, length)
        self._is_whole = True  # until somebody joined by half

    @property
    def is_open(self) -> bool:
        return self._is_whole and len(self._search.targets) < MOST_SEARCHED

    @property
    def rows(self) -> int:
        return len(self._search.active)

    def join(self, jobs: Sequence[Job]) -> None:
        start, denoiser = len(self._search.targets), self._search.denoiser
        try:
            self._search.join(*together(jobs))
        except Exception:
            self._is_whole = False
            for target in self._search.targets[start:]:
                target.is_done = True
            raise
        for job in jobs:
            self._targets[job] = self._search.targets[start : start + job.rows]
            self._shown[job] = np.full((job.rows, denoiser.length), denoiser.mask_id, dtype=np.int64)
            start += job.rows
        self.jobs += jobs

    def advance(self) -> Iterator[tuple[Job, DecodeStep, bool]]:
        if self._search.active and any(job.taken for job in self.jobs):  # drafts are shown before anything is edited
            self._search.advance()
        for job in list(self.jobs):
            targets = self._targets[job]
            job.taken += 1
            is_last = all(target.is_done for target in targets)
            if not (job.is_watched or is_last):
                continue
            total = max(job.taken, self._search.options.rounds + 1)
            step = record_of(self._search, targets, self._shown[job], job.taken, total)
            self._shown[job] = step.tokens.numpy()
            if is_last:
                self._forget(job)
            yield job, step, is_last

    def drop(self, job: Job) -> None:
        for target in self._targets[job]:
            target.is_done = True
        self._forget(job)

    def _forget(self, job: Job) -> None:
        self.jobs = [other for other in self.jobs if other is not job]
        del self._targets[job], self._shown[job]
