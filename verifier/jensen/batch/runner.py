"""From cases to rows: found again where stored, cheap ones first, each exactly once."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from jensen.batch.case import Case, Row, RowStatus
from jensen.batch.executor import Executor, InlineExecutor
from jensen.batch.job import Job, verdict_row
from jensen.batch.networks import settled
from jensen.batch.store import Store, StoreError, fingerprint

_POLL = 0.25
# a job's own limit ends the proof; its worker is ended only when that failed by far
_GRACE_FACTOR, _GRACE_SECONDS = 2.0, 60.0


@dataclass(frozen=True)
class Limits:
    """How long things may take.

    Attributes
    ----------
    time_limit : float or None
        Seconds per model.
    total_time : float or None
        Seconds for the whole batch; models not reached are reported as unknown.
    quick : float
        Seconds of the first pass over all models, whose undecided ones come again with
        ``time_limit`` when every model has had its first turn. 0: no first pass.
    """

    time_limit: float | None = None
    total_time: float | None = None
    quick: float = 0.5


class EventKind(StrEnum):
    """What happened to a case."""

    FOUND = "found"
    START = "start"
    DEFERRED = "deferred"
    DONE = "done"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Event:
    """Something that happened; ``row`` is there for ``found``, ``done`` and ``skipped``."""

    kind: EventKind
    number: int
    case: Case
    row: Row | None = None


class LostStoreError(StoreError):
    """A store that could not take all results of a batch.

    Attributes
    ----------
    results : list of (Case, Row)
        What :func:`run_batch` would have returned.
    """

    def __init__(self, message: str, results: list[tuple[Case, Row]]) -> None:
        super().__init__(message)
        self.results = results


def run_batch(
    cases: Sequence[Case],
    *,
    executor: Executor | None = None,
    store: Store | None = None,
    limits: Limits | None = None,
    retry: Collection[RowStatus] = (RowStatus.ERROR,),
    force: bool = False,
    on_event: Callable[[Event], None] | None = None,
    stop: Callable[[], bool] | None = None,
    certificates: str | None = None,
) -> list[tuple[Case, Row]]:
    """Verify many models.

    Parameters
    ----------
    cases : sequence of Case
    executor : Executor, optional
        Where the jobs run; this process by default. It is left open.
    store : Store, optional
        Rows found there are not computed again, and new ones are written there.
    limits : Limits, optional
    retry : collection of RowStatus
        Which stored rows to compute again.
    force : bool
        Compute everything again.
    on_event : callable, optional
        Called for everything that happens, in this thread.
    stop : callable, optional
        Asked often; once it returns True no further job is started.
    certificates : str, optional
        Folder for certificates.

    Returns
    -------
    list of (Case, Row)
        In the order of the cases; after ``stop`` only what was finished.

    Raises
    ------
    LostStoreError
        If results could not be written to the store, not even later; they are in it.
    """
    run = _Run(cases, executor or InlineExecutor(), store, limits or Limits(), certificates)
    run.on_event = on_event or (lambda event: None)
    run.stop = stop or (lambda: False)
    run.force = force
    if not force:
        run.look_up(frozenset(retry))
    results = run.go()
    run.store_the_rest(results)
    return results


class _Run:
    """The state of one batch; every method keeps: a case is queued, running, waiting or done."""

    def __init__(
        self,
        cases: Sequence[Case],
        executor: Executor,
        store: Store | None,
        limits: Limits,
        certificates: str | None,
    ) -> None:
        self.cases = cases
        self.executor = executor
        self.store = store
        self.limits = limits
        self.certificates = certificates
        self.on_event: Callable[[Event], None] = lambda event: None
        self.stop: Callable[[], bool] = lambda: False
        self.rows: dict[int, Row] = {}
        self.contents: dict[int, str | None] = {}
        self.unwritten: list[tuple[int, Row]] = []
        self.first_try: dict[int, Row] = {}
        # (pass, cost, number): a heap pops all of the first pass before the second
        self.queue: list[tuple[int, float, int]] = []
        self.running: dict[int, bool] = {}
        self.quick: float | None = None
        # jobs whose time was cut short by the end of the batch: their "unknown" is not final
        self.cut: set[int] = set()
        self.force = False
        self.leaders: dict[str, int] = {}
        self.followers: dict[int, list[int]] = {}
        self.end = None if limits.total_time is None else time.monotonic() + limits.total_time

    def look_up(self, retry: frozenset[RowStatus]) -> None:
        if self.store is None:
            return
        for number, case in enumerate(self.cases):
            row = self.store.find(case)
            if row is not None and row.status not in retry and self._serves(row):
                self.rows[number] = row
                self._name(number, row)
                self.on_event(Event(EventKind.FOUND, number, case, row))

    def _name(self, number: int, row: Row) -> None:
        """Note in the store whom a row answers; later where it cannot be written to now."""
        assert self.store is not None
        try:
            self.store.name(self.cases[number], row.digest)
        except StoreError:
            self.unwritten.append((number, row))

    def go(self) -> list[tuple[Case, Row]]:
        self._settle_together()
        open_ = [number for number in range(len(self.cases)) if number not in self.rows]
        self.quick = self._quick_limit(len(open_))
        first = 0 if self.quick is not None else 1
        self.queue = [(first, _size(self.cases[number]), number) for number in open_]
        heapq.heapify(self.queue)
        self._start_some()
        while self.running:
            done = self.executor.wait(_POLL)
            quick = [self.running.pop(job.number) for job, _ in done]
            self._start_some()  # no worker waits while results are written
            for (job, row), was_quick in zip(done, quick, strict=True):
                self._take(job.number, row, was_quick)
            self._start_some()
        if not self.stop():
            self._give_up()
        return [(case, self.rows[n]) for n, case in enumerate(self.cases) if n in self.rows]

    def _settle_together(self) -> None:
        """Close what needs no job: networks in memory that are settled together."""
        if self.certificates is not None:
            return
        unanswered = [(n, case) for n, case in enumerate(self.cases) if n not in self.rows]
        for number, network, verdict in settled(unanswered):
            if not self._going():
                return
            self._finish(number, verdict_row(verdict, network))

    def _quick_limit(self, count: int) -> float | None:
        """Return the limit of the first pass, None where one pass serves as well."""
        quick, limit = self.limits.quick, self.limits.time_limit
        if quick <= 0 or count <= self.executor.slots or (limit is not None and limit <= quick):
            return None
        return quick

    def _going(self) -> bool:
        return not self.stop() and (self.end is None or time.monotonic() < self.end)

    def _start(self, turn: int, cost: float, number: int) -> None:
        case = self.cases[number]
        limit = self.quick if turn == 0 else self.limits.time_limit
        if self.end is not None:
            left = max(0.01, self.end - time.monotonic())
            if limit is None or left < limit:
                limit = left
                self.cut.add(number)
        if self.store is not None and case.network is None:
            self.contents[number] = fingerprint(case.path)
        self.running[number] = turn == 0
        self.on_event(Event(EventKind.START, number, case))
        self.executor.submit(Job(number, case, limit, self.certificates, self._kill_after()))

    def _kill_after(self) -> float | None:
        """Return when a job that starts now may be killed.

        The short limit of the first turn is no reason to: a large model may take longer
        to be read, and comes again.
        """
        given = [] if self.limits.time_limit is None else [self.limits.time_limit]
        if self.end is not None:
            given.append(max(0.0, self.end - time.monotonic()))
        return _GRACE_FACTOR * min(given) + _GRACE_SECONDS if given else None

    def _start_some(self) -> None:
        going = self._going()
        while going and self.queue and len(self.running) < self.executor.slots:
            self._start(*heapq.heappop(self.queue))
            going = self._going()

    def _take(self, number: int, row: Row, quick: bool) -> None:
        case = self.cases[number]
        if row.status is RowStatus.UNKNOWN and number in self.cut:
            self.first_try[number] = row
            return
        if quick and (row.status is RowStatus.UNKNOWN or not self._serves(row)):
            self._defer(number, row)
            return
        self._finish(number, row)
        for other in self.followers.pop(number, []):
            self._finish(other, row)
        if self.leaders.get(case.job(row.digest)) == number:
            del self.leaders[case.job(row.digest)]

    def _defer(self, number: int, row: Row) -> None:
        """Queue a case for its second turn, behind its twin where the same job waits already."""
        case = self.cases[number]
        stored = None if self.store is None or self.force else self.store.get(case, row.digest)
        decided = stored is not None and stored.status in {RowStatus.CONVEX, RowStatus.NONCONVEX}
        if stored is not None and decided and self._serves(stored):
            self._finish(number, stored)
            return
        self.first_try[number] = row
        self.on_event(Event(EventKind.DEFERRED, number, case))
        leader = self.leaders.setdefault(case.job(row.digest), number)
        if leader != number:
            self.followers.setdefault(leader, []).append(number)
        else:
            heapq.heappush(self.queue, (1, float(row.relus or 0), number))

    def _serves(self, row: Row) -> bool:
        """Whether a stored row has the certificates that are asked for, if any are."""
        if self.certificates is None or row.status not in {RowStatus.CONVEX, RowStatus.NONCONVEX}:
            return True
        files = [Path(file) for file in (row.certificate or "").split(", ")]
        return all(Path(self.certificates, file.name).is_file() for file in files)

    def _finish(self, number: int, row: Row) -> None:
        case = self.cases[number]
        self.rows[number] = row
        if self.store is not None:
            self.unwritten.append((number, row))
            self._write()
        self.on_event(Event(EventKind.DONE, number, case, row))

    def _write(self) -> StoreError | None:
        """Store what is not there yet; a full disk ends no batch, and may have room later."""
        assert self.store is not None
        while self.unwritten:
            number, row = self.unwritten[0]
            case, content = self.cases[number], self.contents.get(number)
            if content is not None and content != fingerprint(case.path):
                content = None  # replaced meanwhile: nobody knows which of the two was read
            try:
                self.store.put(case, row, content)
            except StoreError as error:
                return error
            del self.unwritten[0]
        return None

    def store_the_rest(self, results: list[tuple[Case, Row]]) -> None:
        """Try for the last time to store what could not be stored when it was found."""
        error = self._write() if self.unwritten else None
        if error is not None:
            left = f"{len(self.unwritten)} of {len(results)} results are not in it"
            raise LostStoreError(f"{error}; {left}", results)

    def _give_up(self) -> None:
        """Report what the total time did not reach; not stored, so that a resume does it."""
        for number, case in enumerate(self.cases):
            if number not in self.rows:
                row = self.first_try.get(number, Row(RowStatus.UNKNOWN, ""))
                note = "the batch's total time was up" + (f"; {row.note}" if row.note else "")
                self.rows[number] = replace(row, note=note, summary=f"undecided: {note}")
                self.on_event(Event(EventKind.SKIPPED, number, case, self.rows[number]))


def _size(case: Case) -> float:
    try:
        return float(case.path.stat().st_size)
    except OSError:
        return 0.0
