"""What has to be known about a polyhedron: its hull exactly, a box around it, a ball in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import flint
import numpy as np

from jensen.arithmetic.exact_lp import maximise
from jensen.arithmetic.rational import (
    ONE,
    ZERO,
    float_below,
    floats,
    null_space,
    product,
    project_to_null_space,
    rational,
    rationals,
)
from jensen.errors import DomainError, OutOfTimeError
from jensen.types import FloatArray, ObjectArray
from jensen_encodings.deadline import NEVER, Deadline
from jensen_encodings.lp import LpSolver, LpStatus

BOX_INPUTS = 64  # a bounding box takes two linear programs per input
HANDY_BITS = 10  # of numbers that are no trouble as they are
MULTIPLIER_CUT = 1e-9  # smaller multipliers are taken for zero before the exact solve


def linear_hull(cone: ObjectArray, deadline: Deadline = NEVER) -> ObjectArray | None:
    """Return a basis of the linear hull of ``{v : cone @ v <= 0}``, last row ``-t <= 0``.

    Parameters
    ----------
    cone : object array (rows, n) of ``fmpq``
    deadline : Deadline

    Returns
    -------
    basis : object array (n, dim) of integers as ``fmpq``, the identity if dim = n;
        None if ``t = 0`` on the whole cone, that is, if the polyhedron is empty.

    Raises
    ------
    OutOfTimeError
    """
    found = relative_interior(cone, deadline)
    return None if found is None else found.basis


@dataclass(frozen=True, eq=False)
class RelativeInterior:
    """The hull of a cone, a point inside it, and why the hull is not larger.

    Attributes
    ----------
    basis : object array (n, dim) of integers as ``fmpq``
    point : object array (n,)
        In the cone; rows that do not vanish on the hull are ``< 0``.
    multipliers : list of ``fmpq``
        One per row, ``>= 0``; their sum of the rows is 0, and they are positive on the
        rows that vanish on the hull. These hold with equality, a sum of what is ``<= 0``.
    """

    basis: ObjectArray
    point: ObjectArray
    multipliers: list[Any]


def relative_interior(cone: ObjectArray, deadline: Deadline = NEVER) -> RelativeInterior | None:
    """Return the hull of ``{v : cone @ v <= 0}``, last row ``-t <= 0``, and a point inside.

    Either all rows that are not zero hold strictly somewhere, or multipliers ``y >= 0``
    with ``y cone = 0`` show that the rows they use hold with equality on the whole cone.
    Then these are solved for, and the rest is looked at again.

    Parameters
    ----------
    cone : object array (rows, n) of ``fmpq``
    deadline : Deadline

    Returns
    -------
    RelativeInterior or None
        None if ``t = 0`` on the whole cone, that is, if the polyhedron is empty.

    Raises
    ------
    OutOfTimeError
    """
    basis = handy = _identity(cone.shape[1])
    rows = cone
    multipliers = [ZERO] * len(cone)
    while True:
        binding = [i for i, row in enumerate(rows) if any(v != 0 for v in row)]
        if len(cone) - 1 not in binding:
            return None
        solution = strict_point(rows[binding], deadline)
        if solution.point is not None:
            # rows that are multiples of what is known have to be shown as well
            for i in sorted(set(range(len(cone))) - set(binding)):
                if any(cone[i]) and multipliers[i] == 0:
                    multipliers = _joined(cone, multipliers, {i: ONE})
            return RelativeInterior(basis, handy @ solution.point, multipliers)
        further = dict(zip(binding, solution.multipliers, strict=True))
        multipliers = _joined(cone, multipliers, further)
        equalities = [rows[i] for i, y in further.items() if y > 0]
        basis = _integer_columns(product(handy, _null_columns(equalities)))
        handy = handy_columns(basis)
        rows = product(cone, handy)


def _joined(cone: ObjectArray, known: list[Any], further: dict[int, Any]) -> list[Any]:
    """Add multipliers whose sum of rows vanishes only where the known ones hold with equality.

    There that sum is a combination of the rows that are known, of any signs; enough of
    the known multipliers makes up for these.
    """
    old = [i for i, y in enumerate(known) if y > 0]
    total = sum((y * cone[i] for i, y in further.items()), np.full(cone.shape[1], ZERO))
    vectors = null_space([list(total), *(list(cone[i]) for i in old)])
    vector = next(v for v in vectors if v[0] != 0)
    change = {i: y / vector[0] for i, y in zip(old, vector[1:], strict=True)}
    share = max((-change[i] / known[i] for i in old), default=ZERO)
    joined = [(max(share, ZERO) + 1) * y for y in known]
    for part in (change, further):
        for i, y in part.items():
            joined[i] += y
    return joined


@dataclass(frozen=True, eq=False)
class StrictPoint:
    """Either a point with all rows ``< 0``, or multipliers that show that there is none.

    Attributes
    ----------
    point : object array (n,) or None
    multipliers : list of ``fmpq``
        ``>= 0``, not all 0, and their sum of the rows is 0; empty if there is a point.
    """

    point: ObjectArray | None
    multipliers: list[Any]


def strict_point(rows: ObjectArray, deadline: Deadline = NEVER) -> StrictPoint:
    """Decide exactly whether some v has ``rows @ v < 0`` in all rows (Gordan's theorem).

    Opposite rows, as which equations are written, leave no doubt. Otherwise a linear program in
    floating point proposes the answer. Where its proposal does not hold exactly, as on sets of
    width 1e-12, the program is solved in rational arithmetic.

    Parameters
    ----------
    rows : object array (m, n) of ``fmpq``, no row zero
    deadline : Deadline

    Raises
    ------
    OutOfTimeError
    """
    _check_clock(deadline)
    sizes = [max(abs(v) for v in row) for row in rows]
    scaled = floats(rows / np.array(sizes, dtype=object)[:, None])
    proposed = _opposites(rows, sizes, scaled) or _proposal(rows, sizes, scaled, deadline)
    if proposed is not None:
        return proposed
    _check_clock(deadline)
    count = rows.shape[1]
    # max s subject to  row v + |row| s <= 0,  s <= 1: the optimum is 1 or 0
    cap = [*([ZERO] * count), ONE]
    A = [[*row, size] for row, size in zip(rows, sizes, strict=True)]
    limits, equality = [*([ZERO] * len(rows)), ONE], [False] * (len(rows) + 1)
    solution = maximise(cap, [*A, cap], limits, equality, deadline.over, deadline)
    if solution is None:
        _check_clock(deadline)
    if solution is None or solution.v is None:
        raise DomainError("the dimension of the polyhedron could not be determined")
    if solution.v[-1] > 0:
        return StrictPoint(np.array(solution.v[:-1], dtype=object), [])
    return StrictPoint(None, solution.multipliers[:-1])


def _check_clock(deadline: Deadline) -> None:
    if deadline.over():
        raise OutOfTimeError("time was up before the dimension of the polyhedron was known")


def _opposites(rows: ObjectArray, sizes: list[Any], scaled: FloatArray) -> StrictPoint | None:
    """Return multipliers of all rows that have an opposite one, up to a positive factor."""
    seen = {row.tobytes(): i for i, row in enumerate(scaled + 0.0)}  # -0 is 0
    multipliers = [ZERO] * len(rows)
    for i, row in enumerate(0.0 - scaled):
        j = seen.get(row.tobytes())
        if j is None or multipliers[i] or multipliers[j]:
            continue
        if all(a * sizes[j] == -b * sizes[i] for a, b in zip(rows[i], rows[j], strict=True)):
            multipliers[i], multipliers[j] = ONE / sizes[i], ONE / sizes[j]
    return StrictPoint(None, multipliers) if any(multipliers) else None


def _proposal(
    rows: ObjectArray, sizes: list[Any], scaled: FloatArray, deadline: Deadline
) -> StrictPoint | None:
    """Return the solver's answer if it holds exactly."""
    count, n = rows.shape
    A = np.vstack([np.column_stack([scaled, np.ones(count)]), np.append(np.zeros(n), 1.0)])
    b = np.append(np.zeros(count), 1.0)
    result = LpSolver(deadline).maximise(A[-1], A, b, np.zeros(count + 1, dtype=bool))
    if result.status is not LpStatus.OPTIMAL:
        return None
    if result.objective > 0.5:
        point = np.array([rational(float(v)) for v in result.x[:-1]], dtype=object)
        return StrictPoint(point, []) if all(value < 0 for value in rows @ point) else None
    support = [i for i in range(count) if result.multipliers[i] > MULTIPLIER_CUT]
    with np.errstate(over="ignore"):
        guess = result.multipliers[support] / floats(np.array(sizes, dtype=object)[support])
    if not support or not np.isfinite(guess).all():
        return None
    found = project_to_null_space([list(rows[i]) for i in support], guess.tolist())
    if not any(y > 0 for y in found) or any(y < 0 for y in found):
        return None
    multipliers = [ZERO] * count
    for i, y in zip(support, found, strict=True):
        multipliers[i] = y
    return StrictPoint(None, multipliers)


def _null_columns(equalities: list[ObjectArray]) -> ObjectArray:
    """Return a basis, as columns, of the vectors on which all rows vanish."""
    n = len(equalities[0])
    vectors = null_space([[row[k] for row in equalities] for k in range(n)])
    basis = np.full((n, len(vectors)), ZERO, dtype=object)
    for k, vector in enumerate(vectors):
        basis[:, k] = vector
    return basis


def _integer_columns(basis: ObjectArray) -> ObjectArray:
    """Scale every column to coprime integers."""
    out = basis.copy()
    for k in range(basis.shape[1]):
        denominator = math.lcm(*(int(v.q) for v in basis[:, k]))
        divisor = math.gcd(*(int((v * denominator).p) for v in basis[:, k]))
        out[:, k] = basis[:, k] * denominator / divisor
    return out


def handy_columns(basis: ObjectArray) -> ObjectArray:
    """Return a basis whose entries linear programs can cope with.

    Integers of equations without a short form have hundreds of digits. Columns of such are scaled
    by powers of two, to a largest entry of about 1.

    Parameters
    ----------
    basis : object array (n, dim) of ``fmpq``, no column zero
    """
    out = basis.copy()
    for k in range(basis.shape[1]):
        largest = max(abs(v) for v in basis[:, k])
        bits = int(largest.p).bit_length() - int(largest.q).bit_length()
        if abs(bits) > HANDY_BITS:
            out[:, k] = basis[:, k] / flint.fmpq(2) ** bits
    return out


def _identity(n: int) -> ObjectArray:
    eye = np.full((n, n), ZERO, dtype=object)
    np.fill_diagonal(eye, ONE)
    return eye


class BoundingBox(NamedTuple):
    """A proved box around ``A x <= b``.

    Attributes
    ----------
    lower, upper : arrays (n,)
    multipliers : array (n, 2, rows)
        ``>= 0``: the sums of the rows that show the lower and the upper sides, about
        ``-x_i <= -lower_i`` and ``x_i <= upper_i``.
    """

    lower: FloatArray
    upper: FloatArray
    multipliers: FloatArray


def bounding_box(A: FloatArray, b: FloatArray, deadline: Deadline = NEVER) -> BoundingBox | None:
    """Return a proved box around ``A x <= b``; None if none was found.

    Multipliers ``y >= 0`` with ``y A = s e_i - r``, s = +-1, show ``s x_i <= y b + r x``. All
    sides together bound ``|x|_inf``, if the residuals r of the solver's multipliers are
    small, and this bounds ``r x`` (as in Neumaier and Shcherbina 2004, but without a box
    to start from). Everything but the multipliers is computed in rational arithmetic.

    Parameters
    ----------
    A, b : arrays (rows, n) and (rows,)
        Of a polyhedron that is not empty.
    deadline : Deadline
        None is found behind it.

    References
    ----------
    A. Neumaier, O. Shcherbina. Safe bounds in linear and mixed-integer linear programming.
    Mathematical Programming 99, 2004.
    """
    count, n = A.shape
    used = A.any(axis=1)
    if n > BOX_INPUTS or not used.any():
        return None
    exponents = np.frexp(np.abs(A[used]).max(axis=1))[1]
    # rows of size about 1; the doubles may be rounded to 0 or infinity, the rationals not
    scale = np.array([flint.fmpq(2) ** -int(e) for e in exponents], dtype=object)
    exact_A, exact_b = rationals(A[used]) * scale[:, None], rationals(b[used]) * scale
    A, b = floats(exact_A), floats(exact_b)
    solver, equality = LpSolver(deadline), np.zeros(len(b), dtype=bool)
    limits, residuals = [], []
    multipliers = np.zeros((n, 2, count))
    for i in range(n):
        for side, sign in enumerate((-1.0, 1.0)):
            target = np.zeros(n)
            target[i] = sign
            result = solver.maximise(target, A, b, equality)
            if result.status is not LpStatus.OPTIMAL or deadline.over():
                return None
            with np.errstate(all="ignore"):  # infinite ones are of no use, and do no harm
                multipliers[i, side, used] = np.ldexp(result.multipliers, -exponents)
            support = np.flatnonzero(result.multipliers > 0)
            y = rationals(result.multipliers[support])
            limits.append(y @ exact_b[support] if len(support) else ZERO)
            remainder = rationals(target) - (y @ exact_A[support] if len(support) else ZERO)
            residuals.append(sum((abs(v) for v in remainder), ZERO))
    if max(residuals) >= ONE:
        return None
    reach = max(limits) / (ONE - max(residuals))
    sides = [limit + residual * reach for limit, residual in zip(limits, residuals, strict=True)]
    lower = np.array([float_below(-side) for side in sides[::2]])
    upper = np.array([-float_below(-side) for side in sides[1::2]])
    found = BoundingBox(lower, upper, np.maximum(multipliers, 0.0))
    return found if np.isfinite([lower, upper]).all() else None


def inner_ball(
    A: FloatArray, b: FloatArray, reach: float = 1e6, deadline: Deadline = NEVER
) -> tuple[FloatArray, float]:
    """Return centre and radius of a large ball in ``A x <= b``; a hint, in floating point.

    Parameters
    ----------
    A, b : arrays (rows, n) and (rows,)
    reach : float
        The centre is looked for in ``|x_i| <= reach``, the radius up to ``reach``. It only
        says where to look for counterexamples.
    deadline : Deadline
        The radius is 0 behind it.
    """
    n = A.shape[1]
    norms = np.linalg.norm(A, axis=1)
    box = np.hstack([np.vstack([np.eye(n), -np.eye(n)]), np.zeros((2 * n, 1))])
    cap = np.append(np.zeros(n), 1.0)[None, :]
    matrix = np.vstack([np.hstack([A, norms[:, None]]), box, cap])
    limits = np.concatenate([b, np.full(2 * n + 1, reach)])
    objective = np.append(np.zeros(n), 1.0)
    equality = np.zeros(len(limits), dtype=bool)
    result = LpSolver(deadline).maximise(objective, matrix, limits, equality)
    if result.status is not LpStatus.OPTIMAL:
        return np.zeros(n), 0.0
    return result.x[:n], max(float(result.x[-1]), 0.0)
