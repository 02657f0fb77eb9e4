"""Few inputs: look at every kink everywhere, along the edges of the complex.

In the plane a kink is a line or a polyline, cut into edges by the others; J of the unit that
bends is a constant on each. All edges are found and looked at in one pass per level
(:mod:`jensen.cells`), so that the sign of every jump is known. The last level need not be cut
into cells: only where its units change sign on the other kinks matters.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from jensen.arithmetic.rational import fraction
from jensen.cells.complex import ExactVertices, IndexArray, SignArray, TooDegenerateError
from jensen.cells.facets import ExactFacets
from jensen.cells.jumps import carry, gradient, rounding_of
from jensen.cells.layers import Layers, layers_of_network
from jensen.cells.start import coordinate_scale, domain_rows, is_flat, keep_inside, starting_complex
from jensen.cells.subdivide import Subdivision
from jensen.domains.domain import Domain, Polyhedron
from jensen.network.relu_network import FloatArray, ReluNetwork
from jensen.prover.counterexample import counterexample
from jensen.prover.verdict import Counterexample

EXACT_LIMIT = 4000  # exact evaluations before the walk gives up
SIZE_LIMIT = 2e8  # signs held at a time (edges times units)
CHUNK = 1 << 22  # numbers in a table of patterns at a time
STEPS = 2.0 ** -np.arange(1, 40, 3)
HALVINGS = 200  # of an exact pair's distance, by four


@dataclass(frozen=True, eq=False)
class Walked:
    """What the walk found out.

    Attributes
    ----------
    proved : bool
        J >= 0 on every edge: the network is convex on the domain.
    pair : Counterexample or None
    """

    proved: bool
    pair: Counterexample | None = None


def can_walk(network: ReluNetwork, domain: Domain) -> bool:
    """Whether a network and a domain are of the kind that is walked."""
    inputs = network.input_size
    if inputs > 2 or is_flat(domain, inputs):
        return False
    return not (inputs == 1 and isinstance(domain, Polyhedron))


def walk_kinks(
    network: ReluNetwork,
    domain: Domain,
    closed: dict[str, np.ndarray],
    deadline: float | None = None,
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
    deadline : float or None
        On the clock of ``time.monotonic``.
    """
    try:
        return _Walk(network, domain, closed, deadline).run()
    except TooDegenerateError:
        return None


