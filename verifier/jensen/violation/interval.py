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
from typing import Any

from jensen.arithmetic.intervals import round_down, round_up
from jensen.arithmetic.rational import ZERO, fraction, rational
from jensen.domains.domain import Domain
from jensen.midpoint.worst_pair import OPTIMAL, Violation
from jensen.network.relu_network import ReluNetwork
from jensen_encodings.deadline import Deadline


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
    points = _kinks(network, [rational(float(side[0])) for side in sides], deadline)
    if points is None:
        return None
    f = _Pieces(points, [rational(v) for (v,) in network.exact_at([[fraction(p)] for p in points])])
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


def _kinks(network: ReluNetwork, ends: Sequence[Any], deadline: Deadline) -> list[Any] | None:
    """Return points in order between which every unit is affine."""
    points = sorted(set(ends))
    for block in network.hidden:
        if not block.is_relu:
            continue
        values = []
        for point in points:
            if deadline.over():
                return None
            z = network.exact_pre_activations([fraction(point)])[block.name].to_fractions()
            values.append([rational(v) for v in z])
        more = {
            p + (q - p) * a / (a - b)
            for (p, q), pair in zip(
                itertools.pairwise(points), itertools.pairwise(values), strict=True
            )
            for a, b in zip(*pair, strict=True)
            if a * b < 0
        }
        points = sorted({*points, *more})
    return points
