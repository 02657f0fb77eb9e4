"""The set the prover works on: bounded, or the perspective lift (docs/theory.md, section 5).

On a box the working variables are the inputs that are not fixed by a side of zero width.
On a bounded polyhedron they parametrise its affine hull. Everywhere and on unbounded
polyhedra they parametrise the linear hull of the cone ``{(x, t) : A x <= b t, t >= 0}``; a
bias becomes the weight on ``t``, and the working set is the part of the cone inside
``|x_i| <= 1, t <= 1``.

Very thin or wide bounded sets are moved and scaled, by powers of two, to sides of about 1:
linear programs in floating point see nothing of a set of width 1e-12.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from jensen.arithmetic.rational import (
    ONE,
    ZERO,
    SparseRows,
    echelon_null_space,
    floats,
    fraction,
    null_space,
    product,
    rational,
    rationals,
)
from jensen.domains.hull import bounding_box, handy_columns, linear_hull
from jensen.errors import DomainError, OutOfTimeError
from jensen.types import FloatArray, ObjectArray
from jensen_encodings.deadline import NEVER, Deadline

THINNEST, WIDEST = 2.0**-10, 2.0**30  # half sides that linear programs cope with as they are
FARTHEST = 2.0**20  # distance from 0 in half sides
CLOSE = 1e-9  # relative room of a row below which its sign is decided exactly
CLOSEST = 1e-290
LAST_SECONDS = 0.05  # before a deadline: what is not found then may be there


@dataclass(frozen=True, eq=False)
class WorkingSet:
    """``{y : rows @ y <= limits}`` with ``(x, tau) = matrix @ y + offset``.

    Attributes
    ----------
    matrix : object array (inputs + 1, dim) of ``fmpq``
        The last row gives ``tau``: the constant 1 on a box, the lift's t otherwise.
    offset : object array (inputs + 1,)
    rows, limits : object arrays (constraints, dim) and (constraints,)
    box : (lower, upper)
        Proved bounds of the inputs, of ``(x, t)`` on a lift.
    lifted : bool
        Whether points have to be divided by ``tau``.
    identity : bool
        Whether ``matrix`` only selects coordinates one to one, so that the network's
        doubles are its working weights.
    sides : bool
        Whether ``y = x`` and the rows are the sides of ``box``, the upper ones first: nothing
        has to be looked for among the million numbers of a box in a thousand inputs.
    multipliers : array (inputs, 2, constraints of the domain) or None
        Of a bounded polyhedron: those of :class:`jensen.domains.hull.BoundingBox`.
    """

    matrix: ObjectArray
    offset: ObjectArray
    rows: ObjectArray
    limits: ObjectArray
    box: tuple[FloatArray, FloatArray]
    lifted: bool
    identity: bool
    sides: bool = False
    multipliers: FloatArray | None = None

    @property
    def dim(self) -> int:
        """Number of working variables."""
        return int(self.matrix.shape[1])

    @cached_property
    def float_rows(self) -> FloatArray:
        """The rows, rounded."""
        if self.sides:
            return np.concatenate([np.eye(self.dim), -np.eye(self.dim)])
        return floats(self.rows)

    @cached_property
    def float_norms(self) -> FloatArray:
        """The Euclidean norms of the rows, rounded."""
        if self.sides:
            return np.ones(2 * self.dim)
        return np.array([float(np.linalg.norm(row)) for row in self.float_rows])

    @cached_property
    def float_limits(self) -> FloatArray:
        """The limits, rounded."""
        return floats(self.limits)

    def contains(self, y: ObjectArray) -> bool:
        """Decide exactly whether a working point of ``fmpq`` satisfies all rows.

        Rows that hold by a wide margin in floating point are not looked at again.
        """
        near = floats(y)
        with np.errstate(all="ignore"):
            room = self.float_limits - self.float_speed(near)
            size = np.abs(self.float_limits)
            size += self._magnitudes(np.abs(near))
            close = np.flatnonzero(~((room > CLOSE * size + CLOSEST) & np.isfinite(size)))
        return all(self.rows[i] @ y <= self.limits[i] for i in close)

    def room(self, y: ObjectArray) -> ObjectArray:
        """Return by how much a working point of ``fmpq`` satisfies each row."""
        room: ObjectArray = self.limits - self.speed(y)
        return room

    def speed(self, step: ObjectArray) -> ObjectArray:
        """Return by how much the room of each row shrinks along a step of ``fmpq``."""
        return np.concatenate([step, -step]) if self.sides else self._rows @ step

    def float_speed(self, step: FloatArray) -> FloatArray:
        """Return the same of a step in doubles, with the rounded rows."""
        speed: FloatArray = np.concatenate([step, -step]) if self.sides else self.float_rows @ step
        return speed

    def _magnitudes(self, size: FloatArray) -> FloatArray:
        """Return the rounded rows without signs, times the magnitudes of a point."""
        found: FloatArray = (
            np.concatenate([size, size]) if self.sides else np.abs(self.float_rows) @ size
        )
        return found

    @cached_property
    def _rows(self) -> SparseRows:
        return SparseRows(self.rows)

    @cached_property
    def _matrix(self) -> SparseRows:
        return SparseRows(self.matrix)

    def to_input(self, y: Sequence[Any]) -> tuple[Fraction, ...] | None:
        """Map a working point to the inputs; None at infinity (``t = 0``)."""
        if self.sides:
            return tuple(map(fraction, y))
        point = self._matrix @ np.array(y, dtype=object) + self.offset
        if point[-1] <= 0:
            return None
        return tuple(fraction(v / point[-1]) for v in point[:-1])

    def steepest(self, normal: NDArray[Any], inputs: Sequence[int] | None = None) -> NDArray[Any]:
        """Return the working direction of steepest ascent of a form, at constant tau.

        Steepest per unit length in the space of the inputs, so that a hyperplane of the
        form is crossed at a right angle there; 0 if the form is constant in these inputs.

        Parameters
        ----------
        normal : array (dim,), doubles or ``fmpq``
            Gradient of the form in the working variables.
        inputs : sequence of int or None
            Inputs that may move (partial convexity); None for all.

        Returns
        -------
        step : array (dim,) of the same kind
        """
        key = None if inputs is None else tuple(inputs)
        if key not in self._metrics:
            exact = self._metric(key)
            self._metrics[key] = exact, floats(exact)
        metric = self._metrics[key][0 if normal.dtype == object else 1]
        step: NDArray[Any] = metric * normal if metric.ndim == 1 else metric @ normal
        return step

    def exact_step(self, step: FloatArray, inputs: Sequence[int] | None = None) -> ObjectArray:
        """Return a step next to a rounded one that moves none of the other inputs, nor tau.

        Rounding alone would let an input move that partial convexity keeps fixed.
        """
        rows = self._still_rows(None if inputs is None else tuple(inputs))
        exact = np.array([rational(float(v)) for v in step], dtype=object)
        if not rows:
            return exact
        # in echelon form: the entries at the free positions are the coordinates
        basis, free = echelon_null_space(
            [[self.matrix[i, k] for i in rows] for k in range(self.dim)]
        )
        total: ObjectArray = np.full(self.dim, ZERO, dtype=object)
        for vector, position in zip(basis, free, strict=True):
            total = total + exact[position] * np.array(vector, dtype=object)
        return total

    def _still_rows(self, inputs: tuple[int, ...] | None) -> list[int]:
        """Return the rows of the matrix, zero rows left out, whose values must not change."""
        count = len(self.matrix) - 1
        moving = set(range(count) if inputs is None else inputs)
        return [i for i in range(count + 1) if i not in moving and self.matrix[i].any()]

    @cached_property
    def _metrics(self) -> dict[tuple[int, ...] | None, tuple[ObjectArray, FloatArray]]:
        return {}

    def _metric(self, inputs: tuple[int, ...] | None) -> ObjectArray:
        """Return ``B (B' M' M B)^-1 B'``, M the inputs' rows, B a basis of the directions.

        Where every row of the matrix has one entry it is diagonal, and its diagonal is
        returned.
        """
        if self.sides:
            moving = np.full(self.dim, ONE if inputs is None else ZERO, dtype=object)
            moving[list(inputs or ())] = ONE
            return moving
        keep = self._still_rows(inputs)
        filled = np.array([[v != 0 for v in row] for row in self.matrix], dtype=bool)
        filled = filled.reshape(self.matrix.shape)
        if (filled.sum(axis=1) <= 1).all():
            diagonal: ObjectArray = np.full(self.dim, ZERO, dtype=object)
            for k in np.flatnonzero(~filled[keep].any(axis=0)):
                column = self.matrix[filled[:, k], k]
                diagonal[k] = ONE / (column @ column)
            return diagonal
        vectors = null_space([[self.matrix[i, k] for i in keep] for k in range(self.dim)])
        if not vectors:
            return np.full(self.dim, ZERO, dtype=object)
        basis = flint.fmpq_mat(vectors).transpose()
        moved = flint.fmpq_mat(self.matrix[:-1].tolist()) * basis
        metric = basis * (moved.transpose() * moved).inv() * basis.transpose()
        return np.array(metric.tolist(), dtype=object)


def polyhedral_set(A: FloatArray, b: FloatArray, deadline: Deadline = NEVER) -> WorkingSet:
    """Return the working set of ``A x <= b``, in its hull.

    Raises
    ------
    DomainError
        If it is empty.
    OutOfTimeError
    """
    cone = cone_of(A, b)
    hull = linear_hull(cone, deadline)
    if hull is None:
        raise DomainError("the polyhedron is empty")
    box = bounding_box(A, b, deadline)
    if box is None and deadline.left() < LAST_SECONDS:
        raise OutOfTimeError("time was up before the bounds of the polyhedron were known")
    if box is None:
        return _cone_set(cone, hull)
    bounded = _bounded_set(cone, hull, (box.lower, box.upper))
    return replace(bounded, multipliers=box.multipliers)


def whole_cone(inputs: int) -> WorkingSet:
    """Return the working set of all of R^n: the unit cube of (x, t) with t >= 0."""
    return _cone_set(_with_positive_t(_zeros(0, inputs + 1)), _identity(inputs + 1))


def cone_of(A: FloatArray, b: FloatArray) -> ObjectArray:
    """Return the rows of ``A x - b t <= 0``, ``-t <= 0`` in (x, t)."""
    return _with_positive_t(np.concatenate([rationals(A), -rationals(b)[:, None]], axis=1))


def box_set(lower: FloatArray, upper: FloatArray) -> WorkingSet:
    """Return the working set of a box: its sides that are not points."""
    inputs = len(lower)
    free = np.flatnonzero(lower < upper)
    matrix = _zeros(inputs + 1, len(free))
    matrix[free, np.arange(len(free))] = ONE
    offset = rationals(np.append(lower, 1.0))
    offset[free] = ZERO
    rows = _zeros(2 * len(free), inputs)
    rows[np.arange(len(free)), free] = ONE
    rows[np.arange(len(free), 2 * len(free)), free] = -ONE
    limits = np.concatenate([rationals(upper[free]), -rationals(lower[free])])
    if len(free) == inputs and not _is_awkward(lower, upper):
        return WorkingSet(
            matrix, offset, rows, limits, (lower, upper), lifted=False, identity=True, sides=True
        )
    return _scaled_set(matrix, offset, rows, limits, (lower, upper))


def _bounded_set(
    cone: ObjectArray, hull: ObjectArray, box: tuple[FloatArray, FloatArray]
) -> WorkingSet:
    """Build the working set of a bounded polyhedron from its cone's rows and hull."""
    inputs = cone.shape[1] - 1
    if hull.shape[1] == inputs + 1:
        offset = _zeros(inputs + 1, 1)[:, 0]
        matrix = _identity(inputs + 1)[:, :-1]
    else:
        column = next(k for k in range(hull.shape[1]) if hull[-1, k] != 0)
        offset = hull[:, column] / hull[-1, column]
        vectors = null_space([[v] for v in hull[-1]])
        matrix = _zeros(inputs + 1, len(vectors))
        for k, vector in enumerate(vectors):
            matrix[:, k] = hull @ np.array(vector, dtype=object)
        matrix = handy_columns(matrix)
    offset[-1] = ONE
    return _scaled_set(matrix, offset, cone[:-1, :-1], -cone[:-1, -1], box)


