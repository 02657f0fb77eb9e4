"""Cut a complex of three dimensions by the kinks of the next level, all units at once.

Edges and old faces are cut as in the plane (:mod:`jensen.cells.subdivide`). A unit with both
signs in a cell cuts it in a polygon, whose sides are the unit's segments across the cell's
faces; the other units cut that polygon along lines, and these in points where three vanish.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from jensen.cells.complex import (
    Complex,
    ExactVertices,
    SignArray,
    Solid,
    TooDegenerateError,
)
from jensen.cells.edges import Cuts
from jensen.cells.incidences import Incidences, inherit, one_sided
from jensen.cells.keys import different, different_pairs, labels
from jensen.cells.layers import Layers
from jensen.cells.polygons import Lines, Polygons
from jensen.cells.start import solid_inside
from jensen.cells.subdivide import Subdivision
from jensen.types import BoolArray, IndexArray


class SolidSubdivision(Subdivision):
    """Subdivides one complex of three dimensions level by level.

    Parameters
    ----------
    layers : Layers
    cells : Complex
        Vertices, edges and faces.
    solid : Solid
    exact : ExactVertices
    """

    def __init__(self, layers: Layers, cells: Complex, solid: Solid, exact: ExactVertices) -> None:
        super().__init__(layers, cells, exact)
        self.solid = solid

    def split(self, level: int, wanted: BoolArray | None = None) -> None:
        """Subdivide the complex by an evaluated level.

        Parameters
        ----------
        level : int
        wanted : bool array (units,) or None
            Leave out what all other units cut out of cells; the complex then has faces, but no
            cells any more, and is good for a look at the kinks only.
        """
        cells, solid = self.cells, self.solid
        span = self.layers.span(level)
        before = cells.vertices.count
        if wanted is None and self._passed_over(level):
            return
        cuts = self._cutter.cut(level, cells.edges[:, 0], cells.edges[:, 1], cells.edge_signs, None)
        degenerate = cuts.coincide or not cells.vertices.signs[level][:before].all()
        face, start, end, unit = self._segments(level, cuts, before, degenerate, None)
        own = None if degenerate else unit[:, None]
        inner = self._cutter.cut(level, start, end, cells.face_signs[face], face, own=own)
        at_edge, at_face, face_signs, parent = self._faces(
            level, cuts, inner, face, unit, before, degenerate
        )
        crossed = _Crossed(self, level, cuts, inner, (face, start, end), degenerate)
        polygons = crossed.polygons(wanted)
        lines = crossed.lines(polygons)
        across = self._cutter.cut(
            level, lines.start, lines.end, solid.cell_signs[lines.cell], lines.cell, own=lines.own
        )
        self._cutter.finish(level)
        side_edge, side_face, sides, polygon = crossed.faces(polygons, lines, across)
        cell = polygons.cell[polygon]
        if wanted is None:
            self.solid = crossed.cells(parent, face_signs[:, span], polygons, polygon, sides)
        else:
            none = np.empty(0, dtype=np.intp)
            # parts of old faces between two cells, and polygons, are inside the domain
            kept = np.flatnonzero(solid.inner_faces(len(cells.face_signs))[parent])
            made = len(parent) + np.arange(len(cell))
            twice = np.repeat(np.concatenate([kept, made]), 2)
            self.solid = Solid(twice, none, solid.cell_signs[:0])
        ends = [np.stack([part.start, part.end], axis=1) for part in (cuts, inner, across)]
        edge_signs = self._inherited(
            level,
            (cells.edge_signs, cuts.parent, cuts.signs),
            (cells.face_signs, face[inner.parent], inner.signs),
            (solid.cell_signs, lines.cell[across.parent], across.signs),
        )
        self.cells = Complex(
            cells.vertices,
            np.concatenate(ends),
            edge_signs,
            np.concatenate([at_edge, side_edge]),
            np.concatenate([at_face, len(parent) + side_face]),
            np.concatenate([face_signs, self._inherited(level, (solid.cell_signs, cell, sides))]),
        )

    def _passed_over(self, level: int) -> bool:
        """Note the signs of a level of which no unit has both signs; False if one has."""
        if not super()._passed_over(level):
            return False
        solid, span = self.solid, self.layers.span(level)
        faces = self.cells.face_signs[:, span]
        cells = one_sided(faces, solid.at_face, solid.at_cell, len(solid.cell_signs))
        solid.cell_signs[:, span] = cells
        return True

    def keep_inside(self, rows: int) -> None:
        """Drop what lies outside the domain, whose rows are the first so many units."""
        self.cells, self.solid = solid_inside(self.cells, self.solid, rows)


class _Crossed:
    """One level's cut through the cells of a complex whose edges and faces it has cut.

    Parameters
    ----------
    division : SolidSubdivision
    level : int
    cuts, inner : Cuts
        Of the old edges, and of the segments.
    segments : (face, start, end)
    degenerate : bool
        Whether units vanish at vertices, or in common points of edges.
    """

    def __init__(
        self,
        division: SolidSubdivision,
        level: int,
        cuts: Cuts,
        inner: Cuts,
        segments: tuple[IndexArray, IndexArray, IndexArray],
        degenerate: bool,
    ) -> None:
        self._old = division.cells
        self._solid = division.solid
        self._known_by = partial(division.known_by, level)
        self._cuts, self._inner = cuts, inner
        self._face, self._start, self._end = segments
        self._signs = division.cells.vertices.signs[level]
        self._span = division.layers.span(level)
        self._size = self._signs.shape[1]
        self._degenerate = degenerate or inner.coincide
        if self._degenerate:
            self._edge_cells = self._cells_of_edges()
            self._cell_sides, self._both = self._sides_of_cells()

    # --------------------------------------------------------------------- polygons

    def polygons(self, wanted: BoolArray | None) -> Polygons:
        """Return what each unit cuts out of each cell."""
        old, size = self._old, self._size
        start, end = self._start, self._end
        side, cell = inherit(
            self._face, self._solid.at_face, self._solid.at_cell, len(old.face_signs)
        )
        if self._degenerate:
            start = np.concatenate([start, old.edges[:, 0]])
            end = np.concatenate([end, old.edges[:, 1]])
            edge, its_cell = self._edge_cells
            side = np.concatenate([side, len(self._start) + edge])
            cell = np.concatenate([cell, its_cell])
        zero = (self._signs[start] == 0) & (self._signs[end] == 0)
        allowed = np.ones(size, dtype=bool) if wanted is None else wanted
        zero_side, zero_unit = np.nonzero(zero & allowed)
        position, unit = inherit(side, zero_side, zero_unit, len(start))
        at_side, its_cell = side[position], cell[position]
        if self._degenerate:
            crossed = self._both[its_cell, unit]
            at_side, its_cell, unit = at_side[crossed], its_cell[crossed], unit[crossed]
        key = its_cell * size + unit
        chosen, at_polygon = labels(key)
        found = key[chosen]
        vanish = np.zeros((len(found), size), dtype=bool)
        vanish[np.arange(len(found)), found % size] = True
        if self._degenerate and len(found):
            order = np.argsort(at_polygon, kind="stable")
            first = np.searchsorted(at_polygon[order], np.arange(len(found)))
            vanish = np.logical_and.reduceat(zero[at_side[order]], first, axis=0)
            # coincident units cut out one polygon: the first of them stands for all
            cutting = vanish & allowed & self._both[found // size]
            leads = np.argmax(cutting, axis=1) == found % size
            number = np.cumsum(leads) - 1
            kept = leads[at_polygon]
            at_side, at_polygon = at_side[kept], number[at_polygon[kept]]
            found, vanish = found[leads], vanish[leads]
        cells, units = np.divmod(found, size)
        return Polygons(cells, units, vanish, start, end, at_side, at_polygon)

    def _cells_of_edges(self) -> Incidences:
        """Return (edge, cell) of all edges of all old cells."""
        old = self._old
        position, cell = inherit(
            old.at_face, self._solid.at_face, self._solid.at_cell, len(old.face_signs)
        )
        cells = max(1, len(self._solid.cell_signs))
        edge, its_cell = np.divmod(different(old.at_edge[position] * cells + cell), cells)
        return edge, its_cell

    def _sides_of_cells(self) -> tuple[SignArray, BoolArray]:
        """Return a sign other than 0 of each unit in each cell, and where it has both."""
        edge, cell = self._edge_cells
        ends = self._old.edges[edge]
        corner = np.concatenate([ends[:, 0], ends[:, 1]])
        owner = np.concatenate([cell, cell])
        return self._sides(owner, corner, len(self._solid.cell_signs))

    def _sides(
        self, owner: IndexArray, corner: IndexArray, count: int
    ) -> tuple[SignArray, BoolArray]:
        plus, minus = np.zeros((2, count, self._size), dtype=bool)
        signs = self._signs[corner]
        for found, sign in ((plus, 1), (minus, -1)):
            row, unit = np.nonzero(signs == sign)
            found[owner[row], unit] = True
        sides = plus.astype(np.int8) - (minus & ~plus).astype(np.int8)
        return sides, plus & minus

    # ------------------------------------------------------------------------ lines

    def lines(self, polygons: Polygons) -> Lines:
        """Return where the other units cut the polygons."""
        size = self._size
        cut = [self._inner.edge]
        unit, vertex = [self._inner.unit], [self._inner.vertex]
        if self._degenerate:
            cut.append(len(self._start) + self._cuts.edge)
            unit.append(self._cuts.unit)
            vertex.append(self._cuts.vertex)
        position, polygon = inherit(
            np.concatenate(cut), polygons.at_side, polygons.at_polygon, len(polygons.start)
        )
        key = polygon * size + np.concatenate(unit)[position]
        point = np.concatenate(vertex)[position]
        if self._degenerate:
            key, point = self._with_corners(polygons, key, point)
        order = np.argsort(key, kind="stable")
        key, point = key[order], point[order]
        if not self._degenerate:
            if len(key) % 2 or not (key[::2] == key[1::2]).all():
                raise TooDegenerateError("a polygon is not cut in two points")
            polygon, unit = np.divmod(key[::2], size)
            start, end = point[::2], point[1::2]
        else:
            first = np.flatnonzero(np.diff(key, prepend=-1))
            first = first[np.diff(first, append=len(key)) == 2]
            polygon, unit = np.divmod(key[first], size)
            start, end = point[first], point[first + 1]
        start, end = np.minimum(start, end), np.maximum(start, end)
        vertices = len(self._signs)
        chosen, line = labels(start * vertices + end)
        pairs = different(line * max(1, len(polygons.cell)) + polygon)
        line, its_polygon = np.divmod(pairs, max(1, len(polygons.cell)))
        own = None
        if not self._degenerate:
            own = np.stack([polygons.unit[polygon[chosen]], unit[chosen]], axis=1)
        cell = polygons.cell[polygon[chosen]]
        return Lines(start[chosen], end[chosen], cell, line, its_polygon, own)

    def _with_corners(self, polygons: Polygons, key: IndexArray, point: IndexArray) -> Incidences:
        """Add corners where a unit vanishes, for polygons with both of its signs."""
        owner, corner = polygons.corners()
        _, both = self._sides(owner, corner, len(polygons.cell))
        row, unit = np.nonzero((self._signs[corner] == 0) & both[owner])
        more, at = different_pairs(owner[row] * self._size + unit, corner[row])
        return np.concatenate([key, more]), np.concatenate([point, at])

    # ------------------------------------------------------------------------ faces

    def faces(
        self, polygons: Polygons, lines: Lines, across: Cuts
    ) -> tuple[IndexArray, IndexArray, SignArray, IndexArray]:
        """Return the parts of the polygons.

        Returns
        -------
        at_edge, at_face : int arrays (incidences,)
            Edges are counted through: those of old edges, of segments, of lines.
        sides : int8 array (faces, units of the level)
        polygon : int array (faces,)
        """
        outer, middle = len(self._cuts.parent), len(self._inner.parent)
        parent, number = self._inner.parent, outer + np.arange(middle)
        signs = self._inner.signs
        if self._degenerate:
            parent = np.concatenate([parent, len(self._start) + self._cuts.parent])
            number = np.concatenate([number, np.arange(outer)])
            signs = np.concatenate([signs, self._cuts.signs])
        position, owner = inherit(
            parent, polygons.at_side, polygons.at_polygon, len(polygons.start)
        )
        side, edge = signs[position], number[position]
        if self._degenerate and len(polygons.cell):
            around = self._sides(*polygons.corners(), len(polygons.cell))[0]
            side = np.where((side == 0) & ~polygons.vanish[owner], around[owner], side)
        position, its_owner = inherit(
            across.parent, lines.at_line, lines.at_polygon, len(lines.start)
        )
        left, right = self._beside(across.signs[position], its_owner, polygons)
        line_edge = outer + middle + position
        owner = np.concatenate([owner, its_owner, its_owner])
        edge = np.concatenate([edge, line_edge, line_edge])
        chosen, label = self._known_by(owner, np.concatenate([side, left, right]))
        sides = np.concatenate([side, left, right])[chosen]
        return edge, label, sides, owner[chosen]

    def _beside(
        self, signs: SignArray, owner: IndexArray, polygons: Polygons
    ) -> tuple[SignArray, SignArray]:
        """Return the signs on both sides of lines in polygons: units that vanish there change."""
        left, right = signs.copy(), signs.copy()
        zero = (signs == 0) & ~polygons.vanish[owner]
        left[zero], right[zero] = 1, -1
        several = np.flatnonzero(np.count_nonzero(zero, axis=1) > 1)
        if len(several):
            at_polygon, corner = polygons.corners()
            for i in several.tolist():
                units = np.flatnonzero(zero[i])
                off = self._off(corner[at_polygon == owner[i]], units)
                left[i, units], right[i, units] = off, -off
        return left, right

    def _off(self, corners: IndexArray, units: IndexArray) -> SignArray:
        """Return the signs of coincident units at a corner where they do not vanish."""
        signs = self._signs[corners][:, units]
        off: SignArray = signs[np.flatnonzero(signs.any(axis=1))[0]]
        return off

    # ------------------------------------------------------------------------ cells

    def cells(
        self,
        parent: IndexArray,
        face_sides: SignArray,
        polygons: Polygons,
        polygon: IndexArray,
        sides: SignArray,
    ) -> Solid:
        """Return the cells between parts of old faces and of polygons."""
        solid = self._solid
        face, owner = inherit(parent, solid.at_face, solid.at_cell, len(self._old.face_signs))
        side = face_sides[face]
        if self._degenerate:
            side = np.where(side == 0, self._cell_sides[owner], side)
        made = len(parent) + np.arange(len(polygon))
        cell = polygons.cell[polygon]
        left, right = sides.copy(), sides.copy()
        vanish = polygons.vanish[polygon]
        left[vanish], right[vanish] = 1, -1
        for i in np.flatnonzero(np.count_nonzero(vanish, axis=1) > 1).tolist():
            units = np.flatnonzero(vanish[i])
            edge = self._edge_cells[0][self._edge_cells[1] == cell[i]]
            off = self._off(self._old.edges[edge].reshape(-1), units)
            left[i, units], right[i, units] = off, -off
        owner = np.concatenate([owner, cell, cell])
        side = np.concatenate([side, left, right])
        chosen, label = self._known_by(owner, side)
        cell_signs = solid.cell_signs[owner[chosen]]
        cell_signs[:, self._span] = side[chosen]
        return Solid(np.concatenate([face, made, made]), label, cell_signs)
