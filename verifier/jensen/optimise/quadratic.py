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

from jensen.arithmetic.powers import exponents_near
from jensen.errors import SolverError
from jensen.types import BoolArray, FloatArray, IndexArray
from jensen_encodings.solver import INFINITY, Compressed, linear_program, started

TOLERANCE = 1e-9
OPTIONS: dict[str, int | float | str] = {
    "threads": 1,
    "primal_feasibility_tolerance": TOLERANCE,
    "dual_feasibility_tolerance": TOLERANCE,
    "qp_iteration_limit": 5_000,  # now and then it cycles; programs that end need some hundreds
}
GRADIENT_STEPS = 1000
SMALLEST = -40  # power of two of the shortest way in whose units a program is written
# added to the diagonal: HiGHS's 1e-7 moves the optimum, and without any it fails now and then
SHIFTS = (0.0, 1e-12, 1e-9, 1e-7)
PASSES, STILL = 200, 1e-12  # of least distances, until t moves by no more


@np.errstate(over="ignore", invalid="ignore")  # what overflows is an error below
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
    inputs, terms = len(center), len(weights)
    cuts = np.flatnonzero(term >= 0)
    # from the center, t from the highest cut there in units of the slopes, rows in their own:
    # tolerances are absolute
    above = constants + matrix @ center
    base = np.full(terms, -np.inf)
    np.maximum.at(base, term[cuts], above[cuts])
    above[cuts] -= base[term[cuts]]
    unit = np.ldexp(1.0, exponents_near(np.abs(matrix[cuts]).max(initial=0.0)))
    own = np.ldexp(1.0, exponents_near(np.abs(matrix).max(axis=1, initial=0.0)))
    own[cuts] = unit
    full = np.zeros((len(term), inputs + terms + 1))
    full[:, :inputs] = -matrix / own[:, None]
    full[cuts, inputs + term[cuts]] = 1.0
    full[:, -1] = above / own
    if not (np.isfinite(full).all() and np.isfinite(own).all()):
        raise SolverError("a cut is not finite: the network's numbers are too large")
    equal = np.arange(len(term)) >= len(term) - equations
    # and all in units of how far u moves, where that is little: slopes pull by step, rows by above
    low, high = sides[0] - center, sides[1] - center
    rows = term < 0
    way = max(step * unit * weights.max(), low.max(), -high.min())
    way = max(way, np.where(equal, np.abs(full[:, -1]), full[:, -1])[rows].max(initial=0.0))
    scale = np.ldexp(1.0, np.clip(exponents_near(way), SMALLEST, 0))
    full[:, -1] /= scale
    cost = np.append(np.zeros(inputs), weights * step * unit / scale)
    free = np.full(terms, INFINITY)
    bounds = np.append(low / scale, -free), np.append(high / scale, free)
    # the same cut twice makes HiGHS give up, and now and then something else does
    _, first = np.unique(np.hstack([full, equal[:, None]]), axis=0, return_index=True)
    kept = np.sort(first)
    solution = _attempt(_program(cost, bounds, full[kept], equal[kept], inputs))
    if solution is None:
        moved, multipliers = _least_distance(cost[inputs:], bounds, full[kept], equal[kept])
    else:
        moved, multipliers = np.array(solution.col_value)[:inputs], np.array(solution.row_dual)
    y = np.zeros(len(term))
    y[kept] = multipliers / own[kept] / step * scale
    y[~equal] = np.maximum(y[~equal], 0.0)
    u = np.clip(center + moved * scale, *sides)
    _complete(y, term, weights, matrix @ u + constants)
    return u, y


def _complete(y: FloatArray, term: IndexArray, weights: FloatArray, values: FloatArray) -> None:
    """Give terms without any multiplier, as of flat cuts, their weight on the highest cut."""
    for s in range(len(weights)):
        own = np.flatnonzero(term == s)
        if not y[own].sum() > 0:
            y[own[np.argmax(values[own])]] = weights[s]


def _program(
    cost: FloatArray,
    bounds: tuple[FloatArray, FloatArray],
    full: FloatArray,
    equal: BoolArray,
    inputs: int,
) -> Any:
    """Return HiGHS with the program, the inputs' squares in its objective."""
    below, count = full[:, -1], len(cost)
    lp = linear_program(
        cost,
        bounds,
        Compressed.of_dense(full[:, :-1]),
        (below, np.where(equal, below, INFINITY)),
    )
    highs = started(OPTIONS)
    highs.passModel(lp)
    starts = np.minimum(np.arange(count + 1), inputs).astype(np.int32)
    diagonal = np.arange(inputs, dtype=np.int32)
    highs.passHessian(count, inputs, 1, starts, diagonal, np.ones(inputs))
    return highs


def _least_distance(
    cost: FloatArray, bounds: tuple[FloatArray, FloatArray], full: FloatArray, equal: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Solve the same program by proximal steps in t, each a least distance program.

    Returns
    -------
    v, multipliers

    References
    ----------
    Lawson and Hanson, "Solving Least Squares Problems", 1974, chapter 23, for the reduction to
    non-negative least squares; Rockafellar 1976 for the steps.
    """
    from scipy.optimize import nnls  # noqa: PLC0415  (half a second for who imports jensen)

    size, inputs = full.shape[1] - 1, full.shape[1] - 1 - len(cost)
    eye = np.eye(size)
    lower, upper = np.isfinite(bounds[0]), np.isfinite(bounds[1])
    A = np.vstack([full[:, :-1], -full[equal, :-1], eye[lower], -eye[upper]])
    b = np.concatenate(
        [full[:, -1], -full[equal, -1], bounds[0][lower], -bounds[1][upper]],
    )
    at = np.zeros(size)
    multipliers = np.zeros(len(b))
    for _ in range(PASSES):
        start = np.append(np.zeros(inputs), at[inputs:] - cost)
        short = b - A @ start
        target = np.append(np.zeros(size), 1.0)
        try:
            y, _ = nnls(np.vstack([A.T, short]), target, maxiter=30 * sum(A.shape))
        except RuntimeError as error:
            raise SolverError(f"non-negative least squares: {error}") from None
        rest = 1.0 - float(short @ y)
        if not rest > 0:
            raise SolverError("neither HiGHS nor least squares solved the program over the cuts")
        multipliers = y / rest
        before, at = at, start + A.T @ multipliers
        if np.abs(at - before)[inputs:].max(initial=0.0) <= STILL * (1 + np.abs(at).max()):
            break
    found = multipliers[: len(full)].copy()
    found[equal] -= multipliers[len(full) : len(full) + int(equal.sum())]
    return at[:inputs], found


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
