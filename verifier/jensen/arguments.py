"""What callers pass: flags, counts and functions, checked where they come in.

Errors are one line and name the argument; :func:`jensen.text.shown` keeps what was given short.
"""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np

from jensen.errors import OptionError
from jensen.text import shown

MOST_THREADS = 1024


def checked_flag(value: Any, name: str) -> bool:
    """Return a switch.

    Raises
    ------
    OptionError
        Unless it is True or False: words such as "no" would count as True.

    Examples
    --------
    >>> checked_flag(np.True_, "concave")
    True
    """
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise OptionError(f"{name} {shown(value)}: True or False is needed")


def checked_count(value: Any, name: str, least: int) -> int:
    """Return a whole number that may not be below another.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> checked_count(np.int64(3), "threads", 1)
    3
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise OptionError(f"{name} {shown(value)}: a whole number >= {least} is needed")
    return int(value)


def checked_threads(value: Any) -> int:
    """Return a number of threads.

    Raises
    ------
    OptionError
        For less than one, and for more than any machine has.

    Examples
    --------
    >>> checked_threads(2)
    2
    """
    threads = checked_count(value, "threads", 1)
    if threads > MOST_THREADS:
        raise OptionError(f"threads {shown(value)}: at most {MOST_THREADS:,} are supported")
    return threads


def checked_callback(value: Any, name: str) -> None:
    """Raise unless a function was given, or None.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> checked_callback(print, "progress")
    """
    if value is not None and not callable(value):
        raise OptionError(f"{name} {shown(value)}: a function is needed")


def real(value: Any) -> float | None:
    """Return a real number as a double, infinite beyond all doubles; None for anything else.

    Examples
    --------
    >>> real(0.5), real(10**400), real(True), real("1")
    (0.5, inf, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if bool(value > 0) else -math.inf  # type: ignore[operator]
