"""Quadratic programs over cuts, by HiGHS: in the points, or in the multipliers.

References
----------
A. Beck, M. Teboulle. A fast iterative shrinkage-thresholding algorithm for linear inverse problems.
SIAM Journal on Imaging Sciences 2, 2009.
"""

from __future__ import annotations

from typing import Any

import highspy
import numpy as np

from jensen.errors import SolverError
from jensen.types import FloatArray, IndexArray
from jensen_encodings.solver import INFINITY, Compressed, linear_program, started

TOLERANCE = 1e-9
OPTIONS: dict[str, int | float | str] = {
    "threads": 1,
    "primal_feasibility_tolerance": TOLERANCE,
    "dual_feasibility_tolerance": TOLERANCE,
}
GRADIENT_STEPS = 1000
# added to the diagonal: HiGHS's 1e-7 moves the optimum, and without any it fails now and then
SHIFTS = (0.0, 1e-12, 1e-9, 1e-7)


def nearest_point(
    center: FloatArray,
    step: float,
    matrix: FloatArray,
    constants: FloatArray,
    term: IndexArray,
    weights: FloatArray,
    equations: int,
    sides: tuple[FloatArray, FloatArray],
) -> tuple[FloatArray, FloatArray]:
    """Minimise ``w t + |u - center|^2 / (2 step)`` over cuts, rows and bounds.

    Parameters
    ----------
    center : array (inputs,)
    step : float
    matrix, constants : arrays (k, inputs), (k,)
        ``matrix u + constants <= t_s`` for cuts, ``<= 0`` for rows, ``= 0`` for the last ones.
    term : int array (k,)
        The term s of each cut; -1 for rows.
    weights : array (terms,)
    equations : int
    sides : pair of arrays (inputs,)
        Bounds of u.

    Returns
    -------
    u : array (inputs,)
    y : array (k,)
        Multipliers, ``>= 0`` except for the equations.

    Raises
    ------
    SolverError
        If HiGHS finds no solution.
    """
    inputs, terms, count = len(center), len(weights), len(term)
    highs = started(OPTIONS)
    full = np.zeros((count, inputs + terms))
    full[:, :inputs] = -matrix
    cuts = np.flatnonzero(term >= 0)
    full[cuts, inputs + term[cuts]] = 1.0
    free = np.full(terms, INFINITY)
    lp = linear_program(
        np.append(-center, weights * step),
        (np.append(sides[0], -free), np.append(sides[1], free)),
        Compressed.of_dense(full),
        (constants, np.where(np.arange(count) < count - equations, INFINITY, constants)),
    )
    highs.passModel(lp)
    starts = np.minimum(np.arange(inputs + terms + 1), inputs).astype(np.int32)
    diagonal = np.arange(inputs, dtype=np.int32)
    highs.passHessian(inputs + terms, inputs, 1, starts, diagonal, np.ones(inputs))
    solution = _solved(highs)
    y = np.array(solution.row_dual) / step
    y[: count - equations] = np.maximum(y[: count - equations], 0.0)
    return np.array(solution.col_value)[:inputs], y


def maximise_quadratic(
    q: FloatArray, Q: FloatArray, term: IndexArray, weights: FloatArray, start: FloatArray
) -> FloatArray:
    """Maximise ``q y - y Q y / 2`` over y >= 0 whose sums over the terms are given.

    Parameters
    ----------
    q : array (k,)
    Q : array (k, k)
        Positive semidefinite.
    term : int array (k,)
        To which sum a multiplier belongs.
    weights : array (terms,)
        What these sums are.
    start : array (k,)
        Multipliers to start from, where HiGHS fails and gradients have to do.
    """
    count = len(q)
    size = float(np.abs(np.diag(Q)).max(initial=0.0)) or 1.0
    highs = started(OPTIONS)
    sums = (np.arange(len(weights))[:, None] == term[None, :]).astype(np.float64)
    lp = linear_program(
        -q / size,
        (np.zeros(count), np.full(count, INFINITY)),
        Compressed.of_dense(sums),
        (weights, weights),
    )
    highs.passModel(lp)
    columns, rows = np.triu_indices(count)  # column by column of the lower triangle
    starts = np.searchsorted(columns, np.arange(count + 1)).astype(np.int32)
    highs.passHessian(count, len(rows), 1, starts, rows.astype(np.int32), Q[rows, columns] / size)
    solution = _attempt(highs)
    return (
        _climbed(q, Q, term, weights, start) if solution is None else np.array(solution.col_value)
    )


def _solved(highs: Any) -> Any:
    solution = _attempt(highs)
    if solution is None:
        raise SolverError("HiGHS could not solve the quadratic program over the cuts")
    return solution


def _attempt(highs: Any) -> Any | None:
    for shift in SHIFTS:
        highs.setOptionValue("qp_regularization_value", shift)
        highs.clearSolver()
        highs.run()
        if highs.getModelStatus() == highspy.HighsModelStatus.kOptimal:
            return highs.getSolution()
    return None


def _climbed(
    q: FloatArray, Q: FloatArray, term: IndexArray, weights: FloatArray, start: FloatArray
) -> FloatArray:
    """Maximise by accelerated projected gradients [Beck and Teboulle 2009]; about, not exactly."""
    pace = 1.0 / max(float(np.abs(Q).sum(axis=1).max()), 1e-300)
    members = [np.flatnonzero(term == s) for s in range(len(weights))]
    y = ahead = start
    momentum = 1.0
    for _ in range(GRADIENT_STEPS):
        moved = ahead + pace * (q - Q @ ahead)
        for own, weight in zip(members, weights.tolist(), strict=True):
            moved[own] = _onto_simplex(moved[own], weight)
        faster = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        ahead = moved + (momentum - 1.0) / faster * (moved - y)
        y, momentum = moved, faster
    return y


def _onto_simplex(values: FloatArray, total: float) -> FloatArray:
    """Return the nearest vector of non-negative numbers with a given sum."""
    falling = np.sort(values)[::-1]
    shifts = (np.cumsum(falling) - total) / np.arange(1, len(values) + 1)
    last = int(np.flatnonzero(falling > shifts)[-1])
    return np.asarray(np.maximum(values - shifts[last], 0.0))
