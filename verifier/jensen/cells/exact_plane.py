"""A network in the plane as polygons with exact corners: for many narrow levels and few cells.

Where a level has two or three units that cut little, arrays cost hundreds of calls of NumPy per
level. Here every corner holds whole numbers, its coordinates and the values of the units there up
to a factor of its own, and every cell is a list of its corners; signs are bits of whole numbers, so
that a cell that no unit cuts costs a few operations. All is exact: there are no degenerate places.

References
----------
docs/theory.md, section 4: few inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import flint
import numpy as np

from jensen.arithmetic.intervals import UNIT
from jensen.types import FloatArray
from jensen_encodings.deadline import NEVER, Deadline

Corner = tuple[Any, Any, Any]  # homogeneous, of whatever positive length: (x, y, t), t >= 0
Polygon = list[int]
Edge = tuple[int, int]

LONG = 512  # bits from which on common factors are taken out
BITS = 62  # of a set of units in one number of an array
RANGE = 900  # of exponents of products of weights
NOTHING = flint.fmpz(0)


class ExactPlane:
    """The cells of a network in the plane, and its values at their corners.

    Parameters
    ----------
    corners : sequence of (x, y, t), ``fmpq``
        Of the domain, homogeneous: the last coordinate is positive, or 0 at infinity.
    polygons : sequence of lists of corners
        Convex, the corners in order around each; together they are the domain.
    """

    def __init__(self, corners: Sequence[Corner], polygons: Sequence[Polygon]) -> None:
        self.corners = [_whole(corner) for corner in corners]
        self.polygons = [list(polygon) for polygon in polygons]
        self.values: list[Any] = []
        # of units of all levels, as bits: which are on in each cell, which vanish at each corner
        self._on = [0] * len(self.polygons)
        self._zero = [0] * len(self.corners)
        self._levels: list[FloatArray] = []
        self._has_flat_cells = False

    def cut(self, levels: Sequence[FloatArray], limit: int, deadline: Deadline = NEVER) -> bool:
        """Cut the plane by the levels of a network.

        Parameters
        ----------
        levels : sequence of arrays (out, in + 1)
            Of all levels, the bias in the last column; the last one is the output.
        limit : int
            Cells from which on it is given up.
        deadline : Deadline

        Returns
        -------
        bool
            False if it was given up; the plane is then of no use any more.
        """
        self._levels = list(levels)
        passed = [list(corner[:2]) for corner in self.corners]
        scale, first = 1, 0
        for level in levels[:-1]:
            z, scale = self._values(level, scale, passed)
            passed = self._cut_level(z, first)
            first += len(level)
            if len(self.polygons) > limit or deadline.over():
                return False
        self.values = [row[0] for row in self._values(levels[-1], scale, passed)[0]]
        return True

    def _values(
        self, level: FloatArray, scale: int, passed: Sequence[Sequence[Any]]
    ) -> tuple[list[list[Any]], int]:
        """Return z of a level at all corners, from what the level before it passes on.

        Everything is a multiple of what it is in the network, by a factor of the corner and a
        ``scale`` that all share, which is returned, too.
        """
        entries, common = _whole_numbers(level.reshape(-1).tolist())
        inputs = level.shape[1]
        entries[inputs - 1 :: inputs] = [bias * scale for bias in entries[inputs - 1 :: inputs]]
        rows = [
            number
            for values, corner in zip(passed, self.corners, strict=True)
            for number in (*values, corner[2])
        ]
        weights = flint.fmpz_mat(len(level), inputs, entries).transpose()
        found: list[list[Any]] = (flint.fmpz_mat(len(passed), inputs, rows) * weights).tolist()
        return found, scale * common

    def _cut_level(self, z: list[list[Any]], first: int) -> list[list[Any]]:
        """Cut all cells by the units of a level; return what it passes on at all corners."""
        cutter = _Cutter(self.corners, z, self._zero, first)
        parts: list[Polygon] = []
        states: list[int] = []
        for polygon, state in zip(self.polygons, self._on, strict=True):
            for part, on in cutter.parts(polygon):
                parts.append(part)
                states.append(state | on << first)
        self.polygons, self._on = parts, states
        self._has_flat_cells |= cutter.meets_flat_cells
        return cutter.passed

    def bends_upwards(self) -> bool:
        """Whether J is not negative on any edge, in doubles with a bound on their error.

        It is looked at for every unit that vanishes on an edge, under the states of the cells on
        both sides. False says nothing: where a unit vanishes all over a cell, it may have either.
        """
        units = sum(len(level) for level in self._levels[:-1])
        if units > BITS or self._has_flat_cells or not _are_handy(self._levels):
            return False
        on = (np.array(self._on)[:, None] >> np.arange(units)) & 1
        # no edge between two corners at infinity is a kink, whatever vanishes there
        zero = self._zero
        far = [corner[2] == 0 for corner in self.corners]
        kinks = [0] * len(self.polygons)
        for number, polygon in enumerate(self.polygons):
            last = polygon[-1]
            for corner in polygon:
                if not (far[last] and far[corner]):
                    kinks[number] |= zero[last] & zero[corner]
                last = corner
        asked = (np.array(kinks)[:, None] >> np.arange(units)) & 1 != 0
        passed = on.astype(np.float64)
        jumps = size = np.broadcast_to(self._levels[-1][0, :-1], (len(on), len(self._levels[-2])))
        size = np.abs(size)
        rounding, end = 2 * UNIT, units
        for level in reversed(self._levels[:-1]):
            start = end - len(level)
            low = jumps - rounding * size
            if not (low >= 0)[asked[:, start:end]].all():
                return False
            states, weight = passed[:, start:end], level[:, :-1]
            jumps, size = (jumps * states) @ weight, (size * states) @ np.abs(weight)
            rounding += (len(level) + 2) * 2 * UNIT
            end = start
        return True

    def falling_edges(self) -> Iterator[tuple[Edge, Polygon]]:
        """Yield the edges between two cells where the function bends down, and a cell beside each.

        On both cells f is linear. It bends down where it lies, at a corner of the one cell, below
        what it is on the other.
        """
        first: dict[Edge, tuple[Polygon, Sequence[Any]]] = {}
        for polygon in self.polygons:
            form = self._form(polygon)
            last = polygon[-1]
            for corner in polygon:
                edge = (last, corner) if last < corner else (corner, last)
                beyond = first.pop(edge, None)
                if beyond is None:
                    first[edge] = polygon, form
                elif self._falls(edge, polygon, beyond[1]):
                    yield edge, polygon
                last = corner

    def _falls(self, edge: Edge, one: Polygon, form: Sequence[Any]) -> bool:
        """Whether the function lies on one cell below its continuation from beyond an edge."""
        p, q, r, whole = form
        for corner in one:
            if corner not in edge:
                x, y, t = self.corners[corner]
                rise = self.values[corner] * whole - (p * x + q * y + r * t)
                if rise != 0:
                    return bool(rise < 0)
        return False

    def _form(self, polygon: Polygon) -> Sequence[Any]:
        """Return what the function is on a cell, as coefficients of corners.

        They are whole numbers, and behind them is what they are to be divided by, positive.
        """
        first, second, *others = polygon
        one, two = self.corners[first], self.corners[second]
        normal = _cross(one, two)
        for third in others:
            three = self.corners[third]
            whole = _dot(normal, three)
            if whole != 0:
                break
        parts = normal, _cross(two, three), _cross(three, one)
        values = [self.values[corner] for corner in (third, first, second)]
        form = [_dot(values, numbers) for numbers in zip(*parts, strict=True)]
        if whole < 0:
            return [-number for number in (*form, whole)]
        return [*form, whole]

    def middle(self, corners: Sequence[int]) -> tuple[Any, Any]:
        """Return a point between corners of which one at least is not at infinity."""
        x, y, scale = (sum(numbers) for numbers in zip(*map(self._at, corners), strict=True))
        return x / scale, y / scale

    def _at(self, corner: int) -> Corner:
        """Return a corner of length about 1."""
        x, y, t = self.corners[corner]
        size = t if t > 0 else max(abs(x), abs(y))
        one, two, three = (flint.fmpq(number, size) for number in (x, y, t))
        return one, two, three


def _are_handy(levels: Sequence[FloatArray]) -> bool:
    """Whether no product of weights of all levels may leave the range of doubles."""
    size = np.abs(np.concatenate([level[:, :-1].reshape(-1) for level in levels]))
    limit = 2.0 ** (RANGE / (len(levels) + 1))
    return bool(((size == 0) | ((size > 1 / limit) & (size < limit))).all())


def _cross(one: Corner, two: Corner) -> Corner:
    (a, b, c), (d, e, f) = one, two
    return b * f - c * e, c * d - a * f, a * e - b * d


def _dot(one: Sequence[Any], two: Sequence[Any]) -> Any:
    return one[0] * two[0] + one[1] * two[1] + one[2] * two[2]


def _whole(corner: Corner) -> Corner:
    """Return a positive multiple of a corner, of whole numbers."""
    common = corner[0].q.lcm(corner[1].q).lcm(corner[2].q)
    x, y, t = (number.p * (common // number.q) for number in corner)
    return x, y, t


def _whole_numbers(values: Sequence[float]) -> tuple[list[int], int]:
    """Return doubles as multiples of a common fraction, and the number of these in 1."""
    ratios = [value.as_integer_ratio() for value in values]
    common = max(below for _, below in ratios)  # powers of two
    return [above * (common // below) for above, below in ratios], common


class _Cutter:
    """Cuts cells by the units of one level; edges that two cells share are cut once.

    Parameters
    ----------
    corners : list of Corner
        Grows by the points where units vanish.
    z : list of lists of ``fmpz``
        Of the level's units at all corners; grows alike.
    zero : list of int
        Which units of all levels vanish at each corner, as bits; grows alike.
    first : int
        The bit of the level's first unit.

    Attributes
    ----------
    on, off : lists of int
        Which units are positive at each corner, and which negative, as bits.
    passed : list of lists of ``fmpz``
        What the level passes on at all corners.
    meets_flat_cells : bool
        Whether a unit vanishes all over a cell.
    """

    def __init__(
        self, corners: list[Corner], z: list[list[Any]], zero: list[int], first: int
    ) -> None:
        self._corners, self.z = corners, z
        self._zero, self._first = zero, first
        self._units = range(len(z[0]))
        self._all = (1 << len(z[0])) - 1
        self.meets_flat_cells = False
        self.on: list[int] = []
        self.off: list[int] = []
        self.passed: list[list[Any]] = []
        for corner, values in enumerate(z):
            self._note_signs(corner, values)
        self._cuts: dict[tuple[int, int, int], int] = {}

    def _note_signs(self, corner: int, values: Sequence[Any]) -> None:
        on, off, bit = 0, 0, 1
        passed = []
        for value in values:
            if value > NOTHING:
                on |= bit
                passed.append(value)
            else:
                passed.append(NOTHING)
                if value < NOTHING:
                    off |= bit
            bit <<= 1
        self.on.append(on)
        self.off.append(off)
        self.passed.append(passed)
        self._zero[corner] |= (self._all & ~(on | off)) << self._first

    def parts(self, polygon: Polygon) -> list[tuple[Polygon, int]]:
        """Return the parts of a cell, one unit after the other as in all cells.

        Each with the units that are on there, as bits.
        """
        on, off = self._signs(polygon)
        if on | off != self._all:
            self.meets_flat_cells = True
        if not on & off:
            return [(polygon, on)]
        parts = [polygon]
        for unit in self._units:
            if (on & off) >> unit & 1:
                parts = [half for part in parts for half in self._halves(part, unit)]
        return [(part, self._signs(part)[0]) for part in parts]

    def _signs(self, polygon: Polygon) -> tuple[int, int]:
        """Return the units that are positive at a corner, and those that are negative at one."""
        on = off = 0
        for corner in polygon:
            on |= self.on[corner]
            off |= self.off[corner]
        return on, off

    def _halves(self, polygon: Polygon, unit: int) -> list[Polygon]:
        """Return a polygon, or the two parts that a unit cuts it into."""
        on, off = self._signs(polygon)
        if not (on & off) >> unit & 1:
            return [polygon]
        above: Polygon = []
        below: Polygon = []
        last = polygon[-1]
        for corner in polygon:
            on, off = self.on[corner] >> unit & 1, self.off[corner] >> unit & 1
            if (off and self.on[last] >> unit & 1) or (on and self.off[last] >> unit & 1):
                cut = self._cut(last, corner, unit)
                above.append(cut)
                below.append(cut)
            if not off:
                above.append(corner)
            if not on:
                below.append(corner)
            last = corner
        return [above, below]

    def _cut(self, start: int, end: int, unit: int) -> int:
        """Return the corner where a unit vanishes between two others."""
        key = (start, end, unit) if start < end else (end, start, unit)
        found = self._cuts.get(key)
        if found is None:
            found = self._cuts[key] = len(self._corners)
            a, b = abs(self.z[end][unit]), abs(self.z[start][unit])
            ends = (*self._corners[start], *self.z[start]), (*self._corners[end], *self.z[end])
            x, y, t, *values = _reduced([a * u + b * v for u, v in zip(*ends, strict=True)])
            self._corners.append((x, y, t))
            values[unit] = NOTHING
            self.z.append(values)
            self._zero.append(self._zero[start] & self._zero[end])
            self._note_signs(found, values)
        return found


def _reduced(numbers: list[Any]) -> list[Any]:
    """Return numbers without their common factor if they are long."""
    if numbers[0].bit_length() < LONG:
        return numbers
    common = NOTHING
    for number in numbers:
        common = number.gcd(common)
    return [number // common for number in numbers]
