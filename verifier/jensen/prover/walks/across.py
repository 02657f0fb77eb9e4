"""From an edge of a complex that bends down to a pair that breaks convexity exactly."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import numpy as np

from jensen.arithmetic.rational import fraction
from jensen.cells.complex import SignArray
from jensen.cells.facets import ExactFacets
from jensen.cells.jumps import gradient
from jensen.cells.layers import Layers
from jensen.cells.subdivide import Subdivision
from jensen.domains.domain import Domain
from jensen.network.relu_network import ReluNetwork
from jensen.types import FloatArray, IndexArray
from jensen.verdicts.counterexample import counterexample
from jensen.verdicts.evidence import Counterexample

SHARES = 2.0 ** -np.arange(1.0, 40.0, 3.0)  # of an edge's length, how far a pair is apart
QUARTERINGS = 200  # of the distance of a pair about an exact point
EXACT_TRIES = 6
FACES_TRIED = 8
NOISE = 1e-15


class PairFinder:
    """Finds pairs across edges of the complex of one network on one domain.

    Parameters
    ----------
    network : ReluNetwork
    domain : Domain
    layers : Layers
    scale : array (inputs,)
        The coordinates are ``x / scale``.
    first : int
        The level of the first block.
    """

    def __init__(
        self,
        network: ReluNetwork,
        domain: Domain,
        layers: Layers,
        scale: FloatArray,
        first: int,
    ) -> None:
        self._network = network
        self._domain = domain
        self._layers = layers
        self._scale = scale
        self._first = first

    def last_kink(
        self, division: Subdivision, level: int, units: IndexArray
    ) -> Counterexample | None:
        """Cross a kink of an evaluated level inside a face that it has not yet cut."""
        cells = division.cells
        signs = cells.vertices.signs[level][:, units]
        ends = cells.edges
        edge, which = np.nonzero(signs[ends[:, 0]] != signs[ends[:, 1]])
        if not len(edge):
            return None
        for i in np.unique(np.linspace(0, len(edge) - 1, FACES_TRIED).astype(int)):
            face = cells.at_face[cells.at_edge == edge[i]][0]
            around = ends[cells.at_edge[cells.at_face == face]]
            at = signs[:, which[i]][around]
            cut = around[at[:, 0] != at[:, 1]]
            unit = int(units[which[i]])
            share, _ = division.shares(level, cut[:, 0], cut[:, 1], np.full(len(cut), unit))
            points = cells.vertices.points
            at = (1 - share)[:, None] * points[cut[:, 0]] + share[:, None] * points[cut[:, 1]]
            found = self._across(at[0], at[-1], 0.5, (level, unit), cells.face_signs[face])
            if found is not None:
                return found
        return None

    def on_edge(self, division: Subdivision, edge: int, share: float) -> Counterexample | None:
        """Cross an edge at a share of the way along it."""
        cells = division.cells
        start, end = cells.vertices.points[cells.edges[edge]]
        signs = cells.edge_signs[edge]
        level, unit = self._layers.unit_of(np.flatnonzero(signs == 0)[:1])
        return self._across(start, end, share, (int(level[0]), int(unit[0])), signs)

    def _across(
        self,
        start: FloatArray,
        end: FloatArray,
        share: float,
        bends: tuple[int, int],
        signs: SignArray,
    ) -> Counterexample | None:
        """Return a pair about a point between two others."""
        middle = (1 - share) * start + share * end
        return self.about(middle, np.stack([start, end]), bends, signs)

    def about(
        self, middle: FloatArray, around: FloatArray, bends: tuple[int, int], signs: SignArray
    ) -> Counterexample | None:
        """Return a pair at a right angle to the kink of a unit, under given signs.

        Parameters
        ----------
        middle : array (coordinates,)
            On the kink.
        around : array (points, coordinates)
            Corners of the part of the kink where the signs hold: how far a pair may reach.
        bends : (level, unit)
        signs : int8 array (units,)
        """
        if middle[-1] <= 0:
            return None
        inputs = self._network.input_size
        at = self._to_input(middle)
        normal = gradient(self._layers, *bends, signs)[:inputs] / self._scale
        length = float(np.linalg.norm(normal))
        if not 0 < length < np.inf:
            return None
        ends = [self._to_input(v) for v in around if v[-1] > 0]
        reach = max([float(np.linalg.norm(v - at)) for v in ends], default=float(self._scale[0]))
        steps = (reach * SHARES / length)[:, None] * normal
        values = self._network(np.concatenate([at - steps, at + steps, at[None]]))[:, 0]
        change = values[: len(SHARES)] + values[len(SHARES) : -1] - 2 * values[-1]
        falls = np.flatnonzero(change < -NOISE * np.abs(values).max())
        neuron = self._network.blocks[bends[0] - self._first].name, bends[1]
        for k in falls[:EXACT_TRIES]:
            found = self._pair(map(Fraction, at - steps[k]), map(Fraction, at + steps[k]), neuron)
            if found is not None:
                return found
        return None

    def exactly(
        self, division: Subdivision, facets: ExactFacets, edge: int
    ) -> Counterexample | None:
        """Return a pair about the exact middle of an edge, close enough together."""
        inputs = self._network.input_size
        start, end = division.cells.edges[edge].tolist()
        middle = (division.exact.point(start) + division.exact.point(end)).entries()
        if middle[-1] == 0:
            return None
        scale = [Fraction(float(v)) for v in self._scale]
        at = [s * fraction(v / middle[-1]) for s, v in zip(scale, middle, strict=False)]
        step = [v / s for v, s in zip(facets.normal(edge), scale, strict=False)]
        size = max(map(abs, step))
        if not size:
            return None
        step = [v / size * max(scale) for v in step[:inputs]]
        for k in range(QUARTERINGS):
            near = [v / 4**k for v in step]
            before = [a - d for a, d in zip(at, near, strict=True)]
            behind = [a + d for a, d in zip(at, near, strict=True)]
            found = self._pair(before, behind)
            if found is not None:
                return found
        return None

    def _to_input(self, point: FloatArray) -> FloatArray:
        finite: FloatArray = self._scale * (point / point[-1])[: self._network.input_size]
        return finite

    def _pair(
        self, x: Iterable[Fraction], y: Iterable[Fraction], neuron: tuple[str, int] | None = None
    ) -> Counterexample | None:
        return counterexample(self._network, self._domain, list(x), list(y), neuron)
