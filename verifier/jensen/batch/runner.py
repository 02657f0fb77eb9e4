"""From cases to rows: found again where stored, cheap ones first, each exactly once."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from jensen.arguments import checked_callback, checked_flag
from jensen.batch.case import Case, Row, RowStatus
from jensen.batch.edition import is_trusted
from jensen.batch.executor import Executor, InlineExecutor
from jensen.batch.job import Job, verdict_row
from jensen.batch.ledger import Ledger
from jensen.batch.networks import settled
from jensen.batch.store import Store
from jensen.errors import OptionError
from jensen.outputs import path_of
from jensen.text import shown
from jensen.verdicts.options import checked_number, checked_seconds

_POLL = 0.25
# a job's own limit ends the proof; its worker is ended only when that failed by far
_GRACE_FACTOR, _GRACE_SECONDS = 2.0, 60.0

EXECUTES = ("slots", "submit", "wait", "close")  # what an Executor has


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

    Raises
    ------
    OptionError
        For seconds that are none.

    Examples
    --------
    >>> Limits(time_limit=60, total_time=3600).time_limit
    60
    """

    time_limit: float | None = None
    total_time: float | None = None
    quick: float = 0.5

    def __post_init__(self) -> None:
        checked_seconds(self.time_limit)
        checked_seconds(self.total_time)
        checked_number(self.quick, "quick")


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
        Rows found there are not computed again, and new ones are written there. What an edition
        of Jensen found that is not trusted any more is computed again (docs/store-schema.md).
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
    OptionError
        If ``cases``, ``store``, ``limits`` or ``retry`` are something else.
    LostStoreError
        If results could not be written to the store, not even later; they are in it.

    Examples
    --------
    >>> from jensen.batch import cases_of
    >>> from jensen.network.relu_network import ReluNetwork
    >>> nets = [ReluNetwork.from_layers([[[1.0]], [[sign]]], [[0], [0]]) for sign in (1.0, -1.0)]
    >>> [str(row.status) for _, row in run_batch(cases_of(nets))]
    ['convex', 'nonconvex']
    """
    _check_arguments(cases, store, limits, retry)
    if executor is not None and not all(hasattr(executor, name) for name in EXECUTES):
        raise OptionError(
            f"executor {shown(executor)}: pass an object with {', '.join(EXECUTES)}, such as those "
            "of jensen.batch.processes and jensen.batch.dask"
        )
    checked_flag(force, "force")
    checked_callback(on_event, "on_event")
    checked_callback(stop, "stop")
    if certificates is not None:
        certificates = str(path_of(certificates))
    run = _Run(
        cases,
        Ledger(cases, store),
        executor or InlineExecutor(),
        limits or Limits(),
        certificates,
        force=force,
        on_event=on_event or (lambda event: None),
        stop=stop or (lambda: False),
    )
    if not force:
        run.look_up(frozenset(retry))
    run.go()
    run.ledger.settle()
    return run.ledger.results()


def _check_arguments(cases: Any, store: Any, limits: Any, retry: Any) -> None:
    """Raise unless a batch was given what it works on, and say what to pass.

    Raises
    ------
    OptionError
    """
    listed = isinstance(cases, Sequence) and not isinstance(cases, str)
    if not listed or not all(isinstance(case, Case) for case in cases):
        raise OptionError(
            f"cases {shown(cases)}: a list of cases is needed, from "
            "jensen.batch.find_cases(files) or jensen.batch.cases_of(networks)"
        )
    if store is not None and not isinstance(store, Store):
        raise OptionError(f"store {shown(store)}: pass jensen.batch.Store(file)")
    if limits is not None and not isinstance(limits, Limits):
        raise OptionError(f"limits {shown(limits)}: pass jensen.batch.Limits(...)")
    named = isinstance(retry, Collection) and not isinstance(retry, str)
    if not named or not all(isinstance(s, str) and s in list(RowStatus) for s in retry):
        raise OptionError(f"retry {shown(retry)}: a list of {', '.join(RowStatus)} is needed")


@dataclass(frozen=True)
class _Turn:
    """A job that runs.

    Attributes
    ----------
    is_first : bool
        Of the short first pass.
    is_cut : bool
        Whether the end of the batch cut its time short: its "unknown" is not final.
    """

    is_first: bool
    is_cut: bool


class _Twins:
    """Cases that put the same question to the same network: one goes, the others wait for it."""

    def __init__(self) -> None:
        self._first: dict[str, int] = {}
        self._jobs: dict[int, str] = {}
        self._others: dict[int, list[int]] = {}

    def waits(self, number: int, job: str) -> bool:
        """Let a case wait if another one goes for the same job already."""
        first = self._first.setdefault(job, number)
        if first == number:
            self._jobs[number] = job
        else:
            self._others.setdefault(first, []).append(number)
        return first != number

    def released(self, number: int) -> list[int]:
        """Return the cases that waited for this one, which is done, whatever became of it."""
        job = self._jobs.pop(number, None)
        if job is not None:
            del self._first[job]
        return self._others.pop(number, [])


class _Run:
    """One batch; a case is queued, runs, waits for a twin, was tried in vain or has its row.

    Attributes
    ----------
    ledger : Ledger
        The rows.
    queue : heap of (pass, cost, number)
        All of the first pass come before the second.
    running : dict from number to _Turn
    first_try : dict from number to Row
        What a first turn or a cut one said, for those that get no other.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        ledger: Ledger,
        executor: Executor,
        limits: Limits,
        certificates: str | None,
        *,
        force: bool,
        on_event: Callable[[Event], None],
        stop: Callable[[], bool],
    ) -> None:
        self.cases, self.ledger = cases, ledger
        self.executor, self.limits, self.certificates = executor, limits, certificates
        self.force, self.on_event, self.stop = force, on_event, stop
        self.queue: list[tuple[int, float, int]] = []
        self.running: dict[int, _Turn] = {}
        self.first_try: dict[int, Row] = {}
        self._twins = _Twins()
        self._end = None if limits.total_time is None else time.monotonic() + limits.total_time

    def look_up(self, retry: frozenset[RowStatus]) -> None:
        """Take the rows that the store has, but for those to be computed again."""
        for number, case in enumerate(self.cases):
            row = self.ledger.find(number)
            if row is not None and row.status not in retry and self._may_serve(row):
                self.ledger.keep(number, row)
                self.on_event(Event(EventKind.FOUND, number, case, row))

    def go(self) -> None:
        """Start jobs and take their rows until no case is left, or it is time to stop."""
        self._settle_together()
        left = self.ledger.open
        quick = self._quick_limit(len(left))
        first = 0 if quick is not None else 1
        self.queue = [(first, _size(self.cases[number]), number) for number in left]
        heapq.heapify(self.queue)
        self._start_some(quick)
        while self.running:
            done = self.executor.wait(_POLL)
            turns = [self.running.pop(job.number) for job, _ in done]
            self._start_some(quick)  # no worker waits while results are written
            for (job, row), turn in zip(done, turns, strict=True):
                self._take(job.number, row, turn)
            self._start_some(quick)
        if not self.stop():
            self._give_up()

    def _settle_together(self) -> None:
        """Close what needs no job: networks in memory that are settled together."""
        if self.certificates is not None:
            return
        unanswered = [(n, self.cases[n]) for n in self.ledger.open]
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
        return not self.stop() and (self._end is None or time.monotonic() < self._end)

    def _start(self, number: int, limit: float | None, *, is_first: bool) -> None:
        is_cut = False
        if self._end is not None:
            left = max(0.01, self._end - time.monotonic())
            is_cut = limit is None or left < limit
            limit = left if is_cut else limit
        case = self.cases[number]
        self.ledger.note_content(number)
        self.running[number] = _Turn(is_first, is_cut)
        self.on_event(Event(EventKind.START, number, case))
        self.executor.submit(Job(number, case, limit, self.certificates, self._kill_after()))

    def _kill_after(self) -> float | None:
        """Return when a job that starts now may be killed.

        The short limit of the first turn is no reason to: a large model may take longer
        to be read, and comes again.
        """
        given = [] if self.limits.time_limit is None else [self.limits.time_limit]
        if self._end is not None:
            given.append(max(0.0, self._end - time.monotonic()))
        return _GRACE_FACTOR * min(given) + _GRACE_SECONDS if given else None

    def _start_some(self, quick: float | None) -> None:
        going = self._going()
        while going and self.queue and len(self.running) < self.executor.slots:
            turn, _, number = heapq.heappop(self.queue)
            limit = quick if turn == 0 else self.limits.time_limit
            self._start(number, limit, is_first=turn == 0)
            going = self._going()

    def _take(self, number: int, row: Row, turn: _Turn) -> None:
        if row.status is RowStatus.UNKNOWN and turn.is_cut:
            self.first_try[number] = row
            return
        if turn.is_first and (row.status is RowStatus.UNKNOWN or not self._serves(row)):
            self._defer(number, row)
            return
        self._finish(number, row)
        for other in self._twins.released(number):
            self._finish(other, row)

    def _defer(self, number: int, row: Row) -> None:
        """Queue a case for its second turn, behind its twin where the same job waits already."""
        case = self.cases[number]
        stored = None if self.force else self.ledger.find_by_digest(number, row.digest)
        decided = stored is not None and stored.status in {RowStatus.CONVEX, RowStatus.NONCONVEX}
        if stored is not None and decided and self._may_serve(stored):
            self._finish(number, stored)
            return
        self.first_try[number] = row
        self.on_event(Event(EventKind.DEFERRED, number, case))
        if not self._twins.waits(number, case.job(row.digest)):
            heapq.heappush(self.queue, (1, float(row.relus or 0), number))

    def _may_serve(self, row: Row) -> bool:
        """Whether a stored row may answer: found by code that is still trusted, and whole."""
        return is_trusted(row.edition) and self._serves(row)

    def _serves(self, row: Row) -> bool:
        """Whether a row has the certificates that are asked for, if any are."""
        if self.certificates is None or row.status not in {RowStatus.CONVEX, RowStatus.NONCONVEX}:
            return True
        files = [Path(file) for file in (row.certificate or "").split(", ")]
        return all(Path(self.certificates, file.name).is_file() for file in files)

    def _finish(self, number: int, row: Row) -> None:
        self.ledger.add(number, row)
        self.on_event(Event(EventKind.DONE, number, self.cases[number], row))

    def _give_up(self) -> None:
        """Report what the total time did not reach; not stored, so that a resume does it."""
        for number in self.ledger.open:
            row = self.first_try.get(number, Row(RowStatus.UNKNOWN, ""))
            note = "the batch's total time was up" + (f"; {row.note}" if row.note else "")
            row = replace(row, note=note, summary=f"undecided: {note}")
            self.ledger.add_unstored(number, row)
            self.on_event(Event(EventKind.SKIPPED, number, self.cases[number], row))


def _size(case: Case) -> float:
    try:
        return float(case.path.stat().st_size)
    except OSError:
        return 0.0
