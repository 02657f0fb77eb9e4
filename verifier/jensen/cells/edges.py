"""Cut edges of a complex by the units of one level, in exact order.

An edge is cut where a sign changes strictly between its ends. Where rounding hides which
of two cuts comes first, rational arithmetic decides; equal points become one vertex.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jensen.cells.complex import ExactVertices, SignArray, TooDegenerateError, Vertices
from jensen.cells.layers import UNIT_ROUNDOFF, Layers
from jensen.types import FloatArray, IndexArray

CHUNK = 1 << 13  # rows of signs that are turned into doubles at a time


@dataclass(eq=False)
class Cuts:
    """Where edges were cut.

    Attributes
    ----------
    edge, unit, vertex : int arrays (cuts,)
        Which edge, by which unit, in which vertex.
    parent, start, end : int arrays (sub-edges,)
        The parts: of which edge, and between which vertices.
    signs : int8 array (sub-edges, units of the level)
    """

    edge: IndexArray
    unit: IndexArray
    vertex: IndexArray
    parent: IndexArray
    start: IndexArray
    end: IndexArray
    signs: SignArray
    coincide: bool = False


class EdgeCutter:
    """Cuts edges of one complex; the vertices grow by the cuts.

    Parameters
    ----------
    layers : Layers
    vertices : Vertices
    exact : ExactVertices
    """

    def __init__(self, layers: Layers, vertices: Vertices, exact: ExactVertices) -> None:
        self.layers = layers
        self.vertices = vertices
        self.exact = exact
        self._rng = np.random.default_rng(20250103)

    def cut(
        self,
        level: int,
        start: IndexArray,
        end: IndexArray,
        old: SignArray,
        face: IndexArray | None,
        *,
        ends: bool = False,
    ) -> Cuts:
        """Cut edges by the units of an evaluated level.

        Parameters
        ----------
        start, end : int arrays (edges,)
        old : int8 array (edges, units)
            Signs of all hidden units on the edges; those of the level are not looked at.
        face : int array (edges,) or None
            The face in whose interior an edge runs: equal vertices of several such edges
            become one. None for edges that share no inner points.
        ends : bool
            Whether more edges that this level cuts will end in the cuts; without faces they do.
        """
        points = self.vertices
        signs = points.signs[level]
        at_start, at_end = signs[start], signs[end]
        edge, unit = np.nonzero(at_start * at_end < 0)
        edge_signs = np.sign(at_start + at_end)
        if not len(edge):
            every = np.arange(len(start))
            return Cuts(edge, unit, edge, every, start, end, edge_signs)
        share, spread = self.shares(level, start[edge], end[edge], unit)
        rank, here = self._order(level, start, end, edge, unit, share, spread, edge_signs)
        # equal points on one edge have equal ranks
        order = np.argsort(edge * (self.layers.layers[level].size + 1) + rank, kind="stable")
        edge, unit, rank, here = edge[order], unit[order], rank[order], here[order]
        same = np.zeros(len(edge), dtype=bool)
        same[1:] = (edge[1:] == edge[:-1]) & (rank[1:] == rank[:-1])
        first = points.count
        if face is None:
            keep, label = np.flatnonzero(~same), np.cumsum(~same) - 1
        else:
            keep, label = self._equal_points(face[edge], here)
        chosen = order[keep]
        self._append(
            level,
            start[edge[keep]],
            end[edge[keep]],
            unit[keep],
            share[chosen],
            spread[chosen],
            ends or face is None,
        )
        points.signs[level] = np.concatenate([signs, here[keep]])
        for k in points.signs:
            if k != level:
                added = old[edge[keep], self.layers.span(k)]
                points.signs[k] = np.concatenate([points.signs[k], added])
        vertex = first + label
        parent, sub_start, sub_end = _parts(edge[~same], vertex[~same], start, end)
        signs = points.signs[level]
        sub_signs = np.sign(signs[sub_start] + signs[sub_end])
        return Cuts(
            edge, unit, vertex, parent, sub_start, sub_end, sub_signs, coincide=bool(same.any())
        )

    def shares(
        self, level: int, start: IndexArray, end: IndexArray, unit: IndexArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return how far from the start a unit vanishes, as a share, and its uncertainty."""
        points = self.vertices
        a, b = np.abs(points.z[level][start, unit]), np.abs(points.z[level][end, unit])
        slope = self.layers.lipschitz[level][unit]
        ea, eb = slope * points.radius[start], slope * points.radius[end]
        total = a + b
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(total > 0, a / total, 0.5)
            room = total - ea - eb
            spread = ((b + eb) * ea + (a + ea) * eb) / (total * room)
        spread = np.where((room > 0) & (spread < 1), spread, 1.0)
        return share, spread + 4 * UNIT_ROUNDOFF

    def _append(
        self,
        level: int,
        start: IndexArray,
        end: IndexArray,
        unit: IndexArray,
        share: FloatArray,
        spread: FloatArray,
        ends: bool,
    ) -> None:
        """Add vertices between others, with z of the levels that will be read."""
        points = self.vertices
        first = points.points[start]
        apart = points.points[end] - first
        place = first + share[:, None] * apart
        # the share is uncertain, and both ends are; what is computed of it is rounded
        radius = np.maximum(points.radius[start], points.radius[end])
        size = np.maximum(points.size[start], points.size[end])
        radius = radius * (1 + 1e-9) + 1.01 * spread * (np.abs(apart).max(axis=1) + 2 * radius)
        radius += 8 * UNIT_ROUNDOFF * size
        for k, values in points.z.items():
            if self.layers.last_reader[k] > level or (k == level and ends):
                z_start = values[start]
                z = z_start + share[:, None] * (values[end] - z_start)
                if k == level:
                    z[np.arange(len(unit)), unit] = 0.0
                points.z[k] = np.concatenate([values, z])
        parents = np.stack([start, end, np.full(len(unit), level), unit], axis=1)
        infinite = points.infinite[start] & points.infinite[end]
        points.infinite = np.concatenate([points.infinite, infinite])
        points.points = np.concatenate([points.points, place])
        points.radius = np.concatenate([points.radius, radius])
        points.parents = np.concatenate([points.parents, parents])

    def _order(
        self,
        level: int,
        start: IndexArray,
        end: IndexArray,
        edge: IndexArray,
        unit: IndexArray,
        share: FloatArray,
        spread: FloatArray,
        edge_signs: SignArray,
    ) -> tuple[IndexArray, SignArray]:
        """Find the order of the cuts along every edge, and from it the signs there.

        Returns
        -------
        rank : int array (cuts,)
            How many units have changed sign on the edge before the cut.
        here : int8 array (cuts, units of the level)
            On its own edge only units that cut it, too, can have other signs at a cut.
        """
        counts = np.bincount(edge, minlength=len(start))
        here = edge_signs[edge]
        rank = np.zeros(len(edge), dtype=np.intp)
        several = np.flatnonzero(counts[edge] > 1)
        if len(several):
            order = several[np.lexsort((share[several], edge[several]))]
            sorted_edge = edge[order]
            first = np.concatenate([[True], sorted_edge[1:] != sorted_edge[:-1]])
            rank[order] = np.arange(len(order)) - np.flatnonzero(first)[np.cumsum(first) - 1]
            gap = share[order[1:]] - share[order[:-1]]
            close = ~first[1:] & (gap <= 1.01 * (spread[order[1:]] + spread[order[:-1]]))
            here[several] = self._signs_by_rank(
                level, start, edge[several], unit[several], rank[several], here[several]
            )
            doubtful = np.unique(sorted_edge[1:][close])
            if len(doubtful):
                at = np.flatnonzero(np.isin(edge, doubtful))
                rank[at] = self._exact_order(level, start, end, edge[at], unit[at], at, here)
        here[np.arange(len(edge)), unit] = 0
        return rank, here

    def _signs_by_rank(
        self,
        level: int,
        start: IndexArray,
        edge: IndexArray,
        unit: IndexArray,
        rank: IndexArray,
        here: SignArray,
    ) -> SignArray:
        """Return the signs at cuts: units that cut later still have the sign of the start."""
        which, row = np.unique(edge, return_inverse=True)
        at_start = self.vertices.signs[level][start[which]]
        ranks = np.full(at_start.shape, -1, dtype=np.int32)
        ranks[row, unit] = rank
        others = ranks[row]
        ahead = np.sign(others - rank[:, None]).astype(np.int8) * at_start[row]
        return np.where(others < 0, here, ahead)

    def _exact_order(
        self,
        level: int,
        start: IndexArray,
        end: IndexArray,
        edge: IndexArray,
        unit: IndexArray,
        at: IndexArray,
        here: SignArray,
    ) -> IndexArray:
        """Order cuts by exact signs; units that vanish in one point get equal ranks."""
        signs = self.vertices.signs[level]
        rank = np.zeros(len(edge), dtype=np.intp)
        for i, (e, j) in enumerate(zip(edge.tolist(), unit.tolist(), strict=True)):
            first, last = int(start[e]), int(end[e])
            for other in unit[edge == e].tolist():
                if other != j:
                    sign = self._exact_sign(first, last, level, j, other)
                    here[at[i], other] = sign
                    rank[i] += sign == signs[last, other]
        return rank

    def _exact_sign(self, start: int, end: int, level: int, unit: int, other: int) -> int:
        """Return the exact sign of another unit where a unit cuts an edge."""
        z = self.exact.z
        # z of the level is affine along the edge
        value = abs(z(end, level, unit)) * z(start, level, other)
        value += abs(z(start, level, unit)) * z(end, level, other)
        return int(value > 0) - int(value < 0)

    def _equal_points(self, face: IndexArray, signs: SignArray) -> tuple[IndexArray, IndexArray]:
        """Return numbers for points inside faces: they are known by which units vanish there."""
        size = signs.shape[1]
        if (np.count_nonzero(signs == 0, axis=1) == 2).all():
            pair = np.nonzero(signs == 0)[1].reshape(-1, 2)
            key = (face * size + pair[:, 0]) * size + pair[:, 1]
        else:
            key = self.key(face, signs)
        _, chosen, label = np.unique(key, return_index=True, return_inverse=True)
        same = (signs[chosen[label]] == signs).all() and (face[chosen[label]] == face).all()
        if not same:
            raise TooDegenerateError("equal keys of different vertices")
        return chosen, label

    def key(self, face: IndexArray, signs: SignArray) -> NDArray[np.uint64]:
        """Return numbers that are equal for equal faces and signs (and checked where used)."""
        weights = self._rng.integers(1, 2**42, signs.shape[1]).astype(np.float64)
        # integers below 2**53: exact in whatever order they are added
        mixed = np.empty(len(signs), dtype=np.int64)
        for first in range(0, len(signs), CHUNK):
            part = slice(first, first + CHUNK)
            mixed[part] = signs[part].astype(np.float64) @ weights
        key: NDArray[np.uint64] = mixed.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return key + face.astype(np.uint64) * np.uint64(0xD1B54A32D192ED03)


def _parts(
    edge: IndexArray, vertex: IndexArray, start: IndexArray, end: IndexArray
) -> tuple[IndexArray, IndexArray, IndexArray]:
    """Return (parent, start, end) of the parts of edges cut in sorted vertices."""
    whole = np.ones(len(start), dtype=bool)
    whole[edge] = False
    uncut = np.flatnonzero(whole)
    first = np.ones(len(edge), dtype=bool)
    first[1:] = edge[1:] != edge[:-1]
    last = np.roll(first, -1)
    before = np.where(first, start[edge], np.roll(vertex, 1))
    parent = np.concatenate([uncut, edge, edge[last]])
    starts = np.concatenate([start[uncut], before, vertex[last]])
    ends = np.concatenate([end[uncut], vertex, end[edge[last]]])
    return parent, starts, ends
