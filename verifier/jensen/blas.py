"""One thread for NumPy's matrix products while many small ones are taken.

The proofs multiply many small matrices. Threads of the BLAS library gain nothing there and
spin while they wait: on two cores a proof took up to five times the processor time with them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

LARGEST = 2048  # ReLUs; in larger networks the threads are worth having


class _Shared:
    """The limit holds from the first that enters to the last that leaves, in all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list[tuple[Any, int]] = []

    def enter(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                threads = [(library, library.num_threads) for library in _libraries()]
                self._before = [(library, count) for library, count in threads if count != 1]
                for library, _ in self._before:
                    library.set_num_threads(1)

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                for library, count in self._before:
                    library.set_num_threads(count)
                self._before = []


_SHARED = _Shared()


@cache
def _libraries() -> list[Any]:
    controller = ThreadpoolController()
    return [lib for lib in controller.lib_controllers if lib.user_api == "blas"]


@contextmanager
def few_threads(neurons: int) -> Iterator[None]:
    """Keep BLAS to one thread where a network is small; afterwards it has as many as before.

    Parameters
    ----------
    neurons : int
        ReLUs of the network.

    Examples
    --------
    >>> with few_threads(100):
    ...     pass
    """
    if neurons > LARGEST:
        yield
        return
    _SHARED.enter()
    try:
        yield
    finally:
        _SHARED.leave()
