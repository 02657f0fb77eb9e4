"""The search for the worst pair of a box, from both sides and exact on both.

First pairs come from a subgradient ascent and from the piecewise-linear structure
(:mod:`jensen.midpoint.climb`), upper bounds from a closed form, and then from the tree.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from jensen.arithmetic.exact import to_double
from jensen.blas import few_threads
from jensen.bounds.paths import sign_bounds
from jensen.groups.prepared import Prepared
from jensen.groups.twin_groups import twin_groups
from jensen.midpoint.box_pairs import BoxSearch, affordable_nodes
from jensen.midpoint.climb import PairSearch
from jensen.midpoint.feasible import Feasible
from jensen.midpoint.kink_pairs import kink_pairs
from jensen.midpoint.linked import EPS, TINY
from jensen.midpoint.raised import raise_bound, raises
from jensen.midpoint.ranges import QUICK, THOROUGH, tightened
from jensen.midpoint.tree import TreeOptions
from jensen.midpoint.trees import FIRST_SHARE, Trees, free_twins, programs_of
from jensen.network.relu_network import ReluNetwork
from jensen.types import FloatArray
from jensen_encodings import NetworkData
from jensen_encodings.deadline import NEVER, Deadline
from jensen_encodings.highs import Progress

Judge = Callable[[FloatArray, FloatArray], Fraction]

FIRST_PAIRS, FIRST_STEPS, FIRST_CLIMBS = 256, 60, 6
MORE = 4  # times as many where the tree is not small
NEAR_PAIRS, NEAR_STALE, NEAR_SHARE = 256, 300, 0.05  # around the best one; rounds; of the time
KINK_CLIMBS, KINK_STALE, KINK_SHARE = 48, 12, 0.15  # pairs around kinks; of the time
NEAR_NEURONS = 1000  # free ones, beyond which a round takes long
NEAR_GAIN = 1e-3  # of the violation: less is nothing
SMALLEST = 1e-100  # numbers beyond it, or its inverse, are not searched with
ROUNDING_SHARE = 1e-9  # of the range of f: below it, bounds are taken for 0
QUICK_NEURONS = 24  # free neurons up to which the tree is small and ranges need to be quick
BOXES_SHARES = {1: 0.5, 2: 0.7, 3: 0.15, 4: 0.3}  # of the time that is left, by inputs
AGAIN_SHARE = 0.5  # and of what is left then, before the tree over all pairs
RAISE_SHARE = 0.5  # of the time that is left, for the least jumps of all groups


@dataclass(frozen=True, eq=False)
class Found:
    """How a search ended: the exact violation of the best pair, and a true upper bound."""

    status: str
    exact: Fraction
    x: FloatArray
    y: FloatArray
    upper: float
    nodes: int
    times: dict[str, float]


class PairIncumbent:
    """The best pair so far; every improvement is judged in rational arithmetic.

    Parameters
    ----------
    data : NetworkData
    judge : callable
        The exact violation of a pair of doubles.
    deadline : Deadline
    feasible : Feasible, optional
        Where both points lie; the box of the data by default.
    """

    def __init__(
        self,
        data: NetworkData,
        judge: Judge,
        deadline: Deadline = NEVER,
        feasible: Feasible | None = None,
    ) -> None:
        self._feasible = feasible or Feasible.box(data.input_lower, data.input_upper)
        self._judge = judge
        self._deadline = deadline
        self._search = PairSearch(data, deadline, self._feasible)
        # in one piece, as Ctrl-C may come between any two steps
        self.best: tuple[Fraction, float, FloatArray, FloatArray] = (
            Fraction(0),
            0.0,
            self._feasible.centre.copy(),
            self._feasible.centre.copy(),
        )

    @property
    def value(self) -> float:
        """The violation, rounded."""
        return self.best[1]

    def start(self, seed: int, deadline: Deadline = NEVER, times: int = 1) -> None:
        """Ascend from random pairs, and climb from the best ones, so many times as usual."""
        if deadline.over():
            return
        rng = np.random.default_rng(seed)
        pairs = self._search.random_ascent(times * FIRST_PAIRS, FIRST_STEPS, rng, deadline)
        self._climb_from(np.stack(pairs, axis=1), times * FIRST_CLIMBS, deadline)

    def look_at_kinks(self, prepared: Prepared, seed: int, deadline: Deadline = NEVER) -> None:
        """Climb from pairs around the kinks that bend down most."""
        if not deadline.over():
            pairs = kink_pairs(prepared, self._feasible, self._search.violation, seed, deadline)
            self._climb_from(pairs, KINK_CLIMBS, deadline, KINK_STALE)

    def _climb_from(
        self, pairs: FloatArray, most: int, deadline: Deadline, patience: int | None = None
    ) -> None:
        """Climb from so many pairs (n, 2, inputs) of different cells, the first ones.

        With a patience, until as many in a row have found nothing.
        """
        seen: set[bytes] = set()  # most ascents end in few cells
        stale = 0
        for x, y in pairs:
            cells = self._search.pattern(np.concatenate([x, y]))
            if cells.tobytes() in seen:
                continue
            if deadline.over():
                return
            value = self.value
            self._keep(*self._search.climb(x, y, deadline))
            stale = stale + 1 if self.value <= value * (1 + NEAR_GAIN) else 0
            if stale == patience:
                return
            seen |= {cells.tobytes(), cells[:, [1, 0, 2]].tobytes()}
            if len(seen) >= 2 * most:
                return

    def look_around(self, seed: int, deadline: Deadline = NEVER) -> None:
        """Climb from pairs around the best one, near and far, until that has long found nothing."""
        rng = np.random.default_rng(seed)
        low, high = self._feasible.lower, self._feasible.upper
        stale = 0
        while stale < NEAR_STALE and not deadline.over():
            _, value, x, y = self.best
            shape = NEAR_PAIRS, 2, len(x)
            moves = 10.0 ** rng.uniform(-2.5, 0) * (high - low) / 2 * rng.normal(size=shape)
            moves[rng.random(shape) > rng.uniform(0.1, 1.0)] = 0.0
            pairs = (np.stack([x, y]) + moves).reshape(-1, len(x))
            pairs = self._feasible.into(pairs).reshape(shape)
            best = int(self._search.violation(pairs[:, 0], pairs[:, 1]).argmax())
            self._keep(*self._search.climb(pairs[best, 0], pairs[best, 1], deadline))
            stale = stale + 1 if self.value <= value * (1 + NEAR_GAIN) else 0

    def offer(self, bases: FloatArray) -> None:
        """Climb from primal estimates that promise something: (estimates, 2, inputs)."""
        pairs = self._feasible.into(bases.reshape(-1, bases.shape[-1])).reshape(bases.shape)
        values = self._search.violation(pairs[:, 0], pairs[:, 1])
        for (x, y), value in zip(pairs, values, strict=True):
            if value > self.value:
                self._keep(*self._search.climb(x, y, self._deadline.share(FIRST_SHARE)))

    def take(self, x: Sequence[Fraction], y: Sequence[Fraction]) -> None:
        """Start from a given pair."""
        if self._deadline.over():
            return
        pair = np.array([[to_double(v) for v in x], [to_double(v) for v in y]])
        x0, y0 = (self._feasible.exactly(point) for point in pair)
        exact = self._judge(x0, y0)
        if exact > self.best[0]:
            self.best = exact, to_double(exact), x0, y0
        self._keep(*self._search.climb(x0, y0, self._deadline.share(FIRST_SHARE)))

    def _keep(self, x: FloatArray, y: FloatArray, value: float) -> None:
        if not value > self.value:
            return
        x, y = (self._feasible.exactly(p) for p in (x, y))
        exact = self._judge(x, y)
        if exact > self.best[0]:
            self.best = exact, to_double(exact), x, y


def search_pairs(
    prepared: Prepared,
    judge: Judge,
    *,
    gap: float,
    deadline: Deadline,
    seed: int,
    start: tuple[Sequence[Fraction], Sequence[Fraction]] | None,
    progress: Callable[[Progress], None] | None,
    threads: int = 1,
    feasible: Feasible | None = None,
) -> Found:
    """Bound the worst violation of a network with one output.

    Parameters
    ----------
    prepared : Prepared
        A network on a box.
    judge : callable
        The exact violation of a pair of doubles.
    gap : float
        Relative gap at which to stop.
    deadline : Deadline
    seed : int
    start : pair of points, optional
    progress : callable, optional
    threads : int
        Linear programs of the tree that are solved at a time.
    feasible : Feasible, optional
        Where both points lie, inside of the box; the box by default.
    """
    data = prepared.data
    feasible = feasible or Feasible.box(data.input_lower, data.input_upper)
    incumbent = PairIncumbent(data, judge, deadline, feasible)
    search = _Search(prepared, feasible, incumbent, gap, deadline, progress)
    status = "optimal"
    try:
        if search.upper > 0:
            if start is not None:
                incumbent.take(*start)
            if not search.divide_boxes():
                status = search.grow_trees(seed, threads)
    except KeyboardInterrupt:
        status = "interrupted"
    exact, value, x, y = incumbent.best
    upper = max(search.upper, float(np.nextafter(value, np.inf)) if exact else 0.0)
    return Found(status, exact, x, y, upper, search.nodes, search.clock.times)


@dataclass(eq=False)
class _Search:
    """What is proved so far, and by how many nodes."""

    prepared: Prepared
    feasible: Feasible
    incumbent: PairIncumbent
    gap: float
    deadline: Deadline
    progress: Callable[[Progress], None] | None
    boxes: BoxSearch | None = None

    def __post_init__(self) -> None:
        data = self.prepared.data
        self.clock = _Clock()
        self.nodes = 0
        self.upper = min(width_bound(data), jump_bound(self.prepared.network, data))

    def divide_boxes(self) -> bool:
        """Bound networks of few inputs; return whether the gap is closed."""
        data, share = self.prepared.data, AGAIN_SHARE
        nodes = affordable_nodes(data)
        # boxes know nothing of rows
        if not nodes or len(self.feasible.b) or not in_range(data):
            return False
        first = self.boxes is None
        if self.boxes is None:
            self.boxes = BoxSearch(data, self.incumbent, self.gap, self.upper, self.progress)
            share = BOXES_SHARES[data.input_size]
        try:
            with few_threads(self.prepared.network.relu_count):
                return self.boxes.run(self.deadline.share(share), nodes)
        finally:
            self.nodes, self.upper = self.boxes.nodes, min(self.upper, self.boxes.upper)
            if first:
                self.clock.lap("boxes")

    def grow_trees(self, seed: int, threads: int) -> str:
        """Bound all networks; return what ended the search."""
        network, data, deadline = self.prepared.network, self.prepared.data, self.deadline
        free = _free(data)
        small = free <= QUICK_NEURONS
        searched = QUICK_NEURONS < free <= NEAR_NEURONS and in_range(data)
        if searched:
            self.incumbent.look_at_kinks(self.prepared, seed, deadline.share(KINK_SHARE))
        self.incumbent.start(seed, deadline.share(FIRST_SHARE), 1 if small else MORE)
        self.clock.lap("search")
        if not in_range(data):
            return "precision limit"
        if deadline.over():
            return "time limit"  # what comes next takes long to set up
        if searched:
            self.incumbent.look_around(seed, deadline.share(NEAR_SHARE))
            self.clock.lap("pairs")
        effort = QUICK if small else THOROUGH
        data = tightened(data, effort, deadline.share(FIRST_SHARE))
        self.upper = min(self.upper, width_bound(data), jump_bound(network, data))
        self.clock.lap("bounds")
        raised = raises(self.prepared, deadline.share(RAISE_SHARE))
        amounts = None if raised is None else raised.amounts
        if amounts is not None:
            self.upper = min(self.upper, raise_bound(data, amounts))
        self.clock.lap("jumps")
        least = ROUNDING_SHARE * width_bound(data)
        options = TreeOptions(deadline, self.gap, least)
        programs = programs_of(data, self.feasible, self.incumbent, options, threads, amounts)
        if programs is None:
            return "time limit"
        twins = [free_twins(programs.dual.linked, group) for group in twin_groups(self.prepared)]
        trees = Trees(programs, self.incumbent, twins, self.upper, self.progress)
        try:
            if raised is not None and trees.linear:
                trees.centre(self.prepared.grouped, raised)
                self.clock.lap("centred")
            if self.divide_boxes():
                return "optimal"
            return trees.run()
        finally:
            self.nodes, self.upper = self.nodes + trees.nodes, min(self.upper, trees.upper)
            self.clock.lap("tree")


def width_bound(data: NetworkData) -> float:
    """Return ``max f - min f``, which no violation exceeds."""
    return float(np.nextafter(data.output.upper[0] - data.output.lower[0], np.inf))


def jump_bound(network: ReluNetwork, data: NetworkData) -> float:
    """Bound the worst violation by what each neuron can bend down: no search, no solver.

    The violation is ``- sum of J(a) g`` over the neurons, with the Jensen gap
    ``g = (relu(z_x) + relu(z_y)) / 2 - relu((z_x + z_y) / 2)`` of each, at most
    ``min(-l, u) / 2``, and averaged activations a in [0, 1]; 0 for input-convex networks.

    References
    ----------
    docs/theory.md, section 6.
    """
    on_off = {
        layer.name: (layer.lower >= 0, layer.upper <= 0)
        for layer in data.layers[:-1]
        if layer.is_relu
    }
    signs = sign_bounds(network, on_off)
    total, terms = 0.0, 8
    for layer in data.layers[:-1]:
        if layer.is_relu:
            reach = np.clip(np.minimum(layer.upper, -layer.lower), 0.0, None) / 2
            worst = np.maximum(-signs[layer.name][0], 0.0)
            total += float(worst @ reach)
            # of products below the normal range
            total += TINY * float(((worst > 0) & (layer.lower < 0) & (layer.upper > 0)).sum())
            terms += 2 * layer.size
    return total * (1 + terms * EPS)


def in_range(data: NetworkData) -> bool:
    """Whether all numbers are far from the ends of the range of doubles."""
    arrays = [data.input_lower, data.input_upper]
    for layer in data.layers:
        arrays += [layer.bias, layer.lower, layer.upper]
        arrays += [weight.data for weight in layer.csr.values()]
    sizes = np.abs(np.concatenate([np.ravel(array) for array in arrays]))
    sizes = sizes[sizes != 0]
    return bool(((sizes > SMALLEST) & (sizes < 1 / SMALLEST)).all())


def _free(data: NetworkData) -> int:
    return sum(len(layer.unstable()) for layer in data.layers)


class _Clock:
    def __init__(self) -> None:
        self.times: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.times[stage] = now - self._last
        self._last = now
