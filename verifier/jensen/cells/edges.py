"""Cut edges of a complex by the units of one level, in exact order.

An edge is cut where a sign changes strictly between its ends. Where rounding hides which
of two cuts comes first, rational arithmetic decides; equal points become one vertex.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from jensen.cells.complex import ExactVertices, SignArray, TooDegenerateError, Vertices
from jensen.cells.keys import Keys, SignHash, labels, sign_hash, with_owner
from jensen.cells.layers import UNIT_ROUNDOFF, Layers
from jensen.cells.order import changed_before, ranked, refined_shares, share_of, sorted_cuts
from jensen.cells.runs import Runs, parts_of_edges, runs_of, signs_of_parts
from jensen.errors import OutOfTimeError
from jensen.types import FloatArray, IndexArray
from jensen_encodings.deadline import NEVER

CHUNK = 1 << 15  # numbers of a table that are worked on at a time
RATE = 1e8  # signs at cuts that a second may do for, at best


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
    keys : array (sub-edges,) or None
        Hashes of the signs; None where units vanish together.
    coincide : bool
        Whether several units cut an edge in one point.
    """

    edge: IndexArray
    unit: IndexArray
    vertex: IndexArray
    parent: IndexArray
    start: IndexArray
    end: IndexArray
    signs: SignArray
    keys: Keys | None
    coincide: bool = False


