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


def cut(skeleton: Skeleton, level: int, units: IndexArray, *, cells: bool = True) -> Skeleton:
    """Cut all edges, and what is between them, by units of a level that has been evaluated.

    Parameters
    ----------
    skeleton : Skeleton
    level : int
    units : int array
        Those of the level that cut, and have not cut before.
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
    return _Cut(skeleton, level, units).run(cells=cells) if len(units) else skeleton


class _Cut:
    """Units of one level that cut."""

    def __init__(self, old: Skeleton, level: int, units: IndexArray) -> None:
        self._old, self._levels, self._count = old, old.levels, len(units)
        self._first = old.levels.first[level]
        self._values, self._place = old.values, old.place
        width = old.values.shape[2]
        self._bit = np.zeros(width, dtype=np.int64)
        self._bit[units] = np.int64(1) << units
        self._others = None if self._count == width else self._bit == 0
        self._on, sure = self._signs(old.values)
        if np.count_nonzero(sure) < sure.size:
            raise UncertainSignsError(np.unique(old.network[~sure.all(axis=1)]))

    def run(self, *, cells: bool) -> Skeleton:
        """Return the skeleton behind the cut."""
        edges, found = self._crossed(self._old.edges, 0)
        parts = [edges.table]
        if found is not None:
            lines = self._lines_on_faces(found, cells=cells)
            edges, found = self._crossed(lines, 1)
            parts.append(edges.table)
            if found is not None and cells:
                edges, _ = self._crossed(self._lines_in_cells(lines, found), 2)
                parts.append(edges.table)
        table = np.concatenate(parts, axis=1)
        table[4] |= (self._on[table[0]] | self._on[table[1]]) << self._first
        return replace(self._old, values=self._values, place=self._place, edges=Edges(table))

    # -------------------------------------------------------------------------- lines

    def _lines_on_faces(self, found: _Crossings, *, cells: bool) -> Edges:
        """Return where units vanish on faces, between vertices on the edges of each."""
        levels, edges = self._levels, self._old.edges.take(found.line)
        form, on, at = around(levels, edges)
        if not cells:
            network = self._place[edges.ends[0][at]] >> 1
            some = levels.asks(network, form).nonzero()[0]
            form, on, at = form[some], on[some], at[some]
        vertex, unit = found.vertex[at], found.unit[at]
        one, two = self._pairs(vertex, on, (form, levels.bits_of_form), unit)
        return _lines(vertex[one], vertex[two], form[one], unit[one] + self._first, on[one])

    def _lines_in_cells(self, lines: Edges, found: _Crossings) -> Edges:
        """Return where two units vanish in cells, between vertices on the faces of each."""
        levels = self._levels
        # each of these vertices was found twice, on the line of either unit
        own = lines.table[3, found.line] - self._first
        once = (own < found.unit).nonzero()[0]
        line, own = lines.take(found.line[once]), own[once]
        face = line.forms[0]
        inner = (face < levels.units).nonzero()[0]  # beyond a side there is no cell
        at = np.concatenate([np.arange(len(once)), inner])
        on = np.concatenate([line.on | levels.bit[face], line.on[inner]])
        unit, other, vertex = own[at], found.unit[once][at], found.vertex[once][at]
        one, two = self._pairs(vertex, on, (unit, levels.bits_of_unit), other)
        first = self._first
        return _lines(vertex[one], vertex[two], unit[one] + first, other[one] + first, on[one])

    def _pairs(
        self, vertex: IndexArray, on: Bits, form: tuple[IndexArray, int], unit: IndexArray
    ) -> tuple[IndexArray, IndexArray]:
        """Return which two vertices lie on the same line: convex faces and cells have just two."""
        levels = self._levels
        key = (((on << form[1]) | form[0]) << levels.bits_of_unit) | unit
        if levels.networks > 1:
            bits = levels.units + form[1] + levels.bits_of_unit
            key |= (self._place[vertex] >> 1) << bits
        order = key.argsort(kind="stable")
        key = key[order]
        one, two = key[0::2], key[1::2]
        if len(one) != len(two) or (one != two).any() or (one[1:] == two[:-1]).any():
            raise UncertainSignsError(np.unique(self._place[vertex] >> 1))
        return order[0::2], order[1::2]

    # ---------------------------------------------------------------------- crossings

    def _signs(self, values: FloatArray) -> tuple[Bits, BoolArray]:
        """Return the units that are on at vertices, and which signs are certain."""
        z, off = values[:, 0], 2 * values[:, 1]
        up = z > off
        sure = up | (z < -off)
        if self._others is not None:
            sure |= self._others
        return up @ self._bit, sure

    def _crossed(self, lines: Edges, zeros: int) -> tuple[Edges, _Crossings | None]:
        """Cut lines, on each of which so many units of the level vanish, by the others."""
        (start, end), bit = lines.ends, self._bit
        differ = self._on[start] ^ self._on[end]
        line, unit = ((differ[:, None] & bit) != 0).nonzero()
        if not line.size:
            return lines, None
        one, other = start[line], end[line]
        shares = np.abs(self._values[one, 0, unit]), np.abs(self._values[other, 0, unit])
        order = (line + shares[0] / (shares[0] + shares[1])).argsort()
        line, unit, one, other = line[order], unit[order], one[order], other[order]
        values = self._between((one, other), unit, (shares[0][order], shares[1][order]))
        on, sure = self._signs(values)
        new = np.empty(len(line), dtype=bool)
        new[0], new[1:] = True, line[1:] != line[:-1]
        first = new.nonzero()[0]
        flips = bit[unit]
        behind = np.bitwise_xor.accumulate(flips)
        behind ^= self._on[one] ^ (behind[first] ^ flips[first])[new.cumsum() - 1]
        # signs at the vertices say in which order they lie, whatever the shares
        right = on == behind & ~flips
        # of the units that vanish no sign is certain, and of at most as many others
        if np.count_nonzero(sure) < sure.size - (1 + zeros) * len(line) or not right.all():
            right &= np.count_nonzero(sure, axis=1) == sure.shape[1] - 1 - zeros
            raise UncertainSignsError(np.unique(self._place[one[~right]] >> 1))
        vertex = np.arange(len(self._values), len(self._values) + len(line))
        self._append(values, on, self._place[one], lines, line)
        return self._chained(lines, vertex, line, first), _Crossings(vertex, line, unit)

    def _between(
        self,
        ends: tuple[IndexArray, IndexArray],
        unit: IndexArray,
        sizes: tuple[FloatArray, FloatArray],
    ) -> FloatArray:
        """Return values where a unit vanishes between two vertices each, of sizes of it there."""
        start, end = ends
        one, other = sizes
        whole = one + other
        share, rest = one / whole, other / whole
        first, last = self._values[start], self._values[end]
        line = np.arange(len(unit))
        off_one, off_other = first[line, 1, unit], last[line, 1, unit]
        # sizes are more than twice what they may be off: no difference here loses its digits
        off_share = (rest * off_one + share * off_other) / (whole - off_one - off_other)
        apart = np.abs(last[:, 0] - first[:, 0]) + (first[:, 1] + last[:, 1])
        first *= rest[:, None, None]
        last *= share[:, None, None]
        values: FloatArray = first
        values += last
        values[:, 1] += (off_share + 12 * UNIT)[:, None] * apart + 8 * UNIT * np.abs(values[:, 0])
        values[:, 1] *= MORE
        values[line, :, unit] = 0.0
        return values

    def _append(
        self, values: FloatArray, on: Bits, place: Bits, lines: Edges, line: IndexArray
    ) -> None:
        """Keep new vertices on lines; they are far where the whole line is."""
        if self._old.endless:
            far = (lines.table[2:4] == self._levels.units).any(axis=0)
            place = (place & ~1) | far[line]
        self._values = np.concatenate([self._values, values])
        self._on = np.concatenate([self._on, on])
        self._place = np.concatenate([self._place, place])

    def _chained(
        self, lines: Edges, vertex: IndexArray, line: IndexArray, first: IndexArray
    ) -> Edges:
        """Return the parts of lines; the crossings are in the order in which they lie there."""
        cut_lines = line[first]
        whole = np.ones(len(lines), dtype=bool)
        whole[cut_lines] = False
        table = lines.table[:, np.concatenate([line, cut_lines, whole.nonzero()[0]])]
        crossings, parts = len(line), len(line) + len(first)
        # from a crossing back to the one before it, and from the last one on to the end
        table[0, :crossings] = vertex - 1
        table[0, first] = lines.table[0, cut_lines]
        table[1, :crossings] = vertex
        table[0, crossings : parts - 1] = vertex[first[1:] - 1]
        table[0, parts - 1] = vertex[-1]
        return Edges(table)


def _lines(
    start: IndexArray, end: IndexArray, one: IndexArray, other: IndexArray, on: Bits
) -> Edges:
    return Edges(np.array([start, end, one, other, on]))
