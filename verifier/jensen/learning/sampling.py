"""Random segments of a domain, in points ``(x, t)`` of its cone (docs/theory.md, section 5).

On a bounded domain t = 1. Everywhere, and on unbounded polyhedra, points are drawn from
the cone cut to the cube ``max(|x|, t) = 1``: the point of the network is x / t, so that a
small t looks at how the network behaves at infinity. Segments between points of a cone
stay in it, and in all domains here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
import torch
from numpy.typing import NDArray

from jensen.domain import Box, Domain, Everywhere, Polyhedron
from jensen.lift import WorkingSet, working_set
from jensen.polyhedron import inner_ball
from jensen.rational import floats

FloatArray = NDArray[np.float64]

NEAREST = 1e-4  # smallest t: beyond it, biases are lost in single precision
CHAIN = 512  # points that walk through a polyhedron
WARM_UP = 64  # steps before the first of them is used
OUTSIDE = 1.5  # boxes are drawn this much too large and clipped, for points on their sides
SMALLEST, LARGEST = 1e-4, 0.2  # reach around a given point, in sizes of the domain


@dataclass(frozen=True, eq=False)
class Segments:
    """Segments between points of the cone.

    Attributes
    ----------
    points : tensor (m, inputs + 1)
    start, end : integer tensors (n,)
        Rows of ``points``.
    """

    points: torch.Tensor
    start: torch.Tensor
    end: torch.Tensor

    def __len__(self) -> int:
        return len(self.start)

    def to(self, like: torch.Tensor) -> Segments:
        """Return the same on another device, in its number type."""
        where = like.device
        return Segments(self.points.to(like), self.start.to(where), self.end.to(where))

    def joined(self, other: Segments) -> Segments:
        """Return the segments of both."""
        shift = len(self.points)
        return Segments(
            torch.cat([self.points, other.points]),
            torch.cat([self.start, other.start + shift]),
            torch.cat([self.end, other.end + shift]),
        )


class Sampler:
    """Draws segments of a domain: between points inside, on sides and in corners.

    Parameters
    ----------
    domain : Domain
    dimension : int
        Of the network's input.
    inputs : tuple of int or None
        Segments vary these inputs only.
    seed : int

    Raises
    ------
    DomainError
        If the domain is empty or of the wrong dimension.
    """

    def __init__(
        self, domain: Domain, dimension: int, inputs: Sequence[int] | None, seed: int
    ) -> None:
        domain.check(dimension)
        self._dimension = dimension
        self._inputs = None if inputs is None else list(inputs)
        self._generator = torch.Generator().manual_seed(seed)
        self._walk: _Walk | None = None
        self._box: tuple[torch.Tensor, torch.Tensor] | None = None
        self._sides = _sides(domain, dimension)
        self._size = torch.ones(dimension + 1, dtype=torch.float64)
        if isinstance(domain, Box):
            lower, upper = map(torch.from_numpy, domain.bounds(dimension))
            self._box = lower, upper
            self._size[:-1] = upper - lower
            self._size[-1] = 0
        elif isinstance(domain, Polyhedron):
            self._walk = _Walk(working_set(domain, dimension), np.random.default_rng(seed))
            self._size = torch.from_numpy(self._walk.spread())

    def between(self, points: torch.Tensor) -> Segments:
        """Return one segment from each point of the cone to another one, in random order."""
        order = torch.randperm(len(points), generator=self._generator)
        index = torch.arange(len(points))
        if self._inputs is None:
            return Segments(points, index, order)
        ends = points.clone()
        ends[:, self._inputs] = points[order][:, self._inputs]
        # on a lift the inputs are x / t, and t stays
        ends[:, self._inputs] *= (points[:, -1] / points[order, -1])[:, None]
        ends = self.shortened(points, ends)
        return Segments(torch.cat([points, ends]), index, index + len(points))

    def around(self, middles: torch.Tensor) -> Segments:
        """Return one segment through the neighbourhood of each point, of widely varying length."""
        count, width = middles.shape
        reach = SMALLEST * (LARGEST / SMALLEST) ** self.uniform(count, 1)
        shift, step = (reach * self._size * self._normal(count, width) for _ in range(2))
        if self._inputs is not None:
            moving = torch.zeros(width, dtype=torch.float64)
            moving[self._inputs] = 1
            step = step * moving
        near = self.shortened(middles, middles + self.uniform(count, 1) * shift)
        ends = [self.shortened(near, near + sign * step) for sign in (-1, 1)]
        index = torch.arange(count)
        return Segments(torch.cat(ends), index, index + count)

    def points(self, count: int) -> torch.Tensor:
        """Return points of the cone, float64 of shape (count, dimension + 1)."""
        if self._walk is not None:
            return torch.from_numpy(self._walk.points(count))
        if self._box is None:
            return self._in_cone(count)
        lower, upper = self._box
        x = (lower + upper) / 2 + (upper - lower) / 2 * self._in_cube(count)
        return torch.cat([x, torch.ones(count, 1, dtype=torch.float64)], dim=1)

    def shortened(self, start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
        """Return the ends of segments, moved towards their starts until they lie inside."""
        step = end - start
        room = (-start @ self._sides.T).clamp(min=0)
        speed = step @ self._sides.T
        reach = torch.where(speed > 0, room / speed, torch.inf)
        return start + reach.min(dim=1, keepdim=True).values.clamp(max=1) * step

    def choose(self, weights: torch.Tensor) -> torch.Tensor:
        """Return one index per row, with probabilities in proportion to the weights."""
        totals = weights.cumsum(dim=1)
        target = self.uniform(len(weights), 1).to(totals) * totals[:, -1:]
        return (totals <= target).sum(dim=1).clamp(max=weights.shape[1] - 1)

    def integers(self, below: int, count: int) -> torch.Tensor:
        """Return random integers ``0 <= k < below``."""
        return torch.randint(below, (count,), generator=self._generator)

    def uniform(self, *shape: int) -> torch.Tensor:
        """Return random numbers in [0, 1], float64."""
        return torch.rand(*shape, generator=self._generator, dtype=torch.float64)

    def _normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self._generator, dtype=torch.float64)

    def _in_cube(self, count: int) -> torch.Tensor:
        """Return points of [-1, 1]^d: inside, on sides, in corners, in equal parts."""
        cube = 2 * self.uniform(count, self._dimension) - 1
        kind = torch.randint(3, (count, 1), generator=self._generator)
        sides = (OUTSIDE * cube).clamp(-1, 1)
        return torch.where(kind == 0, cube, torch.where(kind == 1, sides, cube.sign()))

    def _in_cone(self, count: int) -> torch.Tensor:
        """Return points of the cone of R^n: around the origin, on the cube, and far out."""
        x = self._in_cube(count)
        t = self.uniform(count, 1)
        kind = torch.randint(3, (count, 1), generator=self._generator)
        near = torch.where(kind == 0, x * self.uniform(count, 1), x)
        far = torch.exp(log(NEAREST) * t)
        t = torch.where(kind == 0, torch.ones_like(t), torch.where(kind == 1, t, far))
        return torch.cat([near, t.clamp(min=NEAREST)], dim=1)


def _sides(domain: Domain, dimension: int) -> torch.Tensor:
    """Return the rows of ``rows @ (x, t) <= 0`` of a domain's cone."""
    if isinstance(domain, Box):
        lower, upper = domain.bounds(dimension)
        A = np.vstack([np.eye(dimension), -np.eye(dimension)])
        b = np.concatenate([upper, -lower])
    elif isinstance(domain, Everywhere):
        A, b = np.zeros((0, dimension)), np.zeros(0)
    else:
        A, b = domain.A, domain.b
    rows = np.vstack([np.hstack([A, -b[:, None]]), np.append(np.zeros(dimension), -1.0)])
    return torch.from_numpy(rows)