def _scaled_set(
    matrix: ObjectArray,
    offset: ObjectArray,
    rows: ObjectArray,
    limits: ObjectArray,
    box: tuple[FloatArray, FloatArray],
) -> WorkingSet:
    """Restrict ``rows @ x <= limits`` to ``offset + matrix @ y``, with y of a handy size."""
    dim = matrix.shape[1]
    lower, upper = box
    # each column has an input that no other column moves, at least to start with
    leading = [_leading_input(matrix, k) for k in range(dim)]
    identity = dim == len(lower) and all(matrix[k, k] == ONE for k in range(dim))
    middle = lower / 2 + upper / 2
    if _is_awkward(lower[leading], upper[leading]):
        for k, i in enumerate(leading):
            shift = (rational(float(middle[i])) - offset[i]) / matrix[i, k]
            offset = offset + shift * matrix[:, k]
            exponent = math.frexp(upper[i] / 2 - lower[i] / 2)[1]
            half = math.ldexp(1.0, min(exponent, sys.float_info.max_exp - 1))
            matrix[:, k] = rational(half) / abs(matrix[i, k]) * matrix[:, k]
        identity = False
    inside = rows if identity else _sparse_product(rows, matrix[:-1])
    room = limits - _sparse_product(rows, offset[:-1, None])[:, 0] if offset[:-1].any() else limits
    kept = [k for k, row in enumerate(inside) if row.any()]
    return WorkingSet(
        matrix, offset, inside[kept], room[kept], box, lifted=False, identity=identity
    )


