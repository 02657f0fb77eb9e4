"""Small linear programs solved exactly, for what floating point cannot decide.

``max c v`` subject to ``A v <= b`` (equalities for some rows), v free. HiGHS's final basis
says which rows hold with equality and which variables are not 0; the two square systems
that follow are solved over the rationals, and what comes out is checked: a point that
satisfies all rows, and multipliers that prove that no other is better, or that none
satisfies them. Where the basis is not exactly optimal the tableau of
:mod:`jensen.arithmetic.simplex` pivots over ``fmpq``, at a hundred times the cost.

References
----------
D. L. Applegate, W. Cook, S. Dash, D. G. Espinoza, "Exact solutions to linear programming
problems", Operations Research Letters 35, 2007.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flint
import numpy as np

from jensen.arithmetic.rational import ONE, ZERO, floats
from jensen.arithmetic.simplex import ExactSolution
from jensen.arithmetic.simplex import maximise as pivot_to_optimum
from jensen_encodings.deadline import NEVER, Deadline
from jensen_encodings.lp import LpSolver, LpStatus

Row = Sequence[Any]

FEW = 3  # columns up to which the tableau is faster than starting HiGHS


def maximise(
    c: Row,
    A: Sequence[Row],
    b: Row,
    equality: Sequence[bool],
    out_of_time: Callable[[], bool] = lambda: False,
    deadline: Deadline = NEVER,
) -> ExactSolution | None:
    """Solve ``max c v``, ``A v <= b`` exactly; the optimum must be finite.

    Parameters
    ----------
    c, b : sequences of ``fmpq``
    A : sequence of rows of ``fmpq``
    equality : sequence of bool
        Which rows hold with equality.
    out_of_time : callable
        Asked in the fallback, now and then.
    deadline : Deadline
        Of the program that HiGHS solves before.

    Returns
    -------
    ExactSolution, or None if the time ran out or the objective is unbounded.

    Examples
    --------
    >>> from flint import fmpq
    >>> third = fmpq(1, 3)
    >>> maximise([ONE], [[ONE], [-ONE]], [third, ONE], [False, False]).v
    [1/3]
    """
    if out_of_time():
        return None
    proposed = None
    if len(c) > FEW:
        proposed = _from_basis(c, A, b, equality, deadline)
        proposed = proposed or _infeasible_by_basis(A, b, equality, deadline)
    return pivot_to_optimum(c, A, b, equality, out_of_time) if proposed is None else proposed


def _from_basis(
    c: Row, A: Sequence[Row], b: Row, equality: Sequence[bool], deadline: Deadline
) -> ExactSolution | None:
    """Return the solution of HiGHS's final basis if it is exactly optimal."""
    rows = [[*row, limit] for row, limit in zip(A, b, strict=True)]
    sizes = [max((abs(v) for v in row), default=ZERO) or ONE for row in rows]
    scaled = floats(
        np.array([[v / s for v in row] for row, s in zip(rows, sizes, strict=True)], dtype=object)
    )
    solver = LpSolver(deadline)
    goal = floats(np.array(list(c), dtype=object))
    result = solver.maximise(goal, scaled[:, :-1], scaled[:, -1], np.array(equality, dtype=bool))
    if result.status is not LpStatus.OPTIMAL:
        return None
    columns, tight = solver.basis()
    v, y = [ZERO] * len(c), [ZERO] * len(A)
    if len(columns) != len(tight):
        return None
    if columns:
        square = flint.fmpq_mat([[A[i][j] for j in columns] for i in tight])
        try:
            point = square.solve(_column([b[i] for i in tight]))
            prices = square.transpose().solve(_column([c[j] for j in columns]))
        except ZeroDivisionError:
            return None
        for k, j in enumerate(columns):
            v[j] = point[k, 0]
        for k, i in enumerate(tight):
            y[i] = prices[k, 0]
    return ExactSolution(True, v, y) if _is_optimal(c, A, b, equality, v, y) else None


def _is_optimal(c: Row, A: Sequence[Row], b: Row, equality: Sequence[bool], v: Row, y: Row) -> bool:
    """Whether v is feasible, y dual feasible, and their values agree: the proof of optimality."""
    if any(price < 0 for price, equal in zip(y, equality, strict=True) if not equal):
        return False
    support = [j for j, value in enumerate(v) if value != 0]
    for row, limit, equal in zip(A, b, equality, strict=True):
        value = sum((row[j] * v[j] for j in support), ZERO)
        if value > limit or (equal and value != limit):
            return False
    used = [i for i, price in enumerate(y) if price != 0]
    if any(sum((y[i] * A[i][j] for i in used), ZERO) != c[j] for j in range(len(c))):
        return False
    return bool(_dot(b, y) == _dot(c, v))


def _infeasible_by_basis(
    A: Sequence[Row], b: Row, equality: Sequence[bool], deadline: Deadline
) -> ExactSolution | None:
    """Prove that no v satisfies all rows, by the program of the least excess over them.

    ``min s`` subject to ``A v - s <= b``, both ways for equalities: its multipliers add up
    to rows that say ``0 <= -s``.
    """
    signs = [(i, ONE) for i in range(len(A))]
    signs += [(i, -ONE) for i, equal in enumerate(equality) if equal]
    width = len(A[0]) if len(A) else 0
    rows = [[*(sign * v for v in A[i]), -ONE] for i, sign in signs]
    limits = [sign * b[i] for i, sign in signs]
    at_least_zero = [*([ZERO] * width), -ONE]
    inequality = [False] * (len(rows) + 1)
    every, ends = [*rows, at_least_zero], [*limits, ZERO]
    found = _from_basis(at_least_zero, every, ends, inequality, deadline)
    if found is None or found.v is None or found.v[-1] <= 0:
        return None
    multipliers = [ZERO] * len(A)
    for y, (i, sign) in zip(found.multipliers, signs, strict=False):
        multipliers[i] += sign * y
    return ExactSolution(False, None, multipliers)


def _column(values: Sequence[Any]) -> Any:
    return flint.fmpq_mat(len(values), 1, list(values))


def _dot(left: Row, right: Row) -> Any:
    return sum((a * b for a, b in zip(left, right, strict=True) if b != 0), ZERO)