class _Walk:
    """Hit and run: chains that walk through a polyhedron, a random chord at a time."""

    def __init__(self, working: WorkingSet, rng: np.random.Generator) -> None:
        self._rng = rng
        self._matrix, self._offset = floats(working.matrix), floats(working.offset)
        self._rows, self._limits = working.float_rows, working.float_limits
        if working.lifted:  # t is at least NEAREST
            self._rows = np.vstack([self._rows, -self._matrix[-1:]])
            self._limits = np.append(self._limits, self._offset[-1] - NEAREST)
        centre, _ = inner_ball(self._rows, self._limits)
        self._at = np.repeat(centre[None], CHAIN, axis=0)
        for _ in range(WARM_UP):
            self._step()

    def points(self, count: int) -> FloatArray:
        """Return points of the cone, a third of them ends of chords."""
        found: list[FloatArray] = []
        while sum(map(len, found)) < count:
            ends = self._step()
            found.append(np.where(self._rng.random((CHAIN, 1)) < 1 / 3, ends, self._at))
        working = np.concatenate(found)[:count]
        return np.asarray(working @ self._matrix.T + self._offset)

    def spread(self) -> FloatArray:
        """Return the extent of the points so far, per coordinate of the cone."""
        return np.asarray(np.ptp(self._at @ self._matrix.T + self._offset, axis=0))

    def _step(self) -> FloatArray:
        """Move every chain to a random point of a random chord; return the chords' ends."""
        direction = self._rng.normal(size=self._at.shape)
        room = np.maximum(self._limits - self._at @ self._rows.T, 0.0)
        speed = direction @ self._rows.T
        with np.errstate(divide="ignore", invalid="ignore"):
            forth = np.where(speed > 0, room / speed, np.inf).min(axis=1, initial=np.inf)
            back = np.where(speed < 0, room / -speed, np.inf).min(axis=1, initial=np.inf)
        start = self._at
        where = self._rng.random(len(start)) * (forth + back) - back
        self._at = start + where[:, None] * direction
        return np.asarray(start + forth[:, None] * direction)
