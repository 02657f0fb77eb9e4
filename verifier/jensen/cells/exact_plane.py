"""A network in the plane as polygons with exact corners: for many narrow levels and few cells.

Where a level has two or three units that cut little, arrays cost hundreds of calls of NumPy per
level. Here every corner is a rational point with the exact values of the units there, and every
cell a list of its corners; signs are bits of whole numbers, so that a cell that no unit cuts costs
a few operations. All is exact: there are no degenerate places.

References
----------
docs/theory.md, section 4: few inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import flint

from jensen.arithmetic.rational import ZERO
from jensen_encodings.deadline import NEVER, Deadline

Corner = tuple[Any, Any, Any]  # homogeneous: the last coordinate is 1, or 0 at infinity
Polygon = list[int]
Edge = tuple[int, int]


class ExactPlane:
    """The cells of a network in the plane, and its values at their corners.

    Parameters
    ----------
    corners : sequence of (x, y, 1) or (x, y, 0), ``fmpq``
        Of the domain.
    polygons : sequence of lists of corners
        Convex, the corners in order around each; together they are the domain.
    """

    def __init__(self, corners: Sequence[Corner], polygons: Sequence[Polygon]) -> None:
        self.corners = list(corners)
        self.polygons = [list(polygon) for polygon in polygons]
        self.values: list[Any] = []

    def cut(self, weights: Sequence[Any], limit: int, deadline: Deadline = NEVER) -> bool:
        """Cut the plane by the levels of a network.

        Parameters
        ----------
        weights : sequence of ``fmpq_mat`` (out, in + 1)
            Of all levels, the bias in the last column; the last one is the output.
        limit : int
            Cells from which on it is given up.
        deadline : Deadline

        Returns
        -------
        bool
            False if it was given up; the plane is then of no use any more.
        """
        passed = [list(corner[:2]) for corner in self.corners]
        for level in weights[:-1]:
            passed = self._cut_level(self._values(level, passed))
            if len(self.polygons) > limit or deadline.over():
                return False
        self.values = [row[0] for row in self._values(weights[-1], passed)]
        return True

    def _values(self, level: Any, passed: Sequence[Sequence[Any]]) -> list[list[Any]]:
        """Return z of a level at all corners, from what the level before it passes on."""
        rows = [
            number
            for values, corner in zip(passed, self.corners, strict=True)
            for number in (*values, corner[2])
        ]
        found: list[list[Any]] = (
            flint.fmpq_mat(len(passed), level.ncols(), rows) * level.transpose()
        ).tolist()
        return found

    def _cut_level(self, z: list[list[Any]]) -> list[list[Any]]:
        """Cut all cells by the units of a level; return what it passes on at all corners."""
        cutter = _Cutter(self.corners, z)
        parts: list[Polygon] = []
        for polygon in self.polygons:
            parts += cutter.parts(polygon)
        self.polygons = parts
        return [
            [value if on >> unit & 1 else ZERO for unit, value in enumerate(values)]
            for values, on in zip(cutter.z, cutter.on, strict=True)
        ]

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
        p, q, r = form
        for corner in one:
            if corner not in edge:
                x, y, t = self.corners[corner]
                rise = self.values[corner] - (p * x + q * y + r * t)
                if rise != ZERO:
                    return bool(rise < ZERO)
        return False

    def _form(self, polygon: Polygon) -> Sequence[Any]:
        """Return what the function is on a cell, as coefficients of corners."""
        first, second, *others = polygon
        rows = [*self.corners[first], *self.corners[second]]
        for third in others:
            place = flint.fmpq_mat(3, 3, [*rows, *self.corners[third]])
            if place.det() != 0:
                break
        values = [self.values[corner] for corner in (first, second, third)]
        found: Sequence[Any] = place.solve(flint.fmpq_mat(3, 1, values)).entries()
        return found

    def middle(self, corners: Sequence[int]) -> tuple[Any, Any]:
        """Return a point between corners of which one at least is not at infinity."""
        x, y, scale = (sum(numbers, ZERO) for numbers in zip(*map(self._at, corners), strict=True))
        return x / scale, y / scale

    def _at(self, corner: int) -> Corner:
        return self.corners[corner]


class _Cutter:
    """Cuts cells by the units of one level; edges that two cells share are cut once.

    Parameters
    ----------
    corners : list of Corner
        Grows by the points where units vanish.
    z : list of lists of ``fmpq``
        Of the level's units at all corners; grows alike.

    Attributes
    ----------
    on, off : lists of int
        Which units are positive at each corner, and which negative, as bits.
    """

    def __init__(self, corners: list[Corner], z: list[list[Any]]) -> None:
        self._corners, self.z = corners, z
        self._units = range(len(z[0]))
        self.on: list[int] = []
        self.off: list[int] = []
        for values in z:
            self._note_signs(values)
        self._cuts: dict[tuple[int, int, int], int] = {}

    def _note_signs(self, values: Sequence[Any]) -> None:
        on, off, bit = 0, 0, 1
        for value in values:
            if value > ZERO:
                on |= bit
            elif value < ZERO:
                off |= bit
            bit <<= 1
        self.on.append(on)
        self.off.append(off)

    def parts(self, polygon: Polygon) -> list[Polygon]:
        """Return the parts of a cell, one unit after the other as in all cells."""
        crossing = self._crossing(polygon)
        parts = [polygon]
        for unit in self._units:
            if crossing >> unit & 1:
                parts = [half for part in parts for half in self._halves(part, unit)]
        return parts

    def _crossing(self, polygon: Polygon) -> int:
        on = off = 0
        for corner in polygon:
            on |= self.on[corner]
            off |= self.off[corner]
        return on & off

    def _halves(self, polygon: Polygon, unit: int) -> list[Polygon]:
        """Return a polygon, or the two parts that a unit cuts it into."""
        if not self._crossing(polygon) >> unit & 1:
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
            at_start, at_end = self.z[end][unit], self.z[start][unit]
            share = abs(at_start), abs(at_end)
            first, second = self._corners[start], self._corners[end]
            scale = share[0] * first[2] + share[1] * second[2]
            if scale == 0:  # at infinity
                scale = share[0] + share[1]
            a, b = share[0] / scale, share[1] / scale
            x, y, t = (a * u + b * v for u, v in zip(first, second, strict=True))
            self._corners.append((x, y, t))
            values = [a * u + b * v for u, v in zip(self.z[start], self.z[end], strict=True)]
            values[unit] = ZERO
            self.z.append(values)
            self._note_signs(values)
        return found
