"""The worst midpoint violation of a network with one input, exactly.

Two of three hold for some worst pair: x is an end of the interval or a kink at which f bends
up; so is y; the middle is a kink at which f bends down. All such pairs are tried.

References
----------
docs/theory.md, section 6.
"""

from __future__ import annotations

import itertools
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from jensen.arithmetic.intervals import round_down, round_up
from jensen.arithmetic.rational import ZERO, fraction, rational
from jensen.domains.domain import Domain
from jensen.midpoint.feasible import Feasible
from jensen.midpoint.pair_violation import Violation
from jensen.midpoint.worst_pair import OPTIMAL, concluded, worst_pair
from jensen.network.relu_network import ReluNetwork
from jensen_encodings.deadline import NEVER, Deadline

INTERVAL_SHARE = 0.5  # of the time that is left, for all pairs of kinks


def box_violation(
    network: ReluNetwork,
    box: Domain,
    deadline: Deadline,
    *,
    output: int = 0,
    gap: float = 1e-4,
    engine: str = "tree",
    feasible: Feasible | None = None,
    **options: Any,
) -> Violation:
    """Measure all pairs of a box: of one input exactly, if there is time.

    Parameters
    ----------
    network : ReluNetwork
    box : Domain
    deadline : Deadline
    output, gap, engine, feasible, options
        As for :func:`jensen.midpoint.worst_pair.worst_pair`.
    """
    options |= {"output": output, "gap": gap, "engine": engine, "feasible": feasible}
    if network.input_size == 1 and engine == "tree" and feasible is None:
        part = deadline.share(INTERVAL_SHARE)
        try:
            found = interval_violation(network.select_output(output), box, part)
        except KeyboardInterrupt:
            known = worst_pair(network, box, time_limit=0.0, **options)
            return replace(known, status="interrupted")
        if found is not None:
            return concluded(found, gap)
    return worst_pair(network, box, time_limit=deadline.seconds(), **options)


def interval_violation(network: ReluNetwork, box: Domain, deadline: Deadline) -> Violation | None:
    """Measure the worst violation over pairs of an interval; None if time was up before.

    Parameters
    ----------
    network : ReluNetwork
        With one input and one output.
    box : Domain
        A box.
    deadline : Deadline
    """
    began = time.perf_counter()
    sides = box.box_sides(1)
    assert sides is not None
    lower, upper = (Fraction(float(side[0])) for side in sides)
    inner = kinks(network, deadline)
    if inner is None:
        return None
    every = sorted({lower, upper, *(p for p in inner if lower < p < upper)})
    points = [rational(p) for p in every]
    f = _Pieces(points, [rational(v) for (v,) in network.exact_at([[p] for p in every])])
    best = (ZERO, points[0], points[0])
    for k, x in enumerate(f.up):
        if deadline.over():
            return None
        others = [(y, (x + y) / 2) for y in f.up[k + 1 :]]
        others += [(2 * m - x, m) for m in f.down if points[0] <= 2 * m - x <= points[-1]]
        at_x = f(x)
        for y, m in others:
            violation = f(m) - (at_x + f(y)) / 2
            if violation > best[0]:
                best = violation, x, y
    exact, x, y = map(fraction, best)
    times = {"kinks": time.perf_counter() - began}
    bounds = round_down(exact), round_up(exact)
    return Violation(*bounds, (x,), (y,), exact, OPTIMAL, times=times)


class _Pieces:
    """A continuous piecewise-linear function between its first and its last point."""

    def __init__(self, points: Sequence[Any], values: Sequence[Any]) -> None:
        self._points, self._values = points, values
        self._slopes = [
            (w - v) / (q - p)
            for (p, q), (v, w) in zip(
                itertools.pairwise(points), itertools.pairwise(values), strict=True
            )
        ]
        inner = list(zip(points[1:-1], itertools.pairwise(self._slopes), strict=True))
        ends = {points[0], points[-1]}
        self.up = sorted(ends | {p for p, (before, after) in inner if before < after})
        self.down = [p for p, (before, after) in inner if before > after]

    def __call__(self, x: Any) -> Any:
        if x == self._points[0]:
            return self._values[0]
        piece = bisect_left(self._points, x) - 1
        return self._values[piece] + self._slopes[piece] * (x - self._points[piece])


def kinks(network: ReluNetwork, deadline: Deadline = NEVER) -> list[Fraction] | None:
    """Return every point at which a neuron of a network with one input changes sign, exactly.

    None where time is up before.
    """
    points: set[Fraction] = set()
    for block in network.hidden:
        if not block.is_relu:
            continue
        inner = sorted(points) or [Fraction(0)]
        grid = [inner[0] - 1, *inner, inner[-1] + 1]
        values = []
        for p in grid:
            if deadline.over():
                return None
            values.append(network.exact_pre_activations([p])[block.name].to_fractions())
        for k, (p, q) in enumerate(itertools.pairwise(grid)):
            for a, b in zip(values[k], values[k + 1], strict=True):
                if a == b:
                    continue
                root = p + (q - p) * a / (a - b)
                outward = (k == 0 and root < p) or (k == len(grid) - 2 and root > q)
                if p <= root <= q or outward:
                    points.add(root)
    return sorted(points)