class EdgeCutter:
    """Cuts edges of one complex; the vertices grow by the cuts.

    Parameters
    ----------
    layers : Layers
    vertices : Vertices
    exact : ExactVertices

    Attributes
    ----------
    deadline : Deadline
        Cuts that would last longer raise OutOfTimeError.
    """

    def __init__(self, layers: Layers, vertices: Vertices, exact: ExactVertices) -> None:
        self.layers = layers
        self.vertices = vertices
        self.exact = exact
        self.deadline = NEVER
        # of the signs of the level at all vertices, unless units vanish there together
        self._keys: Keys | None = None
        self._shares: list[FloatArray] = []  # of the edges that the level's cuts lie on

    def hash_of(self, level: int) -> SignHash:
        """Return how signs of a level are hashed."""
        return sign_hash(self.layers.layers[level].size)

    def cut(
        self,
        level: int,
        start: IndexArray,
        end: IndexArray,
        old: SignArray,
        face: IndexArray | None,
        *,
        own: IndexArray | None = None,
    ) -> Cuts:
        """Cut edges by the units of an evaluated level.

        Parameters
        ----------
        start, end : int arrays (edges,)
        old : int8 array (edges, units)
            Signs of all hidden units on the edges; those of the level are not looked at.
        face : int array (edges,) or None
            The face in whose interior an edge runs: equal vertices of several such edges
            become one. None for edges that share no inner points: those of the complex.
        own : int array (edges, k) or None
            The units of the level that vanish on an edge, at its ends no other ones.
            None if more may vanish.
        """
        points = self.vertices
        signs = points.signs[level]
        size = signs.shape[1]
        self._begin(level, first=face is None, known=own is not None)
        at_start, at_end = signs[start], signs[end]
        if self._keys is not None:
            begins = at_start
            cut = at_start != at_end
        else:
            begins = np.where(at_start == 0, at_end, at_start)
            cut = at_start * at_end < 0
        edge, unit = np.divmod(np.flatnonzero(cut), size)
        if not len(edge):
            keys = None if self._keys is None else self._keys[start]
            return Cuts(edge, unit, edge, np.arange(len(start)), start, end, begins, keys)
        if len(edge) * size > RATE * self.deadline.left():
            raise OutOfTimeError(f"no time is left for {len(edge)} cuts of edges")
        share, spread = self.shares(level, start[edge], end[edge], unit)
        rank, here = self._order(level, start, end, edge, unit, share, spread, begins)
        order = sorted_cuts(edge, rank, size)
        edge, unit, rank, here = edge[order], unit[order], rank[order], here[order]
        # equal points on one edge have equal ranks
        same = np.zeros(len(edge), dtype=bool)
        same[1:] = (edge[1:] == edge[:-1]) & (rank[1:] == rank[:-1])
        coincide = bool(same.any())
        if coincide:
            self._keys = None
        if face is None:
            keep, label = np.flatnonzero(~same), np.cumsum(~same) - 1
        elif self._keys is not None and own is not None:
            keep, label = _equal_flats(face[edge], own[edge], unit, size)
        else:
            keep, label = self._equal_points(level, face[edge], here)
        vertex = points.count + label
        cut_edge, chosen = edge[keep], order[keep]
        ends = start[cut_edge], end[cut_edge]
        self._append(level, *ends, unit[keep], share[chosen], spread[chosen])
        self._append_signs(level, here[keep], old, cut_edge)
        runs = runs_of(edge[~same], len(start))
        parent, sub_start, sub_end = parts_of_edges(runs, vertex[~same], start, end)
        keys = None
        if self._keys is not None:
            sub_signs = signs_of_parts(runs, unit, here, begins)
            keys, at_cuts = self._keys_of_parts(level, start, runs, unit, begins)
            self._keys = np.concatenate([self._keys, at_cuts[keep]])
        else:
            signs = points.signs[level]
            sub_signs = np.sign(signs[sub_start] + signs[sub_end])
        return Cuts(edge, unit, vertex, parent, sub_start, sub_end, sub_signs, keys, coincide)

    def _keys_of_parts(
        self,
        level: int,
        start: IndexArray,
        runs: Runs,
        unit: IndexArray,
        begins: SignArray,
    ) -> tuple[Keys, Keys]:
        """Return the hashes of signs on the parts of edges, and at their sorted cuts."""
        known = self._keys
        if known is None:
            raise TooDegenerateError("no keys where units vanish together")
        edge, first, last = runs.edge, runs.first, runs.last
        term = self.hash_of(level).term(unit) * begins[edge, unit].astype(np.uint64)
        total = np.cumsum(term, dtype=np.uint64)
        before = total - term
        before -= before[first][np.cumsum(first) - 1]
        at_start = known[start[edge]]
        two = np.uint64(2)
        before = at_start - two * before
        after = before[last] - two * term[last]
        return np.concatenate([known[start[runs.uncut]], before, after]), before - term

    def shares(
        self, level: int, start: IndexArray, end: IndexArray, unit: IndexArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return how far from the start a unit vanishes, as a share, and its uncertainty."""
        radius = self.vertices.radius
        a, b = (np.abs(self._values(level, vertex, unit)) for vertex in (start, end))
        slope = self.layers.lipschitz[level][unit]
        return share_of((a, slope * radius[start]), (b, slope * radius[end]))

    def _values(self, level: int, vertex: IndexArray, unit: IndexArray) -> FloatArray:
        """Return z of a unit each at vertices, those that were cut since then included."""
        points, layer = self.vertices, self.layers.layers[level]
        if layer.is_first and layer.source is not None:
            found: FloatArray = np.einsum("ij,ij->i", points.points[vertex], layer.source[unit])
            return found
        table = points.z[level]
        made = np.flatnonzero(vertex >= len(table))
        if not len(made):
            return table[vertex, unit]
        found = table[np.minimum(vertex, len(table) - 1), unit]
        share = np.concatenate(self._shares)[vertex[made] - len(table)]
        start, end = points.parents[vertex[made], :2].T
        z_start = self._values(level, start, unit[made])
        found[made] = z_start + share * (self._values(level, end, unit[made]) - z_start)
        return found

    def _append(
        self,
        level: int,
        start: IndexArray,
        end: IndexArray,
        unit: IndexArray,
        share: FloatArray,
        spread: FloatArray,
    ) -> None:
        """Add vertices between others."""
        points = self.vertices
        first = points.points[start]
        apart = points.points[end] - first
        place = first + share[:, None] * apart
        # the share is uncertain, and both ends are; what is computed of it is rounded
        radius, size = points.radius, points.size
        radius = np.maximum(radius[start], radius[end])
        size = np.maximum(size[start], size[end])
        radius = radius * (1 + 1e-9) + 1.01 * spread * (np.abs(apart).max(axis=1) + 2 * radius)
        radius += 8 * UNIT_ROUNDOFF * size
        parents = np.stack([start, end, np.full(len(unit), level), unit], axis=1)
        infinite = points.infinite[start] & points.infinite[end]
        points.infinite = np.concatenate([points.infinite, infinite])
        points.points = np.concatenate([points.points, place])
        points.radius = np.concatenate([points.radius, radius])
        points.parents = np.concatenate([points.parents, parents])
        self._shares.append(share)

    def _append_signs(self, level: int, here: SignArray, old: SignArray, edge: IndexArray) -> None:
        """Add the signs of a level at new vertices, and those that later levels ask for."""
        signs = self.vertices.signs
        for k in signs:
            if k == level:
                signs[k] = np.concatenate([signs[k], here])
            elif self.layers.keeps_signs or self.layers.last_reader[k] > level:
                signs[k] = np.concatenate([signs[k], old[edge, self.layers.span(k)]])

    def _begin(self, level: int, *, first: bool, known: bool) -> None:
        """Make keys of all vertices ready, where no units vanish together."""
        signs = self.vertices.signs[level]
        if first:
            self._shares = []
            self._keys = self.hash_of(level).of(signs) if signs.all() else None
        elif not known:
            self._keys = None

    def finish(self, level: int) -> None:
        """Fill in z, of the levels that will be read, at the vertices that a level has cut."""
        points = self.vertices
        for k in [k for k in points.z if self.layers.last_reader[k] > level]:
            old = points.z[k]
            table = points.z[k] = np.empty((points.count, old.shape[1]))
            table[: len(old)] = old
            first = len(old)
            for share in self._shares:
                part = slice(first, first + len(share))
                start, end, _, unit = points.parents[part].T
                _between(table, start, end, share, table[part])
                if k == level:
                    table[np.arange(part.start, part.stop), unit] = 0.0
                first = part.stop

    def _order(
        self,
        level: int,
        start: IndexArray,
        end: IndexArray,
        edge: IndexArray,
        unit: IndexArray,
        share: FloatArray,
        spread: FloatArray,
        begins: SignArray,
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
        here = begins[edge]
        rank = np.zeros(len(edge), dtype=np.intp)
        several = np.flatnonzero(counts[edge] > 1)
        if len(several):
            rank[several], doubtful = ranked(edge[several], share[several], spread[several])
            at = np.flatnonzero(np.isin(edge, doubtful)) if len(doubtful) else doubtful
            if len(at) and self.layers.keeps_signs:
                ends = start[edge[at]], end[edge[at]]
                closer = refined_shares(self.layers, self.vertices, level, ends, unit[at])
                better = closer[1] < spread[at]
                share[at[better]], spread[at[better]] = closer[0][better], closer[1][better]
                rank[at], doubtful = ranked(edge[at], share[at], spread[at])
                at = at[np.isin(edge[at], doubtful)]
            row = (np.cumsum(counts > 1) - 1)[edge[several]]
            changed = changed_before(row, unit[several], rank[several], here.shape[1])
            here[several] *= 1 - 2 * changed.view(np.int8)
            if len(at):
                rank[at] = self._exact_order(level, start, end, edge[at], unit[at], at, here)
        here[np.arange(len(edge)), unit] = 0
        return rank, here

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
        """Order cuts exactly; units that vanish in one point get equal ranks.

        The signs of the other units of the same edge at each cut follow, and go into ``here``.
        """
        signs = self.vertices.signs[level]
        rank = np.zeros(len(edge), dtype=np.intp)
        order = np.argsort(edge, kind="stable")
        for cuts in np.split(order, np.flatnonzero(np.diff(edge[order])) + 1):
            e, units = int(edge[cuts[0]]), unit[cuts]
            place = self._exact_places(int(start[e]), int(end[e]), level, units.tolist())
            passed = place[None, :] < place[:, None]
            behind = signs[int(end[e]), units]
            between = np.where(place[None, :] == place[:, None], 0, -behind)
            here[np.ix_(at[cuts], units)] = np.where(passed, behind, between)
            rank[cuts] = passed.sum(axis=1)
        return rank

    def _exact_places(self, start: int, end: int, level: int, units: list[int]) -> IndexArray:
        """Return the places of the units' cuts along an edge; equal numbers for equal points."""
        z = self.exact.z
        shares = []
        for unit in units:
            before, after = abs(z(start, level, unit)), abs(z(end, level, unit))
            shares.append(before / (before + after))  # z of the level is affine along the edge
        place = np.zeros(len(units), dtype=np.intp)
        order = sorted(range(len(units)), key=shares.__getitem__)
        for one, two in pairwise(order):
            place[two] = place[one] + (shares[one] != shares[two])
        return place

    def _equal_points(
        self, level: int, face: IndexArray, signs: SignArray
    ) -> tuple[IndexArray, IndexArray]:
        """Return numbers for points inside faces: they are known by which units vanish there."""
        chosen, label = labels(self.key(level, face, signs))
        same = (signs[chosen[label]] == signs).all() and (face[chosen[label]] == face).all()
        if not same:
            raise TooDegenerateError("equal keys of different vertices")
        return chosen, label

    def key(self, level: int, owner: IndexArray, signs: SignArray) -> Keys:
        """Return numbers that are equal for equal owners and signs (and checked where used)."""
        return with_owner(owner, self.hash_of(level).of(signs))


def _equal_flats(
    face: IndexArray, own: IndexArray, unit: IndexArray, size: int
) -> tuple[IndexArray, IndexArray]:
    """Return numbers for points inside faces, each known by the units that vanish there."""
    units = np.sort(np.column_stack([own, unit]), axis=1)
    key = face
    for column in units.T:
        key = key * size + column
    return labels(key)


def _between(
    table: FloatArray, start: IndexArray, end: IndexArray, share: FloatArray, found: FloatArray
) -> None:
    """Write rows between two others each."""
    step = max(1, CHUNK // max(1, table.shape[1]))
    for first in range(0, len(start), step):
        part = slice(first, first + step)
        at_start = table[start[part]]
        between = table[end[part]]
        between -= at_start
        between *= share[part, None]
        np.add(at_start, between, out=found[part])
