"""All vertices of the hyperplanes of one level, by the minors of its rows, in few inputs.

As many hyperplanes as there are inputs meet in one point. In homogeneous coordinates it is the
vector of the largest minors of their rows; where one of them is the hyperplane at infinity, it is
the direction of a line, and so is its opposite. Nothing is cut, and no point is found from others,
so that all of them come from a few products of arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product

import numpy as np

from jensen.arithmetic.intervals import UNIT
from jensen.cells.cones import MORE
from jensen.types import BoolArray, FloatArray, IndexArray, Interval

PLANS = 64  # kept for networks of the same shape


@dataclass(frozen=True, eq=False)
class Stage:
    """How minors of one more row follow from those before, expanded by the last row.

    Attributes
    ----------
    last, front : int arrays (choices,)
        The last row, and the number of the choice of the others.
    column, rest : int arrays (terms, minors)
        Its columns, and the minors of the others that belong to them; signs alternate, and the
        last term has a plus.
    """

    last: IndexArray
    front: IndexArray
    column: IndexArray
    rest: IndexArray


@dataclass(frozen=True, eq=False)
class Plan:
    """Which hyperplanes meet in which vertices, and which pieces of them are around each.

    The hyperplanes are those that cut, and behind them the sides of a box (low and high of the
    first input, of the second, ...) or infinity.

    Attributes
    ----------
    stages : tuple of Stage
    chosen : int array (inputs, choices)
        Hyperplanes that meet, ascending.
    source : int array (vertices,)
        The choice that each vertex belongs to: all of them, and the opposite directions.
    opposite : slice
        Vertices that are these.
    owner, plane : int arrays (incidences,)
        A vertex, and a hyperplane that cuts, a piece of which has this vertex.
    key : array (incidences,)
        A number of the hyperplane behind bits of those through the vertex that are on in the piece.
    """

    stages: tuple[Stage, ...]
    chosen: IndexArray
    source: IndexArray
    opposite: slice
    owner: IndexArray
    plane: IndexArray
    key: FloatArray


def incidences(cutting: int, inputs: int, *, box: bool) -> int:
    """Return about how many incidences a plan has."""
    sides = 2 * inputs if box else 1
    choices = 1
    for k in range(inputs):
        choices = choices * (cutting + sides - k) // (k + 1)
    return choices * inputs << (inputs - 1)


@lru_cache(maxsize=PLANS)
def plan_of(cutting: int, inputs: int, *, box: bool) -> Plan:
    """Return the plan for so many hyperplanes that cut a box, or all of space."""
    count = cutting + (2 * inputs if box else 1)
    chosen = np.arange(count)[None]
    columns: list[tuple[int, ...]] = [(k,) for k in range(inputs + 1)]
    stages = []
    for size in range(2, inputs + 1):
        more = count - 1 - chosen[-1]
        front = np.repeat(np.arange(len(more)), more)
        last = np.arange(len(front)) - np.repeat(more.cumsum() - more, more) + 1
        last += chosen[-1][front]
        # a low side and the high one behind it are parallel
        before = chosen[-1][front]
        apart = (before < cutting) | (last != before + 1) | ((before - cutting) % 2 == 1)
        front, last = front[apart], last[apart]
        chosen = np.concatenate([chosen[:, front], last[None]])
        number = {some: k for k, some in enumerate(columns)}
        columns = list(combinations(range(inputs + 1), size))
        rest = [[number[some[:j] + some[j + 1 :]] for some in columns] for j in range(size)]
        stages.append(Stage(last, front, np.array(columns).T, np.array(rest)))
    far = np.zeros(0, dtype=np.intp) if box else (chosen[-1] == cutting).nonzero()[0]
    choices = chosen.shape[1]
    source = np.concatenate([np.arange(choices), far])
    around = _pieces(chosen[:, source], cutting)
    return Plan(tuple(stages), chosen, source, slice(choices, len(source)), *around)


def _pieces(chosen: IndexArray, cutting: int) -> tuple[IndexArray, IndexArray, FloatArray]:
    """Return the pieces of hyperplanes around vertices: those of :class:`Plan`."""
    inputs = len(chosen)
    bit = np.where(chosen < cutting, np.ldexp(1.0, chosen), 0.0)
    owners, planes, sums = [], [], []
    for k in range(inputs):
        others = np.delete(np.arange(inputs), k)
        for on in product((False, True), repeat=inputs - 1):
            used = others[list(on)]
            there = chosen[k] < cutting
            there &= (chosen[used] < cutting).all(axis=0)
            at = there.nonzero()[0]
            owners.append(at)
            planes.append(chosen[k, at])
            sums.append(np.ldexp(1.0, cutting) * chosen[k, at] + bit[used][:, at].sum(axis=0))
    return np.concatenate(owners), np.concatenate(planes), np.concatenate(sums)


@dataclass(frozen=True, eq=False)
class Arrangement:
    """The vertices of hyperplanes within a domain, and the values of a level there.

    Attributes
    ----------
    plan : Plan
    cutting : int array
        The units that the hyperplanes belong to.
    place : int array (vertices of the plan,) or None
        Where those are among the vertices here, -1 for others; None if all are, in this order.
    points : array (inputs + 1, vertices)
        Homogeneous, of some positive length, the last coordinate exactly 0 at infinity.
    off : array (vertices,)
        How far that may be off.
    z, error : arrays (units, vertices)
        Values of the level, exactly 0 on the hyperplanes that meet there, and how far they may be
        off, which is less than their size elsewhere.
    """

    plan: Plan
    cutting: IndexArray
    place: IndexArray | None
    points: FloatArray
    off: FloatArray
    z: FloatArray
    error: FloatArray

    @property
    def last(self) -> FloatArray:
        """The last coordinate of the vertices."""
        last: FloatArray = self.points[-1]
        return last

    def through(self, vertices: IndexArray) -> IndexArray:
        """Return the hyperplanes through vertices: (inputs, vertices)."""
        if self.place is not None:  # which is ascending, but for those that are not there
            vertices = (self.place >= 0).nonzero()[0][vertices]
        found: IndexArray = self.plan.chosen[:, self.plan.source[vertices]]
        return found


def arrangement(
    rows: FloatArray, cutting: IndexArray, box: Interval | None, wanted: BoolArray | None = None
) -> Arrangement | None:
    """Return the vertices of hyperplanes in a box, or in all of space; None where rounding hides.

    Parameters
    ----------
    rows : array (units, inputs + 1)
        Of a level, the biases last. No product of inputs + 3 of them, other than 0, is out of the
        range of doubles.
    cutting : int array
        The units whose hyperplanes are looked at; all others do not vanish in the domain.
    box : two arrays (inputs,) or None
        With an interior, of numbers like those of the rows.
    wanted : bool array (cutting,) or None
        Return the vertices on these hyperplanes alone.

    Returns
    -------
    Arrangement or None
        None if other hyperplanes may pass through a vertex, or if some are about dependent.
    """
    inputs = rows.shape[1] - 1
    sides = _sides(inputs, box)
    plan = plan_of(len(cutting), inputs, box=box is not None)
    some, chosen = None, plan.chosen
    if wanted is not None and not wanted.all():
        there = np.concatenate([wanted, np.zeros(len(sides), dtype=bool)])
        some = np.logical_or.reduce(there[chosen], axis=0).nonzero()[0]
        chosen = chosen[:, some]
    planes = np.concatenate([rows[cutting], sides])
    size = np.abs(planes).sum(axis=1)
    # at most inputs (inputs + 1) / 2 roundings in each product of entries of all rows
    off = np.multiply.reduce(size.take(chosen), axis=0) * (inputs * (inputs + 1) * UNIT * MORE)
    vertices = _Vertices(cutting, chosen, _minors(planes, plan, some), off)
    if box is None:
        return _in_space(rows, plan, vertices, some)
    return _in_box(rows, plan, vertices, some, (sides, size[len(cutting) :]))


def _sides(inputs: int, box: Interval | None) -> FloatArray:
    """Return the rows of the sides of a box, or of infinity."""
    if box is None:
        sides = np.zeros((1, inputs + 1))
        sides[0, -1] = 1.0
        return sides
    sides = np.zeros((2 * inputs, inputs + 1))
    at = np.arange(inputs)
    sides[2 * at, at], sides[2 * at + 1, at] = 1.0, -1.0
    sides[0::2, -1], sides[1::2, -1] = -box[0], box[1]
    return sides


def _minors(planes: FloatArray, plan: Plan, some: IndexArray | None) -> FloatArray:
    """Return for choices of rows the vector that they are orthogonal to."""
    rows = np.ascontiguousarray(planes.T)
    minors = rows
    for stage in plan.stages:
        last, front = stage.last, stage.front
        if some is not None and stage is plan.stages[-1]:
            last, front = last[some], front[some]
        entry, minor = rows.take(last, axis=1), minors.take(front, axis=1)
        terms = len(stage.column)
        total = entry[stage.column[-1]]
        total *= minor[stage.rest[-1]]
        for k in range(terms - 1):
            term = entry[stage.column[k]]
            term *= minor[stage.rest[k]]
            if (terms - k) % 2:
                total += term
            else:
                total -= term
        minors = total
    points: FloatArray = minors[::-1]  # without the first column, without the second, ...
    points[1::2] *= -1.0
    return points


@dataclass(frozen=True, eq=False)
class _Vertices:
    """Where hyperplanes meet, each coordinate up to an error."""

    cutting: IndexArray
    chosen: IndexArray
    points: FloatArray
    off: FloatArray

    def take(self, some: IndexArray) -> _Vertices:
        chosen, points = self.chosen.take(some, axis=1), self.points.take(some, axis=1)
        return _Vertices(self.cutting, chosen, points, self.off.take(some))

    def values(self, rows: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        """Return values of a level, and how far they may be off; None if they hide a sign."""
        count = len(self.cutting)
        z = rows @ self.points
        # coordinates are at most the product of sizes that their error is a multiple of
        error = np.abs(rows).sum(axis=1)[:, None] * (2.0 * MORE * self.off)
        known = np.abs(z) > error
        for own in self.chosen:
            at = (own < count).nonzero()[0]
            unit = self.cutting[own[at]]
            z[unit, at] = error[unit, at] = 0.0
            known[unit, at] = True
        return (z, error) if known.all() else None


def _in_space(
    rows: FloatArray, plan: Plan, vertices: _Vertices, some: IndexArray | None
) -> Arrangement | None:
    last, off = vertices.points[-1], vertices.off
    is_far = vertices.chosen[-1] == len(vertices.cutting)
    last[is_far] = 0.0
    if not ((np.abs(last) > off) | is_far).all():
        return None
    vertices.points[:] *= np.where(last < 0, -1.0, 1.0)
    values = vertices.values(rows)
    if values is None:
        return None
    z, error = values
    far = is_far.nonzero()[0]
    more = np.zeros(len(far))
    place = None
    if some is not None:
        place = np.full(len(plan.source), -1)
        place[some] = np.arange(len(some))
        opposite = plan.source[plan.opposite]
        behind = place[opposite] >= 0
        place[plan.opposite][behind] = len(some) + np.arange(len(far))
    return Arrangement(
        plan,
        vertices.cutting,
        place,
        np.concatenate([vertices.points, -vertices.points[:, far]], axis=1),
        np.concatenate([np.where(is_far, 0.0, off), more]),
        np.concatenate([z, -z[:, far]], axis=1),
        np.concatenate([error, error[:, far]], axis=1),
    )


def _in_box(
    rows: FloatArray,
    plan: Plan,
    vertices: _Vertices,
    some: IndexArray | None,
    bounding: tuple[FloatArray, FloatArray],
) -> Arrangement | None:
    """Return the vertices that are not certainly on the outer side of a side.

    They are so, whichever of two opposite vectors they are, if sides have both signs there.
    """
    sides, size = bounding
    inner = sides @ vertices.points
    error = (2.0 * MORE * size)[:, None] * vertices.off
    above, below = inner > error, inner < -error
    certain = above | below
    count = len(vertices.cutting)
    for own in vertices.chosen:
        at = (own >= count).nonzero()[0]
        side = own[at] - count
        above[side, at] = below[side, at] = False
        certain[side, at] = True
    up, down = np.logical_or.reduce(above, axis=0), np.logical_or.reduce(below, axis=0)
    kept = (~(up & down)).nonzero()[0]
    if not certain[:, kept].all():
        return None
    vertices = vertices.take(kept)
    vertices.points[:] *= np.where(up[kept], 1.0, -1.0)
    values = vertices.values(rows)
    if values is None:
        return None
    place = np.full(len(plan.source), -1)
    place[kept if some is None else some[kept]] = np.arange(len(kept))
    return Arrangement(plan, vertices.cutting, place, vertices.points, vertices.off, *values)
