"""Points that satisfy everything exactly: the domain, the rows and the equations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from jensen.arithmetic.intervals import round_up
from jensen.arithmetic.rational import ZERO, fraction, null_space, rational, rationals
from jensen.domains.hull import relative_interior
from jensen.errors import InfeasibleError
from jensen.optimise.ground import SHARES, Ground, Vector, dot, satisfied
from jensen.types import FloatArray
from jensen_encodings.lp import LpSolver, LpStatus


@dataclass(frozen=True, eq=False)
class Restored:
    """A feasible point.

    Attributes
    ----------
    x : array (inputs,)
        ``point``, rounded where no doubles hold it.
    point : tuple of Fraction
        Satisfies the domain, the rows and the equations exactly.
    """

    x: FloatArray
    point: Vector


@dataclass(frozen=True, eq=False)
class FeasibleSet:
    """The domain with rows ``A x <= b`` and equations ``E x = e`` beside it.

    Parameters
    ----------
    ground : Ground
    A, b : arrays (rows, inputs), (rows,)
        Beside those of the domain.
    E, e : arrays (equations, inputs), (equations,)
    lower, upper : arrays (inputs,), optional
        Further bounds of single inputs.
    """

    ground: Ground
    A: FloatArray
    b: FloatArray
    E: FloatArray
    e: FloatArray
    lower: FloatArray
    upper: FloatArray

    def __init__(
        self,
        ground: Ground,
        rows: tuple[FloatArray, FloatArray] | None = None,
        equations: tuple[FloatArray, FloatArray] | None = None,
        bounds: tuple[FloatArray, FloatArray] | None = None,
    ) -> None:
        inputs = len(ground.lower)
        none = np.zeros((0, inputs)), np.zeros(0)
        A, b = none if rows is None else rows
        E, e = none if equations is None else equations
        object.__setattr__(self, "ground", ground)
        object.__setattr__(self, "A", np.concatenate([ground.A, A]))
        object.__setattr__(self, "b", np.concatenate([ground.b, b]))
        object.__setattr__(self, "E", E)
        object.__setattr__(self, "e", e)
        lower, upper = (-np.inf, np.inf) if bounds is None else bounds
        object.__setattr__(self, "lower", np.maximum(ground.lower, lower))
        object.__setattr__(self, "upper", np.minimum(ground.upper, upper))

    def within(self, lower: FloatArray, upper: FloatArray) -> FeasibleSet:
        """Return the part of the set in a box."""
        beside = slice(len(self.ground.b), None)
        rows = (self.A[beside], self.b[beside])
        return FeasibleSet(self.ground, rows, (self.E, self.e), (lower, upper))

    @property
    def bounded(self) -> bool:
        """Whether there are proved bounds on every side."""
        return bool(np.isfinite(self.lower).all() and np.isfinite(self.upper).all())

    def restore(self, x: FloatArray) -> Restored:
        """Return a feasible point near one that misses the set by a solver's tolerance.

        Raises
        ------
        InfeasibleError
            If there is no feasible point, which is then proved.
        """
        if not len(self.e):
            near = self._among_doubles(np.clip(x, self.lower, self.upper))
            if near is not None:
                near = near + 0.0  # no -0
                return Restored(near, tuple(Fraction(float(v)) for v in near))
        return self._on_the_hull(x)

    def residual(self, x: FloatArray) -> float:
        """Return the largest violation of an equation by a point of doubles, rounded up."""
        sides = zip(self.E.tolist(), self.e.tolist(), strict=True)
        misses = [abs(dot(row, x.tolist()) - Fraction(side)) for row, side in sides]
        return round_up(max(misses, default=Fraction(0))) + 0.0

    def _among_doubles(self, x: FloatArray) -> FloatArray | None:
        if satisfied(self.A, self.b, x).all():
            return x
        if self._strictly_inside is None:
            return None
        for share in SHARES:
            moved = x + share * (self._strictly_inside - x)
            moved = np.clip(moved, self.lower, self.upper)
            if satisfied(self.A, self.b, moved).all():
                return moved
        return self._strictly_inside

    @cached_property
    def _strictly_inside(self) -> FloatArray | None:
        """A point of the bounds with room in all rows, None if the solver finds none."""
        inputs, free = len(self.lower), np.isfinite(self.lower) | np.isfinite(self.upper)
        margins = np.linalg.norm(self.A, axis=1)
        upper, lower = np.isfinite(self.upper), np.isfinite(self.lower)
        eye = np.eye(inputs)
        sides = np.concatenate([eye[upper], -eye[lower]])
        limits = np.concatenate([self.upper[upper], -self.lower[lower]])
        width = np.minimum(self.upper - self.lower, 1.0)
        cap = float(np.max(width[free], initial=0.0)) or 1.0
        matrix = np.block(
            [
                [self.A, margins[:, None]],
                [sides, np.zeros((len(limits), 1))],
                [np.zeros((1, inputs)), np.ones((1, 1))],
            ]
        )
        target = np.append(np.zeros(inputs), 1.0)
        right = np.concatenate([self.b, limits, [cap]])
        found = LpSolver().maximise(target, matrix, right, np.zeros(len(right), dtype=bool))
        if found.status is not LpStatus.OPTIMAL or found.x[-1] <= 0:
            return None
        x = np.clip(found.x[:-1], self.lower, self.upper)
        return x if satisfied(self.A, self.b, x, strictly=True).all() else None

    @cached_property
    def _hull(self) -> tuple[Vector, tuple[Vector, ...]]:
        """A point of the relative interior, and directions that span the hull, exactly."""
        columns = [(self.A, self.b), (self.E, self.e), (-self.E, -self.e)]
        eye = np.eye(len(self.lower))
        # the proved bounds of a polyhedron follow from its rows
        implied = len(self.ground.b) > 0
        upper = (self.upper < self.ground.upper) | (not implied)
        lower = (self.lower > self.ground.lower) | (not implied)
        columns += [(eye[upper], self.upper[upper]), (-eye[lower], -self.lower[lower])]
        kept = [(A[np.isfinite(b)], b[np.isfinite(b)]) for A, b in columns]
        rows = [np.concatenate([rationals(A), -rationals(b)[:, None]], axis=1) for A, b in kept]
        positive = np.full((1, len(eye) + 1), ZERO, dtype=object)
        positive[0, -1] = rational(-1)
        found = relative_interior(np.concatenate([*rows, positive]))
        if found is None:
            raise InfeasibleError("no point of the domain satisfies all rows and equations")
        point = tuple(fraction(v / found.point[-1]) for v in found.point[:-1])
        vectors = null_space([[v] for v in found.basis[-1]])
        directions = [found.basis[:-1] @ np.array(v, dtype=object) for v in vectors]
        return point, tuple(tuple(fraction(v) for v in d) for d in directions)

    def _on_the_hull(self, x: FloatArray) -> Restored:
        """Project on the equations, exactly, and go as far towards that point as rows allow."""
        point, directions = self._hull
        start = np.array([float(v) for v in point])
        span = np.array([[float(v) for v in d] for d in directions]).reshape(-1, len(start)).T
        steps = np.linalg.lstsq(span, x - start, rcond=None)[0] if span.size else np.zeros(0)
        way = [
            sum(
                (Fraction(float(s)) * d[i] for s, d in zip(steps, directions, strict=True)),
                Fraction(0),
            )
            for i in range(len(start))
        ]
        share = self._longest(point, way)
        found = tuple(p + share * w for p, w in zip(point, way, strict=True))
        return Restored(np.array([float(v) for v in found]), found)

    def _longest(self, point: Vector, way: Sequence[Fraction]) -> Fraction:
        """Return how far one may go from a feasible point, at most the whole way."""
        share = Fraction(1)
        for row, limit in zip(self.A.tolist(), self.b.tolist(), strict=True):
            speed = dot(row, way)
            if speed > 0:
                share = min(share, (Fraction(limit) - dot(row, point)) / speed)
        sides = zip(point, way, self.lower.tolist(), self.upper.tolist(), strict=True)
        for value, speed, low, high in sides:
            limit = high if speed > 0 else low
            if speed and np.isfinite(limit):
                share = min(share, (Fraction(limit) - value) / speed)
        return max(share, Fraction(0))
