"""What regions are read off: cells, walls between them, edges and vertices of a finished complex.

A *wall* bounds a cell: an edge in the plane, a polygon in space, a point on a line. The plane and
space differ in what walls are made of; what is built of them does not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jensen.cells.complex import Complex, ExactVertices, SignArray, Solid
from jensen.cells.incidences import Incidences, inherit
from jensen.cells.layers import Layers
from jensen.types import BoolArray, FloatArray, IndexArray


@dataclass(frozen=True, eq=False)
class Parts(ABC):
    """Cells, walls, edges and vertices, without what only helped to find them.

    Attributes
    ----------
    layers : Layers
    exact : ExactVertices
    complex : Complex
    scale : array (inputs,)
        The coordinates are ``x / scale``.
    first : int
        The level of the first block.
    cell_signs : int8 array (cells, units)
    chosen : int array (cells,)
        A part of each cell: a face of the complex in the plane, a cell of it in space.
    ends : int array (edges, 2), (edges, 1) on a line
        Vertices of the complex.
    sides : int array (walls, 2)
        The cells on both sides; -1 outside the domain.
    item : int array (walls,)
        A part of each wall: an edge of the complex in the plane, a face in space.
    through : int array (walls,)
        In the plane a vertex of the complex on each wall, finite if one is; in space ``item``.
    """

    layers: Layers
    exact: ExactVertices
    complex: Complex
    scale: FloatArray
    first: int
    cell_signs: SignArray
    chosen: IndexArray
    ends: IndexArray
    sides: IndexArray
    item: IndexArray
    through: IndexArray

    @property
    @abstractmethod
    def wall_signs(self) -> SignArray:
        """The signs of all units on the items of the complex that walls are made of."""

    @abstractmethod
    def sums_of_corners(self) -> FloatArray:
        """Return, per part of a cell, sums of its corners and, last, of their radii."""

    @abstractmethod
    def corners(self, part: int) -> IndexArray:
        """Return the vertices of the complex that a part of a cell has."""

    def vanishing(self, wall: int) -> BoolArray:
        """Return which units vanish on a wall."""
        vanish: BoolArray = self.wall_signs[self.item[wall]] == 0
        return vanish

    @cached_property
    def interior(self) -> tuple[FloatArray, FloatArray]:
        """Points inside the cells, homogeneous, and radii of cubes that hold truly inner ones."""
        total = self.sums_of_corners()[self.chosen]
        points = total[:, :-1]
        # sums of many corners are rounded, too
        return points, 1e-13 * np.abs(points).sum(axis=1) + total[:, -1]

    def _sums_of_faces(self) -> FloatArray:
        """Return, per face of the complex, the sums of its edges' ends and of their radii."""
        cells = self.complex
        points = np.column_stack([cells.vertices.points, cells.vertices.radius])
        of_edges = points[cells.edges[:, 0]] + points[cells.edges[:, 1]]
        return _summed(cells.at_face, of_edges[cells.at_edge], len(cells.face_signs))


@dataclass(frozen=True, eq=False)
class PlaneParts(Parts):
    """Cells, edges and vertices of one or two inputs: walls are edges."""

    @property
    def wall_signs(self) -> SignArray:
        """The signs of all units on edges."""
        return self.complex.edge_signs

    def sums_of_corners(self) -> FloatArray:
        """Return, per face, sums of its corners and, last, of their radii."""
        return self._sums_of_faces()

    def corners(self, part: int) -> IndexArray:
        """Return the vertices of a face."""
        cells = self.complex
        return np.unique(cells.edges[cells.at_edge[cells.at_face == part]])


@dataclass(frozen=True, eq=False)
class SolidParts(Parts):
    """Cells, walls, edges and vertices of three inputs.

    Attributes
    ----------
    solid : Solid
        The cells of the complex.
    cell_of, wall_of, edge_of : int arrays
        The cell, wall and edge of every cell, face and edge of the complex; -1 for none.
    """

    solid: Solid
    cell_of: IndexArray
    wall_of: IndexArray
    edge_of: IndexArray

    @property
    def wall_signs(self) -> SignArray:
        """The signs of all units on faces."""
        return self.complex.face_signs

    def sums_of_corners(self) -> FloatArray:
        """Return, per cell of the complex, sums of its corners and, last, of their radii."""
        solid = self.solid
        of_faces = self._sums_of_faces()[solid.at_face]
        return _summed(solid.at_cell, of_faces, len(solid.cell_signs))

    def corners(self, part: int) -> IndexArray:
        """Return the vertices of a cell of the complex."""
        cells = self.complex
        faces = np.zeros(len(cells.face_signs), dtype=bool)
        faces[self.solid.at_face[self.solid.at_cell == part]] = True
        return np.unique(cells.edges[cells.at_edge[faces[cells.at_face]]])

    @cached_property
    def edge_walls(self) -> Incidences:
        """Return (edge, wall) of all incidences, sorted by edge."""
        cells = self.complex
        edge, wall = self.edge_of[cells.at_edge], self.wall_of[cells.at_face]
        kept = (edge >= 0) & (wall >= 0)
        return unique_pairs(edge[kept], wall[kept])

    @cached_property
    def edge_cells(self) -> Incidences:
        """Return (edge, cell) of all incidences, sorted by edge."""
        cells, solid = self.complex, self.solid
        position, cell = inherit(cells.at_face, solid.at_face, solid.at_cell, len(cells.face_signs))
        edge = self.edge_of[cells.at_edge[position]]
        kept = edge >= 0
        return unique_pairs(edge[kept], self.cell_of[cell[kept]])


def _summed(owner: IndexArray, rows: FloatArray, count: int) -> FloatArray:
    """Return the sums of the rows of each owner."""
    return np.stack([np.bincount(owner, column, minlength=count) for column in rows.T], axis=1)


def two_sides(owner: IndexArray, cell: IndexArray, count: int) -> IndexArray:
    """Return the cells on both sides of each of so many walls, the larger first; -1 for none."""
    sides = np.full((2, count), -1, dtype=np.intp)
    # of several values for one place the last one stays
    sides[0, owner] = cell
    sides[1, owner[::-1]] = cell[::-1]
    sides[1, np.bincount(owner, minlength=count) < 2] = -1
    return np.stack([sides.max(axis=0), sides.min(axis=0)], axis=1)


def same_cells(signs: SignArray) -> Incidences:
    """Return one part of each cell, and the cell of each part: those with equal activations."""
    packed = np.packbits(signs > 0, axis=1)
    padded = np.ascontiguousarray(np.column_stack([packed, np.zeros(len(packed), np.uint8)]))
    keys = padded.view([("", padded.dtype)] * padded.shape[1]).reshape(-1)
    _, chosen, cell_of = np.unique(keys, return_index=True, return_inverse=True)
    return chosen, cell_of


def unique_pairs(one: IndexArray, two: IndexArray) -> Incidences:
    """Return pairs without repetition, sorted by the first."""
    size = int(two.max(initial=0)) + 1
    first, second = np.divmod(np.unique(one * size + two), size)
    return first, second


def whole_ends(label: IndexArray, ends: IndexArray) -> IndexArray:
    """Return the ends of edges joined of parts: the vertices that only one part has."""
    both = np.stack([np.repeat(label, 2), ends.reshape(-1)], axis=1)
    found, counts = np.unique(both, axis=0, return_counts=True)
    single = found[counts == 1]
    ordered: IndexArray = single[np.argsort(single[:, 0], kind="stable"), 1]
    return ordered.reshape(-1, 2)
