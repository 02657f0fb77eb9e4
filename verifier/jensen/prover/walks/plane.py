"""In the plane: look at every kink everywhere, along the edges of the complex.

A kink is a line or a polyline, cut into edges by the others; J of the unit that bends is a
constant on each. All edges are found and looked at in one pass per level
(:mod:`jensen.cells`), so that the sign of every jump is known. The last level need not be cut
into cells: only where its units change sign on the other kinks matters.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jensen.cells.complex import ExactVertices, TooDegenerateError
from jensen.cells.facets import ExactFacets
from jensen.cells.jumps import carry, rounding_of, to_output
from jensen.cells.start import keep_inside, starting_complex
from jensen.cells.subdivide import Subdivision
from jensen.domains.domain import Domain
from jensen.errors import OutOfTimeError
from jensen.network.relu_network import ReluNetwork
from jensen.prover.walks.last_level import jumps_on_parts
from jensen.prover.walks.walked import EXACT_LIMIT, SIZE_LIMIT, TRIES, Walked
from jensen.prover.walks.walked_network import WalkedNetwork
from jensen.types import BoolArray
from jensen_encodings.deadline import NEVER, Deadline

CHUNK = 1 << 17  # numbers in a table of patterns at a time, so that they stay in the cache


def walk_kinks(
    network: ReluNetwork,
    domain: Domain,
    closed: Mapping[str, BoolArray],
    deadline: Deadline = NEVER,
) -> Walked | None:
    """Decide convexity in one or two inputs; None if it was too degenerate or too large.

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
    try:
        return _Walk(network, domain, closed, deadline).run()
    except (TooDegenerateError, OutOfTimeError):
        return None


class _Walk:
    """One network on one domain."""

    def __init__(
        self,
        network: ReluNetwork,
        domain: Domain,
        closed: Mapping[str, BoolArray],
        deadline: Deadline,
    ) -> None:
        self._domain = domain
        self._deadline = deadline
        self._net = WalkedNetwork(network, domain, closed)
        self._layers = self._net.layers

    def run(self) -> Walked | None:
        """Look at edges without the last level's cells, and if that does not do with them."""
        if not self._net.can_be_walked:
            return None
        return self._quickly() or self._completely()

    def _quickly(self) -> Walked | None:
        last, bending = self._layers.hidden[-1], self._net.bending()
        division = self._start()
        for level in range(last):
            if not self._cut(division, level, self._net.asked_at(level, bending)):
                return None
        division.evaluate(last)
        if len(bending):
            signs = division.cells.vertices.signs[last]
            if not signs[:, bending].all():
                return None
            pair = self._net.pairs.last_kink(division, last, bending)
            if pair is not None:
                return Walked(proved=False, pair=pair)
            edges = division.cells.edges
            if (signs[edges[:, 0]][:, bending] != signs[edges[:, 1]][:, bending]).any():
                return None
        return self._edges_to_last(division, last)

    def _start(self) -> Subdivision:
        cells = starting_complex(self._domain, self._net.scale, self._layers.width)
        exact = ExactVertices(self._layers, cells.vertices, EXACT_LIMIT)
        division = Subdivision(self._layers, cells, exact)
        division.keep_to(self._deadline)
        return division

    def _cut(self, division: Subdivision, level: int, wanted: BoolArray | None = None) -> bool:
        """Cut by a level; False if time or memory is up, or nothing is left of the domain."""
        if self._deadline.over() or division.cells.edge_signs.size > SIZE_LIMIT:
            return False
        division.evaluate(level)
        division.split(level, wanted)
        division.forget(level)
        if level < self._net.first:
            division.cells = keep_inside(division.cells, self._net.rows)
        return wanted is not None or len(division.cells.face_signs) > 0

    def _edges_to_last(self, division: Subdivision, last: int) -> Walked | None:
        """Look at J on every part of the edges between the kinks of the last level."""
        cells, layers = division.cells, self._layers
        zero = cells.edge_signs[:, : layers.span(last).start] == 0
        # what lies at infinity is no facet
        zero[cells.vertices.infinite[cells.edges].all(axis=1)] = False
        edges, column = np.nonzero(zero & ~self._net.closed[: zero.shape[1]])
        if not len(edges):
            return Walked(proved=True)
        level, unit = layers.unit_of(column)
        # J of a unit does not depend on the states of others of its level
        levels, _ = layers.unit_of(np.arange(zero.shape[1]))
        if (zero[edges] & (levels != level[:, None])).any():
            return None
        weights = self._net.last_weights()
        step = max(1, CHUNK // layers.width)
        bad: list[tuple[float, int, float]] = []
        for first in range(0, len(edges), step):
            part = slice(first, first + step)
            found = jumps_on_parts(division, last, edges[part], (level[part], unit[part]), weights)
            if self._deadline.over():
                return None
            falls = found.certain & (found.jump < -found.error)
            if not (falls | (found.jump >= found.error)).all():
                return None
            weight = found.jump * (found.high - found.low)
            middle = (found.low + found.high) / 2
            bad += [
                (weight[i], int(edges[part][found.edge[i]]), middle[i])
                for i in np.flatnonzero(falls)
            ]
        for _, edge, share in sorted(bad)[:TRIES]:
            pair = self._net.pairs.on_edge(division, edge, share)
            if pair is not None:
                return Walked(proved=False, pair=pair)
        return None if bad else Walked(proved=True)

    def _completely(self) -> Walked | None:
        """Look at all edges of the whole complex; in rational arithmetic where need be."""
        layers = self._layers
        division = self._start()
        if not all(self._cut(division, level) for level in layers.hidden):
            return None
        cells = division.cells
        zero = cells.edge_signs == 0
        inner = np.bincount(cells.at_edge, minlength=len(cells.edges)) == 2
        asked = inner & (zero & ~self._net.closed).any(axis=1)
        several = asked & (np.count_nonzero(zero, axis=1) > 1)
        edges = np.flatnonzero(asked & ~several)
        bends = layers.unit_of(np.argmax(zero[edges], axis=1))
        carried = carry(layers, bends, cells.edge_signs[edges], layers.hidden[-1])
        jump, size = to_output(layers, carried, bends, cells.edge_signs[edges])
        error = rounding_of(layers) * size
        facets = ExactFacets(division)
        falls = jump < -error
        hidden = edges[~falls & ~(jump >= error)]  # what is not a number is no sign
        doubtful = [*hidden.tolist(), *np.flatnonzero(several).tolist()]
        bad = edges[falls].tolist()
        for edge in doubtful:
            if self._deadline.over():
                return None
            bad += [edge] if facets.bends_down(edge) else []
        undecided = False
        for edge in bad:
            if self._deadline.over():
                return None
            pair = self._net.pairs.on_edge(division, edge, 0.5)
            if pair is None:
                pair = self._net.pairs.exactly(division, facets, edge)
            if pair is not None:
                return Walked(proved=False, pair=pair)
            # a neuron that is 0 on both sides vanishes on the edge, too, and bends nothing
            undecided |= facets.bends_down(edge)
        return None if undecided else Walked(proved=True)