def _sparse_product(left: ObjectArray, right: ObjectArray) -> ObjectArray:
    """Multiply matrices of few non-zeros: a box in 784 inputs has a billion products of zeros."""
    product = _zeros(len(left), right.shape[1])
    filled = [np.flatnonzero(row) for row in right]
    for i, row in enumerate(left):
        for k in np.flatnonzero(row):
            product[i, filled[k]] += row[k] * right[k, filled[k]]
    return product


def _leading_input(matrix: ObjectArray, k: int) -> int:
    """Return an input that only this column moves, or else any that it moves."""
    moved = np.flatnonzero(matrix[:-1, k]).tolist()
    alone = [i for i in moved if np.count_nonzero(matrix[i]) == 1]
    return (alone or moved)[0]


def _is_awkward(lower: FloatArray, upper: FloatArray) -> bool:
    """Whether sides are too thin, too wide or too far from 0 for linear programs."""
    half = upper / 2 - lower / 2
    far = np.maximum(np.abs(lower), np.abs(upper)) / FARTHEST > half
    return bool(((half < THINNEST) | (half > WIDEST) | far).any())


def _with_positive_t(cone: ObjectArray) -> ObjectArray:
    """Add the row ``-t <= 0``."""
    positive_t = _zeros(1, cone.shape[1])
    positive_t[0, -1] = -ONE
    return np.concatenate([cone, positive_t])


def _cone_set(cone: ObjectArray, hull: ObjectArray) -> WorkingSet:
    """Build the set of ``{v : cone @ v <= 0}`` in its hull, cut to the unit cube."""
    size, dim = hull.shape
    hull = handy_columns(hull)
    rows = cone if dim == size else product(cone, hull)
    rows = rows[[any(v != 0 for v in row) for row in rows]]
    cube = np.concatenate([hull, -hull[:-1]])
    limits = np.concatenate([_zeros(len(rows), 1)[:, 0], np.full(len(cube), ONE, dtype=object)])
    ones = np.ones(size)
    return WorkingSet(
        hull,
        _zeros(size, 1)[:, 0],
        np.concatenate([rows, cube]),
        limits,
        (np.append(-ones[:-1], 0.0), ones),
        lifted=True,
        identity=dim == size,
    )


def _identity(size: int) -> ObjectArray:
    matrix = _zeros(size, size)
    np.fill_diagonal(matrix, ONE)
    return matrix


def _zeros(rows: int, columns: int) -> ObjectArray:
    return np.full((rows, columns), ZERO, dtype=object)
