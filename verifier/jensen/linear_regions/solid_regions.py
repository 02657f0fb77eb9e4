"""Linear regions of three inputs: facets are polygons."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from jensen.domains.domain import Domain
from jensen.linear_regions.items import Edge, Facet, Point
from jensen.linear_regions.parts import SolidParts
from jensen.linear_regions.plane_regions import Regions
from jensen.network.relu_network import ReluNetwork
from jensen.types import IndexArray


class SolidRegions(Regions):
    """The linear regions of three inputs; see :func:`jensen.regions`."""

    def __init__(self, network: ReluNetwork, domain: Domain, parts: SolidParts) -> None:
        super().__init__(network, domain, parts)
        self._solid_parts = parts

    def exact_middle(self, index: int) -> Point | None:
        """Return a point inside a facet in rational arithmetic."""
        complex_ = self._parts.complex
        face = int(self._parts.through[int(self._facet_edges[index])])
        corners = np.unique(complex_.edges[complex_.at_edge[complex_.at_face == face]])
        points = [self._exact_homogeneous(int(v)) for v in corners]
        total = [sum(v) for v in zip(*points, strict=True)]
        return None if total[-1] == 0 else tuple(v / total[-1] for v in total[:-1])

    @cached_property
    def _corners_of_walls(self) -> tuple[IndexArray, IndexArray]:
        """Return (vertex, wall), sorted by wall."""
        edge, wall = self._solid_parts.edge_walls
        table = np.stack([np.repeat(wall, 2), self._ends[edge].reshape(-1)], axis=1)
        table = np.unique(table, axis=0)
        return table[:, 1], table[:, 0]

    def _corners_of_wall(self, wall: int) -> IndexArray:
        vertex, walls = self._corners_of_walls
        first, last = np.searchsorted(walls, [wall, wall + 1])
        return vertex[first:last]

    def _around(self, index: int) -> tuple[int, ...]:
        """Return a cell's vertices."""
        walls, starts = self._edges_of_cells
        parts = [self._corners_of_wall(int(w)) for w in walls[starts[index] : starts[index + 1]]]
        return tuple(np.unique(np.concatenate(parts)).tolist()) if parts else ()

    def _facet(self, index: int) -> Facet:
        wall = int(self._facet_edges[index])
        one, two = self._sides[wall].tolist()
        corners = self._in_order(self._corners_of_wall(wall))
        return Facet(index, corners, (one, two), self._neurons(wall), float(self.jumps[index]))

    def _in_order(self, corners: IndexArray) -> tuple[int, ...]:
        """Return the corners of a polygon in the order around it."""
        if len(corners) < 3:
            return tuple(corners.tolist())
        infinite = self.at_infinity[corners]
        points = self.vertices[corners] / self._parts.scale
        finite = points[~infinite]
        middle = finite.mean(axis=0)
        if infinite.any():  # a point inside, as seen from which directions are in order, too
            reach = max(1.0, float(np.abs(finite - middle).max()))
            far = points[infinite] / np.linalg.norm(points[infinite], axis=1)[:, None]
            middle = middle + reach * far.mean(axis=0)
        away = points - middle
        away[infinite] = points[infinite]
        flat = away / np.maximum(np.linalg.norm(away, axis=1), 1e-300)[:, None]
        across = np.linalg.svd(flat)[2][:2]
        x, y = across @ flat.T
        return tuple(corners[np.argsort(np.arctan2(y, x))].tolist())

    def _edge(self, index: int) -> Edge:
        edges, cells = self._solid_parts.edge_cells
        first, last = np.searchsorted(edges, [index, index + 1])
        return Edge(tuple(self._ends[index].tolist()), tuple(cells[first:last].tolist()))
