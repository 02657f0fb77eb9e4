"""Boxes that cover the part of the working set that matters (docs/theory.md, section 11).

A bounded working set is one piece. On a cone every kink passes through the origin, and a
kink that has a point inside has one on the surface of the cube ``max |y_i| = 1``: the
pieces are the faces of that cube, boxes with one coordinate fixed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from jensen.arithmetic.intervals import SAFETY, SUBNORMAL, UNIT, rounding_factor
from jensen.arithmetic.rational import ZERO, float_below, rational
from jensen.domains.working_set import WorkingSet
from jensen.types import FloatArray


@dataclass(frozen=True, eq=False)
class Piece:
    """A box, and rows ``rows @ y <= limits`` that hold on what it covers of the working set.

    Attributes
    ----------
    lower, upper : arrays (dim,)
    rows, limits : arrays (m, dim) and (m,)
        Doubles; the limits are moved outward by what rounding the rows may have cost.
    numbers : tuple of int
        Which rows of the working set these are.
    face : (coordinate, value) or None
        The coordinate that a face of the cube fixes.
    """

    lower: FloatArray
    upper: FloatArray
    rows: FloatArray
    limits: FloatArray
    numbers: tuple[int, ...] = ()
    face: tuple[int, int] | None = None

    @cached_property
    def reach(self) -> FloatArray:
        """The largest absolute value of each coordinate."""
        return np.maximum(np.abs(self.lower), np.abs(self.upper))

    @cached_property
    def middle(self) -> FloatArray:
        """The box's centre."""
        return 0.5 * self.lower + 0.5 * self.upper

    @cached_property
    def radius(self) -> FloatArray:
        """Half of the box's sides."""
        return 0.5 * self.upper - 0.5 * self.lower


def pieces_of(working: WorkingSet) -> tuple[Piece, ...]:
    """Return boxes that meet every kink of the working set; empty if none can be named.

    None can be named on cones without interior: there the tree of section 4 decides.
    """
    box = _box(working)
    if box is None or (working.lifted and not working.identity):
        return ()
    lower, upper = box
    if working.sides:
        return (Piece(lower, upper, np.empty((0, working.dim)), np.empty(0)),)
    general = [i for i, row in enumerate(working.rows) if np.count_nonzero(row) > 1]
    rows = working.float_rows[general]
    limits = np.array([-float_below(-working.limits[i]) for i in general])
    reach = np.maximum(np.abs(lower), np.abs(upper))
    error = rounding_factor(4) * (np.abs(rows) @ reach) + SUBNORMAL * (1.0 + reach.sum())
    limits = np.nextafter(limits + SAFETY * error + 2 * UNIT * np.abs(limits), np.inf)
    whole = Piece(lower, upper, rows, limits, tuple(general))
    return tuple(_faces(whole)) if working.lifted else (whole,)


def _faces(cube: Piece) -> Iterator[Piece]:
    for i in range(len(cube.lower)):
        for value in (1, -1):
            if cube.lower[i] <= value <= cube.upper[i]:
                lower, upper = cube.lower.copy(), cube.upper.copy()
                lower[i] = upper[i] = value
                yield Piece(lower, upper, cube.rows, cube.limits, cube.numbers, (i, value))


def _box(working: WorkingSet) -> tuple[FloatArray, FloatArray] | None:
    """Return bounds of the working variables, rounded outward; None where there are none."""
    dim = working.dim
    lower, upper = np.full(dim, -np.inf), np.full(dim, np.inf)
    if working.identity and len(working.box[0]) == dim:
        lower, upper = working.box[0].copy(), working.box[1].copy()
    if working.sides:
        return lower, upper
    for row, limit in zip(working.rows, working.limits, strict=True):
        entries = np.flatnonzero(row)
        if len(entries) == 1:
            i = int(entries[0])
            bound = limit / row[i]
            if row[i] > ZERO:
                upper[i] = min(upper[i], _above(bound))
            else:
                lower[i] = max(lower[i], float_below(bound))
    if not working.lifted:
        _narrow_by_inputs(working, lower, upper)
    if not (np.isfinite(lower).all() and np.isfinite(upper).all()):
        return None
    return lower, upper


def _narrow_by_inputs(working: WorkingSet, lower: FloatArray, upper: FloatArray) -> None:
    """Bound working variables by the proved bounds of inputs that no other one moves."""
    matrix, offset = working.matrix, working.offset
    for i in range(len(matrix) - 1):
        moved = np.flatnonzero(matrix[i])
        if len(moved) != 1:
            continue
        k = int(moved[0])
        ends = [(rational(float(side[i])) - offset[i]) / matrix[i, k] for side in working.box]
        lower[k] = max(lower[k], float_below(min(ends)))
        upper[k] = min(upper[k], _above(max(ends)))


def _above(value: Any) -> float:
    return -float_below(-value) if math.isfinite(float_below(-value)) else math.inf
