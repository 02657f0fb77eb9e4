"""Equally spaced points on lines that many networks are evaluated at together."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from jensen.domains.domain import Domain
from jensen.network.stack import NetworkStack
from jensen.network.stack_exact import exact_violations
from jensen.prover.counterexample import Point, admits, confirmed, counterexample
from jensen.prover.refute import NOISE, STEPS
from jensen.prover.verdict import Counterexample
from jensen.types import FloatArray

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
        self._pairs: dict[int, tuple[Point, Point] | None] = {}

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
        x, y = self._points[before], self._points[before + 2]
        violations = exact_violations(stack.take(suspects), x, y)
        lengths = np.sqrt(((x - y) ** 2).sum(axis=1)).tolist()
        found = {}
        for number, violation, length, first in zip(
            suspects.tolist(), violations, lengths, before.tolist(), strict=True
        ):
            ends = self._pair(first)
            if ends is None:
                continue
            if violation is None:  # not to be told from floating point: one by one, then
                network = stack[number]
                pair = counterexample(network, self._domain, *ends, inputs=self._inputs)
            else:
                pair = confirmed(*ends, violation, slope=_slope(violation, length))
            if pair is not None:
                found[number] = pair
        return found

    def _pair(self, first: int) -> tuple[Point, Point] | None:
        """Return a point and the next but one, exactly, if they may refute; shared by networks."""
        if first not in self._pairs:
            x, y = (tuple(map(Fraction, self._points[k].tolist())) for k in (first, first + 2))
            fine = admits(self._domain, x, y, self._inputs)
            self._pairs[first] = (x, y) if fine else None
        return self._pairs[first]


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
