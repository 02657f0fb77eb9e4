"""Random segments of a domain, in points ``(x, t)`` of its cone (docs/theory.md, section 5).

On a bounded domain t = 1. Everywhere, and on unbounded polyhedra, points are drawn from
the cone cut to the cube ``max(|x|, t) = 1``: the point of the network is x / t, so that a
small t looks at how the network behaves at infinity. ConeSegments between points of a cone
stay in it, and in all domains here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from jensen.arithmetic.rational import floats
from jensen.domains.base import Domain
from jensen.domains.hull import inner_ball
from jensen.domains.working_set import WorkingSet
from jensen.types import FloatArray, IndexArray
from jensen_encodings.deadline import NEVER, Deadline

NEAREST = 1e-4  # smallest t: beyond it, biases are lost in single precision
CHAIN = 512  # points that walk through a polyhedron
WARM_UP = 64  # steps before the first of them is used
OUTSIDE = 1.5  # boxes are drawn this much too large and clipped, for points on their sides
SMALLEST, LARGEST = 1e-4, 0.2  # reach around a given point, in sizes of the domain


@dataclass(frozen=True, eq=False)
class ConeSegments:
    """ConeSegments between points of the cone.

    Attributes
    ----------
    points : array (m, inputs + 1)
    start, end : integer arrays (n,)
        Rows of ``points``.
    """

    points: FloatArray
    start: IndexArray
    end: IndexArray

    def __len__(self) -> int:
        return len(self.start)

    def joined(self, other: ConeSegments) -> ConeSegments:
        """Return the segments of both."""
        shift = len(self.points)
        return ConeSegments(
            np.concatenate([self.points, other.points]),
            np.concatenate([self.start, other.start + shift]),
            np.concatenate([self.end, other.end + shift]),
        )


class ConeSampler:
    """Draws segments of a domain: between points inside, on sides and in corners.

    Parameters
    ----------
    domain : Domain
    dimension : int
        Of the network's input.
    inputs : sequence of int, optional
        ConeSegments vary these inputs only.
    seed : int
    deadline : Deadline
        Of the first steps of a walk in a polyhedron: fewer leave its points nearer to the centre.

    Raises
    ------
    DomainError
        If the domain is empty or of the wrong dimension.
    """

    def __init__(
        self,
        domain: Domain,
        dimension: int,
        inputs: Sequence[int] | None = None,
        seed: int = 0,
        deadline: Deadline = NEVER,
    ) -> None:
        domain.check(dimension)
        self._dimension = dimension
        self._inputs = None if inputs is None else list(inputs)
        self._rng = np.random.default_rng(seed)
        self._walk: _Walk | None = None
        self._sides = _sides(domain, dimension)
        # t stays away from 0
        self._limits = np.append(np.zeros(len(self._sides) - 1), -NEAREST)
        self._size = np.ones(dimension + 1)
        self._box = domain.box_sides(dimension)
        if self._box is not None:
            self._size = np.append(self._box[1] - self._box[0], 0.0)
        elif domain.has_rows:
            self._walk = _Walk(domain.working_set(dimension), self._rng, deadline)
            self._size = self._walk.spread()

    @property
    def is_cone(self) -> bool:
        """Whether points ``(x, t)`` have sizes of their own, rather than t = 1."""
        return self._box is None and (self._walk is None or self._walk.lifted)

    def between(self, points: FloatArray) -> ConeSegments:
        """Return one segment from each point of the cone to another one, in random order."""
        index = np.arange(len(points))
        order = self._rng.permutation(len(points))
        if self._inputs is None:
            return ConeSegments(points, index, order)
        ends = points.copy()
        # inputs are x / t, and t stays
        size = (points[:, -1] / points[order, -1])[:, None]
        ends[:, self._inputs] = points[order][:, self._inputs] * size
        ends = self.shortened(points, ends)
        return ConeSegments(np.concatenate([points, ends]), index, index + len(points))

    def around(self, middles: FloatArray) -> ConeSegments:
        """Return a segment near each point of the cone, of widely varying lengths."""
        count, width = middles.shape
        reach = SMALLEST * (LARGEST / SMALLEST) ** self._rng.random((count, 1))
        shift, step = (reach * self._size * self._rng.normal(size=(count, width)) for _ in "ab")
        if self._inputs is not None:
            moving = np.zeros(width)
            moving[self._inputs] = 1
            step = step * moving
        near = self.shortened(middles, middles + self._rng.random((count, 1)) * shift)
        ends = [self.shortened(near, near + sign * step) for sign in (-1, 1)]
        index = np.arange(count)
        return ConeSegments(np.concatenate(ends), index, index + count)

    def direction(self, count: int) -> FloatArray:
        """Return random directions in the cone, in sizes of the domain."""
        step: FloatArray = self._size * self._rng.normal(size=(count, self._dimension + 1))
        return step

    def points(self, count: int) -> FloatArray:
        """Return points of the cone: (count, dimension + 1)."""
        if self._walk is not None:
            return self._walk.points(count)
        if self._box is None:
            return self._in_cone(count)
        lower, upper = self._box
        x = (lower + upper) / 2 + (upper - lower) / 2 * self._in_cube(count)
        return np.concatenate([np.clip(x, lower, upper), np.ones((count, 1))], axis=1)

    def shortened(self, start: FloatArray, end: FloatArray) -> FloatArray:
        """Return the ends of segments, moved towards their starts until they lie inside."""
        step = end - start
        room = np.maximum(self._limits - start @ self._sides.T, 0.0)
        speed = step @ self._sides.T
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(speed > 0, room / speed, np.inf)
        ends: FloatArray = start + np.minimum(reach.min(axis=1, keepdims=True), 1.0) * step
        return ends

    def _in_cube(self, count: int) -> FloatArray:
        """Return points of [-1, 1]^d: inside, on sides, in corners, in equal parts."""
        cube = self._rng.uniform(-1, 1, (count, self._dimension))
        kind = self._rng.integers(3, size=(count, 1))
        sides = np.clip(OUTSIDE * cube, -1, 1)
        return np.where(kind == 0, cube, np.where(kind == 1, sides, np.sign(cube)))

    def _in_cone(self, count: int) -> FloatArray:
        """Return points of the cone of R^n: around the origin, on the cube, and far out."""
        x = self._in_cube(count)
        t = self._rng.random((count, 1))
        kind = self._rng.integers(3, size=(count, 1))
        near = np.where(kind == 0, x * self._rng.random((count, 1)), x)
        far = np.exp(log(NEAREST) * t)
        t = np.where(kind == 0, 1.0, np.where(kind == 1, t, far))
        return np.concatenate([near, np.maximum(t, NEAREST)], axis=1)


def _sides(domain: Domain, dimension: int) -> FloatArray:
    """Return the rows of ``rows @ (x, t) <= 0`` of a domain's cone, ``-t <= 0`` the last."""
    A, b = domain.inequalities(dimension)
    return np.vstack([np.hstack([A, -b[:, None]]), np.append(np.zeros(dimension), -1.0)])


class _Walk:
    """Hit and run: chains that walk through a polyhedron, a random chord at a time."""

    def __init__(self, working: WorkingSet, rng: np.random.Generator, deadline: Deadline) -> None:
        self._rng = rng
        self._matrix, self._offset = floats(working.matrix), floats(working.offset)
        self._rows, self._limits = working.float_rows, working.float_limits
        self.lifted = working.lifted
        if working.lifted:  # t is at least NEAREST
            self._rows = np.vstack([self._rows, -self._matrix[-1:]])
            self._limits = np.append(self._limits, self._offset[-1] - NEAREST)
        centre, _ = inner_ball(self._rows, self._limits, deadline=deadline)
        self._at = np.repeat(centre[None], CHAIN, axis=0)
        for _ in range(WARM_UP):
            if deadline.over():
                break
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
        # a set without any direction: a point
        forth, back = (np.where(np.isfinite(way), way, 0.0) for way in (forth, back))
        start = self._at
        where = self._rng.random(len(start)) * (forth + back) - back
        self._at = start + where[:, None] * direction
        return np.asarray(start + forth[:, None] * direction)
