"""From a finished complex of three dimensions to regions: cells, polygons between two, edges."""

from __future__ import annotations

import numpy as np

from jensen.cells.solid import SolidSubdivision
from jensen.linear_regions.parts import (
    SolidParts,
    same_cells,
    two_sides,
    unique_pairs,
    whole_ends,
)
from jensen.types import BoolArray, FloatArray, IndexArray


def joined_solid(
    division: SolidSubdivision, scale: FloatArray, first: int, columns: int, *, is_box: bool
) -> SolidParts:
    """Join the cells, polygons and edges that only the fan of an unbounded domain cuts.

    Parameters
    ----------
    division : SolidSubdivision
        Of which every level has been cut.
    scale, first, columns, is_box
        As for :func:`jensen.linear_regions.join_plane.joined_plane`.
    """
    cells, solid = division.cells, division.solid
    signs = solid.cell_signs
    if is_box:
        cell_of = chosen = np.arange(len(signs))
    else:
        chosen, cell_of = same_cells(signs[:, columns:])
        signs = signs[chosen]
    joined = _Joined(division, cell_of, is_box=is_box)
    sides, item, wall_of = joined.walls()
    ends, edge_of = joined.edges(wall_of)
    return SolidParts(
        division.layers,
        division.exact,
        cells,
        scale,
        first,
        signs,
        chosen,
        ends,
        sides,
        item,
        item,
        solid,
        cell_of,
        wall_of,
        edge_of,
    )


class _Joined:
    """Walls and edges of one finished complex."""

    def __init__(self, division: SolidSubdivision, cell_of: IndexArray, *, is_box: bool) -> None:
        self._cells, self._solid = division.cells, division.solid
        self._cell_of = cell_of
        self._is_box = is_box

    def walls(self) -> tuple[IndexArray, IndexArray, IndexArray]:
        """Return the sides of walls, a face on each, and the wall of each face; -1 for none."""
        cells, solid = self._cells, self._solid
        count = len(cells.face_signs)
        sides = two_sides(solid.at_face, self._cell_of[solid.at_cell], count)
        proper = sides[:, 0] != sides[:, 1]
        if not self._is_box:
            finite = np.zeros(count, dtype=bool)
            ends: BoolArray = ~np.all(cells.vertices.infinite[cells.edges], axis=1)
            finite[cells.at_face[ends[cells.at_edge]]] = True
            proper &= finite
        kept = np.flatnonzero(proper)
        label = chosen = np.arange(len(kept))
        if not self._is_box:
            packed = np.packbits(cells.face_signs[kept] == 0, axis=1)
            _, kind = np.unique(packed, axis=0, return_inverse=True)
            inner = sides[kept, 1] >= 0
            table = np.column_stack([sides[kept], np.where(inner, 0, 1 + kind.reshape(-1))])
            _, chosen, label = np.unique(table, axis=0, return_index=True, return_inverse=True)
        wall_of = np.full(count, -1, dtype=np.intp)
        wall_of[kept] = label.reshape(-1)
        return sides[kept[chosen]], kept[chosen], wall_of

    def edges(self, wall_of: IndexArray) -> tuple[IndexArray, IndexArray]:
        """Return the ends of all edges, and the edge of each edge of the complex; -1 for none."""
        cells = self._cells
        if self._is_box:
            return cells.edges, np.arange(len(cells.edges))
        number = np.full(len(cells.edges), -1, dtype=np.intp)
        wall = wall_of[cells.at_face]
        infinite: BoolArray = np.all(cells.vertices.infinite[cells.edges], axis=1)
        inside = (wall >= 0) & ~infinite[cells.at_edge]
        edge, wall = unique_pairs(cells.at_edge[inside], wall[inside])
        between = np.bincount(edge, minlength=len(cells.edges))
        kept = np.flatnonzero(between >= 2)
        # parts of one edge lie on the same walls
        first = np.searchsorted(edge, kept)
        most = int(between.max(initial=0))
        table = np.full((len(kept), most), -1, dtype=np.intp)
        for k in range(most):
            has = between[kept] > k
            table[has, k] = wall[first[has] + k]
        _, _, label = np.unique(table, axis=0, return_index=True, return_inverse=True)
        number[kept] = label = label.reshape(-1)
        return whole_ends(label, cells.edges[kept]), number
