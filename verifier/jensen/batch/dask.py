"""Jobs on a Dask cluster: model bytes go out, rows come back; no shared disk is needed."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
import uuid
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from jensen.batch.case import Row, RowStatus
from jensen.batch.job import Job, describe, error_row, run_job, versions
from jensen.batch.processes import ProcessExecutor
from jensen.batch.sent import Answer, SentJob, pack, run_sent, unpack
from jensen.errors import JensenError, MissingExtraError

_CONNECT_SECONDS = 20.0
_REFRESH_SECONDS = 1.0
_AHEAD = 2  # jobs per thread that are on their way, so that no worker waits for the next
_PATIENCE = 300.0  # seconds without a job after which a child on a worker leaves
_POLL = 0.5


class ClusterError(JensenError, ConnectionError):
    """A Dask cluster that cannot be used, or that was lost."""


class DaskExecutor:
    """Jobs on the workers of a Dask cluster.

    Every thread of a Dask worker drives a process of its own, as the executor of this
    machine does: one solver thread each, the same limits, and a crash is one ``error``
    row. Where a whole Dask worker is lost, Dask gives its jobs to others; a job that has
    taken several workers with it is an ``error`` row. Workers may come and go.

    Dask unpickles what it receives: who reaches the scheduler can run code on the workers and
    in this process. Only clusters that are trusted may be named here.

    Parameters
    ----------
    address : str
        Of the scheduler, for instance ``tcp://10.0.0.1:8786``.
    memory_limit : int or None
        Bytes of address space per job.
    quiet : bool
        Keep Dask's own log off standard error; what matters becomes errors and rows here.

    Raises
    ------
    MissingExtraError
        Without ``distributed``.
    ClusterError
        If there is no scheduler at the address, no worker, or one with another release
        of this package.
    """

    def __init__(
        self, address: str, *, memory_limit: int | None = None, quiet: bool = False
    ) -> None:
        try:
            from distributed import Client  # noqa: PLC0415  (an extra)
        except ImportError:
            raise MissingExtraError("clusters need Dask: pip install 'jensen[dask]'") from None
        for name in ("distributed", "distributed.client") if quiet else ():
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._memory_limit = memory_limit
        self._run = uuid.uuid4().hex[:12]
        self._finished: queue.SimpleQueue[tuple[Job, Any]] = queue.SimpleQueue()
        self._here: list[tuple[Job, Row]] = []
        self._futures: set[Any] = set()
        self._threads = (0.0, 1)
        try:
            connect: Any = Client  # Dask has types for some of its methods only
            self._client: Any = connect(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(f"scheduler {address}: cannot be reached ({error})") from None
        self._address = address
        try:
            self._check_workers()
        except BaseException:
            self._client.close()
            raise

    @property
    def slots(self) -> int:
        """Two jobs per thread of the cluster, as it is now."""
        asked, threads = self._threads
        if time.monotonic() > asked + _REFRESH_SECONDS:
            threads = sum(self._ask_threads().values())
            self._threads = (time.monotonic(), threads)
        return _AHEAD * max(1, threads)

    def submit(self, job: Job) -> None:
        """Send a job."""
        sent = pack(job)
        if sent is None:
            self._here.append((job, run_job(job)))
            return
        with warnings.catch_warnings():
            # the bytes belong to the task: scattered, they would be lost with their worker
            warnings.filterwarnings("ignore", "Sending large graph")
            future = self._client.submit(
                run_on_worker,
                sent,
                self._run,
                self._memory_limit,
                key=f"jensen-{self._run}-{uuid.uuid4().hex}",
                pure=False,
            )
        self._futures.add(future)
        future.add_done_callback(lambda done: self._finished.put((job, done)))

    def wait(self, timeout: float) -> list[tuple[Job, Row]]:
        """Return finished jobs."""
        done, self._here = self._here, []
        while True:
            try:
                job, future = self._finished.get(timeout=0 if done else timeout)
            except queue.Empty:
                return done
            self._futures.discard(future)
            done.append((job, self._row(job, future)))

    def close(self) -> None:
        """Take back what is not finished, end the processes of this run, and disconnect."""
        with contextlib.suppress(Exception):  # the cluster may be gone, which is no matter now
            self._client.cancel(list(self._futures), force=True)
            self._client.run(end_children, self._run, on_error="ignore")
        self._client.close(timeout=5)

    def _row(self, job: Job, future: Any) -> Row:
        if future.status == "cancelled":
            raise ClusterError(
                f"scheduler {self._address}: the connection was lost; "
                "with --store, the same command goes on from here"
            )
        if future.status == "finished":
            answer: Answer = future.result()
            try:
                return unpack(job, answer)
            except OSError as failure:  # its certificates cannot be written
                text = describe(failure)
                row = replace(answer.row, certificate=None, certificate_bytes=None)
                return replace(row, status=RowStatus.ERROR, error=text)
        error = future.exception()
        if type(error).__name__ == "KilledWorker":
            return error_row(job.case, "its Dask workers were lost, one after the other")
        return error_row(job.case, error)

    def _check_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
        except TimeoutError:
            raise ClusterError(f"scheduler {self._address}: it has no workers") from None
        mine = versions().get("jensen")
        try:
            found = self._client.run(worker_version)
        except Exception as error:  # whatever the worker raised when it looked for the module
            raise ClusterError(
                f"scheduler {self._address}: its workers cannot import jensen ({error}); "
                "install it there"
            ) from None
        other = {version for version in found.values() if version != mine}
        if other:
            raise ClusterError(
                f"scheduler {self._address}: its workers have jensen {', '.join(map(str, other))}, "
                f"here is {mine}"
            )

    def _ask_threads(self) -> dict[str, int]:
        try:
            threads: dict[str, int] = self._client.nthreads()
        except OSError as error:
            raise ClusterError(f"scheduler {self._address}: lost ({error})") from None
        return threads


# ------------------------------------------------------------------ on the Dask workers

_children: dict[str, list[ProcessExecutor]] = {}
_idle: dict[str, list[ProcessExecutor]] = {}
_lock = threading.Lock()


def worker_version() -> str | None:
    """Return the release of this package on a worker."""
    return versions().get("jensen")


def run_on_worker(sent: SentJob, run: str, memory_limit: int | None) -> Answer:
    """Run a job in a process of its own below a Dask worker.

    Parameters
    ----------
    sent : SentJob
    run : str
        The batch; its jobs reuse each other's processes.
    memory_limit : int or None
    """
    return run_sent(sent, lambda job: _in_child(job, run, memory_limit))


def end_children(run: str) -> None:
    """End the processes of a batch, whatever they are doing."""
    with _lock:
        children, idle = _children.pop(run, []), _idle.pop(run, [])
    for child in children:
        # a busy one is closed by the thread that waits for it
        child.close() if child in idle else child.kill()


def _in_child(job: Job, run: str, memory_limit: int | None) -> Row:
    with _lock:
        free = _idle.setdefault(run, [])
        if free:
            child = free.pop()
        else:
            child = ProcessExecutor(1, memory_limit=memory_limit, patience=_PATIENCE)
            _children.setdefault(run, []).append(child)
    wanted = _wanted()
    child.submit(job)
    while not (done := child.wait(_POLL)):
        if not wanted():
            child.kill()
    with _lock:
        kept = run in _idle
        if kept:
            _idle[run].append(child)
    if not kept:
        child.close()
    return done[0][1]


def _wanted() -> Callable[[], bool]:
    """Return a function that tells whether somebody still waits for the task of this thread.

    Dask cannot interrupt a thread; without this the proof for a client that was killed
    would hold its place on the cluster, without a time limit for ever.
    """
    from distributed import get_worker  # noqa: PLC0415  (an extra)

    worker: Any = get_worker()
    key = worker.get_current_task()

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state != "cancelled"

    return wanted
