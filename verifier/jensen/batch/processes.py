"""Worker processes on this machine: spawned, limited, replaced when they die."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import numpy as np

from jensen.batch.case import Case, Row
from jensen.batch.job import Job, error_row, now, run_job
from jensen.domains.domain import Everywhere
from jensen.errors import OptionError
from jensen.loaders import save
from jensen.network.relu_network import ReluNetwork
from jensen_encodings.lp import LpSolver

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_LEFT_IDLE = 75  # exit code of a worker that had nothing to do for too long
_starting = threading.Lock()  # a start changes the environment for a moment


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    job: Job | None = None
    deadline: float | None = None
    killed_for: str = ""


class ProcessExecutor:
    """Jobs on spawned processes, each with one solver thread.

    A worker that is killed or crashes costs one ``error`` row; a new worker takes its
    place. Workers end by themselves when the parent dies, however it dies.

    Parameters
    ----------
    slots : int
        How many workers.
    memory_limit : int or None
        Bytes of address space per worker; a job that needs more becomes an ``error`` row.
        Needs an operating system with ``setrlimit``. See :func:`check_memory_limit`.
    patience : float or None
        Seconds after which a worker without a job leaves; the next job starts another.
    """

    def __init__(
        self, slots: int, *, memory_limit: int | None = None, patience: float | None = None
    ) -> None:
        self.slots = slots
        self._memory_limit = memory_limit
        self._patience = patience
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []

    def submit(self, job: Job) -> None:
        """Hand a job to an idle worker, starting one where there is none."""
        worker = next((w for w in self._workers if w.job is None), None) or self._start()
        try:
            worker.pipe.send(job)
        except OSError:  # it died while idle: that is nobody's error
            self._discard(worker)
            worker = self._start()
            with suppress(OSError):  # dead as well: that is an error row, which wait returns
                worker.pipe.send(job)
        worker.job = job
        worker.deadline = None if job.kill_after is None else time.monotonic() + job.kill_after

    def wait(self, timeout: float) -> list[tuple[Job, Row]]:
        """Return finished jobs, and error rows for jobs whose worker is gone."""
        busy = {worker.pipe: worker for worker in self._workers if worker.job is not None}
        now_ = time.monotonic()
        nearest = min((w.deadline for w in busy.values() if w.deadline is not None), default=None)
        if nearest is not None:
            timeout = min(timeout, max(0.0, nearest - now_))
        answers = [self._receive(busy[pipe]) for pipe in _ready(list(busy), timeout)]
        for worker in busy.values():
            if worker.job is not None and worker.deadline is not None:
                self._kill_if_late(worker)
        return [answer for answer in answers if answer is not None]

    def kill(self) -> None:
        """End what runs; :meth:`wait` returns it as error rows."""
        for worker in list(self._workers):
            worker.process.kill()

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.process.kill()
        for worker in list(self._workers):
            self._discard(worker)

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_work,
            args=(theirs, self._memory_limit, self._patience),
            daemon=True,
            name="jensen-worker",
        )
        with _starting, _one_thread_each(), _no_daemon(), _no_interrupt():
            process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _receive(self, worker: _Worker) -> tuple[Job, Row] | None:
        job = worker.job
        if job is None:
            raise RuntimeError("a worker without a job has answered")
        try:
            row: Row = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join(5)
            reason = worker.killed_for or _cause_of_death(worker.process.exitcode)
            left_idle = worker.process.exitcode == _LEFT_IDLE
            self._discard(worker)
            if left_idle:  # just when the job was handed over: another worker does it
                self.submit(job)
                return None
            return job, _lost(job, reason)
        worker.job = worker.deadline = None
        return job, row

    def _kill_if_late(self, worker: _Worker) -> None:
        if worker.deadline is not None and time.monotonic() > worker.deadline:
            limit = None if worker.job is None else worker.job.time_limit
            after = "" if limit is None else f" of {limit:g} s"
            worker.killed_for = f"stopped: still running long after its limit{after}"
            worker.deadline = None
            worker.process.kill()

    def _discard(self, worker: _Worker) -> None:
        worker.process.kill()
        worker.process.join(5)
        worker.pipe.close()
        if worker in self._workers:
            self._workers.remove(worker)


def _ready(pipes: list[Connection], timeout: float) -> list[Connection]:
    if not pipes:
        return []
    return [pipe for pipe in wait(pipes, timeout) if isinstance(pipe, Connection)]


def _lost(job: Job, reason: str) -> Row:
    row = error_row(job.case, f"worker {reason}").to_json()
    return Row.from_json(row | {"finished": now()})


def _cause_of_death(code: int | None) -> str:
    if code is None:
        return "does not answer"
    if code >= 0:
        return f"ended with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    return f"killed by signal {name}"


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let a child that is started here find one thread each for the numeric libraries."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Let a child that is started here be born deaf to Ctrl-C, until it says itself to ignore it.

    Without this it would die, or print a traceback, while its modules load. Here the signal
    is not lost: it waits until the start is over.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # multiprocessing's helper of all children unblocks the signal here when it starts
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _no_daemon() -> Iterator[None]:
    """Let a process that is a daemon, as Dask's workers are, have children all the same.

    The rule that it must not is there because a killed daemon would leave them behind;
    these end with their parent however it dies.
    """
    me = multiprocessing.current_process()
    daemon = me.daemon
    me.daemon = False
    try:
        yield
    finally:
        me.daemon = daemon


def _work(pipe: Connection, memory_limit: int | None, patience: float | None) -> None:
    """Answer jobs until the parent hangs up (runs in the worker)."""
    # Ctrl-C reaches the whole process group; only the parent decides what it means
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    if memory_limit is not None:
        _limit_memory(memory_limit)
    while True:
        try:
            if not pipe.poll(patience):
                os._exit(_LEFT_IDLE)
            job = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(run_job(job))


def _leave(signum: int, frame: FrameType | None) -> None:
    os._exit(128 + signum)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def check_memory_limit(limit: int) -> None:
    """Refuse a limit under which no worker could verify anything.

    One is started without a limit, verifies a small network, and says how much address
    space that took.

    Parameters
    ----------
    limit : int
        Bytes of address space.

    Raises
    ------
    OptionError
        With the number that is needed at least.
    """
    ours, theirs = multiprocessing.get_context("spawn").Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(
        target=_tell_need, args=(theirs,), daemon=True, name="jensen-need"
    )
    with _starting, _one_thread_each(), _no_daemon(), _no_interrupt():
        process.start()
    theirs.close()
    try:
        need: int | None = ours.recv()
    except EOFError:  # it died: so will the workers, and their rows say how
        need = None
    process.join()
    if need is not None and limit < need:
        raise OptionError(
            f"memory limit {limit >> 20} MiB: a worker needs at least {-(-need >> 20)} MiB "
            "of address space before it reads a model"
        )


def _tell_need(pipe: Connection) -> None:
    """Send the address space that a small verification took; None where that is not known."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()  # as workers do: it takes room
    maximum = ReluNetwork.from_layers([[[1.0, -1.0], [0.0, 1.0]], [[1.0, 1.0]]], [[0, 0], [0]])
    with TemporaryDirectory(prefix="jensen-") as folder:
        path = Path(folder, "small.onnx")
        save(maximum, path)
        run_job(Job(0, Case(path, path.name, Everywhere())))
    one = np.ones(1)
    LpSolver().maximise(one, one[None], one, np.zeros(1, dtype=bool))
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:  # no Linux
        pipe.send(None)
        return
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmPeak:"))
    pipe.send(int(peak) << 10)


def _limit_memory(limit: int) -> None:
    try:
        import resource  # noqa: PLC0415  (not on every system)
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
