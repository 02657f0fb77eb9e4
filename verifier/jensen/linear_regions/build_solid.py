"""From a finished complex of three dimensions to regions: cells, polygons between two, edges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jensen.cells.complex import Complex, ExactVertices, Solid
from jensen.cells.layers import Layers, layers_of_network
from jensen.cells.solid import SolidSubdivision
from jensen.cells.start import coordinate_scale, domain_rows, solid_inside, starting_solid
from jensen.cells.subdivide import inherit
from jensen.domains.domain import Domain
from jensen.errors import DomainError, NetworkError
from jensen.linear_regions.build import Parts
from jensen.network.relu_network import ReluNetwork
from jensen.types import BoolArray, FloatArray, IndexArray

Pairs = tuple[IndexArray, IndexArray]


@dataclass(frozen=True, eq=False)
class SolidParts(Parts):
    """Cells, walls, edges and vertices of three inputs.

    ``sides`` and ``vanishing`` are those of the *walls*: polygons between two cells, or between
    a cell and the outside; ``ends`` are those of the edges, and ``through`` is a face of the
    complex on each wall.

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

    @cached_property
    def edge_walls(self) -> Pairs:
        """Return (edge, wall) of all incidences, sorted by edge."""
        cells = self.complex
        edge, wall = self.edge_of[cells.at_edge], self.wall_of[cells.at_face]
        kept = (edge >= 0) & (wall >= 0)
        return _unique_pairs(edge[kept], wall[kept])

    @cached_property
    def edge_cells(self) -> Pairs:
        """Return (edge, cell) of all incidences, sorted by edge."""
        cells, solid = self.complex, self.solid
        position, cell = inherit(cells.at_face, solid.at_face, solid.at_cell, len(cells.face_signs))
        edge = self.edge_of[cells.at_edge[position]]
        kept = edge >= 0
        return _unique_pairs(edge[kept], self.cell_of[cell[kept]])


def subdivide_solid(network: ReluNetwork, domain: Domain) -> SolidParts:
    """Subdivide a domain of three dimensions by all kinks of a network with one output.

    Raises
    ------
    DomainError
        If the domain has no interior.
    NetworkError
        If weights are so large or small that error bounds would not hold.
    """
    scale = coordinate_scale(network, domain)
    rows = domain_rows(domain, scale)
    layers = layers_of_network(network, scale, rows)
    if not layers.usable:
        raise NetworkError("weights beyond 1e60 or below 1e-60: regions are not found reliably")
    cells, solid = starting_solid(domain, scale, layers.width)
    exact = ExactVertices(layers, cells.vertices, None)
    division = SolidSubdivision(layers, cells, solid, exact)
    columns = 0 if rows is None else rows.size
    for level in layers.hidden:
        division.evaluate(level)
        division.split(level)
        division.forget(level)
        if rows is not None and level == 0:
            division.cells, division.solid = solid_inside(division.cells, division.solid, columns)
            if not len(division.solid.cell_signs):
                raise DomainError("the domain has no interior: fix inputs that cannot vary")
    is_box = domain.box_sides(3) is not None
    joined = _Joined(layers, division.cells, division.solid, columns, is_box=is_box)
    return joined.parts(exact, scale, 0 if rows is None else 1)


