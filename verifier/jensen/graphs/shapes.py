"""How a function is evaluated, enclosed, and known to be shaped on an interval.

Enclosures are computed in doubles. The elementary functions of NumPy and of the C library err by a
few units in the last place; every end is moved outward by :data:`MARGIN` of its size, which
is more than a hundred of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jensen.types import BoolArray, FloatArray, Interval

MARGIN = 2.0**-46
TINY = 2.0**-1060  # more than the error of a result that is subnormal


@dataclass(frozen=True, eq=False)
class Shape:
    """What holds of a function on intervals of its arguments, elementwise.

    Attributes
    ----------
    nondecreasing, nonincreasing, convex, concave : bool arrays
    defined : bool array
        Whether it has a value at every point of the interval.
    """

    nondecreasing: BoolArray
    nonincreasing: BoolArray
    convex: BoolArray
    concave: BoolArray
    defined: BoolArray


Values = Callable[[FloatArray, float], FloatArray]
Enclosure = Callable[[FloatArray, FloatArray, float], Interval]
ShapeOf = Callable[[FloatArray, FloatArray, float], Shape]


@dataclass(frozen=True)
class Rule:
    """How one function is evaluated and enclosed.

    Attributes
    ----------
    values : callable (z, parameter) -> array
        In floating point; the functions of groups reduce the last axis.
    enclosure : callable (lower, upper, parameter) -> (lower, upper)
        Rigorous bounds of the values for all arguments between the ends.
    shape : callable (lower, upper, parameter) -> Shape
        For elementwise functions. Those of groups have rules of their own
        (:mod:`jensen.composition.curvature`).
    """

    values: Values
    enclosure: Enclosure
    shape: ShapeOf | None = None


def outward(lower: FloatArray, upper: FloatArray) -> Interval:
    """Move both ends outward by more than elementary functions err."""
    largest = np.finfo(np.float64).max
    with np.errstate(over="ignore", invalid="ignore"):
        low = lower - (MARGIN * np.abs(lower) + TINY)
        high = upper + (MARGIN * np.abs(upper) + TINY)
    # what overflowed is at least as large as all doubles; what is no number says nothing
    low = np.where(np.isposinf(lower), largest, np.where(np.isnan(low), -np.inf, low))
    high = np.where(np.isneginf(upper), -largest, np.where(np.isnan(high), np.inf, high))
    return low, high
