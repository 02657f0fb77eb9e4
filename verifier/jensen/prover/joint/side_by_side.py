"""Searches of several groups side by side, in threads."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Event

from jensen.prover.joint.proof import JointResult
from jensen.prover.joint.search import JointSearch
from jensen.types import Unit


def searched(
    searches: Mapping[Unit, JointSearch],
    groups: Sequence[Unit],
    budget: int,
    threads: int,
    halt: Event,
) -> Generator[tuple[Unit, JointResult], None, None]:
    """Yield what so many nodes of each group found, in order, whatever thread takes it.

    The searches share nothing that they change; half of their time is HiGHS's, which lets
    other threads run.

    Parameters
    ----------
    searches : mapping from group to JointSearch
    groups : sequence of groups
    budget : int
        Nodes of each.
    threads : int
    halt : Event
        Set to end searches that are under way when no more is asked for.
    """
    if threads == 1:
        for group in groups:
            yield group, searches[group].run(budget)
        return
    with ThreadPoolExecutor(threads) as pool:
        # each in a copy of this context: NumPy keeps there what it does on overflow
        futures = [
            (group, pool.submit(copy_context().run, searches[group].run, budget))
            for group in groups
        ]
        try:
            for group, future in futures:
                yield group, future.result()
        finally:
            halt.set()  # nothing is under way unless a facet bends down, or Ctrl-C
            for _, future in futures:
                future.cancel()
    halt.clear()
