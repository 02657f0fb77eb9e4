"""Search for a pair that breaks convexity: in doubles, so that it proposes and never decides.

Random lines first, as for ReLU networks. Then points where the least eigenvalue of a difference
quotient of the Hessian is negative, led towards more negative ones: at random, then downhill.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from jensen.arithmetic.intervals import row_norms
from jensen.composition.pairs import counterexample
from jensen.domains.domain import Domain
from jensen.graphs.convolution import Convolution
from jensen.graphs.function_graph import FunctionGraph
from jensen.network.block import INPUT
from jensen.prover.lines.line_search import STEPS, LineSampler, middle_distance
from jensen.types import FloatArray
from jensen.verdicts.evidence import Counterexample
from jensen_encodings.deadline import NEVER, Deadline

FIRST_LINES, LINES, ROUNDS = 8, 96, 3
WORK = 2e8  # multiply-adds per round: large networks get fewer lines
CANDIDATES = 6
NOISE = 1e-13
REFINEMENTS = 24
LEADERS = 8
HESSIAN_INPUTS = 24
POINTS = 192
HESSIAN_ROUNDS = 2  # points move at random towards more negative eigenvalues
PER_DESCENT = 12  # points, of which one is led downhill
DESCENT_STEPS, FIRST_STEP, SHORTER = 24, 0.2, 0.88  # as shares of the domain


def search_pair(
    graph: FunctionGraph,
    domain: Domain,
    *,
    seed: int = 0,
    inputs: tuple[int, ...] | None = None,
    deadline: Deadline = NEVER,
) -> Counterexample | None:
    """Return a proved counterexample to convexity if the search meets one.

    Parameters
    ----------
    graph : FunctionGraph
        With one output.
    domain : Domain
    seed : int
    inputs : tuple of int or None
        Pairs differ in these inputs only (partial convexity).
    deadline : Deadline
    """
    search = _Search(graph, domain, np.random.default_rng(seed), inputs)
    with np.errstate(all="ignore"):  # what overflows is no pair
        for pairs in search.rounds(deadline):
            for start, end in pairs:
                if not np.isfinite([start, end]).all():
                    continue
                for x, y in _nested(start, end):
                    found = counterexample(graph, domain, x, y, inputs=inputs, deadline=deadline)
                    if found is not None:
                        return found
                    if deadline.over():
                        return None
    return None


def _nested(start: FloatArray, end: FloatArray) -> Iterator[tuple[list[Fraction], list[Fraction]]]:
    """Yield a pair, and one a little inside it in case rounding put an end outside the domain."""
    x, y = ([Fraction(float(v)) for v in point] for point in (start, end))
    yield x, y
    share = Fraction(1, 64)
    inner = [
        ([a + (b - a) * share for a, b in zip(p, q, strict=True)]) for p, q in ((x, y), (y, x))
    ]
    yield inner[0], inner[1]


Pairs = list[tuple[FloatArray, FloatArray]]


class _Search:
    def __init__(
        self,
        graph: FunctionGraph,
        domain: Domain,
        rng: np.random.Generator,
        inputs: tuple[int, ...] | None,
    ) -> None:
        self._graph, self._domain, self._rng = graph, domain, rng
        self._scale = typical_scale(graph)
        self._sampler = LineSampler(domain, graph.input_size, self._scale, rng, inputs)
        self._moving = np.arange(graph.input_size) if inputs is None else np.array(inputs)

    def rounds(self, deadline: Deadline) -> Iterator[Pairs]:
        cost = max(1, self._graph.work)
        most = int(np.clip(WORK / (cost * STEPS), 4, LINES))
        for count in (min(most, FIRST_LINES), *[most] * ROUNDS):
            if deadline.over():
                return
            starts, steps = self._sampler.lines(count)
            yield self._on_lines(starts, steps)
            if deadline.over():
                return
            yield self._climbed(starts, steps)
        if len(self._moving) <= HESSIAN_INPUTS and not deadline.over():
            yield self._by_hessian(
                min(
                    POINTS,
                    max(8, int(WORK / cost / self._graph.input_size**2 / (1 + HESSIAN_ROUNDS))),
                )
            )

    def _values(self, points: FloatArray) -> FloatArray:
        return self._graph(points.reshape(-1, points.shape[-1])).reshape(points.shape[:-1])

    def _on_lines(self, starts: FloatArray, steps: FloatArray) -> Pairs:
        """Return the neighbouring triples between which f rises most above its chord."""
        points = starts[:, None, :] + np.arange(STEPS)[None, :, None] * steps[:, None, :]
        values = self._values(points)
        relative = excess(values[:, :-2], values[:, 1:-1], values[:, 2:])
        return [
            (points[line, step], points[line, step + 2])
            for line, step in _largest(relative, CANDIDATES)
        ]

    def _climbed(self, starts: FloatArray, steps: FloatArray) -> Pairs:
        """Move the middles and the steps of the best pairs at random, keeping what is better."""
        half = steps * (STEPS - 1) * 10.0 ** self._rng.uniform(-3, -0.5, (len(steps), 1))
        middle = starts + steps * (STEPS - 1) / 2
        score = self._bend(middle, half)
        order = np.argsort(-score)[:LEADERS]
        middle, half, score = middle[order], half[order], score[order]
        reach = np.abs(steps).max(axis=0) * STEPS
        for k in range(REFINEMENTS):
            size = 0.5 ** (k / 4)
            moved = middle + self._rng.normal(size=middle.shape) * reach * size * 0.3
            turned = half * self._rng.choice([0.5, 1.0, 2.0], (len(half), 1))
            shift = self._rng.normal(size=half.shape) * (np.abs(steps).max(axis=0) > 0)
            turned = turned + shift * np.linalg.norm(half, axis=1, keepdims=True) * size * 0.3
            moved = self._kept_inside(moved, turned)
            new = self._bend(moved, turned)
            better = new > score
            middle[better], half[better], score[better] = moved[better], turned[better], new[better]
        good = [i for i in np.argsort(-score) if score[i] > 0][:CANDIDATES]
        return [(middle[i] - half[i], middle[i] + half[i]) for i in good]

    def _kept_inside(self, middle: FloatArray, half: FloatArray) -> FloatArray:
        sides = self._domain.box_sides(middle.shape[1])
        if sides is None:
            return middle
        low, high = sides[0] + np.abs(half), sides[1] - np.abs(half)
        centre = sides[0] / 2 + sides[1] / 2
        inside: FloatArray = np.where(low <= high, np.clip(middle, low, high), centre)
        return inside

    def _bend(self, middle: FloatArray, half: FloatArray) -> FloatArray:
        """Return how much f bends down between the ends, per squared length; at most 0 if not."""
        ends = np.stack([middle - half, middle, middle + half], axis=1)
        values = self._values(ends)
        rise = excess(values[:, 0], values[:, 1], values[:, 2])
        squared = np.maximum((half**2).sum(axis=1), 1e-300)
        with np.errstate(over="ignore"):
            bent = rise / squared
        return np.where(rise > 0, bent, np.where(np.isfinite(rise), rise, -np.inf))

    def _by_hessian(self, count: int) -> Pairs:
        """Return pairs along the direction of the least second difference, at points led there."""
        starts, steps = self._sampler.lines(count)
        points = starts + steps * self._rng.uniform(4, STEPS - 5, (count, 1))
        h = np.maximum(np.abs(steps).max(axis=1, initial=0.0), 1e-300)[:, None] * 0.02
        reach = np.abs(steps).max(axis=0) * STEPS
        least, falling = self._second_differences(points, h)
        for k in range(HESSIAN_ROUNDS):
            best = np.argsort(least)[: max(1, count // LEADERS)]
            parents = np.resize(best, count)
            spread = 0.2 * 0.6**k * reach
            moved = points[parents] + self._rng.normal(size=points.shape) * spread
            moved = self._kept_inside(moved, h[parents] * np.ones_like(points))
            new, turned = self._second_differences(moved, h[parents])
            better = np.argsort(np.concatenate([least, new]))[:count]
            points = np.concatenate([points, moved])[better]
            falling = np.concatenate([falling, turned])[better]
            h = np.concatenate([h, h[parents]])[better]
            least = np.concatenate([least, new])[better]
        lead = np.argsort(least)[: max(1, count // PER_DESCENT)]
        points, h = points[lead], h[lead]
        points, falling, least = self._downhill(points, falling[lead], least[lead], h, reach)
        half = falling * h
        return [
            (points[i] - size * half[i], points[i] + size * half[i])
            for i in np.argsort(least)[:CANDIDATES]
            if least[i] < 0
            for size in (1.0, 8.0)
        ]

    def _downhill(
        self,
        points: FloatArray,
        falling: FloatArray,
        least: FloatArray,
        h: FloatArray,
        reach: FloatArray,
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Lead points along the slopes of their least eigenvalues; return the best ones met.

        In many inputs negative ones are often met in corners alone, where no random point lies.
        """
        best = [points.copy(), falling.copy(), least.copy()]
        for k in range(DESCENT_STEPS):
            slopes = self._slopes_of_curvature(points, falling, h, reach)
            size = np.maximum(np.linalg.norm(slopes, axis=1, keepdims=True), 1e-300)
            step = FIRST_STEP * SHORTER**k * reach * slopes / size
            points = self._kept_inside(points - step, h * np.ones_like(points))
            least, falling = self._second_differences(points, h)
            better = least < best[2]
            for kept, new in zip(best, (points, falling, least), strict=True):
                kept[better] = new[better]
        return best[0], best[1], best[2]

    def _slopes_of_curvature(
        self, points: FloatArray, directions: FloatArray, h: FloatArray, reach: FloatArray
    ) -> FloatArray:
        """Return how second differences along directions change across the domain, input by input.

        Finite, and up to a factor per point.
        """
        n = points.shape[1]
        sides = np.concatenate([np.eye(n), -np.eye(n)]) * reach / 100
        ends = points[:, None, :] + sides[None]
        step = (directions * h)[:, None, :]
        v = self._values(np.stack([ends - step, ends, ends + step], axis=2))
        second = v[:, :, 0] - 2 * v[:, :, 1] + v[:, :, 2]
        slopes = second[:, :n] - second[:, n:]
        largest = np.abs(slopes).max(axis=1, keepdims=True)
        return np.where(np.isfinite(largest) & (largest > 0), slopes / largest, 0.0)

    def _second_differences(
        self, points: FloatArray, h: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return the least eigenvalue of the Hessian at points, roughly, and its vector."""
        n, m, count = self._graph.input_size, len(self._moving), len(points)
        units = np.zeros((m, n))
        units[np.arange(m), self._moving] = 1.0
        hessian = np.zeros((count, m, m))
        for i in range(m):
            for j in range(i + 1):
                a, b = h * units[i], h * units[j]
                four = np.stack([points + a + b, points - a - b, points + a - b, points - a + b], 1)
                v = self._values(four)
                with np.errstate(all="ignore"):
                    second = v[:, 0] + v[:, 1] - v[:, 2] - v[:, 3]
                hessian[:, i, j] = hessian[:, j, i] = second / h[:, 0] ** 2
        hessian = np.where(np.isfinite(hessian), hessian, 0.0)
        eigenvalues, vectors = np.linalg.eigh(hessian)
        falling = np.zeros((count, n))
        falling[:, self._moving] = vectors[:, :, 0]
        return eigenvalues[:, 0], falling


def excess(a: FloatArray, m: FloatArray, b: FloatArray) -> FloatArray:
    """Return by how much f exceeds its chord, less what rounding could have made up."""
    with np.errstate(all="ignore"):
        scale = np.maximum(np.maximum(np.abs(a), np.abs(b)), np.abs(m))
        rise = m - a / 2 - b / 2 - NOISE * scale
    return np.where(np.isfinite(rise), rise, -np.inf)


def _largest(scores: FloatArray, count: int) -> list[tuple[int, int]]:
    flat = np.argsort(scores, axis=None)[::-1][:count]
    places = (np.unravel_index(index, scores.shape) for index in flat)
    return [(int(i), int(j)) for i, j in places if scores[i, j] > 0]


def typical_scale(graph: FunctionGraph) -> float:
    """Return a typical distance from 0 of the places where the first nodes' arguments vanish."""
    first = [
        node
        for node in graph.nodes[:-1]
        if INPUT in node.weights and not isinstance(node.weights[INPUT], Convolution)
    ]
    return middle_distance(
        np.concatenate([np.abs(node.bias) for node in first] or [np.empty(0)]),
        np.concatenate([row_norms(node.weights[INPUT]) for node in first] or [np.empty(0)]),
    )
