"""Seconds by stage, for the record in a verdict."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Wall-clock seconds per stage; a stage within a stage counts for itself alone.

    Examples
    --------
    >>> watch = Stopwatch()
    >>> with watch.stage("lines"), watch.stage("domain"):
    ...     pass
    >>> sorted(watch.times)
    ['domain', 'lines']
    """

    def __init__(self) -> None:
        self.times: dict[str, float] = {}
        self._running: list[str] = []
        self._since = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the seconds within for a stage."""
        self._lap()
        self._running.append(name)
        try:
            yield
        finally:
            self._lap()
            self._running.pop()

    def _lap(self) -> None:
        now = time.perf_counter()
        if self._running:
            name = self._running[-1]
            self.times[name] = self.times.get(name, 0.0) + now - self._since
        self._since = now
