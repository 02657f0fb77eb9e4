"""How the tests run the command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable

import pytest

from jensen.cli import main


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that must end with one line of error and nothing else; return the line."""
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("jensen: error: ")
    assert captured.err.count("\n") == 1
    assert "fault of this program" not in captured.err
    return captured.err


def forked(arguments: Iterable[object], prepare: Callable[[], None]) -> tuple[int, str]:
    """Run a command in a forked process; return how it ended and what was on its stderr."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:  # pragma: no cover  (another process)
        code = 99
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(theirs, 2)
            sys.stdout, sys.stderr = open(1, "w"), open(2, "w")  # noqa: SIM115
            prepare()
            code = main([str(argument) for argument in arguments])
            sys.stderr.flush()
        finally:
            os._exit(code)
    os.close(theirs)
    with os.fdopen(ours) as stream:
        said = stream.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said
