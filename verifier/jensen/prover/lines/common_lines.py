"""Equally spaced points on lines that many networks are evaluated at together."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from jensen.domains.domain import Domain
from jensen.network.stack import NetworkStack
from jensen.network.stack_exact import exact_violations
from jensen.prover.lines.line_search import NOISE, STEPS
from jensen.types import FloatArray, IndexArray
from jensen.verdicts.counterexample import Point, admits, confirmed, counterexample
from jensen.verdicts.evidence import Counterexample

Ends = tuple[Point, Point]

_CACHE = 1 << 15  # numbers in a table of values: it stays in the cache
_GRID = 2.0**-10  # of a step: points with few digits make short integers
_EXACT = 2.0**52


class CommonPoints:
    """Equally spaced points on lines, the same for many networks."""

    def __init__(
        self, domain: Domain, points: FloatArray, inputs: tuple[int, ...] | None = None
    ) -> None:
        self._domain = domain
        self._inputs = inputs
        self._lines, self._steps, dim = points.shape
        self._points = points.reshape(-1, dim)
        self._pairs: dict[int, Ends | None] = {}

    @classmethod
    def along(
        cls,
        domain: Domain,
        starts: FloatArray,
        steps: FloatArray,
        count: int,
        inputs: tuple[int, ...] | None = None,
    ) -> CommonPoints:
        """Put ``count`` points on each line, on a grid much finer than their distance."""
        steps = steps * ((STEPS - 1) / (count - 1))
        _, exponent = np.frexp(steps)
        grid = np.ldexp(_GRID, exponent)
        near = np.round(starts / grid)
        usable = (steps != 0) & (np.abs(near) < _EXACT) & (grid > 0)
        starts = np.where(usable, near * grid, starts)
        steps = np.where(usable, np.trunc(steps / grid) * grid, steps)
        points = starts[:, None, :] + np.arange(count)[None, :, None] * steps[:, None, :]
        return cls(domain, domain.clipped(points), inputs)

    def refuted(self, stack: NetworkStack) -> dict[int, Counterexample]:
        """Take the worst drop of slope that each network shows, and confirm it exactly."""
        values = _values(stack, self._points).reshape(len(stack), self._lines, self._steps)
        drop = values[..., 1:-1] - (values[..., :-2] + values[..., 2:]) / 2
        relative = drop - NOISE * np.abs(values).max(axis=2, keepdims=True)
        relative = np.where(np.isfinite(relative), relative, -1.0).reshape(len(stack), -1)
        best = relative.argmax(axis=1)
        suspects = np.flatnonzero(relative[np.arange(len(stack)), best] > 0)
        line, step = np.divmod(best[suspects], self._steps - 2)
        before = line * self._steps + step
        ends = [self._pair(first) for first in before.tolist()]
        x, y = self._points[before], self._points[before + 2]
        return confirmed_pairs(stack, self._domain, suspects, (x, y), ends, self._inputs)

    def _pair(self, first: int) -> Ends | None:
        """Return a point and the next but one, exactly, if they may refute; shared by networks."""
        if first not in self._pairs:
            x, y = self._points[first], self._points[first + 2]
            self._pairs[first] = exact_ends(self._domain, x, y, self._inputs)
        return self._pairs[first]


def exact_ends(
    domain: Domain, x: FloatArray, y: FloatArray, inputs: tuple[int, ...] | None = None
) -> Ends | None:
    """Return two points in fractions; None if they may not refute convexity on the domain."""
    one, two = (tuple(map(Fraction, point.tolist())) for point in (x, y))
    return (one, two) if admits(domain, one, two, inputs) else None


def confirmed_pairs(
    stack: NetworkStack,
    domain: Domain,
    suspects: IndexArray,
    points: tuple[FloatArray, FloatArray],
    ends: Sequence[Ends | None],
    inputs: tuple[int, ...] | None = None,
) -> dict[int, Counterexample]:
    """Return the counterexamples among pairs of points, exactly, by number of the network.

    Parameters
    ----------
    stack : NetworkStack
    domain : Domain
    suspects : int array (pairs,)
        The networks that are looked at.
    points : (x, y), arrays (pairs, inputs)
    ends : sequence of pairs of points, or None
        The same in fractions; None refutes nothing.
    inputs : tuple of int or None
        The pairs differ in these only (partial convexity).
    """
    x, y = points
    violations = exact_violations(stack.take(suspects), x, y)
    lengths = np.sqrt(((x - y) ** 2).sum(axis=1)).tolist()
    found = {}
    for number, violation, length, pair in zip(
        suspects.tolist(), violations, lengths, ends, strict=True
    ):
        if pair is None:
            continue
        if violation is None:  # not to be told from floating point: one by one, then
            known = counterexample(stack[number], domain, *pair, inputs=inputs)
        else:
            known = confirmed(*pair, violation, slope=_slope(violation, length))
        if known is not None:
            found[number] = known
    return found


def _slope(violation: Fraction, length: float) -> float | None:
    """Return the change of slope from a rounded length; None where that may be far off."""
    try:
        change = -4 * float(violation) / length
    except (OverflowError, ZeroDivisionError):
        return None
    return change if 1e-300 < -change < 1e300 else None


def _values(stack: NetworkStack, points: FloatArray) -> FloatArray:
    """Evaluate every network at the same points: (networks, points)."""
    widest = max(bias.shape[1] for bias in stack.biases)
    step = max(1, _CACHE // (widest * len(points)))
    found = np.empty((len(stack), len(points)))
    for at in range(0, len(stack), step):
        part = slice(at, at + step)
        values = points.T
        for layer, (w, b) in enumerate(zip(stack.weights, stack.biases, strict=True)):
            values = w[part] @ (np.maximum(values, 0.0, out=values) if layer else values)
            values += b[part, :, None]
        found[part] = values[:, 0]
    return found
