"""The point of a cone ``{w : rows @ w >= 0}`` that is nearest to a given one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import numpy as np

from jensen.arithmetic.exact import root_to_double
from jensen.errors import OutOfTimeError, SolverError
from jensen.types import BoolArray, FloatArray
from jensen_encodings.deadline import NEVER, Deadline
from jensen_encodings.lp import LpSolver, LpStatus

THIN = 1e4  # distance from 0 at which every row has a slack of 1, if it is to count as room
CLOSE = 1e-7  # rows this close to 0 may be the ones that stay 0
MOST_ROWS = 600  # that a linear program tells apart
STRICT = 1e-7  # slack that a row needs to count as strict
ZERO = 1e-9  # entries of a null space that count as 0
GREAT = 1e5  # multipliers that only rows have which are opposite up to rounding
DAMPING = 1e-8  # of such multipliers: rows then hold up to its square times their multiplier
HALVINGS = 12  # of the ratio between a margin that is met and one that is not


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

    def nearest(
        self, rows: FloatArray, margin: float, deadline: Deadline = NEVER
    ) -> tuple[FloatArray, FloatArray] | None:
        """Return the best w with ``rows @ w >= margin``, and the rows' multipliers.

        In the norm l2 a margin > 0 is met by a w that is the best one up to a few margins.

        Returns
        -------
        (w, multipliers) or None
            None if there is no such w, or none nearby. Both are hints, in floating point.

        Raises
        ------
        OutOfTimeError
            If time was up before that was known.
        """
        if not (rows @ self.centre < margin).any():
            return self.centre.copy(), np.zeros(len(rows))
        if self.norm is Norm.L1:
            found = _least_sum(rows, margin - rows @ self.centre, deadline)
            return None if found is None else (self.centre + found[0], found[1])
        factor, turned = self.factor, rows
        if factor is not None:
            turned = np.asarray(np.linalg.solve(factor.T, rows.T).T, dtype=np.float64)
        inside = _inner_point(turned) if margin else np.zeros(len(self.centre))
        if inside is None:
            return None
        centre = self.centre if factor is None else factor @ self.centre
        point, multipliers = _projection(turned, centre - margin * inside)
        best = point + margin * inside
        if factor is not None:
            best = np.asarray(np.linalg.solve(factor, best), dtype=np.float64)
        return best, multipliers

    def change(self, weights: FloatArray) -> float:
        """Return ``|factor (w - centre)|``."""
        moved = weights - self.centre
        if self.factor is not None:
            moved = self.factor @ moved
        return float(np.linalg.norm(moved, 1 if self.norm is Norm.L1 else 2))

    def restricted(self, free: BoolArray) -> Objective:
        """Return the same objective where the other weights are 0, as one of the free ones."""
        if self.factor is None:
            return Objective(self.centre[free], None, self.norm)
        basis, factor = np.linalg.qr(self.factor[:, free])
        centre = np.linalg.solve(factor, basis.T @ (self.factor @ self.centre))
        return Objective(centre, factor, self.norm)


def nearest_with_margin(
    objective: Objective,
    rows: FloatArray,
    margin: float,
    share: float = 0.0,
    deadline: Deadline = NEVER,
) -> FloatArray:
    """Return the best w with ``rows @ w >= margin`` for rows that can be positive, else 0.

    Rows that are 0 wherever all are ``>= 0`` leave no room for rounding; the weights that
    they tie are set to 0, so that they hold exactly. With all weights 0 every row holds.

    Parameters
    ----------
    objective : Objective
    rows : array (n, units)
    margin : float
    share : float
        By how much the change may exceed the least one, relative to it: it is spent on a
        wider margin. All weights are 0 if that costs no more.
    deadline : Deadline

    Raises
    ------
    OutOfTimeError
        If time was up before a program was solved.
    """
    free = np.ones(rows.shape[1], dtype=bool)
    while free.any():
        bent = objective.restricted(free)
        left = rows[(np.abs(rows[:, free]) > ZERO).any(axis=1)][:, free]
        found = bent.nearest(left, margin, deadline)
        if found is not None:
            weights = np.zeros(len(free))
            weights[free] = found[0]
            if share:
                _widen(weights, free, objective, left, margin, share, deadline)
            return weights
        free[np.flatnonzero(free)[_tied(bent, left, deadline)]] = False
    return np.zeros(len(free))


def _widen(
    weights: FloatArray,
    free: BoolArray,
    objective: Objective,
    rows: FloatArray,
    margin: float,
    share: float,
    deadline: Deadline,
) -> None:
    """Replace the free weights by some of a wider margin, as wide as the share allows."""
    bent, tried = objective.restricted(free), weights.copy()
    best = bent.nearest(rows, 0.0, deadline)
    if best is None:
        return
    tried[free] = best[0]
    allowed = (1 + share) * objective.change(tried)
    if objective.change(np.zeros(len(free))) <= allowed:
        weights[:] = 0.0
        return
    low, high = margin, float(np.linalg.norm(objective.centre))
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        found = bent.nearest(rows, middle, deadline)
        if found is not None:
            tried[free] = found[0]
        if found is None or objective.change(tried) > allowed:
            high = middle
        else:
            low = middle
            weights[:] = tried


def _tied(objective: Objective, rows: FloatArray, deadline: Deadline) -> BoolArray:
    """Return which weights to set to 0 where the rows have no common interior."""
    everything = np.ones(rows.shape[1], dtype=bool)
    best = objective.nearest(rows, 0.0, deadline)
    if best is None:
        return everything
    size = max(float(np.abs(best[0]).max()), 1e-300)
    tight = rows[rows @ best[0] < CLOSE * size]
    if len(tight) > MOST_ROWS:
        return everything
    tight = tight[~strict_rows(tight)]
    zero = _zero_on_null_space(tight)
    if not zero.any():
        zero = np.asarray((np.abs(tight) > ZERO).any(axis=0), dtype=bool)
    return zero if zero.any() else everything


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


def _projection(rows: FloatArray, start: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the nearest w with ``rows @ w >= 0``, as ``start + multipliers @ rows``.

    Rows that are opposite up to rounding ask for more than they mean: what they differ by becomes a
    row of its own, with huge multipliers. A small price on multipliers keeps it out.

    References
    ----------
    Moreau 1962: what is left of a point's projection on a cone is its projection on the
    polar cone, a non-negative least squares problem.
    """
    multipliers = _nonnegative(rows.T, -start)
    sizes = np.linalg.norm(rows, axis=1)
    if (multipliers * sizes).max(initial=0.0) > GREAT * np.linalg.norm(start):
        system = np.vstack([rows.T, DAMPING * np.diag(sizes)])
        multipliers = _nonnegative(system, np.append(-start, np.zeros(len(rows))))
    return start + multipliers @ rows, multipliers


