"""Text that leaves the program: names from files are data, and never commands to a reader.

Whatever a model, a file or an error calls itself is written through :func:`printable`: to the
terminal, into CSV, JSON, JUnit, Markdown, HTML and the store.
"""

from __future__ import annotations

import hashlib
import html
import math
from collections.abc import Iterable, Mapping
from numbers import Number
from pathlib import Path
from typing import Any

_BYTES = range(0xDC80, 0xDD00)  # how Python writes bytes of file names that are no text
MOST_SHOWN = 60  # characters of what was passed
_FORMULA = ("=", "+", "-", "@")


def printable(text: str | Path, *, lines: bool = False) -> str:
    r"""Return text in which everything is escaped that cannot be printed.

    Escaped are control characters, ends of lines, marks that change the direction of
    writing, code points without a character, and halves of surrogate pairs; what is left can
    be encoded in UTF-8 and stands in one line. What is printable stays as it is, so that the
    function may be applied twice.

    Parameters
    ----------
    text : str or Path
    lines : bool
        Keep ends of lines, in text of several lines.

    Examples
    --------
    >>> print(printable(b"caf\xe9\n.onnx".decode("utf-8", "surrogateescape")))
    caf\xe9\n.onnx
    >>> print(printable("gelu\x1b[2J\ud800"))
    gelu\x1b[2J\ud800
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or (lines and c == "\n") else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if code in _BYTES:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def own_name(text: str | Path) -> str:
    r"""Return a printable name that no other text has: a digest follows where it was escaped.

    Without it, a file name with an end of line and one with a backslash and an n were one.

    Examples
    --------
    >>> own_name("plain.npz")
    'plain.npz'
    >>> print(own_name("a\nb.npz"))
    a\nb.npz #c768be10
    """
    raw = str(text)
    shown = printable(raw)
    if shown == raw:
        return raw
    return f"{shown} #{hashlib.sha256(raw.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def shown(value: Any) -> str:
    """Return what a caller passed, briefly and in one line, for the message of an error.

    Examples
    --------
    >>> shown("m.onnx"), shown(0.5), shown(float), shown(object())
    ("'m.onnx'", '0.5', 'the class float', 'an object of type object')
    """
    if isinstance(value, type):
        return f"the class {value.__name__}"
    simple = isinstance(value, str | bytes | Number | tuple | list | dict | set | None.__class__)
    try:
        text = printable(repr(value)) if simple else ""
    except ValueError:  # Python writes no whole numbers of thousands of digits
        text = ""
    if not text:
        return f"an object of type {type(value).__name__}"
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 3]}..."


def csv_text(text: str) -> str:
    """Return text for a CSV field that no spreadsheet takes for a formula.

    An apostrophe in front marks text there, and is shown by none.

    Examples
    --------
    >>> csv_text("=1+1")
    "'=1+1"
    """
    text = printable(text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def json_ready(value: Any) -> Any:
    """Return a record for strict JSON: printable strings, null for numbers that are not finite."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {printable(str(key)): json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    return value


def point(values: Iterable[float], most: int = 6) -> str:
    """Return a point for the eye, long ones shortened.

    Examples
    --------
    >>> point([0.5, 1 / 3])
    '(0.5, 0.333333)'
    """
    numbers = [f"{float(v):.6g}" for v in values]
    if len(numbers) > most:
        return f"({', '.join(numbers[: most - 1])}, ... {len(numbers)} numbers)"
    return f"({', '.join(numbers)})"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun in the singular or the plural.

    Examples
    --------
    >>> counted(1, "node"), counted(1200, "node"), counted(0, "vertex", "vertices")
    ('1 node', '1,200 nodes', '0 vertices')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def markup(text: str | Path) -> str:
    """Return text for HTML, nothing in which is taken for markup.

    Examples
    --------
    >>> markup("<b>&")
    '&lt;b&gt;&amp;'
    """
    return html.escape(printable(text))


def html_table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table for a notebook, all text escaped, in the page's own colours.

    Examples
    --------
    >>> html_table(["name", "size"], [["<a>", "3"]])
    '<table><tr><th>name</th><th>size</th></tr><tr><td>&lt;a&gt;</td><td>3</td></tr></table>'
    """
    lines = [("th", header), *(("td", row) for row in rows)]
    body = "".join(
        "<tr>" + "".join(f"<{tag}>{markup(cell)}</{tag}>" for cell in line) + "</tr>"
        for tag, line in lines
    )
    return f"<table>{body}</table>"


def html_badge(text: str, colour: str) -> str:
    """Return a word in white on a dark colour, which is read on light and dark pages."""
    style = f"background:{colour};color:#fff;padding:0.1em 0.5em;border-radius:0.3em"
    return f'<strong style="{style}">{markup(text)}</strong>'
