"""One model and its thread: jobs wait here, join the passes of those that run, and leave when they are done."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from unmask.attacks.decoders import SEARCH
from unmask.errors import UnmaskError
from unmask.serve.groups import Group, kind_of, new_group
from unmask.serve.jobs import Job, ServerError

if TYPE_CHECKING:
    from unmask.attacks.inverter import Inverter

Answer = TypeVar("Answer")
log = logging.getLogger(__name__)

# To join takes a look at the whole token table, for one as for many, and that is most of what a step takes: while
# fewer than one to so many that run have come, they wait for more, but so many steps at most.
FEW, STEPS_OF_FEW = 4, 2
BUSY, LATE, STOPPING, BROKEN = 429, 504, 503, 500


@dataclass(frozen=True)
class Limits:
    """How much one model takes on at a time."""

    rows: int = 256  # vectors that share passes
    searched: int = 8  # vectors that are searched for at one time; their rounds are long, and others wait for them
    waiting: int = 128  # requests that may wait
    seconds: float = 120.0  # that a request may take, waiting included


@dataclass
class Counts:
    """Since the start."""

    requests: int = 0
    vectors: int = 0
    passes: int = 0
    encoder_calls: int = 0
    refused: int = 0
    left: int = 0
    late: int = 0
    failed: int = 0
    seconds: float = 0.0  # that the model worked


class Engine:
    """Everything that touches the model happens in its one thread, between or in steps."""

    def __init__(self, inverter: Inverter, limits: Limits | None = None) -> None:
        self.inverter, self.limits, self.counts = inverter, limits or Limits(), Counts()
        self._waiting: deque[Job] = deque()
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._joining: list[Job] = []  # right now; the first texts of a search take their time
        self._groups: dict[Hashable, list[Group]] = {}
        self._changed = threading.Condition()
        self._is_stopping = False
        self._made_wait = 0  # steps that those that came have been put off
        self._thread = threading.Thread(target=self._work, name="unmask-engine", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def active(self) -> int:
        return len({*self._running(), *self._joining})  # who has just joined is in both

    def submit(self, job: Job) -> None:
        """Let a job wait for its turn, or say why it may not."""
        with self._changed:
            self._check(len(self._waiting))
            self.counts.requests += 1
            self._waiting.append(job)
            self._changed.notify()

    def call(self, work: Callable[[], Answer]) -> Future[Answer]:
        """Do something else with the model, between two steps."""
        done: Future[Answer] = Future()
        with self._changed:
            self._check(len(self._calls))
            self._calls.append((work, done))
            self._changed.notify()
        return done

    def _check(self, waiting: int) -> None:
        if self._is_stopping:
            raise ServerError(STOPPING, "the server is stopping; ask again when it is back", 5)
        if waiting >= self.limits.waiting:
            self.counts.refused += 1
            message = f"{waiting} requests are waiting, which is all that may; try again later"
            raise ServerError(BUSY, message, self._seconds_to_wait())

    def stop(self, patience: float) -> None:
        """Take nothing on any more and finish what runs, for so many seconds at most."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        self._thread.join(patience)
        why = ServerError(STOPPING, "the server stopped before this was done; ask again when it is back", 5)
        with self._changed:
            left, calls = self._all_jobs(), list(self._calls)
            self._calls.clear()
        for job in left:
            job.tell(why)
        for _, done in calls:
            if done.set_running_or_notify_cancel():
                done.set_exception(why)

    def _seconds_to_wait(self) -> int:
        a_request = self.counts.seconds / max(self.counts.requests - len(self._waiting), 1)
        return max(1, min(60, round(a_request * len(self._waiting) / 2)))

    def _running(self) -> list[Job]:
        return [job for groups in list(self._groups.values()) for group in list(groups) for job in list(group.jobs)]

    def _all_jobs(self) -> list[Job]:
        return [*self._running(), *self._joining, *self._waiting]

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._calls or self._groups or self._is_stopping):
                    self._changed.wait()
                if self._is_stopping and not (self._waiting or self._calls or self._groups):
                    return
            began = time.perf_counter()
            try:
                self._turn()
            except Exception as error:  # a mistake of ours must not end the thread that all requests wait for
                with self._changed:
                    left = self._all_jobs()
                    self._waiting.clear()
                for job in left:
                    self._fail(job, error)
                self._groups.clear()
            self.counts.seconds += time.perf_counter() - began

    def _turn(self) -> None:
        self._answer_calls()
        self._send_away()
        if self._made_wait < STEPS_OF_FEW and self._are_few():
            self._made_wait += 1
        else:
            self._made_wait = 0
            self._admit()
        for kind, groups in list(self._groups.items()):
            for group in groups:
                if group.jobs:
                    self._advance(group)
            self._groups[kind] = [group for group in groups if group.jobs]
            if not self._groups[kind]:
                del self._groups[kind]

    def _answer_calls(self) -> None:
        for _ in range(len(self._calls)):
            with self._changed:
                if not self._calls:
                    return  # the server stopped meanwhile
                work, done = self._calls.popleft()
            if not done.set_running_or_notify_cancel():
                continue
            try:
                done.set_result(work())
            except BaseException as error:
                done.set_exception(error)

    def _send_away(self) -> None:
        """Who has left, and who has waited for too long, frees the place before the next step."""
        for job in self._all_jobs():
            if not (job.is_cancelled or job.is_late):
                continue
            if job.is_cancelled:
                self.counts.left += 1
            else:
                self.counts.late += 1
                job.tell(
                    ServerError(LATE, f"not done within {self.limits.seconds:g} s; ask for fewer steps or vectors")
                )
            with self._changed:
                if job in self._waiting:
                    self._waiting.remove(job)
                    continue
            for groups in self._groups.values():
                for group in groups:
                    if job in group.jobs:
                        group.drop(job)

    def _are_few(self) -> bool:
        """Whether those that wait are few beside those that run; a search's step is too long to wait for."""
        coming = sum(job.rows for job in list(self._waiting))
        return 0 < coming * FEW < self._rows(False) and not self._rows(True)

    def _admit(self) -> None:
        """In the order of their coming, but who waits for a place among the searched holds up no other."""
        full: set[bool] = set()
        joining: dict[Hashable, list[Job]] = {}
        coming = {False: 0, True: 0}  # rows, by whether they are searched for
        for job in list(self._waiting):
            is_search = job.asked.decoder == SEARCH
            if is_search in full:
                continue
            room = self.limits.searched if is_search else self.limits.rows
            taken = self._rows(is_search) + coming[is_search]
            if taken and taken + job.rows > room:
                full.add(is_search)
                continue
            coming[is_search] += job.rows
            joining.setdefault(kind_of(job.asked), []).append(job)
        for kind, jobs in joining.items():
            with self._changed:
                self._joining = jobs
                for job in jobs:
                    self._waiting.remove(job)
            self._join(kind, jobs)

    def _rows(self, is_search: bool) -> int:
        return sum(group.rows for groups in self._groups.values() for group in groups if group.is_search is is_search)

    def _join(self, kind: Hashable, jobs: list[Job]) -> None:
        groups = self._groups.setdefault(kind, [])
        try:
            group = next((group for group in groups if group.is_open), None)
            if group is None:
                group = new_group(self.inverter, jobs[0].asked)
                groups.append(group)
            group.join(jobs)
        except Exception as error:
            for job in jobs:
                self._fail(job, error)
        finally:
            self._joining = []

    def _advance(self, group: Group) -> None:
        try:
            for job, step, is_last in group.advance():
                if is_last:
                    self.counts.vectors += job.rows
                    self.counts.passes += int(step.forward_passes.sum())
                    self.counts.encoder_calls += 0 if step.encoder_calls is None else int(step.encoder_calls.sum())
                job.tell((step, is_last))
        except Exception as error:
            for job in group.jobs:
                self._fail(job, error)
            group.jobs = []

    def _fail(self, job: Job, error: Exception) -> None:
        """Our own mistakes go into the log, without what was read; a user's are told."""
        self.counts.failed += 1
        if isinstance(error, UnmaskError):
            job.tell(ServerError(400, str(error)))
            return
        where = "".join(traceback.format_tb(error.__traceback__))  # not its message, which may hold a text
        log.error("a request failed with %s\n%s", type(error).__name__, where)
        job.tell(ServerError(BROKEN, "something went wrong in the server; its log says where"))
