"""Rows of sampled kinks: short pairs of points around places where hidden units kink."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jensen.domains.base import Domain
from jensen.domains.cone_segments import ConeSampler, ConeSegments
from jensen.repairs.features import Features
from jensen.types import FloatArray
from jensen_encodings.deadline import NEVER, Deadline

SECANT_STEPS = 3  # evaluations that follow a segment to a kink
SHORT = 2.0**-10  # length of a pair, in lengths of its segment
LENGTHS = np.array([1e-2, 1e-3, 1e-4])  # of pairs across a kink, in sizes of the domain
NOISE = 1e-7  # relative length of rows that rounding leaves too few digits


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of points, and what they ask of the output weights.

    Attributes
    ----------
    rows : array (n, units)
        Of length 1, in floating point.
    x, y : arrays (n, inputs)
    """

    rows: FloatArray
    x: FloatArray
    y: FloatArray

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, chosen: NDArray[Any]) -> Pairs:
        """Return some of them."""
        return Pairs(self.rows[chosen], self.x[chosen], self.y[chosen])

    def joined(self, other: Pairs) -> Pairs:
        """Return both."""
        parts = ((self.rows, other.rows), (self.x, other.x), (self.y, other.y))
        return Pairs(*(np.concatenate(part) for part in parts))


class RowSampler:
    """Follows random segments of a domain to kinks of the hidden units.

    Parameters
    ----------
    features : Features
    domain : Domain
    seed : int
    deadline : Deadline
        Of walking about in a polyhedron, before the first points are asked for.
    """

    def __init__(
        self, features: Features, domain: Domain, seed: int, deadline: Deadline = NEVER
    ) -> None:
        self._features, self._domain = features, domain
        self._sampler = ConeSampler(domain, features.network.input_size, None, seed, deadline)
        self._rng = np.random.default_rng(seed)

    def everywhere(self, count: int) -> Pairs:
        """Return pairs around kinks of the whole domain."""
        return self._pairs(self._sampler.between(self._sampler.points(count)))

    def around(self, points: FloatArray, count: int) -> Pairs:
        """Return pairs around kinks near some points of the domain: (n, inputs)."""
        cone = self._in_cone(points)
        return self._pairs(self._sampler.around(cone[self._rng.integers(len(cone), size=count)]))

    def across(self, points: FloatArray) -> Pairs:
        """Return pairs across points on kinks, in random directions, of a few lengths."""
        cone = self._in_cone(np.repeat(points, len(LENGTHS), axis=0))
        lengths = np.tile(LENGTHS, len(points))[:, None]
        step = lengths * self._sampler.direction(len(cone))
        return self._between(*(self._sampler.shortened(cone, cone + s * step) for s in (-1, 1)))

    def _in_cone(self, points: FloatArray) -> FloatArray:
        cone = np.hstack([points, np.ones((len(points), 1))])
        if not self._sampler.is_cone:
            return cone
        sized: FloatArray = cone / np.maximum(1.0, np.abs(points).max(axis=1, keepdims=True))
        return sized

    def _between(self, start: FloatArray, end: FloatArray) -> Pairs:
        return self.rows(start[:, :-1] / start[:, -1:], end[:, :-1] / end[:, -1:])

    def along(self, x: FloatArray, y: FloatArray, parts: int = 64) -> Pairs:
        """Return pairs around the kinks between two points of the domain."""
        shares = np.linspace(0, 1, parts + 1)[:, None]
        points = np.hstack([x + shares * (y - x), np.ones((parts + 1, 1))])
        index = np.arange(parts)
        return self._pairs(ConeSegments(points, index, index + 1))

    def _pairs(self, segments: ConeSegments) -> Pairs:
        z = self._kinking(segments.points)
        crosses = (z[segments.start] > 0) != (z[segments.end] > 0)
        weights = crosses / np.maximum(crosses.sum(axis=0), 1)
        used = np.flatnonzero(crosses.any(axis=1))
        totals = weights[used].cumsum(axis=1)
        target = self._rng.random((len(used), 1)) * totals[:, -1:]
        unit = np.minimum((totals <= target).sum(axis=1), z.shape[1] - 1)
        index = np.arange(len(used))
        start, end = segments.start[used], segments.end[used]
        low, high = segments.points[start], segments.points[end]
        z_low, z_high = z[start, unit][:, None], z[end, unit][:, None]
        for _ in range(SECANT_STEPS):
            middle = _secant(low, high, z_low, z_high)
            z_middle = self._kinking(middle)[index, unit][:, None]
            same = (z_middle > 0) == (z_low > 0)
            low, high = np.where(same, middle, low), np.where(same, high, middle)
            z_low, z_high = (
                np.where(same, z_middle, z_low / 2),
                np.where(same, z_high / 2, z_middle),
            )
        at = _secant(low, high, z_low, z_high)
        step = SHORT * (segments.points[end] - segments.points[start])
        x, y = (self._sampler.shortened(at, at + sign * step) for sign in (-1, 1))
        return self._between(x, y)

    def rows(self, x: FloatArray, y: FloatArray) -> Pairs:
        """Return what pairs of points ask of the output weights."""
        count = len(x)
        x, y = self._domain.clipped(x), self._domain.clipped(y)
        phi = self._features(np.concatenate([x, y, (x + y) / 2]))
        raw = (phi[:count] + phi[count : 2 * count]) / 2 - phi[2 * count :]
        length = np.linalg.norm(raw, axis=1)
        fine = length > NOISE * np.abs(phi).max(initial=1e-300)
        return Pairs(raw[fine] / length[fine, None], x[fine], y[fine])

    def _kinking(self, points: FloatArray) -> FloatArray:
        """Return ``t z(x / t)`` of all ReLUs at points of the cone."""
        t = points[:, -1:]
        network = self._features.network
        z = network.pre_activations(points[:, :-1] / t)
        relus = [np.empty((len(points), 0)), *(z[b.name] for b in network.hidden if b.is_relu)]
        stacked: FloatArray = t * np.concatenate(relus, axis=1)
        return stacked


def _secant(low: FloatArray, high: FloatArray, z_low: FloatArray, z_high: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        share = z_low / (z_low - z_high)
    return low + np.clip(np.nan_to_num(share, nan=0.5), 0, 1) * (high - low)
