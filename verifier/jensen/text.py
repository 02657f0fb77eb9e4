"""File names as text."""

from __future__ import annotations

import os
from pathlib import Path


def printable(path: str | Path) -> str:
    r"""Return a path as one line of text, everything escaped that cannot be printed.

    Examples
    --------
    >>> print(printable(b"caf\xe9\n.onnx".decode("utf-8", "surrogateescape")))
    caf\xe9\n.onnx
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
