"""All edges, faces and cells of a skeleton cut by all units of a level, stage by stage.

A unit that has both signs on an edge meets it in a vertex; on a face, it is 0 on a line between
two vertices on its edges; inside a cell, two units are 0 on a line between two vertices on its
faces. Lines are cut as edges are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jensen.arithmetic.intervals import UNIT
from jensen.cells.cones import MORE
from jensen.cells.skeleton import Bits, Edges, Skeleton, UncertainSignsError, around
from jensen.types import BoolArray, FloatArray, IndexArray


@dataclass(frozen=True, eq=False)
class _Crossings:
    """Where units vanish on lines: the new vertices, the lines, and the units of the level."""

    vertex: IndexArray
    line: IndexArray
    unit: IndexArray

    def take(self, some: IndexArray) -> _Crossings:
        return _Crossings(self.vertex[some], self.line[some], self.unit[some])


def cut(skeleton: Skeleton, level: int, units: int, *, cells: bool = True) -> Skeleton:
    """Cut all edges, and what is between them, by a level that has been evaluated.

    Parameters
    ----------
    skeleton : Skeleton
    level : int
    units : int
        So many of its units, the first ones, cut.
    cells : bool
        Whether cells are cut, too, else only the faces on kinks that are asked for. All edges of
        what is cut have to be there.

    Returns
    -------
    Skeleton

    Raises
    ------
    UncertainSignsError
        If signs are not certain. It says nothing about the other networks.
    """
    return _Cut(skeleton, level, units).run(cells=cells) if units else skeleton


class _Cut:
    """One level that cuts."""

    def __init__(self, old: Skeleton, level: int, units: int) -> None:
        self._old, self._levels, self._units = old, old.levels, units
        self._first = old.levels.first[level]
        self._z, self._error = old.z, old.error
        self._network, self._far = old.network, old.far
        self._bit = np.int64(1) << np.arange(units)
        self._on, count = self._signs(old.z, old.error)
        if (count < units).any():
            raise UncertainSignsError(np.unique(old.network[count < units]))

    def run(self, *, cells: bool) -> Skeleton:
        """Return the skeleton behind the cut."""
        edges, found = self._crossed(self._old.edges, 0)
        parts = [edges]
        if found is not None:
            lines = self._lines_on_faces(found, cells=cells)
            edges, found = self._crossed(lines, 1)
            parts.append(edges)
            if found is not None and cells:
                edges, _ = self._crossed(self._lines_in_cells(lines, found), 2)
                parts.append(edges)
        start, end, one, other, on = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("start", "end", "one", "other", "on")
        )
        on |= (self._on[start] | self._on[end]) << self._first
        return replace(
            self._old,
            z=self._z,
            error=self._error,
            network=self._network,
            far=self._far,
            edges=Edges(start, end, one, other, on),
        )

    # -------------------------------------------------------------------------- lines

    def _lines_on_faces(self, found: _Crossings, *, cells: bool) -> Edges:
        """Return where units vanish on faces, between vertices on the edges of each."""
        levels, edges = self._levels, self._old.edges.take(found.line)
        form, on, at = around(levels, edges)
        if not cells:
            inner = form < levels.units
            inner &= levels.asked[self._network[edges.start[at]], np.where(inner, form, 0)]
            some = np.flatnonzero(inner)
            form, on, at = form[some], on[some], at[some]
        unit = found.unit[at]
        one, two = self._pairs(found.vertex[at], on, (form, levels.bits_of_form), unit)
        vertex = found.vertex[at]
        return Edges(vertex[one], vertex[two], form[one], unit[one] + self._first, on[one])

    def _lines_in_cells(self, lines: Edges, found: _Crossings) -> Edges:
        """Return where two units vanish in cells, between vertices on the faces of each."""
        levels = self._levels
        # each of these vertices was found twice, on the line of either unit
        line = lines.take(found.line)
        once = np.flatnonzero(line.other - self._first < found.unit)
        line, found = line.take(once), found.take(once)
        inner = np.flatnonzero(line.one < levels.units)  # beyond a side there is no cell
        at = np.concatenate([np.arange(len(once)), inner])
        on = np.concatenate([line.on | levels.bit[line.one], line.on[inner]])
        unit, other, vertex = line.other[at], found.unit[at], found.vertex[at]
        key = unit - self._first
        one, two = self._pairs(vertex, on, (key, levels.bits_of_unit), other)
        return Edges(vertex[one], vertex[two], unit[one], other[one] + self._first, on[one])

    def _pairs(
        self, vertex: IndexArray, on: Bits, form: tuple[IndexArray, int], unit: IndexArray
    ) -> tuple[IndexArray, IndexArray]:
        """Return which two vertices lie on the same line: convex faces and cells have just two."""
        levels = self._levels
        place = (self._network[vertex] << levels.units) | on
        key = (((place << form[1]) | form[0]) << levels.bits_of_unit) | unit
        order = np.argsort(key, kind="stable")
        key = key[order]
        one, two = key[0::2], key[1::2]
        if len(one) != len(two) or (one != two).any() or (one[1:] == two[:-1]).any():
            raise UncertainSignsError(np.unique(self._network[vertex]))
        return order[0::2], order[1::2]

    # ---------------------------------------------------------------------- crossings

    def _signs(self, z: FloatArray, error: FloatArray) -> tuple[Bits, IndexArray]:
        """Return the units that are on at vertices, and how many signs are certain."""
        z, off = z[:, : self._units], 2 * error[:, : self._units]
        up = z > off
        return up @ self._bit, np.count_nonzero(up | (z < -off), axis=1)

    def _crossed(self, lines: Edges, zeros: int) -> tuple[Edges, _Crossings | None]:
        """Cut lines, on each of which so many units of the level vanish, by the others."""
        start, end, bit = lines.start, lines.end, self._bit
        differ = self._on[start] ^ self._on[end]
        line, unit = ((differ[:, None] & bit) != 0).nonzero()
        if not line.size:
            return lines, None
        values = np.abs(self._z[start[line], unit]), np.abs(self._z[end[line], unit])
        order = np.argsort(line + values[0] / (values[0] + values[1]), kind="stable")
        line, unit = line[order], unit[order]
        ends = start[line], end[line]
        z, error = self._between(ends, unit, (values[0][order], values[1][order]))
        on, count = self._signs(z, error)
        first = np.flatnonzero(np.append(True, line[1:] != line[:-1]))
        flips = bit[unit]
        behind = np.bitwise_xor.accumulate(flips)
        each = np.diff(np.append(first, len(line)))
        behind ^= self._on[ends[0]] ^ np.repeat(behind[first] ^ flips[first], each)
        # signs at the vertices say in which order they lie, whatever the shares
        sure = (count == self._units - 1 - zeros) & (on == behind & ~flips)
        if not sure.all():
            raise UncertainSignsError(np.unique(self._network[ends[0][~sure]]))
        vertex = len(self._z) + np.arange(len(line))
        self._append(z, error, on, self._network[ends[0]], self._on_far_side(lines)[line])
        return self._chained(lines, vertex, line, first), _Crossings(vertex, line, unit)

    def _between(
        self,
        ends: tuple[IndexArray, IndexArray],
        unit: IndexArray,
        values: tuple[FloatArray, FloatArray],
    ) -> tuple[FloatArray, FloatArray]:
        """Return z where a unit vanishes between two vertices each, and how far it may be off."""
        start, end = ends
        one, other = values
        whole = one + other
        share, rest = one / whole, other / whole
        first, last = self._z[start], self._z[end]
        off_first, off_last = self._error[start], self._error[end]
        line = np.arange(len(unit))
        off_one, off_other = off_first[line, unit], off_last[line, unit]
        # values are more than twice what they may be off: no difference here loses its digits
        off_share = (rest * off_one + share * off_other) / (whole - off_one - off_other)
        share, rest = share[:, None], rest[:, None]
        z = rest * first + share * last
        z[line, unit] = 0.0
        apart = np.abs(last - first) + off_first + off_last
        error = rest * off_first + share * off_last
        error += (off_share + 12 * UNIT)[:, None] * apart + 8 * UNIT * np.abs(z)
        error *= MORE
        error[line, unit] = 0.0
        return z, error

    def _on_far_side(self, lines: Edges) -> BoolArray:
        """Return which lines lie where the domain goes on."""
        side = self._levels.units
        if not self._old.endless:
            return np.zeros(len(lines.on), dtype=bool)
        found: BoolArray = (lines.one == side) | (lines.other == side)
        return found

    def _append(
        self, z: FloatArray, error: FloatArray, on: Bits, network: IndexArray, far: BoolArray
    ) -> None:
        self._z = np.concatenate([self._z, z])
        self._error = np.concatenate([self._error, error])
        self._on = np.concatenate([self._on, on])
        self._network = np.concatenate([self._network, network])
        self._far = np.concatenate([self._far, far])

    def _chained(
        self, lines: Edges, vertex: IndexArray, line: IndexArray, first: IndexArray
    ) -> Edges:
        """Return the parts of lines; the crossings are in the order in which they lie there."""
        cut_lines = line[first]
        whole = np.ones(len(lines.on), dtype=bool)
        whole[cut_lines] = False
        rest = np.flatnonzero(whole)
        last = np.append(first[1:], len(line)) - 1
        before = vertex - 1
        before[first] = lines.start[cut_lines]
        parts = lines.take(np.concatenate([line, cut_lines, rest]))
        start = np.concatenate([before, vertex[last], lines.start[rest]])
        end = np.concatenate([vertex, lines.end[cut_lines], lines.end[rest]])
        return replace(parts, start=start, end=end)
