"""A bound of a linear program that holds in real arithmetic, from any multipliers.

For ``min c x + shift`` with ``r <= A x <= s`` and ``l <= x <= u``, every vector y gives

    c x >= sum_i (r_i y_i if y_i > 0 else s_i y_i) + sum_j min over [l_j, u_j] of (c - y A)_j x_j.

All variables are bounded, so the right side is finite for approximate duals, too; it is
evaluated in floating point and moved down by a bound of its rounding error.

References
----------
A. Neumaier, O. Shcherbina, "Safe bounds in linear and mixed-integer linear programming",
Mathematical Programming 99, 2004; C. Jansson, "Rigorous lower and upper bounds in linear
programming", SIAM Journal on Optimization 14, 2004.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from jensen.arithmetic.intervals import SAFETY, SUBNORMAL, UNIT, rounding_factor
from jensen.types import FloatArray

LARGEST_MULTIPLIER = 1e100  # larger ones, and what is no number, prove nothing


@dataclass(eq=False)
class LinearProgram:
    """The data of a program ``min cost x + shift``, as in the module's text.

    Attributes
    ----------
    cost : array (columns,)
    shift : float
    A : array (rows, columns)
    row_lower, row_upper : arrays (rows,)
        Infinite on sides that are not there.
    lower, upper : arrays (columns,)
        Finite; they may be narrowed, and widened again to what they were at first.

    Examples
    --------
    >>> program = LinearProgram(np.array([1.0]), 0.0, np.array([[2.0]]), np.array([1.0]),
    ...     np.array([np.inf]), np.array([0.0]), np.array([9.0]))
    >>> 0.4999 < program.least(np.array([0.5])) <= 0.5
    True
    """

    cost: FloatArray
    shift: float
    A: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray
    lower: FloatArray
    upper: FloatArray
    _reach: FloatArray = field(init=False)  # of the columns at first
    _row_reach: FloatArray = field(init=False)  # the largest that the terms of a row add up to
    _cost_reach: float = field(init=False)  # the same for the objective
    _relative: float = field(init=False)  # rounding of a sum over rows and columns
    _tiny: float = field(init=False)  # what underflow may have cost

    def __post_init__(self) -> None:
        self._reach = np.maximum(np.abs(self.lower), np.abs(self.upper))
        self._measure()
        self.set_cost(self.cost, self.shift)

    def _measure(self) -> None:
        rows, columns = self.A.shape
        self._row_reach = np.abs(self.A) @ self._reach * (1 + 4 * UNIT * (columns + 4))
        self._relative = rounding_factor(rows + columns + 8)
        total = 1.0 + float(self._reach.sum())
        self._tiny = SUBNORMAL * 8 * (rows + 1) * (columns + 1) * total

    def add_rows(self, rows: FloatArray, limits: FloatArray) -> None:
        """Add rows ``rows x <= limits``."""
        self.A = np.vstack([self.A, rows])
        self.row_lower = np.append(self.row_lower, np.full(len(limits), -np.inf))
        self.row_upper = np.append(self.row_upper, limits)
        self._measure()

    def set_cost(self, cost: FloatArray, shift: float) -> None:
        """Replace the objective."""
        self.cost, self.shift = cost, shift
        self._cost_reach = float(np.abs(cost) @ self._reach)

    def least(self, multipliers: FloatArray, *, with_cost: bool = True) -> float:
        """Return a proved lower bound of the objective, ``cost x + shift``.

        Without cost, a value > 0 proves that the program is infeasible.
        """
        side = np.where(multipliers > 0, self.row_lower, self.row_upper)
        absent = np.isinf(side)
        side[absent] = 0.0
        y = multipliers.copy()
        y[absent] = 0.0
        size = np.abs(y)
        if not size.max(initial=0.0) <= LARGEST_MULTIPLIER:  # nor where one is no number
            return -np.inf
        reduced = -(y @ self.A)
        magnitude = float(size @ (np.abs(side) + self._row_reach))
        if with_cost:
            reduced += self.cost
        return self._bound(float(y @ side), magnitude, reduced, with_cost)

    def interval(self) -> float:
        """Return a proved lower bound of the objective over the bounds of the columns alone."""
        return self._bound(0.0, 0.0, self.cost, with_cost=True)

    def _bound(self, value: float, magnitude: float, reduced: FloatArray, with_cost: bool) -> float:
        """Add the columns' part of a bound, and move it down by what rounding may have cost."""
        value += float(reduced @ np.where(reduced > 0, self.lower, self.upper))
        if with_cost:
            magnitude += self._cost_reach
        error = self._relative * magnitude + self._tiny
        if with_cost:
            value += self.shift
            error += 4 * UNIT * (abs(self.shift) + abs(value))
        bound = math.nextafter(value - SAFETY * error, -math.inf)
        return bound if math.isfinite(bound) else -math.inf

    def signed(self, multipliers: FloatArray) -> FloatArray:
        """Return the multipliers without those that belong to sides that are not there."""
        absent = ((multipliers > 0) & (self.row_lower == -np.inf)) | (
            (multipliers < 0) & (self.row_upper == np.inf)
        )
        return np.where(absent, 0.0, multipliers)
