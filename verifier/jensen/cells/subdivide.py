"""Cut a complex by the kinks of the next level, all units at once.

Edge subdivision after Berzins (ICML 2023), with exact signs and degenerate places right:
an edge is cut where a sign changes strictly between its ends; a face with both signs of a
unit is cut between the two points of its boundary where the unit vanishes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jensen.cells.complex import Complex, ExactVertices, SignArray, TooDegenerateError
from jensen.cells.layers import UNIT_ROUNDOFF, Layers
from jensen.types import BoolArray, FloatArray, IndexArray

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


class Subdivision:
    """Subdivides one complex level by level.

    Parameters
    ----------
    layers : Layers
    complex_ : Complex
    exact : ExactVertices
    """

    def __init__(self, layers: Layers, cells: Complex, exact: ExactVertices) -> None:
        self.layers = layers
        self.cells = cells
        self.exact = exact
        self._rng = np.random.default_rng(20250103)

    # ------------------------------------------------------------------------ signs

    def evaluate(self, level: int) -> None:
        """Compute z of a level at all vertices, and its exact signs."""
        points = self.cells.vertices
        layer = self.layers.layers[level]
        z = self.layers.evaluate(level, points.points, points.z)
        # from here on the radius also covers the rounding of this evaluation
        points.radius = points.radius + self.layers.rounding * points.size
        bound = points.radius[:, None] * self.layers.lipschitz[level]
        signs = (z > bound).astype(np.int8) - (z < -bound).astype(np.int8)
        if not layer.all_kink:
            signs[:, ~layer.kink] = 1
        if not signs.all():
            self._settle(level, z, signs)
        points.z[level], points.signs[level] = z, signs

    def _settle(self, level: int, z: FloatArray, signs: SignArray) -> None:
        """Decide the signs that rounding hides."""
        rows, units = np.nonzero(signs == 0)
        may = self._may_differ_from_zero(level, rows, units)
        z[rows[~may], units[~may]] = 0.0
        for vertex, unit in zip(rows[may].tolist(), units[may].tolist(), strict=True):
            sign = self.exact.sign(vertex, level, unit)
            signs[vertex, unit] = sign
            if sign == 0 or (sign > 0) != (z[vertex, unit] > 0):
                z[vertex, unit] = 0.0

    def _may_differ_from_zero(self, level: int, rows: IndexArray, units: IndexArray) -> BoolArray:
        """Return where some term of the sum is not exactly 0: at infinity many sums are empty."""
        layer, points = self.layers.layers[level], self.cells.vertices
        which, at = np.unique(rows, return_inverse=True)
        filled = np.zeros((len(which), layer.size), dtype=bool)
        if layer.source is not None:
            filled |= (layer.source[:, :-1] != 0).any(axis=1)
            filled |= ~points.infinite[which][:, None] & (layer.source[:, -1] != 0)
        for read in layer.reads:
            signs = points.signs[read.level][which]
            filled |= (signs > 0) @ (read.on != 0).T
            if read.off is not None:
                filled |= (signs < 0) @ (read.off != 0).T
        may: BoolArray = filled[at, units]
        return may

    # ------------------------------------------------------------------------- edges

    def cut_edges(
        self,
        level: int,
        start: IndexArray,
        end: IndexArray,
        old: SignArray,
        face: IndexArray | None,
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
        """
        points = self.cells.vertices
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
            face is None,
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
        points = self.cells.vertices
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
        first_round: bool,
    ) -> None:
        """Add vertices between others, with z of the levels that will be read."""
        points = self.cells.vertices
        first = points.points[start]
        apart = points.points[end] - first
        place = first + share[:, None] * apart
        # the share is uncertain, and both ends are; what is computed of it is rounded
        radius = np.maximum(points.radius[start], points.radius[end])
        size = np.maximum(points.size[start], points.size[end])
        radius = radius * (1 + 1e-9) + 1.01 * spread * (np.abs(apart).max(axis=1) + 2 * radius)
        radius += 8 * UNIT_ROUNDOFF * size
        for k, values in points.z.items():
            if self.layers.last_reader[k] > level or (k == level and first_round):
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
        at_start = self.cells.vertices.signs[level][start[which]]
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
        signs = self.cells.vertices.signs[level]
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
            key = self._key(face, signs)
        _, chosen, label = np.unique(key, return_index=True, return_inverse=True)
        same = (signs[chosen[label]] == signs).all() and (face[chosen[label]] == face).all()
        if not same:
            raise TooDegenerateError("equal keys of different vertices")
        return chosen, label

    def _key(self, face: IndexArray, signs: SignArray) -> NDArray[np.uint64]:
        """Return numbers that are equal for equal faces and signs (and checked where used)."""
        weights = self._rng.integers(1, 2**42, signs.shape[1]).astype(np.float64)
        # integers below 2**53: exact in whatever order they are added
        mixed = np.empty(len(signs), dtype=np.int64)
        for first in range(0, len(signs), CHUNK):
            part = slice(first, first + CHUNK)
            mixed[part] = signs[part].astype(np.float64) @ weights
        key: NDArray[np.uint64] = mixed.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return key + face.astype(np.uint64) * np.uint64(0xD1B54A32D192ED03)

    # ------------------------------------------------------------------------- faces

    def split(self, level: int, wanted: BoolArray | None = None) -> None:
        """Subdivide the complex by an evaluated level.

        Parameters
        ----------
        level : int
        wanted : bool array (units,) or None
            Leave out the edges inside faces of all other units; the complex then has no
            faces any more, and is good for a look at its edges only.
        """
        cells = self.cells
        span = self.layers.span(level)
        before = cells.vertices.count
        cuts = self.cut_edges(level, cells.edges[:, 0], cells.edges[:, 1], cells.edge_signs, None)
        degenerate = cuts.coincide or not cells.vertices.signs[level][:before].all()
        edge_signs = cells.edge_signs[cuts.parent]
        edge_signs[:, span] = cuts.signs
        edges = np.stack([cuts.start, cuts.end], axis=1)
        face, start, end = self._segments(level, cuts, before, degenerate, wanted)
        old = cells.face_signs[face]
        inner = self.cut_edges(level, start, end, old, face)
        inner_signs = old[inner.parent]
        inner_signs[:, span] = inner.signs
        if wanted is None:
            faces = self._faces(level, cuts, inner, face, edge_signs[:, span], before, degenerate)
        else:
            none = np.empty(0, dtype=np.intp)
            faces = none, none, cells.face_signs[:0]
        edges = np.concatenate([edges, np.stack([inner.start, inner.end], axis=1)])
        edge_signs = np.concatenate([edge_signs, inner_signs])
        self.cells = Complex(cells.vertices, edges, edge_signs, *faces)

    def _faces(
        self,
        level: int,
        cuts: Cuts,
        inner: Cuts,
        face: IndexArray,
        outer_signs: SignArray,
        before: int,
        degenerate: bool,
    ) -> tuple[IndexArray, IndexArray, SignArray]:
        """Return the new faces: they are known by the old face and the signs of the level."""
        cells = self.cells
        at_edge, at_face = _inherit(cuts.parent, cells.at_edge, cells.at_face, len(cells.edges))
        side = outer_signs[at_edge]
        if degenerate:
            zero = side == 0
            side[zero] = self._face_sides(level, before)[at_face][zero]
        numbers = len(cuts.parent) + np.arange(len(inner.parent))
        left, right = self._both_sides(level, inner, face)
        at_edge = np.concatenate([at_edge, numbers, numbers])
        at_face = np.concatenate([at_face, face[inner.parent], face[inner.parent]])
        side = np.concatenate([side, left, right])
        key = self._key(at_face, side)
        _, chosen, label = np.unique(key, return_index=True, return_inverse=True)
        if not ((side[chosen[label]] == side).all() and (at_face[chosen[label]] == at_face).all()):
            raise TooDegenerateError("equal keys of different faces")
        face_signs = cells.face_signs[at_face[chosen]]
        face_signs[:, self.layers.span(level)] = side[chosen]
        return at_edge, label, face_signs

    def _segments(
        self,
        level: int,
        cuts: Cuts,
        before: int,
        degenerate: bool,
        wanted: BoolArray | None,
    ) -> tuple[IndexArray, IndexArray, IndexArray]:
        """Return (face, start, end) of the units' segments across old faces."""
        cells = self.cells
        size = self.layers.layers[level].size
        cut, face = _inherit(cuts.edge, cells.at_edge, cells.at_face, len(cells.edges))
        key = face * size + cuts.unit[cut]
        vertex = cuts.vertex[cut]
        if degenerate:
            key, vertex = self._with_zero_vertices(level, key, vertex, before)
        if wanted is not None:
            chosen = wanted[key % size]
            key, vertex = key[chosen], vertex[chosen]
        order = np.argsort(key, kind="stable")
        key, vertex = key[order], vertex[order]
        if not degenerate:
            if len(key) % 2 or not (key[::2] == key[1::2]).all():
                raise TooDegenerateError("a face is not cut in two points")
            return key[::2] // size, vertex[::2], vertex[1::2]
        first = np.flatnonzero(np.diff(key, prepend=-1))
        first = first[np.diff(first, append=len(key)) == 2]
        face, start, end = key[first] // size, vertex[first], vertex[first + 1]
        # coincident units cut a face in one segment
        table = np.stack([face, np.minimum(start, end), np.maximum(start, end)], axis=1)
        chosen = np.unique(table, axis=0, return_index=True)[1]
        return face[chosen], start[chosen], end[chosen]

    def _with_zero_vertices(
        self, level: int, key: IndexArray, vertex: IndexArray, before: int
    ) -> tuple[IndexArray, IndexArray]:
        """Add the old vertices where a unit vanishes, for faces with both of its signs."""
        cells = self.cells
        signs = cells.vertices.signs[level][:before]
        size = signs.shape[1]
        ends = cells.edges[cells.at_edge]
        with_zero = np.any(signs == 0, axis=1)
        some = np.zeros(len(cells.face_signs), dtype=bool)
        some[cells.at_face[np.any(with_zero[ends], axis=1)]] = True
        at = np.flatnonzero(some[cells.at_face])
        face = np.concatenate([cells.at_face[at], cells.at_face[at]])
        corner = np.concatenate([ends[at, 0], ends[at, 1]])
        which, row = np.unique(face, return_inverse=True)
        here = signs[corner]
        plus = np.zeros((len(which), size), dtype=bool)
        minus = np.zeros_like(plus)
        for found, sign in ((plus, 1), (minus, -1)):
            at_row, unit = np.nonzero(here == sign)
            found[row[at_row], unit] = True
        at_row, unit = np.nonzero(here == 0)
        both = plus[row[at_row], unit] & minus[row[at_row], unit]
        at_row, unit = at_row[both], unit[both]
        added = np.stack([face[at_row] * size + unit, corner[at_row]], axis=1)
        added = np.unique(added, axis=0)
        return np.concatenate([key, added[:, 0]]), np.concatenate([vertex, added[:, 1]])

    def _face_sides(self, level: int, before: int) -> SignArray:
        """Return, for faces on one side of a unit's kink, that side; 0 where z vanishes."""
        cells = self.cells
        signs = cells.vertices.signs[level][:before]
        sides = np.zeros((len(cells.face_signs), signs.shape[1]), dtype=np.int8)
        for corner in (cells.edges[cells.at_edge, 0], cells.edges[cells.at_edge, 1]):
            row, unit = np.nonzero(signs[corner])
            sides[cells.at_face[row], unit] = signs[corner][row, unit]
        return sides

    def _both_sides(self, level: int, inner: Cuts, face: IndexArray) -> tuple[SignArray, SignArray]:
        """Return the signs on both sides of segments: the units that vanish there change."""
        left = inner.signs.copy()
        zero = inner.signs == 0
        if (np.count_nonzero(zero, axis=1) == 1).all():
            left[zero] = 1
            right = inner.signs.copy()
            right[zero] = -1
            return left, right
        right = left.copy()
        for i in range(len(left)):
            units = np.flatnonzero(zero[i])
            direction = self._signs_off(level, int(face[inner.parent[i]]), units)
            left[i, units], right[i, units] = direction, -direction
        return left, right

    def _signs_off(self, level: int, face: int, units: IndexArray) -> SignArray:
        """Return the signs of coincident units at a vertex of an old face off their line."""
        cells = self.cells
        corners = cells.edges[cells.at_edge[cells.at_face == face]].reshape(-1)
        signs = cells.vertices.signs[level][corners][:, units]
        off: SignArray = signs[np.flatnonzero(signs.any(axis=1))[0]]
        return off

    def forget(self, level: int) -> None:
        """Drop values of levels that no later level reads."""
        points = self.cells.vertices
        for k in [k for k in points.z if self.layers.last_reader[k] <= level]:
            del points.z[k]
            del points.signs[k]


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


def _inherit(
    edge: IndexArray, at_edge: IndexArray, at_face: IndexArray, edges: int
) -> tuple[IndexArray, IndexArray]:
    """Return (position, face) for every face at each of some edges."""
    place = np.argsort(at_edge, kind="stable")
    counts = np.bincount(at_edge, minlength=edges)
    first = np.cumsum(counts) - counts
    each = counts[edge]
    position = np.repeat(np.arange(len(edge)), each)
    offset = np.arange(len(position)) - np.repeat(np.cumsum(each) - each, each)
    return position, at_face[place[first[edge[position]] + offset]]
