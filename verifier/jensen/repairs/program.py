"""The point of a cone ``{w : rows @ w >= 0}`` that is nearest to a given one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import nnls

from jensen.arithmetic.exact import root_to_double
from jensen.network.relu_network import FloatArray
from jensen_encodings.lp import LpSolver, LpStatus

BoolArray = NDArray[np.bool_]

EMPTY = 1e-12  # residual of the dual below which the rows have no common point
STRICT = 1e-7  # slack that a row needs to count as strict
ZERO = 1e-9  # entries of a null space that count as 0


class Norm(StrEnum):
    """How the change of the output weights is measured."""

    L1 = "l1"
    L2 = "l2"


@dataclass(frozen=True, eq=False)
class Objective:
    """Minimise ``|factor (w - centre)|``.

    Attributes
    ----------
    centre : array (units,)
    factor : array (units, units), upper triangular, or None for the identity
    norm : Norm
        The norm l1 goes with the identity only.
    """

    centre: FloatArray
    factor: FloatArray | None = None
    norm: Norm = Norm.L2

    def nearest(self, rows: FloatArray, margin: float) -> tuple[FloatArray, FloatArray] | None:
        """Return the best w with ``rows @ w >= margin``, and the rows' multipliers.

        Returns
        -------
        (w, multipliers) or None
            None if there is no such w. Both are hints, in floating point.
        """
        needed = margin - rows @ self.centre
        if not (needed > 0).any():
            return self.centre.copy(), np.zeros(len(rows))
        if self.norm is Norm.L1:
            found = _least_sum(rows, needed)
        elif self.factor is None:
            found = _least_squares(rows, needed)
        else:
            turned = solve_triangular(self.factor, rows.T, trans="T").T
            found = _least_squares(turned, needed)
            if found is not None:
                found = solve_triangular(self.factor, found[0]), found[1]
        return None if found is None else (self.centre + found[0], found[1])

    def restricted(self, free: BoolArray) -> Objective:
        """Return the same objective where the other weights are 0, as one of the free ones."""
        if self.factor is None:
            return Objective(self.centre[free], None, self.norm)
        basis, factor = np.linalg.qr(self.factor[:, free])
        centre = solve_triangular(factor, basis.T @ (self.factor @ self.centre))
        return Objective(centre, factor, self.norm)


def nearest_with_margin(objective: Objective, rows: FloatArray, margin: float) -> FloatArray:
    """Return the best w with ``rows @ w >= margin`` for rows that can be positive, else 0.

    Rows that are 0 wherever all are ``>= 0`` leave no room for rounding; the weights that
    they tie are set to 0, so that they hold exactly. With all weights 0 every row holds.
    """
    free = np.ones(rows.shape[1], dtype=bool)
    left = rows
    while True:
        found = objective.restricted(free).nearest(left[:, free], margin)
        if found is not None:
            weights = np.zeros(len(free))
            weights[free] = found[0]
            return weights
        tight = left[:, free][~strict_rows(left[:, free])]
        zero = _zero_on_null_space(tight) if len(tight) else np.ones(int(free.sum()), dtype=bool)
        if not zero.any() or not len(tight):
            zero |= (np.abs(tight) > ZERO).any(axis=0) if len(tight) else zero
        if not zero.any():
            zero[:] = True
        free[np.flatnonzero(free)[zero]] = False
        left = left[(np.abs(left[:, free]) > ZERO).any(axis=1)]
        if not free.any():
            return np.zeros(len(free))


def _zero_on_null_space(rows: FloatArray) -> BoolArray:
    """Return which coordinates are 0 wherever all rows are."""
    _, values, basis = np.linalg.svd(rows)
    rank = int((values > ZERO * max(values.max(initial=0.0), 1.0)).sum())
    return np.asarray((np.abs(basis[rank:]) < ZERO).all(axis=0))


def strict_rows(rows: FloatArray) -> BoolArray:
    """Return which rows can be positive while none is negative."""
    count, units = rows.shape
    eye, none = np.eye(count), np.zeros((count, units))
    A = np.vstack([np.hstack([-rows, eye]), np.hstack([none, eye]), np.hstack([none, -eye])])
    b = np.concatenate([np.zeros(count), np.ones(count), np.zeros(count)])
    c = np.concatenate([np.zeros(units), np.ones(count)])
    result = LpSolver().maximise(c, A, b, np.zeros(len(b), dtype=bool))
    if result.status is not LpStatus.OPTIMAL:
        return np.zeros(count, dtype=bool)
    return np.asarray(result.x[units:] > STRICT)


def _least_squares(rows: FloatArray, needed: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """Return the shortest d with ``rows @ d >= needed``, and multipliers.

    References
    ----------
    Lawson and Hanson, "Solving Least Squares Problems", 1974, chapter 23: least distance
    programming by non-negative least squares.
    """
    units = rows.shape[1]
    scale = float(needed.max())
    system = np.vstack([rows.T, needed[None] / scale])
    target = np.append(np.zeros(units), 1.0)
    found, _ = nnls(system, target, maxiter=30 * (len(rows) + units))
    residual = system @ found - target
    if -residual[-1] < EMPTY:
        return None
    return residual[:units] * (scale / -residual[-1]), found * (scale / -residual[-1])


def _least_sum(rows: FloatArray, needed: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """Return the d of least ``sum |d|``: the variables are d and their absolute values."""
    units = rows.shape[1]
    eye = np.eye(units)
    A = np.vstack(
        [np.hstack([-rows, np.zeros_like(rows)]), np.hstack([eye, -eye]), np.hstack([-eye, -eye])]
    )
    b = np.concatenate([-needed, np.zeros(2 * units)])
    c = np.concatenate([np.zeros(units), -np.ones(units)])
    result = LpSolver().maximise(c, A, b, np.zeros(len(b), dtype=bool))
    if result.status is not LpStatus.OPTIMAL:
        return None
    return result.x[:units], np.maximum(result.multipliers[: len(rows)], 0.0)


def proved_distance(
    rows: Sequence[Sequence[Fraction]],
    multipliers: Sequence[float],
    weights: Sequence[Fraction],
    norm: Norm,
) -> float:
    """Return a bound below the distance from w to ``{v : rows @ v >= 0}``, in real arithmetic.

    For multipliers ``y >= 0`` every such v has ``(y rows) v >= 0``, so that its distance
    from w is at least ``-(y rows) w`` over the dual norm of ``y rows``.
    """
    total = [Fraction(0)] * len(weights)
    for row, multiplier in zip(rows, multipliers, strict=True):
        factor = Fraction(max(float(multiplier), 0.0))
        total = [t + factor * r for t, r in zip(total, row, strict=True)]
    short = -sum((t * w for t, w in zip(total, weights, strict=True)), Fraction(0))
    if short <= 0:
        return 0.0
    if norm is Norm.L1:
        return math.nextafter(float(short / max(abs(t) for t in total)), 0.0)
    return math.nextafter(root_to_double(short**2 / sum(t * t for t in total)), 0.0)
