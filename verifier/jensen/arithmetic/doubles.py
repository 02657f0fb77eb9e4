"""The one rule for numbers that a user gives: a double holds them exactly, or they are refused.

NumPy would round integers beyond 2**53, long doubles and fractions in silence, drop imaginary
parts, read text as numbers and dates as integers. The function that is verified would then be
another one than the one that was given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from numbers import Rational
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jensen.types import FloatArray

EXACT_INTEGERS = 2**53  # every integer up to here is a double
_KINDS = {
    "b": "booleans",
    "c": "complex numbers",
    "m": "time spans",
    "M": "dates",
    "S": "text",
    "U": "text",
    "V": "records",
}


class NotADoubleError(ValueError):
    """A number that no double holds, or what is no number at all."""


def exact_doubles(value: Any) -> FloatArray:
    """Return numbers as a new array of doubles, none of them rounded.

    Parameters
    ----------
    value : array_like
        Floats and integers of any width, fractions and decimals, in arrays or nested
        sequences.

    Raises
    ------
    NotADoubleError
        If a number is no double, or something is no number: booleans, complex numbers, text.

    Examples
    --------
    >>> exact_doubles([Fraction(1, 4), 3])
    array([0.25, 3.  ])
    """
    if isinstance(value, list | tuple):
        return _from_sequence(value)
    if isinstance(value, float):
        return np.array(value)
    refuse_masked(value)
    array = np.asarray(value)
    if array.dtype == np.float64:
        return array.copy()
    if array.dtype.kind in "iu":
        return _from_integers(array)
    if array.dtype.kind == "f":
        return _from_floats(array)
    if array.dtype.kind in _KINDS:
        raise NotADoubleError(f"not numbers but {_KINDS[array.dtype.kind]}")
    flat = [_double(item) for item in array.reshape(-1).tolist()]
    return np.array(flat, dtype=np.float64).reshape(array.shape)


def refuse_masked(value: Any) -> None:
    """Refuse arrays, or sequences of them, of which some values are masked.

    NumPy would read what is below the mask.

    Raises
    ------
    NotADoubleError

    Examples
    --------
    >>> refuse_masked(np.ma.array([1.0, 2.0], mask=[False, False]))
    """
    if isinstance(value, list | tuple):
        for item in value:
            if isinstance(item, list | tuple | np.ma.MaskedArray):
                refuse_masked(item)
    elif np.ma.is_masked(value):
        raise NotADoubleError("not numbers but masked values")


def double_of_text(text: str) -> float:
    """Return the double next to a decimal number; integers have to be doubles.

    ``0.1`` is the double next to one tenth, as everywhere. What would become 0 or infinity, or
    is a whole number that no double holds, is refused.

    Raises
    ------
    NotADoubleError
    """
    stripped = text.strip()
    try:
        number = float(stripped)
    except ValueError:
        number = math.nan
    written = stripped.lstrip("+-").lower()
    if "_" in text or (math.isnan(number) and written != "nan") or not text.isascii():
        raise NotADoubleError(f"{text[:40]!r} is no number")
    mantissa = written.partition("e")[0]
    vanished = number == 0 and any(digit in mantissa for digit in "123456789")
    if vanished or (math.isinf(number) and not written.startswith("inf")):
        rounded = "0" if vanished else "infinite"
        raise NotADoubleError(f"{text[:40]} would be {rounded} as a double")
    if written.isdecimal() and len(written) > 15:  # shorter ones are doubles
        return _double(int(stripped))
    return number


def _from_sequence(value: Sequence[Any]) -> FloatArray:
    kinds = set(map(type, value))
    if kinds == {float}:
        return np.array(value, dtype=np.float64)
    if kinds <= {int, float} and all(type(v) is float or -(2**53) <= v <= 2**53 for v in value):
        return np.array(value, dtype=np.float64)
    parts = [exact_doubles(item) for item in value]
    if len({part.shape for part in parts}) > 1:
        raise NotADoubleError("not numbers in rows of one length")
    return np.stack(parts) if parts else np.zeros(0)


def _from_integers(array: NDArray[Any]) -> FloatArray:
    small = bool(
        array.size == 0 or (array.min() >= -EXACT_INTEGERS and array.max() <= EXACT_INTEGERS)
    )
    if not small:
        for item in array.reshape(-1).tolist():
            _double(item)
    return array.astype(np.float64)


def _from_floats(array: NDArray[Any]) -> FloatArray:
    with np.errstate(over="ignore", under="ignore"):
        doubles = array.astype(np.float64)
        wrong = (doubles.astype(array.dtype) != array) & ~np.isnan(array)
    if wrong.any():
        raise NotADoubleError(
            f"no double holds {array[wrong].reshape(-1)[0]!r}; round it to one that you mean"
        )
    return doubles


def _double(item: Any) -> float:
    """Return one number as a double."""
    if isinstance(item, bool | np.bool_) or not isinstance(
        item, float | Rational | Decimal | np.floating
    ):
        raise NotADoubleError(f"not a number but {type(item).__name__}")
    if isinstance(item, np.floating) and not isinstance(item, float):
        return float(_from_floats(np.asarray(item)))
    try:
        near = float(item)
    except (OverflowError, ValueError):
        near = math.inf
    if isinstance(item, float) or not _is_finite(item):
        return near
    if not math.isfinite(near) or Fraction(near) != Fraction(item):
        hint = "" if math.isinf(near) else f", the nearest is {near!r}"
        raise NotADoubleError(
            f"no double holds {_shown(item)}{hint}; give the double that you mean"
        )
    return near


def _is_finite(item: Any) -> bool:
    return item.is_finite() if isinstance(item, Decimal) else True


def _shown(item: Any) -> str:
    try:
        text = str(item)
    except ValueError:  # Python writes no integers of more than 4,300 digits
        return "an integer of thousands of digits"
    return text if len(text) <= 40 else f"{text[:30]}... ({len(text)} characters)"
