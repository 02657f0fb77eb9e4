"""Pairs that refute graphs too large for balls and for many evaluations: images.

Few lines, and kinks where the rules of composition end: along one input behind such a kink few
others are met, so that a short step across it shows how it bends. Points are short doubles,
so that their means are doubles and intervals enclose all three values.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from jensen.composition.curvature import Composition
from jensen.composition.explain import obstacle
from jensen.composition.pairs import counterexample
from jensen.composition.search import excess, typical_scale
from jensen.domains.domain import Domain
from jensen.graphs.convolution import row_of
from jensen.graphs.enclosures import Enclosures
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import Function
from jensen.network.block import INPUT
from jensen.prover.lines.line_search import STEPS, LineSampler
from jensen.types import BoolArray, FloatArray
from jensen.verdicts.evidence import Counterexample
from jensen_encodings.deadline import Deadline

MOST_WORK = 2e9  # products of one evaluation
ROUNDS, LINES, POINTS, KINKS = 3, 2, 9, 6
SHARES = (1e-3, 1e-4, 1e-5)  # of the length of a line
Pair = tuple[FloatArray, FloatArray]


def search_large(
    graph: FunctionGraph,
    domain: Domain,
    found: Composition,
    bounds: Enclosures,
    moving: BoolArray,
    *,
    seed: int,
    deadline: Deadline,
) -> Counterexample | None:
    """Return a proved counterexample to convexity if a short search meets one.

    Parameters
    ----------
    graph : FunctionGraph
        With one output.
    domain : Domain
    found, bounds : Composition, Enclosures
        Of the graph on the domain.
    moving : bool array (inputs,)
        Inputs in which pairs may differ.
    seed : int
    deadline : Deadline
    """
    if graph.work > MOST_WORK:
        return None
    rng = np.random.default_rng(seed)
    inputs = tuple(np.flatnonzero(moving).tolist())
    sampler = LineSampler(domain, graph.input_size, typical_scale(graph), rng, inputs)
    at_kinks = _AtKinks(graph, found, bounds, moving)
    for _ in range(ROUNDS):
        if deadline.over():
            return None
        starts, steps = sampler.lines(LINES)
        middle = starts[0] + steps[0] * (STEPS // 2)
        sides = domain.box_sides(graph.input_size)
        for pairs in (_on_lines(graph, starts, steps), at_kinks.pairs(middle, sides)):
            for start, end in pairs:
                if not np.isfinite([start, end]).all():
                    continue
                x, y = ([Fraction(float(v)) for v in p] for p in _on_a_grid(start, end))
                pair = counterexample(graph, domain, x, y, inputs=inputs)
                if pair is not None or deadline.over():
                    return pair
    return None


def _on_lines(graph: FunctionGraph, starts: FloatArray, steps: FloatArray) -> Iterator[Pair]:
    """Yield the three neighbouring points of the lines between which f rises most, if it does."""
    stretch = steps * ((STEPS - 1) / (POINTS - 1))
    points = starts[:, None, :] + np.arange(POINTS)[None, :, None] * stretch[:, None, :]
    values = graph(points.reshape(-1, points.shape[-1])).reshape(points.shape[:2])
    rise = excess(values[:, :-2], values[:, 1:-1], values[:, 2:])
    line, step = np.unravel_index(int(np.argmax(rise)), rise.shape)
    if rise[line, step] > 0:
        yield points[line, step], points[line, step + 2]


def _on_a_grid(start: FloatArray, end: FloatArray) -> Pair:
    """Return nearly the same points, of so few bits that their mean is a double."""
    largest = float(max(np.abs(start).max(), np.abs(end).max(), 1e-300))
    unit = 2.0 ** (np.floor(np.log2(largest)) - 24)
    middle, half = (np.round(v / unit) * unit for v in ((start + end) / 2, (end - start) / 2))
    return middle - half, middle + half


class _AtKinks:
    """Short pairs across the kinks of ReLUs at which the rules end."""

    def __init__(
        self, graph: FunctionGraph, found: Composition, bounds: Enclosures, moving: BoolArray
    ) -> None:
        self._graph = graph
        self._source, self._columns, self._input = "", np.empty(0, dtype=np.int64), -1
        end = obstacle(graph, bounds, found)
        if end.culprit is None:
            return
        source, column, weight = end.culprit
        if source == INPUT or graph[source].function is not Function.RELU:
            return
        columns, entries = row_of(end.node.weights[source], end.row)
        self._source, self._columns = source, columns[entries * weight > 0]
        self._input = _input_behind(graph, source, column, moving)

    def pairs(self, at: FloatArray, sides: tuple[FloatArray, FloatArray] | None) -> Iterator[Pair]:
        """Yield pairs near a point that differ in one input."""
        if self._input < 0:
            return
        k = self._input
        reach = max(float(np.abs(at).max()), 1.0)
        low, high = (at[k] - reach, at[k] + reach) if sides is None else (s[k] for s in sides)
        places = self._crossings(at, low + (high - low) * np.linspace(0.02, 0.98, POINTS))
        best: tuple[float, float, float] = (0.0, 0.0, 0.0)
        for place in places:
            for h in (high - low) * np.array(SHARES):
                values = self._graph(self._line(at, np.array([place - h, place, place + h])))[:, 0]
                rise = float(excess(values[0], values[1], values[2]))
                best = max(best, (rise, place, h))
        if best[0] > 0:
            _, place, h = best
            ends = self._line(at, np.array([place - h, place + h]))
            yield ends[0], ends[1]

    def _line(self, at: FloatArray, places: FloatArray) -> FloatArray:
        points = np.repeat(at[None], len(places), axis=0)
        points[:, self._input] = places
        return points

    def _crossings(self, at: FloatArray, places: FloatArray) -> list[float]:
        """Return where pre-activations change their signs, by two secants each."""
        z = self._graph.pre_activations(self._line(at, places))[self._source][:, self._columns]
        steps, units = np.nonzero((z[:-1] < 0) != (z[1:] < 0))
        crossings = []
        for step, unit in zip(steps[:KINKS], units[:KINKS], strict=True):
            ends = [(places[step + i], z[step + i, unit]) for i in (0, 1)]
            place = _secant(*ends)
            line = self._line(at, np.array([place]))
            value = self._graph.pre_activations(line)[self._source][0, self._columns[unit]]
            other = ends[0] if (ends[0][1] < 0) != (value < 0) else ends[1]
            crossings.append(_secant((place, value), other))
        return crossings


def _secant(first: tuple[float, float], second: tuple[float, float]) -> float:
    (a, za), (b, zb) = first, second
    return float(a if za == zb else a - za * (b - a) / (zb - za))


def _input_behind(graph: FunctionGraph, source: str, column: int, moving: BoolArray) -> int:
    """Return a moving input that a value depends on, by its largest weights; -1 if none is met."""
    while source != INPUT:
        node = graph[source]
        row = column * node.group
        best: tuple[float, str, int] = (0.0, "", -1)
        for name, weight in node.weights.items():
            columns, entries = row_of(weight, row)
            if name == INPUT:
                entries = np.where(moving[columns], entries, 0.0)
            if len(entries):
                k = int(np.argmax(np.abs(entries)))
                best = max(best, (abs(float(entries[k])), name, int(columns[k])))
        if best[2] < 0:
            return -1
        _, source, column = best
    return column
