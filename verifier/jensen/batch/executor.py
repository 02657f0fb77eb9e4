"""Where jobs run: one small interface, and the executor of this very process."""

from __future__ import annotations

from typing import Protocol

from jensen.batch.case import Row
from jensen.batch.job import Job, run_job


class Executor(Protocol):
    """Runs jobs, at most ``slots`` at a time; every job that goes in comes out as one row."""

    @property
    def slots(self) -> int:
        """How many jobs may run at once."""
        ...

    def submit(self, job: Job) -> None:
        """Start a job; only called while fewer than ``slots`` are running."""
        ...

    def wait(self, timeout: float) -> list[tuple[Job, Row]]:
        """Return finished jobs, waiting up to ``timeout`` seconds for the first."""
        ...

    def close(self) -> None:
        """Give everything back; running jobs are abandoned."""
        ...


class InlineExecutor:
    """Runs every job in the calling process when it is waited for."""

    slots = 1

    def __init__(self) -> None:
        self._jobs: list[Job] = []

    def submit(self, job: Job) -> None:
        """Take a job."""
        self._jobs.append(job)

    def wait(self, timeout: float) -> list[tuple[Job, Row]]:
        """Run what was submitted to its end."""
        jobs, self._jobs = self._jobs, []
        return [(job, run_job(job)) for job in jobs]

    def close(self) -> None:
        """Do nothing: nothing is held."""
