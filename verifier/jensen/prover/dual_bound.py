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
        Finite.

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
    size: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self.size = np.abs(self.A)

    def least(self, multipliers: FloatArray, *, with_cost: bool = True) -> float:
        """Return a proved lower bound of the objective, ``cost x + shift``.

        Without cost, a value > 0 proves that the program is infeasible.
        """
        y = self.signed(multipliers)
        if not np.isfinite(y).all() or np.abs(y).max(initial=0.0) > LARGEST_MULTIPLIER:
            return -np.inf
        side = np.where(y > 0, self.row_lower, np.where(y < 0, self.row_upper, 0.0))
        reduced = -(y @ self.A)
        weight = np.abs(y) @ self.size
        if with_cost:
            reduced += self.cost
            weight += np.abs(self.cost)
        ends = np.where(reduced > 0, self.lower, self.upper)
        reach = np.maximum(np.abs(self.lower), np.abs(self.upper))
        value = float(y @ side + reduced @ ends)
        magnitude = float(np.abs(y) @ np.abs(side) + weight @ reach)
        error = rounding_factor(len(y) + len(reduced) + 8) * magnitude
        error += SUBNORMAL * 8 * (len(y) + 1) * (len(reduced) + 1) * (1.0 + float(reach.sum()))
        if with_cost:
            value += self.shift
            error += 4 * UNIT * (abs(self.shift) + abs(value))
        bound = float(np.nextafter(value - SAFETY * error, -np.inf))
        return bound if np.isfinite(bound) else -np.inf

    def signed(self, multipliers: FloatArray) -> FloatArray:
        """Return the multipliers without those that belong to sides that are not there."""
        absent = ((multipliers > 0) & (self.row_lower == -np.inf)) | (
            (multipliers < 0) & (self.row_upper == np.inf)
        )
        return np.where(absent, 0.0, multipliers)
