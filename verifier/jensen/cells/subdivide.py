"""Cut a complex by the kinks of the next level, all units at once.

Edge subdivision after Berzins (ICML 2023), with exact signs and degenerate places right:
an edge is cut where a sign changes strictly between its ends; a face with both signs of a
unit is cut between the two points of its boundary where the unit vanishes.
"""

from __future__ import annotations

import numpy as np

from jensen.cells.complex import Complex, ExactVertices, SignArray, TooDegenerateError
from jensen.cells.edges import Cuts, EdgeCutter
from jensen.cells.incidences import Incidences, first_of, inherit, one_sided
from jensen.cells.keys import (
    Keys,
    SignHash,
    check_counts,
    different_pairs,
    labels,
    with_owner,
)
from jensen.cells.layers import Layers
from jensen.cells.recentre import Recentring
from jensen.cells.start import keep_inside
from jensen.types import BoolArray, FloatArray, IndexArray
from jensen_encodings.deadline import Deadline


class Subdivision:
    """Subdivides one complex level by level.

    Parameters
    ----------
    layers : Layers
    cells : Complex
        The domain, not yet cut.
    exact : ExactVertices
    """

    def __init__(self, layers: Layers, cells: Complex, exact: ExactVertices) -> None:
        self.layers = layers
        self.cells = cells
        self.exact = exact
        self._cutter = EdgeCutter(layers, cells.vertices, exact)
        deep = layers.keeps_signs and cells.vertices.count > 0
        self._recentring = Recentring(layers, cells.vertices) if deep else None

    def keep_to(self, deadline: Deadline) -> None:
        """Raise OutOfTimeError where a level cannot be cut in time."""
        self._cutter.deadline = deadline

    # ------------------------------------------------------------------------ signs

    def evaluate(self, level: int) -> None:
        """Compute z of a level at all vertices, and its exact signs."""
        points = self.cells.vertices
        layer = self.layers.layers[level]
        z = self.layers.evaluate(level, points.points, points.z)
        # from here on the radius also covers the rounding of this evaluation
        points.radius = points.radius + self.layers.rounding * points.size
        rows, units = self._doubtful(level, z)
        if len(rows) and self._recentring is not None and level > 1:
            rows, units = self._recentring.settle(level, z, rows, units)
        signs = (z > 0).view(np.int8)
        signs = signs + signs - np.int8(1)
        if not layer.all_kink:
            signs[:, ~layer.kink] = 1
        if len(rows):
            self._settle(level, z, signs, rows, units)
        points.signs[level] = signs
        if not layer.is_first:
            points.z[level] = z

    def _doubtful(self, level: int, z: FloatArray) -> tuple[IndexArray, IndexArray]:
        """Return (vertex, unit) where rounding may hide a sign."""
        radius, slope = self.cells.vertices.radius, self.layers.lipschitz[level]
        most = radius.max(initial=0.0) * slope.max(initial=0.0)
        at = np.flatnonzero((z <= most) & (z >= -most))
        rows, units = np.divmod(at, max(1, z.shape[1]))
        close = np.abs(z.reshape(-1)[at]) <= radius[rows] * slope[units]
        close &= self.layers.layers[level].kink[units]
        return rows[close], units[close]

    def _settle(
        self, level: int, z: FloatArray, signs: SignArray, rows: IndexArray, units: IndexArray
    ) -> None:
        """Decide the signs that rounding hides."""
        signs[rows, units] = 0
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
            filled |= (signs > 0) @ (read.weights != 0).T
        may: BoolArray = filled[at, units]
        return may

    def shares(
        self, level: int, start: IndexArray, end: IndexArray, unit: IndexArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return how far from the start a unit vanishes, as a share, and its uncertainty."""
        return self._cutter.shares(level, start, end, unit)

    def key(self, level: int, owner: IndexArray, signs: SignArray) -> Keys:
        """Return numbers that are equal for equal owners and signs (and checked where used)."""
        return self._cutter.key(level, owner, signs)

    def hash_of(self, level: int) -> SignHash:
        """Return how signs of a level are hashed."""
        return self._cutter.hash_of(level)

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
        if wanted is None and self._passed_over(level):
            return
        cells = self.cells
        before = cells.vertices.count
        cuts = self._cutter.cut(level, cells.edges[:, 0], cells.edges[:, 1], cells.edge_signs, None)
        degenerate = cuts.coincide or not cells.vertices.signs[level][:before].all()
        face, start, end, unit = self._segments(level, cuts, before, degenerate, wanted)
        own = None if degenerate else unit[:, None]
        inner = self._cutter.cut(level, start, end, cells.face_signs[face], face, own=own)
        self._cutter.finish(level)
        if wanted is None:
            faces = self._faces(level, cuts, inner, face, unit, before, degenerate)[:3]
        else:
            none = np.empty(0, dtype=np.intp)
            faces = none, none, cells.face_signs[:0]
        edges = np.concatenate([np.stack([part.start, part.end], axis=1) for part in (cuts, inner)])
        edge_signs = self._inherited(
            level,
            (cells.edge_signs, cuts.parent, cuts.signs),
            (cells.face_signs, face[inner.parent], inner.signs),
        )
        self.cells = Complex(cells.vertices, edges, edge_signs, *faces)

    def _passed_over(self, level: int) -> bool:
        """Note the signs of a level of which no unit has both signs; False if one has."""
        cells = self.cells
        used = np.zeros(cells.vertices.count, dtype=bool)
        used[cells.edges] = True
        signs = cells.vertices.signs[level]
        here = signs[: len(used)] if used.all() else signs[: len(used)][used]
        if ((here > 0).any(axis=0) & (here < 0).any(axis=0)).any():
            return False
        span = self.layers.span(level)
        # where z is 0 at both ends of an edge it is 0 on it, and so on
        edges = signs[cells.edges[:, 0]] | signs[cells.edges[:, 1]]
        cells.edge_signs[:, span] = edges
        faces = one_sided(edges, cells.at_edge, cells.at_face, len(cells.face_signs))
        cells.face_signs[:, span] = faces
        return True

    def _inherited(self, level: int, *parts: tuple[SignArray, IndexArray, SignArray]) -> SignArray:
        """Return the signs of parts: up to a level those of what they are parts of.

        Parameters
        ----------
        level : int
        *parts : (signs, which, own)
            All signs of what was cut, of which row each part is one, and the level's signs on it.
        """
        span = self.layers.span(level)
        count = sum(len(which) for _, which, _ in parts)
        found = np.zeros((count, self.layers.width), dtype=np.int8)
        first = 0
        for signs, which, own in parts:
            rows = slice(first, first + len(which))
            if span.start:
                found[rows, : span.start] = signs[which, : span.start]
            found[rows, span] = own
            first += len(which)
        return found

    def _faces(
        self,
        level: int,
        cuts: Cuts,
        inner: Cuts,
        face: IndexArray,
        unit: IndexArray,
        before: int,
        degenerate: bool,
    ) -> tuple[IndexArray, IndexArray, SignArray, IndexArray]:
        """Return the new faces: they are known by the old face and the signs of the level.

        Returns
        -------
        at_edge, at_face : int arrays (incidences,)
        face_signs : int8 array (faces, units)
        parent : int array (faces,)
            The old faces.
        """
        cells = self.cells
        outer, its_face = inherit(cuts.parent, cells.at_edge, cells.at_face, len(cells.edges))
        numbers = len(cuts.parent) + np.arange(len(inner.parent))
        inside = face[inner.parent]
        at_edge = np.concatenate([outer, numbers, numbers])
        at_face = np.concatenate([its_face, inside, inside])
        if cuts.keys is not None and inner.keys is not None:
            term = self.hash_of(level).term(unit[inner.parent])
            hashes = np.concatenate([cuts.keys[outer], inner.keys + term, inner.keys - term])
            chosen, label = labels(with_owner(at_face, hashes))
            parent = at_face[chosen]
            check_counts(parent, face, face[inner.edge[first_of(inner.vertex)]])
            side = _beside(chosen, cuts.signs[outer], inner, unit)
        else:
            side = cuts.signs[outer]
            if degenerate:
                zero = side == 0
                side[zero] = self._face_sides(level, before)[its_face][zero]
            left, right = self._both_sides(level, inner, face)
            side = np.concatenate([side, left, right])
            chosen, label = self.known_by(level, at_face, side)
            parent, side = at_face[chosen], side[chosen]
        face_signs = self._inherited(level, (cells.face_signs, parent, side))
        return at_edge, label, face_signs, parent

    def known_by(self, level: int, owner: IndexArray, sides: SignArray) -> Incidences:
        """Tell parts apart by owner and signs of the level; return one of each, and numbers."""
        chosen, label = labels(self.key(level, owner, sides))
        first = chosen[label]
        if not ((sides[first] == sides).all() and (owner[first] == owner).all()):
            raise TooDegenerateError("equal keys of different parts")
        return chosen, label

    def _segments(
        self,
        level: int,
        cuts: Cuts,
        before: int,
        degenerate: bool,
        wanted: BoolArray | None,
    ) -> tuple[IndexArray, IndexArray, IndexArray, IndexArray]:
        """Return (face, start, end, unit) of the units' segments across old faces."""
        cells = self.cells
        size = self.layers.layers[level].size
        cut, face = inherit(cuts.edge, cells.at_edge, cells.at_face, len(cells.edges))
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
            face, unit = np.divmod(key[::2], size)
            return face, vertex[::2], vertex[1::2], unit
        first = np.flatnonzero(np.diff(key, prepend=-1))
        first = first[np.diff(first, append=len(key)) == 2]
        face, unit = np.divmod(key[first], size)
        start, end = vertex[first], vertex[first + 1]
        # coincident units cut a face in one segment
        count = 1 + int(vertex.max(initial=0))
        ends = labels(np.minimum(start, end) * count + np.maximum(start, end))[1]
        chosen = labels(face * max(1, len(ends)) + ends)[0]
        return face[chosen], start[chosen], end[chosen], unit[chosen]

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
        which, row = labels(face)
        here = signs[corner]
        plus = np.zeros((len(which), size), dtype=bool)
        minus = np.zeros_like(plus)
        for found, sign in ((plus, 1), (minus, -1)):
            at_row, unit = np.nonzero(here == sign)
            found[row[at_row], unit] = True
        at_row, unit = np.nonzero(here == 0)
        both = plus[row[at_row], unit] & minus[row[at_row], unit]
        at_row, unit = at_row[both], unit[both]
        more, zeros = different_pairs(face[at_row] * size + unit, corner[at_row])
        return np.concatenate([key, more]), np.concatenate([vertex, zeros])

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

    def keep_inside(self, rows: int) -> None:
        """Drop what lies outside the domain, whose rows are the first so many units."""
        self.cells = keep_inside(self.cells, rows)

    def forget(self, level: int) -> None:
        """Drop values of levels that no later level reads."""
        points = self.cells.vertices
        for k in [k for k in points.signs if self.layers.last_reader[k] <= level]:
            points.z.pop(k, None)
            if not self.layers.keeps_signs:
                del points.signs[k]


def _beside(chosen: IndexArray, outer: SignArray, inner: Cuts, unit: IndexArray) -> SignArray:
    """Return the signs of chosen sides: of outer edges, then left and right of segments."""
    count, inside = len(outer), len(inner.parent)
    side = np.empty((len(chosen), outer.shape[1]), dtype=np.int8)
    around = chosen < count
    side[around] = outer[chosen[around]]
    within = np.flatnonzero(~around)
    if len(within):
        right, segment = np.divmod(chosen[within] - count, inside)
        rows = inner.signs[segment]
        rows[np.arange(len(rows)), unit[inner.parent[segment]]] = 1 - 2 * right
        side[within] = rows
    return side
