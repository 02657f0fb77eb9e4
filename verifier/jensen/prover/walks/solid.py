"""Three inputs: look at every kink everywhere, on the polygons that the others cut it into.

A kink of the first level is a plane, of a deeper one a surface of polygons; J of the unit that
bends is a constant on each part of a polygon. The cells of the last level are not needed: its
units cut the polygons of the kinks before it, and only those.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jensen.cells.complex import ExactVertices, TooDegenerateError
from jensen.cells.facets import exact_jump
from jensen.cells.jumps import carry, rounding_of, to_output
from jensen.cells.solid import SolidSubdivision
from jensen.cells.start import solid_inside, starting_solid
from jensen.cells.subdivide import Subdivision
from jensen.domains.domain import Domain
from jensen.network.relu_network import INPUT, ReluNetwork
from jensen.prover.walks.walked import EXACT_LIMIT, TRIES, Walked
from jensen.prover.walks.walked_network import WalkedNetwork
from jensen.types import BoolArray, FloatArray, IndexArray
from jensen.verdicts.evidence import Counterexample
from jensen_encodings.deadline import NEVER, Deadline

CHUNK = 1 << 19  # numbers in a table of patterns at a time
# signs held at a time: beyond, a walk takes 0.2 s, and descents find most facets sooner
SOLID_LIMIT = 6e6
EDGES_TRIED = 16


def walk_surfaces(
    network: ReluNetwork,
    domain: Domain,
    closed: Mapping[str, BoolArray],
    deadline: Deadline = NEVER,
) -> Walked | None:
    """Decide convexity in three inputs; None if it was too degenerate or too large.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    domain : Domain
        With an interior, as far as it is a box.
    closed : mapping from block name to bool array (size,)
        Neurons whose J is known to be >= 0 under every pattern.
    deadline : Deadline
    """
    if most_signs(network) > SOLID_LIMIT:
        return None
    try:
        return walk_surfaces_within(SOLID_LIMIT, network, domain, closed, deadline)
    except TooLargeError:
        return None


class TooLargeError(Exception):
    """More signs would have to be held than was said."""


def most_signs(network: ReluNetwork) -> float:
    """Return about the signs of all edges of the first level, if its planes meet in the domain."""
    planes = sum(block.size for block in network.hidden if set(block.weights) == {INPUT})
    return planes**3 / 2 * network.relu_count


def walk_surfaces_within(
    limit: float,
    network: ReluNetwork,
    domain: Domain,
    closed: Mapping[str, BoolArray],
    deadline: Deadline = NEVER,
) -> Walked | None:
    """As :func:`walk_surfaces`, with so many signs held at a time.

    Raises
    ------
    TooLargeError
        If there are more of them.
    """
    try:
        return _SurfaceWalk(network, domain, closed, deadline, limit).run()
    except TooDegenerateError:
        return None


class _SurfaceWalk:
    """One network on one domain."""

    def __init__(
        self,
        network: ReluNetwork,
        domain: Domain,
        closed: Mapping[str, BoolArray],
        deadline: Deadline,
        limit: float,
    ) -> None:
        self._deadline, self._limit = deadline, limit
        self._net = WalkedNetwork(network, domain, closed)
        self._layers = self._net.layers
        cells, solid = starting_solid(domain, self._net.scale, self._layers.width)
        exact = ExactVertices(self._layers, cells.vertices, EXACT_LIMIT)
        self._division = SolidSubdivision(self._layers, cells, solid, exact)

    def run(self) -> Walked | None:
        """Look at the last level's own kinks, then at all others cut by it."""
        layers, division = self._layers, self._division
        if not self._net.can_be_walked:
            return None
        last, bending = layers.hidden[-1], self._net.bending()
        for level in range(last):
            if not self._cut(level, self._net.asked_at(level, bending)):
                return None
        division.evaluate(last)
        if len(bending):
            corners = np.unique(division.cells.edges)
            signs = division.cells.vertices.signs[last][corners][:, bending]
            if ((signs > 0).any(axis=0) & (signs < 0).any(axis=0)).any():
                pair = self._last_kink(last, bending)
                return None if pair is None else Walked(proved=False, pair=pair)
        return self._surfaces(last)

    def _cut(self, level: int, wanted: BoolArray | None) -> bool:
        """Cut by a level; False if time is up, or nothing is left of the domain."""
        division = self._division
        if self._deadline.over():
            return False
        if division.cells.edge_signs.size > self._limit:
            raise TooLargeError
        division.evaluate(level)
        division.split(level, wanted)
        division.forget(level)
        if level < self._net.first:
            division.cells, division.solid = solid_inside(
                division.cells, division.solid, self._net.rows
            )
        return wanted is not None or len(division.solid.cell_signs) > 0

    # ------------------------------------------------------------- the last level's kinks

    def _last_kink(self, last: int, bending: IndexArray) -> Counterexample | None:
        """Cross a kink of the last level inside a cell that it has not yet cut."""
        division = self._division
        cells, solid = division.cells, division.solid
        signs = cells.vertices.signs[last][:, bending]
        edge, which = np.nonzero(signs[cells.edges[:, 0]] * signs[cells.edges[:, 1]] < 0)
        tried = np.linspace(0, len(edge) - 1, min(len(edge), EDGES_TRIED)).astype(int)
        for i in tried.tolist():
            face = cells.at_face[cells.at_edge == edge[i]][0]
            cell = solid.at_cell[solid.at_face == face][0]
            faces = solid.at_face[solid.at_cell == cell]
            around = np.unique(cells.at_edge[np.isin(cells.at_face, faces)])
            start, end = cells.edges[around].T
            crossed = signs[start, which[i]] * signs[end, which[i]] < 0
            start, end = start[crossed], end[crossed]
            unit = int(bending[which[i]])
            share, _ = division.shares(last, start, end, np.full(len(start), unit))
            points = cells.vertices.points
            corners = (1 - share)[:, None] * points[start] + share[:, None] * points[end]
            found = self._net.pairs.about(
                _middle(corners), corners, (last, unit), solid.cell_signs[cell]
            )
            if found is not None:
                return found
        return None

    # ---------------------------------------------------------------- all other kinks

    def _surfaces(self, last: int) -> Walked | None:
        """Look at J on every part of the kinks before the last level."""
        faces = self._asked(last)
        if not len(faces):
            return Walked(proved=True)
        layers = self._layers
        division = self._division
        flat = Subdivision(layers, division.cells.of_faces(faces), division.exact)
        columns = layers.span(last).start
        levels, _ = layers.unit_of(np.arange(columns))
        # J of a unit does not depend on the states of others of its level
        zero = flat.cells.face_signs[:, :columns] == 0
        if (zero & (levels != levels[zero.argmax(axis=1)][:, None])).any():
            return None
        flat.split(last)
        signs = flat.cells.face_signs
        if signs.size > 4 * self._limit:
            raise TooLargeError
        if self._deadline.over():
            return None
        zero = signs == 0
        if zero[:, columns:].any():
            return None
        faces, column = np.nonzero(zero & ~self._net.closed)
        bends = layers.unit_of(column)
        jump, size = np.empty((2, len(faces)))
        step = max(1, CHUNK // layers.width)
        for first in range(0, len(faces), step):
            part = slice(first, first + step)
            some, around = (bends[0][part], bends[1][part]), signs[faces[part]]
            carried = carry(layers, some, around, last)
            jump[part], size[part] = to_output(layers, carried, some, around)
        return self._judged(flat, faces, bends, jump, rounding_of(layers) * size)

    def _asked(self, last: int) -> IndexArray:
        """Return the faces inside the domain where a unit that may bend down vanishes."""
        division = self._division
        cells = division.cells
        columns = self._layers.span(last).start
        asked = ((cells.face_signs[:, :columns] == 0) & ~self._net.closed[:columns]).any(axis=1)
        asked &= division.solid.inner_faces(len(cells.face_signs))
        finite = np.zeros(len(cells.face_signs), dtype=bool)
        ends: BoolArray = ~np.all(cells.vertices.infinite[cells.edges], axis=1)
        finite[cells.at_face[ends[cells.at_edge]]] = True
        return np.flatnonzero(asked & finite)

    def _judged(
        self,
        flat: Subdivision,
        faces: IndexArray,
        bends: tuple[IndexArray, IndexArray],
        jump: FloatArray,
        error: FloatArray,
    ) -> Walked | None:
        """Return what the jumps say: exactly where rounding hides their signs."""
        layers, cells = self._layers, flat.cells
        falls = jump < -error
        doubtful = np.flatnonzero(~falls & ~(jump >= error))  # what is not a number is no sign
        known: dict[tuple[int, int, bytes], bool] = {}
        for k in doubtful.tolist():
            level, unit, around = int(bends[0][k]), int(bends[1][k]), cells.face_signs[faces[k]]
            key = level, unit, around.tobytes()
            if key not in known:
                if len(known) >= EXACT_LIMIT:
                    return None
                known[key] = exact_jump(layers, level, unit, around) < 0
            falls[k] = known[key]
        bad = np.flatnonzero(falls)
        for k in bad[np.argsort(jump[bad])][:TRIES].tolist():
            edges = cells.edges[cells.at_edge[cells.at_face == faces[k]]]
            corners = cells.vertices.points[np.unique(edges)]
            bend, around = (int(bends[0][k]), int(bends[1][k])), cells.face_signs[faces[k]]
            pair = self._net.pairs.about(_middle(corners), corners, bend, around)
            if pair is not None:
                return Walked(proved=False, pair=pair)
        return None if len(bad) else Walked(proved=True)


def _middle(corners: FloatArray) -> FloatArray:
    """Return a point between corners, of which some may be at infinity."""
    middle: FloatArray = corners.mean(axis=0)
    return middle
