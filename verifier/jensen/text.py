"""File names as text."""

from __future__ import annotations

import os
from pathlib import Path


def printable(path: str | Path) -> str:
    r"""Return a path as valid text, bytes that are none escaped.

    Examples
    --------
    >>> printable(b"caf\xe9.onnx".decode("utf-8", "surrogateescape"))
    'caf\\xe9.onnx'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")