def _inner_point(rows: FloatArray) -> FloatArray | None:
    """Return the shortest s with ``rows @ s >= 1``; None if there is none of moderate length.

    References
    ----------
    Lawson and Hanson, "Solving Least Squares Problems", 1974, chapter 23: least distance
    programming by non-negative least squares.
    """
    count, units = rows.shape
    system = np.vstack([rows.T, np.ones((1, count))])
    target = np.append(np.zeros(units), 1.0)
    residual = system @ _nonnegative(system, target) - target
    if -residual[-1] < 1 / (1 + THIN**2):
        return None
    inside: FloatArray = residual[:units] / -residual[-1]
    return inside if (rows @ inside > 0.5).all() else None


def _nonnegative(system: FloatArray, target: FloatArray) -> FloatArray:
    """Return the ``y >= 0`` that minimises ``|system y - target|``."""
    from scipy.optimize import nnls  # noqa: PLC0415  (half a second for who imports jensen)

    try:
        found, _ = nnls(system, target, maxiter=30 * sum(system.shape))
    except RuntimeError as error:
        raise SolverError(f"non-negative least squares: {error}") from None
    return np.asarray(found, dtype=np.float64)


def _least_sum(
    rows: FloatArray, needed: FloatArray, deadline: Deadline
) -> tuple[FloatArray, FloatArray] | None:
    """Return the d of least ``sum |d|``: the variables are its positive and negative parts."""
    units = rows.shape[1]
    size = float(np.abs(needed).max(initial=0.0)) or 1.0  # d is as large, tolerances are not
    parts = np.zeros(2 * units), np.full(2 * units, np.inf)
    result = LpSolver(deadline).maximise(
        -np.ones(2 * units),
        np.hstack([-rows, rows]),
        -needed / size,
        np.zeros(len(rows), dtype=bool),
        parts,
    )
    if result.status is not LpStatus.OPTIMAL:
        if deadline.over():  # not that there are none
            raise OutOfTimeError("time was up before the least change was found")
        return None
    return (result.x[:units] - result.x[units:]) * size, np.maximum(result.multipliers, 0.0)


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