class _Walk:
    def __init__(
        self,
        network: ReluNetwork,
        domain: Domain,
        closed: dict[str, np.ndarray],
        deadline: float | None,
    ) -> None:
        self._network = network
        self._domain = domain
        self._deadline = deadline
        self._scale = coordinate_scale(network, domain)
        rows = domain_rows(domain, self._scale)
        self._first = 0 if rows is None else 1
        self.layers = layers_of_network(network, self._scale, rows)
        ok = [closed[block.name] if block.is_relu else np.ones(block.size, dtype=bool) for block in network.hidden]
        start = [] if rows is None else [np.ones(rows.size, dtype=bool)]
        self._closed = np.concatenate([*start, *ok]) if ok else np.zeros(0, dtype=bool)
        self._level_of = np.repeat(np.arange(len(self.layers.layers) - 1), np.diff(self.layers.columns))

    def run(self) -> Walked | None:
        layers = self.layers
        if not layers.usable or not len(layers.hidden):
            return None
        cells = starting_complex(self._domain, self._scale, layers.width)
        exact = ExactVertices(layers, cells.vertices, EXACT_LIMIT)
        division = Subdivision(layers, cells, exact)
        last = layers.hidden[-1]
        for level in layers.hidden:
            if self._is_over(division):
                return None
            division.evaluate(level)
            if level == last and level >= self._first:
                found = self._last_level(division, level)
                if found is not None:
                    return found
            division.split(level)
            division.forget(level)
            if level < self._first:
                division.cells = keep_inside(division.cells, layers.layers[0].size)
                if not len(division.cells.face_signs):
                    return None
        return self._every_edge(division)

    def _is_over(self, division: Subdivision) -> bool:
        late = self._deadline is not None and time.monotonic() > self._deadline
        return late or division.cells.edge_signs.size > SIZE_LIMIT

    # ------------------------------------------------------------- the last level, quickly

    def _last_level(self, division: Subdivision, level: int) -> Walked | None:
        """Decide without cutting the complex by the last level; None if that does not do."""
        cells, layers = division.cells, self.layers
        span = layers.span(level)
        signs = cells.vertices.signs[level]
        out = layers.layers[-1]
        weights = np.zeros(layers.layers[level].size)
        for read in out.reads:
            if read.level == level:
                weights = read.on[0]
        bending = (weights < 0) & layers.layers[level].kink
        start, end = cells.edges[:, 0], cells.edges[:, 1]
        if bending.any():
            if not signs[:, bending].all():
                return None
            crossed = signs[start][:, bending] != signs[end][:, bending]
            if crossed.any():
                return self._try_last(division, level, np.flatnonzero(bending), crossed)
        zero = cells.edge_signs == 0
        zero[:, span.start :] = False
        count = np.count_nonzero(zero, axis=1)
        if (count > 1).any():
            return None
        open_edges, column = np.nonzero(zero & ~self._closed)
        if not len(open_edges):
            return Walked(proved=True)
        bends = self._level_of[column], column - layers.columns[self._level_of[column]]
        return self._jumps(division, level, open_edges, bends, weights)

    def _jumps(
        self,
        division: Subdivision,
        level: int,
        edges: IndexArray,
        bends: tuple[IndexArray, IndexArray],
        weights: FloatArray,
    ) -> Walked | None:
        """Look at J on every part of the edges between the kinks of the last level."""
        layers, cells = self.layers, division.cells
        size = layers.layers[level].size
        step = max(1, CHUNK // max(1, layers.width))
        worst: list[tuple[float, int, float]] = []
        for first in range(0, len(edges), step):
            part = slice(first, first + step)
            found = self._part(division, level, edges[part], (bends[0][part], bends[1][part]), weights, size)
            if found is None:
                return None
            worst += found
        if not worst:
            return Walked(proved=True)
        for _, edge, share in sorted(worst)[:8]:
            pair = self._pair(division, edge, share)
            if pair is not None:
                return Walked(proved=False, pair=pair)
        return None

    def _part(self, division, level, edges, bends, weights, size):  # type: ignore[no-untyped-def]
        layers, cells = self.layers, division.cells
        signs = cells.vertices.signs[level]
        start, end = cells.edges[edges, 0], cells.edges[edges, 1]
        at_start, at_end = signs[start], signs[end]
        carried = carry(layers, *bends, cells.edge_signs[edges], level)
        direct, direct_size = self._direct(carried, bends, cells.edge_signs[edges], level)
        change, change_size = carried.get(level, (np.zeros((len(edges), size)),) * 2)
        coefficient, coefficient_size = change * weights, change_size * np.abs(weights)
        base = at_start + at_end
        both = (at_start == 0) & (at_end == 0) & (coefficient_size != 0)
        if both.any():
            return None
        edge, unit = np.nonzero(at_start * at_end < 0)
        share, spread = division.shares(level, start[edge], end[edge], unit)
        order = np.lexsort((share, edge))
        edge, unit, share, spread = edge[order], unit[order], share[order], spread[order]
        counts = np.bincount(edge, minlength=len(edges))
        offset = np.cumsum(counts) - counts
        rank = np.arange(len(edge)) - offset[edge]
        ranks = np.full(at_start.shape, size, dtype=np.int32)
        ranks[edge, unit] = rank
        row = np.repeat(np.arange(len(edges)), counts + 1)
        place = np.arange(len(row)) - np.repeat(offset + np.arange(len(edges)), counts + 1)
        # units that do not cut the edge have a rank beyond all places
        here = np.where(base != 0, base, at_start)[row]
        on = np.where(place[:, None] <= ranks[row], here, -here) > 0
        jump = np.einsum("ij,ij->i", on, coefficient[row]) + direct[row]
        total = np.einsum("ij,ij->i", on, coefficient_size[row]) + direct_size[row]
        error = rounding_of(layers) * total
        gap_low = np.zeros(len(row))
        gap_high = np.ones(len(row))
        last = np.cumsum(counts + 1) - 1
        inner = np.ones(len(row), dtype=bool)
        inner[last] = False
        gap_high[inner] = share
        gap_low[np.flatnonzero(inner) + 1] = share
        width = np.zeros(len(row))
        width[inner] += spread
        width[np.flatnonzero(inner) + 1] += spread
        certain = gap_high - gap_low > 1.01 * width
        if not certain.all():
            cuts = ranks < size
            free = np.minimum(np.where(cuts, coefficient, 0.0), 0.0).sum(axis=1)
            fixed = np.einsum("ij,ij->i", (here > 0) & ~cuts[row], coefficient[row])
            low = free[row] + fixed + direct[row]
            whole = coefficient_size.sum(axis=1)[row] + direct_size[row]
            if (~certain & (low < rounding_of(layers) * whole)).any():
                return None
        negative = certain & (jump < -error)
        if (certain & ~negative & (jump < error)).any():
            return None
        at = np.flatnonzero(negative)
        middle = (gap_low + gap_high) / 2
        return [(float(jump[i]) * float(gap_high[i] - gap_low[i]), int(edges[row[i]]), float(middle[i])) for i in at]

    def _direct(self, carried, bends, signs, level):  # type: ignore[no-untyped-def]
        """Return what reaches the output past the last level."""
        direct = np.zeros(len(signs))
        size = np.zeros(len(signs))
        for read in self.layers.layers[-1].reads:
            if read.level == level:
                continue
            start = np.flatnonzero(bends[0] == read.level)
            weight = read.on[0] if read.off is None else read.on[0] - read.off[0]
            direct[start] += weight[bends[1][start]]
            size[start] += np.abs(weight[bends[1][start]])
            if read.level in carried:
                before, before_size = carried[read.level]
                here = signs[:, self.layers.span(read.level)]
                direct += (before * (here > 0)) @ read.on[0]
                size += (before_size * (here > 0)) @ np.abs(read.on[0])
                if read.off is not None:
                    direct += (before * (here < 0)) @ read.off[0]
                    size += (before_size * (here < 0)) @ np.abs(read.off[0])
        return direct, size

    # ---------------------------------------------------------------- all levels, exactly

    def _every_edge(self, division: Subdivision) -> Walked | None:
        """Look at all edges of the whole complex; in rational arithmetic where need be."""
        cells, layers = division.cells, self.layers
        zero = cells.edge_signs == 0
        inner = np.bincount(cells.at_edge, minlength=len(cells.edges)) == 2
        asked = inner & (zero & ~self._closed).any(axis=1)
        count = np.count_nonzero(zero, axis=1)
        several = asked & (count > 1)
        edges = np.flatnonzero(asked & ~several)
        column = np.argmax(zero[edges], axis=1)
        bends = self._level_of[column], column - layers.columns[self._level_of[column]]
        carried = carry(layers, *bends, cells.edge_signs[edges], layers.hidden[-1])
        jump, size = self._direct(carried, bends, cells.edge_signs[edges], -1)
        error = rounding_of(layers) * size
        facets = ExactFacets(division)
        bad = edges[jump < -error]
        doubtful = np.concatenate([edges[(np.abs(jump) < error)], np.flatnonzero(several)])
        bad = np.concatenate([bad, [e for e in doubtful.tolist() if facets.bends_down(e)]])
        for edge in bad.astype(int).tolist():
            pair = self._pair(division, edge, 0.5) or self._exact_pair(division, facets, edge)
            if pair is not None:
                return Walked(proved=False, pair=pair)
        return None if len(bad) else Walked(proved=True)

    # --------------------------------------------------------------------------- pairs

    def _try_last(
        self, division: Subdivision, level: int, units: IndexArray, crossed: SignArray
    ) -> Walked | None:
        """Cross the kink of a last unit that bends down, in a face that it crosses."""
        cells = division.cells
        edge, which = np.nonzero(crossed)
        for i in np.unique(np.linspace(0, len(edge) - 1, 8).astype(int)):
            unit = int(units[which[i]])
            face = cells.at_face[cells.at_edge == edge[i]][0]
            ends = cells.edges[cells.at_edge[cells.at_face == face]]
            signs = cells.vertices.signs[level][:, unit][ends]
            cut = ends[signs[:, 0] != signs[:, 1]]
            share, _ = division.shares(level, cut[:, 0], cut[:, 1], np.full(len(cut), unit))
            points = cells.vertices.points
            at = points[cut[:, 0]] * (1 - share)[:, None] + points[cut[:, 1]] * share[:, None]
            if len(at) == 2:
                pair = self._across(at[0], at[1], 0.5, (level, unit), cells.face_signs[face])
                if pair is not None:
                    return Walked(proved=False, pair=pair)
        return None

    def _pair(self, division: Subdivision, edge: int, share: float) -> Counterexample | None:
        cells = division.cells
        start, end = cells.vertices.points[cells.edges[edge]]
        signs = cells.edge_signs[edge]
        column = int(np.flatnonzero(signs == 0)[0])
        level = int(self._level_of[column])
        unit = column - int(self.layers.columns[level])
        return self._across(start, end, share, (level, unit), signs)

    def _across(
        self,
        start: FloatArray,
        end: FloatArray,
        share: float,
        bends: tuple[int, int],
        signs: SignArray,
    ) -> Counterexample | None:
        """Return a pair across an edge, at a right angle to it, that breaks convexity exactly."""
        middle = (1 - share) * start + share * end
        if middle[-1] <= 0:
            return None
        inputs = self._network.input_size
        at = self._scale * (middle / middle[-1])[:inputs]
        normal = gradient(self.layers, *bends, signs)[:inputs] / self._scale
        length = float(np.linalg.norm(normal))
        if not 0 < length < np.inf:
            return None
        ends = [self._scale * (v / v[-1])[:inputs] for v in (start, end) if v[-1] > 0]
        reach = max([float(np.linalg.norm(v - at)) for v in ends] or [float(self._scale[0])])
        shift = (reach * STEPS / length)[:, None] * normal
        values = self._network(np.concatenate([at - shift, at + shift, at[None]]))[:, 0]
        count = len(STEPS)
        change = values[:count] + values[count:-1] - 2 * values[-1]
        falls = np.flatnonzero(change < -1e-15 * np.abs(values).max())
        block = self._network.blocks[bends[0] - self._first]
        for k in falls[:6]:
            pair = [[Fraction(float(v)) for v in at + sign * shift[k]] for sign in (-1, 1)]
            found = counterexample(
                self._network, self._domain, pair[0], pair[1], (block.name, bends[1])
            )
            if found is not None:
                return found
        return None

    def _exact_pair(
        self, division: Subdivision, facets: ExactFacets, edge: int
    ) -> Counterexample | None:
        """Return a pair about the exact middle of an edge, close enough together."""
        inputs = self._network.input_size
        start, end = division.cells.edges[edge].tolist()
        middle = division.exact.point(start) + division.exact.point(end)
        if middle[middle.nrows() - 1, 0] == 0:
            return None
        scale = [Fraction(float(v)) for v in self._scale]
        last = fraction(middle[middle.nrows() - 1, 0])
        at = [scale[i] * fraction(middle[i, 0]) / last for i in range(inputs)]
        normal = facets.normal(edge)[:inputs]
        if not any(normal):
            return None
        step = [v / s for v, s in zip(normal, scale, strict=True)]
        size = max(abs(v) for v in step)
        step = [v / size * max(scale) for v in step]
        for k in range(HALVINGS):
            delta = [v / 4**k for v in step]
            pair = [[a + sign * d for a, d in zip(at, delta, strict=True)] for sign in (-1, 1)]
            found = counterexample(self._network, self._domain, pair[0], pair[1])
            if found is not None:
                return found
        return None
