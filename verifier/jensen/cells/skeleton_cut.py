"""All edges, faces and cells of a skeleton cut by all units of a level, stage by stage.

A unit that has both signs on an edge meets it in a vertex; on a face, it is 0 on a line between
two vertices on its edges; inside a cell, two units are 0 on a line between two vertices on its
faces. Lines are cut as edges are.
"""

from __future__ import annotations

from dataclasses import dataclass

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
        self._first, self._word = old.levels.first[level], old.levels.place[level]
        self._values, self._place = old.values, old.place
        width = old.values.shape[2]
        self._bit = np.zeros(width, dtype=np.int64)
        self._bit[units] = np.int64(1) << units
        self._weight = self._bit.astype(np.float64)  # sums of these are exact
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
        on = self._on.take(table[:2])
        word, shift = self._word
        table[4 + word] |= (on[0] | on[1]) << shift
        endless = self._old.endless
        return Skeleton(self._levels, self._values, self._place, Edges(table), endless)

    # -------------------------------------------------------------------------- lines

    def _lines_on_faces(self, found: _Crossings, *, cells: bool) -> Edges:
        """Return where units vanish on faces, between vertices on the edges of each."""
        levels, edges = self._levels, self._old.edges.take(found.line)
        form, on, at = around(levels, edges)
        if not cells:
            network = self._place.take(edges.ends[0].take(at)) >> 1
            some = levels.asks(network, form).nonzero()[0]
            form, on, at = form.take(some), on.take(some, axis=1), at.take(some)
        vertex, unit = found.vertex.take(at), found.unit.take(at)
        one, two = self._pairs(vertex, on, form, unit)
        forms = form.take(one), unit.take(one) + self._first
        return _lines(vertex.take(one), vertex.take(two), *forms, on.take(one, axis=1))

    def _lines_in_cells(self, lines: Edges, found: _Crossings) -> Edges:
        """Return where two units vanish in cells, between vertices on the faces of each."""
        levels = self._levels
        # each of these vertices was found twice, on the line of either unit
        own = lines.table[3].take(found.line) - self._first
        once = (own < found.unit).nonzero()[0]
        line, own = lines.take(found.line.take(once)), own.take(once)
        face = line.forms[0]
        inner = (face < levels.units).nonzero()[0]  # beyond a side there is no cell
        at = np.concatenate([np.arange(len(once)), inner])
        off = line.on.take(inner, axis=1)
        on = np.concatenate([line.on | levels.bit.take(face, axis=1), off], axis=1)
        unit, from_all = own.take(at), once.take(at)
        other, vertex = found.unit.take(from_all), found.vertex.take(from_all)
        one, two = self._pairs(vertex, on, unit, other)
        forms = unit.take(one) + self._first, other.take(one) + self._first
        return _lines(vertex.take(one), vertex.take(two), *forms, on.take(one, axis=1))

    def _pairs(
        self, vertex: IndexArray, on: Bits, form: IndexArray, unit: IndexArray
    ) -> tuple[IndexArray, IndexArray]:
        """Return which two vertices lie on the same line: convex faces and cells have just two."""
        network = self._place.take(vertex) >> 1
        key = self._levels.keys(network, on, form, unit)
        order = key.argsort()
        key = key.take(order)
        one, two = key[0::2], key[1::2]
        right = len(one) == len(two) and not ((one != two).any() or (one[1:] == two[:-1]).any())
        if not (right and self._levels.are_same(order[0::2], order[1::2], on, form, unit)):
            raise UncertainSignsError(np.unique(network))
        return order[0::2], order[1::2]

    # ---------------------------------------------------------------------- crossings

    def _signs(self, values: FloatArray) -> tuple[Bits, BoolArray]:
        """Return the units that are on at vertices, and which signs are certain."""
        z = values[0]
        sure = np.abs(z) > 2 * values[1]
        up = sure & (z > 0)
        if self._others is not None:
            sure |= self._others
        return (up.astype(np.float64) @ self._weight).astype(np.int64), sure

    def _crossed(self, lines: Edges, zeros: int) -> tuple[Edges, _Crossings | None]:
        """Cut lines, on each of which so many units of the level vanish, by the others."""
        start, end = lines.ends
        ons = self._on.take(lines.table[:2])
        differ = ons[0] ^ ons[1]
        cut_lines = differ.nonzero()[0]
        if not cut_lines.size:
            return lines, None
        line, unit = self._changes(differ, cut_lines)
        new = np.empty(len(line), dtype=bool)
        new[0], new[1:] = True, line[1:] != line[:-1]
        first = new.nonzero()[0]
        one, other = start.take(line), end.take(line)
        z, width = self._values[0].reshape(-1), len(self._bit)
        shares = np.abs(z.take(one * width + unit)), np.abs(z.take(other * width + unit))
        if len(first) < len(line):
            order = (line + shares[0] / (shares[0] + shares[1])).argsort()
            unit, one, other = unit.take(order), one.take(order), other.take(order)
            shares = shares[0].take(order), shares[1].take(order)
        values = self._between((one, other), unit, shares)
        on, sure = self._signs(values)
        flips = self._bit.take(unit)
        behind = np.bitwise_xor.accumulate(flips)
        before = ons[0].take(cut_lines) ^ behind.take(first) ^ flips.take(first)
        behind ^= before.take(new.cumsum() - 1)
        # signs at the vertices say in which order they lie, whatever the shares
        right = on == behind & ~flips
        # of the units that vanish no sign is certain, and of at most as many others
        if np.count_nonzero(sure) < sure.size - (1 + zeros) * len(line) or not right.all():
            right &= np.count_nonzero(sure, axis=1) == sure.shape[1] - 1 - zeros
            raise UncertainSignsError(np.unique(self._place[one[~right]] >> 1))
        vertex = np.arange(self._values.shape[1], self._values.shape[1] + len(line))
        self._append(values, on, self._place.take(one), lines, line)
        return self._chained(lines, vertex, line, first), _Crossings(vertex, line, unit)

    def _changes(self, differ: Bits, some: IndexArray) -> tuple[IndexArray, IndexArray]:
        """Return (line, unit) where units change their sign on some lines, line by line."""
        found = ((differ.take(some)[:, None] & self._bit) != 0).reshape(-1).nonzero()[0]
        line = found // len(self._bit)
        return some.take(line), found - line * len(self._bit)

    def _between(
        self,
        ends: tuple[IndexArray, IndexArray],
        unit: IndexArray,
        sizes: tuple[FloatArray, FloatArray],
    ) -> FloatArray:
        """Return values where a unit vanishes between two vertices each, of sizes of it there."""
        one, other = sizes
        whole = one + other
        share, rest = one / whole, other / whole
        width = self._values.shape[2]
        first, last = (self._values.take(end, axis=1) for end in ends)
        place = np.arange(0, len(unit) * width, width) + unit
        off_one, off_other = (end[1].reshape(-1).take(place) for end in (first, last))
        # sizes are more than twice what they may be off: no difference here loses its digits
        off_share = (rest * off_one + share * off_other) / (whole - off_one - off_other)
        apart = last[0] - first[0]
        np.abs(apart, out=apart)
        apart += first[1] + last[1]
        first *= rest[:, None]
        last *= share[:, None]
        values: FloatArray = first
        values += last
        apart *= (off_share + 12 * UNIT)[:, None]
        apart += 8 * UNIT * np.abs(values[0])
        values[1] += apart
        values[1] *= MORE
        flat = values.reshape(-1)
        flat[place] = flat[place + len(unit) * width] = 0.0
        return values

    def _append(
        self, values: FloatArray, on: Bits, place: Bits, lines: Edges, line: IndexArray
    ) -> None:
        """Keep new vertices on lines; they are far where the whole line is."""
        if self._old.endless:
            one, other = lines.forms
            far = (one == self._levels.units) | (other == self._levels.units)
            place = (place & ~1) | far.take(line)
        self._values = np.concatenate([self._values, values], axis=1)
        self._on = np.concatenate([self._on, on])
        self._place = np.concatenate([self._place, place])

    def _chained(
        self, lines: Edges, vertex: IndexArray, line: IndexArray, first: IndexArray
    ) -> Edges:
        """Return the parts of lines; the crossings are in the order in which they lie there."""
        cut_lines = line.take(first)
        whole = np.ones(len(lines), dtype=bool)
        whole[cut_lines] = False
        some = np.concatenate([line, cut_lines, whole.nonzero()[0]])
        table = lines.table.take(some, axis=1)
        crossings, parts = len(line), len(line) + len(first)
        # from a crossing back to the one before it, and from the last one on to the end
        table[0, :crossings] = vertex - 1
        table[0, first] = lines.table[0].take(cut_lines)
        table[1, :crossings] = vertex
        table[0, crossings : parts - 1] = vertex[first[1:] - 1]
        table[0, parts - 1] = vertex[-1]
        return Edges(table)


def _lines(
    start: IndexArray, end: IndexArray, one: IndexArray, other: IndexArray, on: Bits
) -> Edges:
    return Edges(np.array([start, end, one, other, *on]))
