"""The command line (docs/cli.md)."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import time
from collections.abc import Sequence
from enum import IntEnum

import click

from jensen.cli.app import app
from jensen.errors import JensenError, UndecidedError
from jensen.text import printable

__all__ = ["ExitCode", "main"]

BEGAN = time.monotonic()  # time limits count from here


class ExitCode(IntEnum):
    """What the exit code of every command says."""

    CONVEX = 0
    NONCONVEX = 1
    ERROR = 2
    UNKNOWN = 3
    INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments without the program's name; those of the process by default.

    Returns
    -------
    int
        The exit code (docs/cli.md): 0 convex, 1 nonconvex, 2 error, 3 unknown,
        130 interrupted.
    """
    _survive_odd_streams()
    began = BEGAN if argv is None else time.monotonic()
    words = None if argv is None else list(argv)
    try:
        code = app.main(words, "jensen", standalone_mode=False, obj=began)
        sys.stdout.flush()
        _is_over(argv)
    except (KeyboardInterrupt, click.Abort):
        _is_over(argv)
        _say("jensen: interrupted")
        return ExitCode.INTERRUPTED
    except (BrokenPipeError, SystemExit) as stop:
        if isinstance(stop, SystemExit) and not stop.code:
            return 0  # a shell has its completions
        # the reader has gone (`jensen ... | head`): stop without a word, as other filters do;
        # click makes of it an exit with 1, which would say nonconvex
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.ERROR
    except Exception as error:
        if os.environ.get("JENSEN_TRACEBACK"):
            raise
        line = printable(" ".join(_message(error).split()))
        if isinstance(error, UndecidedError):
            _say(f"jensen: {line}")
            return ExitCode.UNKNOWN
        _say(f"jensen: error: {line}")
        return ExitCode.ERROR
    return int(code or 0)


def _is_over(argv: Sequence[str] | None) -> None:
    """Ignore Ctrl-C where the process ends here: it changes neither what was said nor the code."""
    if argv is None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _message(error: Exception) -> str:
    match error:
        case click.UsageError() if error.ctx is not None:
            return f"{error.format_message()} (see '{error.ctx.command_path} --help')"
        case click.ClickException():
            return error.format_message()
        case JensenError():
            return str(error)
        case MemoryError():
            return "out of memory"
        case OSError():
            where = "" if error.filename is None else f"{error.filename}: "
            if not where and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
                # files are written by jensen.outputs, which names them
                where = "standard output: cannot be written: "
            return f"{where}{error.strerror or error}"
    kind = type(error).__name__
    return f"a fault of this program: {kind}: {error} (JENSEN_TRACEBACK=1 shows where)"


def _say(line: str) -> None:
    """Write a line to standard error, the program's own voice."""
    # on a full disk or a closed pipe the exit code says it, and must not become 1
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)  # noqa: T201


def _survive_odd_streams() -> None:
    """Do without streams that are closed, and print names that are no valid text escaped."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