class _Joined:
    """Joins what only the fan cuts that an unbounded domain starts from."""

    def __init__(
        self, layers: Layers, cells: Complex, solid: Solid, columns: int, *, is_box: bool
    ) -> None:
        self._layers, self._cells, self._solid = layers, cells, solid
        self._is_box = is_box
        if is_box:
            self._cell_of = self._chosen = np.arange(len(solid.cell_signs))
        else:
            signs = solid.cell_signs[:, columns:] > 0
            _, self._chosen, self._cell_of = _unique_rows(np.packbits(signs, axis=1))

    def parts(self, exact: ExactVertices, scale: FloatArray, first: int) -> SolidParts:
        """Return everything together."""
        sides, vanishing, through, wall_of = self._walls()
        ends, edge_of = self._edges(wall_of)
        interior, radius = self._interior()
        return SolidParts(
            self._layers,
            exact,
            self._cells,
            scale,
            first,
            self._solid.cell_signs[self._chosen],
            interior,
            radius,
            ends,
            through,
            sides,
            vanishing,
            self._solid,
            self._cell_of,
            wall_of,
            edge_of,
        )

    def _walls(self) -> tuple[IndexArray, BoolArray, IndexArray, IndexArray]:
        """Return sides and vanishing units of walls, a face on each, and the wall of each face."""
        cells, solid = self._cells, self._solid
        count = len(cells.face_signs)
        order = np.argsort(solid.at_face, kind="stable")
        face, cell = solid.at_face[order], self._cell_of[solid.at_cell[order]]
        opens = np.diff(face, prepend=-1) > 0
        sides = np.full((count, 2), -1, dtype=np.intp)
        sides[face[opens], 0], sides[face[~opens], 1] = cell[opens], cell[~opens]
        sides = np.sort(sides, axis=1)[:, ::-1]
        finite = np.zeros(count, dtype=bool)
        ends: BoolArray = ~np.all(cells.vertices.infinite[cells.edges], axis=1)
        finite[cells.at_face[ends[cells.at_edge]]] = True
        kept = np.flatnonzero((sides[:, 0] != sides[:, 1]) & finite)
        vanishing = cells.face_signs[kept] == 0
        label = np.arange(len(kept))
        chosen = label
        if not self._is_box:
            _, _, kind = _unique_rows(np.packbits(vanishing, axis=1))
            inner = sides[kept, 1] >= 0
            table = np.column_stack([sides[kept], np.where(inner, 0, 1 + kind)])
            _, chosen, label = np.unique(table, axis=0, return_index=True, return_inverse=True)
        wall_of = np.full(count, -1, dtype=np.intp)
        wall_of[kept] = label.reshape(-1)
        return sides[kept[chosen]], vanishing[chosen], kept[chosen], wall_of

    def _edges(self, wall_of: IndexArray) -> tuple[IndexArray, IndexArray]:
        """Return the ends of all edges, and the edge of each edge of the complex; -1 for none."""
        cells = self._cells
        if self._is_box:
            return cells.edges, np.arange(len(cells.edges))
        number = np.full(len(cells.edges), -1, dtype=np.intp)
        wall = wall_of[cells.at_face]
        infinite: BoolArray = np.all(cells.vertices.infinite[cells.edges], axis=1)
        inside = (wall >= 0) & ~infinite[cells.at_edge]
        edge, wall = _unique_pairs(cells.at_edge[inside], wall[inside])
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
        # the ends of the whole are the vertices that only one part has
        both = np.stack([np.repeat(label, 2), cells.edges[kept].reshape(-1)], axis=1)
        found, counts = np.unique(both, axis=0, return_counts=True)
        single = found[counts == 1]
        return single[np.argsort(single[:, 0], kind="stable"), 1].reshape(-1, 2), number

    def _interior(self) -> tuple[FloatArray, FloatArray]:
        """Return a point inside each cell, and how far it may be off."""
        cells, solid = self._cells, self._solid
        corners = cells.vertices.points[cells.edges].sum(axis=1)
        spread = cells.vertices.radius[cells.edges].sum(axis=1)
        of_faces = _summed(cells.at_face, np.column_stack([corners, spread])[cells.at_edge])
        total = _summed(solid.at_cell, of_faces[solid.at_face])[self._chosen]
        interior = total[:, :-1]
        # sums of many corners are rounded, too
        return interior, 1e-13 * np.abs(interior).sum(axis=1) + total[:, -1]


def _summed(owner: IndexArray, rows: FloatArray) -> FloatArray:
    """Return the sums of the rows of each owner; every number has one."""
    return np.stack([np.bincount(owner, column) for column in rows.T], axis=1)


def _unique_rows(packed: np.ndarray) -> tuple[np.ndarray, IndexArray, IndexArray]:
    padded = np.ascontiguousarray(np.column_stack([packed, np.zeros(len(packed), np.uint8)]))
    keys = padded.view([("", padded.dtype)] * padded.shape[1]).reshape(-1)
    return np.unique(keys, return_index=True, return_inverse=True)


def _unique_pairs(one: IndexArray, two: IndexArray) -> Pairs:
    """Return pairs without repetition, sorted by the first."""
    size = int(two.max(initial=0)) + 1
    first, second = np.divmod(np.unique(one * size + two), size)
    return first, second
