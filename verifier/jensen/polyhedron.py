"""The linear hull of a polyhedral cone, decided exactly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jensen.errors import DomainError
from jensen.rational import ONE, ZERO, floats, null_space, project_to_null_space, rational
from jensen_encodings.lp import LpSolver, LpStatus

ObjectArray = NDArray[Any]


def linear_hull(cone: ObjectArray) -> ObjectArray | None:
    """Return a basis of the linear hull of ``{v : cone @ v <= 0}``, last row ``-t <= 0``.

    A linear program proposes which rows hold with equality on the whole cone; exact
    multipliers prove it, an exact point with all other rows strict proves the rest.

    Parameters
    ----------
    cone : object array (rows, n) of ``fmpq``

    Returns
    -------
    basis : object array (n, dim) of integers as ``fmpq``, the identity if dim = n;
        None if ``t = 0`` on the whole cone, that is, if the polyhedron is empty.

    Raises
    ------
    DomainError
        If neither could be shown exactly.
    """
    rows, n = cone.shape
    scale = np.array(
        [max((abs(v) for v in row), default=ZERO) or ONE for row in cone], dtype=object
    )
    scaled = floats(cone / scale[:, None])
    # max sum(s) subject to  cone v + s <= 0,  0 <= s <= 1
    A = np.block(
        [
            [scaled, np.eye(rows)],
            [np.zeros((rows, n)), np.eye(rows)],
            [np.zeros((rows, n)), -np.eye(rows)],
        ]
    )
    b = np.concatenate([np.zeros(rows), np.ones(rows), np.zeros(rows)])
    c = np.concatenate([np.zeros(n), np.ones(rows)])
    result = LpSolver().maximise(c, A, b, np.zeros(3 * rows, dtype=bool))
    if result.status is not LpStatus.OPTIMAL:
        raise DomainError("the dimension of the polyhedron could not be determined")
    tight = result.x[n:] < 0.5
    basis = _basis_of_equalities([list(row) for row in cone[tight]], n)
    guess = result.multipliers[:rows][tight] / np.array(
        [float(s.p) / float(s.q) for s in scale[tight]]
    )
    if tight.any():
        multipliers = project_to_null_space([list(row) for row in cone[tight]], guess.tolist())
        if not multipliers or any(y <= 0 for y in multipliers):
            raise DomainError("whether the polyhedron has zero width could not be shown exactly")
    if tight[-1]:
        return None
    _show_strict(cone[~tight], basis, result.x[:n])
    return basis


def _basis_of_equalities(equalities: list[list[Any]], n: int) -> ObjectArray:
    if not equalities:
        eye = np.full((n, n), ZERO, dtype=object)
        np.fill_diagonal(eye, ONE)
        return eye
    columns = [[row[k] for row in equalities] for k in range(n)]
    vectors = null_space(columns)
    basis = np.full((n, len(vectors)), ZERO, dtype=object)
    for k, vector in enumerate(vectors):
        denominator = math.lcm(*(int(v.q) for v in vector))
        basis[:, k] = [v * denominator for v in vector]
    return basis


def _show_strict(rows: ObjectArray, basis: ObjectArray, v: NDArray[np.float64]) -> None:
    coordinates, *_ = np.linalg.lstsq(floats(basis), v, rcond=None)
    point = basis @ np.array([rational(float(c)) for c in coordinates], dtype=object)
    if any(value >= 0 for value in rows @ point):
        raise DomainError("whether the polyhedron has interior points could not be shown exactly")


def inner_ball(
    A: NDArray[np.float64], b: NDArray[np.float64], reach: float = 1e6
) -> tuple[NDArray[np.float64], float]:
    """Return centre and radius of a large ball in ``A x <= b``; a hint, in floating point.

    Parameters
    ----------
    A, b : arrays (rows, n) and (rows,)
    reach : float
        The centre is looked for in ``|x_i| <= reach``, the radius up to ``reach``. It only
        says where to look for counterexamples.
    """
    n = A.shape[1]
    norms = np.linalg.norm(A, axis=1)
    box = np.hstack([np.vstack([np.eye(n), -np.eye(n)]), np.zeros((2 * n, 1))])
    cap = np.append(np.zeros(n), 1.0)[None, :]
    matrix = np.vstack([np.hstack([A, norms[:, None]]), box, cap])
    limits = np.concatenate([b, np.full(2 * n + 1, reach)])
    objective = np.append(np.zeros(n), 1.0)
    result = LpSolver().maximise(objective, matrix, limits, np.zeros(len(limits), dtype=bool))
    if result.status is not LpStatus.OPTIMAL:
        return np.zeros(n), 0.0
    return result.x[:n], max(float(result.x[-1]), 0.0)
