"""Midpoint violations on all of R^n: unbounded, or finite (docs/theory.md, section 10).

Far out f behaves like its recession function ``f_inf(d) = lim f(s d) / s``, the network
without biases. Where that bends down, ever longer pairs violate convexity by ever more;
where it is convex, no pair violates it by more than the biases can do.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from jensen.arithmetic.intervals import interval_affine, round_down
from jensen.bounds.pre_activation import pre_activation_bounds
from jensen.decide import verify
from jensen.domains.domain import Box
from jensen.midpoint.pair_violation import UNBOUNDED, Violation
from jensen.midpoint.worst_pair import concluded
from jensen.network.fixing import blocks_on_plane
from jensen.network.relu_network import INPUT, OUTPUT, Block, ReluNetwork
from jensen.prover.lines.line_search import kink_distance
from jensen.types import Interval
from jensen.verdicts.counterexample import Point, exact_violation
from jensen.verdicts.verdict import Status
from jensen.violation.interval import box_violation, kinks
from jensen_encodings.deadline import NEVER, Deadline
from jensen_encodings.highs import Progress

FIRST_REACH = 4.0  # half side of the first box, in typical distances of kinks from 0
GROWTH = 4.0
BOXES = 8
FIRST_NODES = 64  # per group, before the faces of the cube are looked at one by one
ON_BOXES = "optimal on boxes"


def recession_network(network: ReluNetwork) -> ReluNetwork:
    """Return ``f_inf``: the network with all biases 0, which is positively homogeneous."""
    blocks = [
        Block(block.name, block.weights, np.zeros(block.size), block.activation)
        for block in network.blocks
    ]
    return ReluNetwork(network.input_size, blocks)


@dataclass(frozen=True)
class Recession:
    """Whether f bends down at infinity.

    Attributes
    ----------
    status : Status
        Of the recession function on R^n: "nonconvex" means that violations are unbounded.
    x, y : tuple of Fraction, or None
        Directions with ``rate = f_inf((x+y)/2) - (f_inf(x)+f_inf(y))/2 > 0``: the pair
        ``(s x, s y)`` violates convexity of f by at least ``s * rate`` less a constant.
    rate : Fraction
    """

    status: Status
    x: Point | None = None
    y: Point | None = None
    rate: Fraction = Fraction(0)


def recession(network: ReluNetwork, *, time_limit: float | None = None, seed: int = 0) -> Recession:
    """Decide whether the recession function of a scalar network is convex.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    time_limit : float or None
    seed : int

    References
    ----------
    docs/theory.md, section 10.
    """
    homogeneous = recession_network(network)
    if network.input_size == 1:
        return _on_both_sides(homogeneous)
    deadline = Deadline.after(time_limit)
    # positively homogeneous: convex on R^n if and only if on a box around 0
    verdict = verify(
        homogeneous, Box(-1.0, 1.0), time_limit=time_limit, node_limit=FIRST_NODES, seed=seed
    )
    if verdict.counterexample is not None:
        return _growth(verdict.counterexample.x, verdict.counterexample.y, homogeneous)
    if verdict.status is Status.CONVEX:
        return Recession(Status.CONVEX)
    return _face_by_face(homogeneous, deadline, seed)


def _face_by_face(homogeneous: ReluNetwork, deadline: Deadline, seed: int) -> Recession:
    """Decide on the faces of a cube around 0, where the origin is not in the way."""
    for index, sign in itertools.product(range(homogeneous.input_size), (1.0, -1.0)):
        if deadline.over():
            return Recession(Status.UNKNOWN)
        blocks = blocks_on_plane(homogeneous.blocks, index, sign)
        verdict = verify(
            ReluNetwork(homogeneous.input_size - 1, blocks),
            Box(-2.0, 2.0),
            time_limit=deadline.seconds(1e-3),
            seed=seed,
        )
        if verdict.counterexample is not None:
            ends = (verdict.counterexample.x, verdict.counterexample.y)
            x, y = ((*p[:index], Fraction(sign), *p[index:]) for p in ends)
            return _growth(x, y, homogeneous)
        if verdict.status is not Status.CONVEX:
            return Recession(Status.UNKNOWN)
    return Recession(Status.CONVEX)


def _growth(x: Point, y: Point, homogeneous: ReluNetwork) -> Recession:
    return Recession(Status.NONCONVEX, x, y, exact_violation(homogeneous, x, y))


def _on_both_sides(homogeneous: ReluNetwork) -> Recession:
    """Decide for one input: the function is convex if its slopes at 0 do not fall."""
    found = _growth((Fraction(-1),), (Fraction(1),), homogeneous)
    return found if found.rate > 0 else Recession(Status.CONVEX)


def growth_rate(network: ReluNetwork, x: Point, y: Point) -> Fraction:
    """Return ``f_inf((x+y)/2) - (f_inf(x)+f_inf(y))/2`` exactly, for a scalar network.

    The pair ``(s x, s y)`` violates convexity of f by s times as much, up to a constant.
    """
    return exact_violation(recession_network(network), x, y)


def bias_bound(network: ReluNetwork) -> float:
    """Return a proved bound of every midpoint violation on R^n, if f_inf is convex.

    For every neuron the difference ``q = h - h_inf`` to the bias-free network is bounded on
    R^n. The violation of f is that of f_inf, which is <= 0, plus that of the difference,
    which is at most the width of its range; half of it for neurons that read the input only,
    whose difference is monotone along the segment.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    """
    signs = pre_activation_bounds(recession_network(network), -1.0, 1.0)
    difference: dict[str, Interval] = {}
    violation: dict[str, Interval] = {}
    for block in network.blocks:
        sources = [s for s in block.weights if s != INPUT]
        of = {
            name: interval_affine([(block.weights[s], found[s]) for s in sources], bias)
            for name, found, bias in (
                ("difference", difference, block.bias),
                ("violation", violation, np.zeros(block.size)),
            )
        }
        low, high = of["difference"]
        if not block.is_relu:
            difference[block.name], violation[block.name] = (low, high), of["violation"]
            continue
        below, above = signs[block.name]
        passed = np.maximum(0.0, high)
        least = np.where(above <= 0, 0.0, np.where(below >= 0, low, np.minimum(0.0, low)))
        least = np.where((above <= 0) & (below >= 0), np.maximum(0.0, low), least)
        width = np.nextafter(passed - least, np.inf)
        width = np.where(passed == least, 0.0, width if sources else width / 2)
        difference[block.name], violation[block.name] = (least, passed), (-width, width)
    low, high = difference[OUTPUT]
    return float(min(np.nextafter(high[0] - low[0], np.inf), max(violation[OUTPUT][1][0], 0.0)))


def everywhere_violation(
    network: ReluNetwork,
    *,
    output: int = 0,
    time_limit: float | None = None,
    gap: float = 1e-4,
    threads: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    seed: int = 0,
) -> Violation:
    """Bound the worst midpoint violation over pairs of R^n.

    The status is ``"unbounded"``, and ``upper`` infinite, if violations grow without
    bound; the pair then shows one of them, and its multiples ever larger ones. Else
    ``upper`` holds on R^n: that of a box outside which nothing is worse in one dimension, and
    what the biases can do at most in more.

    Parameters
    ----------
    See :func:`jensen.worst_violation`.

    References
    ----------
    docs/theory.md, section 10.
    """
    search = _Everywhere(network.select_output(output), time_limit, gap, threads, progress, seed)
    return search.run()


class _Everywhere:
    """One scalar network on R^n."""

    def __init__(
        self,
        network: ReluNetwork,
        time_limit: float | None,
        gap: float,
        threads: int | None,
        progress: Callable[[Progress], None] | None,
        seed: int,
    ) -> None:
        self._network = network
        self._deadline = Deadline.after(time_limit)
        self._gap = gap
        self._threads = threads
        self._progress = progress
        self._seed = seed

    def run(self) -> Violation:
        began = time.perf_counter()
        found = recession(self._network, time_limit=self._deadline.seconds(1e-3), seed=self._seed)
        spent = {"recession": time.perf_counter() - began}
        if found.x is not None and found.y is not None:
            pair = _scaled_pair(self._network, found)
            return self._with_pair(pair, math.inf, UNBOUNDED, spent)
        cap = bias_bound(self._network) if found.status is Status.CONVEX else math.inf
        if cap == 0:
            origin = (Fraction(0),) * self._network.input_size
            return self._with_pair((origin, origin), 0.0, "optimal", spent)
        if self._network.input_size == 1 and found.status is Status.CONVEX:
            interval = decisive_interval(self._network, self._deadline)
            if interval is not None:
                result = self._on(interval, cap)
                return replace(result, times=spent | dict(result.times))
        return self._on_growing_boxes(cap, spent)

    def _on_growing_boxes(self, cap: float, spent: dict[str, float]) -> Violation:
        """Search boxes of growing size until the worst pair no longer changes."""
        reach = FIRST_REACH * kink_distance(self._network)
        best: Violation | None = None
        nodes = 0
        for _ in range(BOXES):
            result = self._on(Box(-reach, reach), cap, share=0.5)
            nodes += result.nodes
            settled = best is not None and result.exact_lower <= best.exact_lower
            if best is None or result.exact_lower > best.exact_lower:
                best = result
            if result.status == "interrupted" or settled or self._deadline.over():
                break
            if best.lower > 0 and cap <= best.lower * (1 + self._gap):
                break
            reach *= GROWTH
        assert best is not None
        status = best.status
        if result.status == "interrupted":
            status = result.status
        elif math.isinf(cap):
            status = "undecided at infinity"
        elif status == "optimal" and cap > best.lower * (1 + self._gap):
            status = ON_BOXES
        times = spent | {"boxes": sum(best.times.values())}
        best = replace(best, upper=cap, tolerance=None, status=status, nodes=nodes, times=times)
        return concluded(best, self._gap)

    def _on(self, box: Box, cap: float, share: float = 1.0) -> Violation:
        """Measure on a box, with a share of the time that is left."""
        result = box_violation(
            self._network,
            box,
            self._deadline.share(share),
            gap=self._gap,
            threads=self._threads,
            progress=self._progress,
            seed=self._seed,
        )
        if cap < result.upper:
            result = replace(result, upper=max(cap, result.lower), tolerance=None)
        return concluded(result, self._gap)

    def _with_pair(
        self, pair: tuple[Point, Point], upper: float, status: str, times: dict[str, float]
    ) -> Violation:
        exact = exact_violation(self._network, *pair)
        return Violation(
            lower=round_down(exact),
            upper=upper,
            x=pair[0],
            y=pair[1],
            exact_lower=exact,
            status=status,
            times=times,
        )


def _scaled_pair(network: ReluNetwork, found: Recession) -> tuple[Point, Point]:
    """Return the smallest pair ``(s x, s y)``, s a power of two, that shows half the rate."""
    assert found.x is not None
    assert found.y is not None
    scale = Fraction(1)
    while True:
        x, y = (tuple(scale * v for v in end) for end in (found.x, found.y))
        if exact_violation(network, x, y) >= scale * found.rate / 2:
            return x, y
        scale *= 2


def decisive_interval(network: ReluNetwork, deadline: Deadline = NEVER) -> Box | None:
    """Return an interval that contains a worst pair of all of R.

    None beyond the doubles, or where time is up before all kinks are known.

    With all kinks in [a, b], worst pairs lie at kinks or are mirror images of a kink in
    another one, hence in [2a - b, 2b - a].

    Parameters
    ----------
    network : ReluNetwork
        With one input and one output, and a convex recession function.
    deadline : Deadline
    """
    points = kinks(network, deadline)
    if points is None:
        return None
    if not points:
        return Box(-1.0, 1.0)
    low, high = 2 * points[0] - points[-1], 2 * points[-1] - points[0]
    if low == high:
        low, high = low - 1, high + 1
    sides = round_down(low), -round_down(-high)
    return Box(*sides) if all(map(math.isfinite, sides)) else None
