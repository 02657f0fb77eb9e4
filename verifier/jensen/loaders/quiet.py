"""Keeping other packages from writing to the user's terminal while they export."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
import warnings
from collections.abc import Iterator

# what is put aside here belongs to the whole process: of two threads, each would give back what
# the other one had put in its place, and standard output would be lost
_PROCESS = threading.RLock()


@contextlib.contextmanager
def quiet(package: str) -> Iterator[None]:
    """Drop warnings, prints and log lines of a package; its errors are raised all the same.

    Other threads that enter here wait.

    Parameters
    ----------
    package : str
        Whose loggers are meant, with those below it.
    """
    with _PROCESS, _dropped(package):
        yield


@contextlib.contextmanager
def _dropped(package: str) -> Iterator[None]:
    names = [n for n in logging.root.manager.loggerDict if f"{n}.".startswith(f"{package}.")]
    handlers = {handler for name in names for handler in logging.getLogger(name).handlers}
    for handler in handlers:
        handler.addFilter(_drop)
    try:
        # torch.export prints whole programs to standard error when it refuses one
        printed = (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        )
        with warnings.catch_warnings(), printed[0], printed[1]:
            warnings.simplefilter("ignore")
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(_drop)


def _drop(_: logging.LogRecord) -> bool:
    return False
