"""Boxes that cover the part of the working set that matters (docs/theory.md, section 11).

A bounded working set is one piece. On a cone every kink passes through the origin, and a
kink that has a point inside has one on the surface of the cube ``max |y_i| = 1``: the
pieces are the faces of that cube, boxes with one coordinate fixed. Networks without biases have
such kinks on any domain around the origin: of a box the sides are enough then. Any other box around
the tip of a cone does as well as the cube.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from jensen.arithmetic.intervals import SAFETY, SUBNORMAL, UNIT, rounding_factor
from jensen.arithmetic.rational import ZERO, float_below, rational
from jensen.domains.working_set import THINNEST, WorkingSet
from jensen.types import FloatArray

MOST_INPUTS = 64  # of boxes of which all sides are bounded: of more that costs more than it gains


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
        The coordinate that a face of the cube, or a side of a box, fixes.
    """

    lower: FloatArray
    upper: FloatArray
    rows: FloatArray
    limits: FloatArray
    numbers: tuple[int, ...] = ()
    face: tuple[int, float] | None = None

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


def pieces_of(
    working: WorkingSet, rays: bool = False, weights: FloatArray | None = None
) -> tuple[Piece, ...]:
    """Return boxes that meet every kink of the working set; empty if none can be named.

    None can be named on cones without interior: there the tree of section 4 decides.

    Parameters
    ----------
    working : WorkingSet
    rays : bool
        Whether hidden units have the same signs at all multiples of an input
        (:attr:`~jensen.groups.groups.GroupedNetwork.has_no_bias`). With one input that says
        nothing: the origin is all of its kinks.
    weights : array (units, dim), optional
        Of units on the working variables. On a cone the faces are those of a box that is
        narrow along variables with large weights, not of the cube: inputs may have any units.
    """
    rays = rays and working.dim - working.lifted > 1
    box = _box(working)
    if box is None or (working.lifted and not working.identity):
        return ()
    lower, upper = box
    if working.sides:
        whole = Piece(lower, upper, np.empty((0, working.dim)), np.empty(0))
        around_zero = bool((lower <= 0).all() and (upper >= 0).all())
        rays = rays and around_zero and working.dim <= MOST_INPUTS
        return tuple(_sides(whole)) if rays else (whole,)
    general = [i for i, row in enumerate(working.rows) if np.count_nonzero(row) > 1]
    rows = working.float_rows[general]
    limits = np.array([-float_below(-working.limits[i]) for i in general])
    reach = np.maximum(np.abs(lower), np.abs(upper))
    error = rounding_factor(4) * (np.abs(rows) @ reach) + SUBNORMAL * (1.0 + reach.sum())
    limits = np.nextafter(limits + SAFETY * error + 2 * UNIT * np.abs(limits), np.inf)
    whole = Piece(lower, upper, rows, limits, tuple(general))
    if not working.lifted:
        return (whole,)
    if weights is not None:
        radii = _balancing(weights)
        lower, upper = np.maximum(lower, -radii), np.minimum(upper, radii)
        whole = replace(whole, lower=lower, upper=upper)
    # what does not depend on t has points with a small t on the other faces
    return tuple(_sides(whole, free_of_t=rays and not rows[:, -1].any()))


def _balancing(weights: FloatArray) -> FloatArray:
    """Return half sides of a box across which all variables move units by as much, 1 at most."""
    size = np.linalg.norm(weights, axis=0)
    least = size[size > 0].min(initial=np.inf)
    large = size > least
    radii = np.ones(len(size))
    radii[large] = np.maximum(least / size[large], THINNEST)
    return radii


def _sides(box: Piece, *, free_of_t: bool = False) -> Iterator[Piece]:
    """Yield the sides of a box around the origin at which rays from there leave it.

    On a box around the tip of a cone these are its faces, but t = 0.
    """
    for i in range(len(box.lower) - free_of_t):
        for value in (float(box.upper[i]), float(box.lower[i])):
            if value:
                lower, upper = box.lower.copy(), box.upper.copy()
                lower[i] = upper[i] = value
                yield Piece(lower, upper, box.rows, box.limits, box.numbers, (i, value))


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
