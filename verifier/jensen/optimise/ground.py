"""The domain of a convex function as an optimiser needs it: bounds, rows, a point inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from jensen.arithmetic.intervals import rounding_factor
from jensen.arithmetic.rational import fraction, null_space
from jensen.domains.domain import Box, Domain, Polyhedron
from jensen.domains.hull import inner_ball, relative_interior
from jensen.domains.working_set import cone_of
from jensen.errors import DomainError
from jensen.prover.question import check_domain
from jensen.types import BoolArray, FloatArray
from jensen_encodings.deadline import NEVER, Deadline

Vector = tuple[Fraction, ...]

# how far a point is moved into the domain, as a share of the way to a point inside
SHARES = tuple(2.0**-k for k in (42, 36, 30, 24, 18, 12, 6, 3, 1))


@dataclass(frozen=True, eq=False)
class Ground:
    """Where f is convex.

    Attributes
    ----------
    lower, upper : arrays (inputs,)
        Proved bounds of the domain, infinite where none is known.
    A, b : arrays (rows, inputs) and (rows,)
        ``A x <= b`` holds on the domain; no rows on a box.
    inside : array (inputs,) or None
        A point of doubles with a ball around it in the domain, within its fixed
        coordinates; None where the domain is too thin for one.
    center : tuple of Fraction
        A point of the relative interior.
    axes : tuple of int
        Inputs along which the domain extends freely, if those span its affine hull.
    hull : tuple of tuples of Fraction
        Directions that span it, where axes do not.
    """

    lower: FloatArray
    upper: FloatArray
    A: FloatArray
    b: FloatArray
    inside: FloatArray | None
    center: Vector
    axes: tuple[int, ...]
    hull: tuple[Vector, ...] = ()

    @property
    def directions(self) -> tuple[Vector, ...]:
        """Directions that span the domain's affine hull; many where there are many inputs."""
        return self.hull or tuple(_unit(len(self.lower), axis) for axis in self.axes)

    def blend(self, factors: Sequence[int]) -> Vector:
        """Return a combination of the directions, one factor for each."""
        mixed = [Fraction(0)] * len(self.lower)
        if self.hull:
            for factor, direction in zip(factors, self.hull, strict=True):
                mixed = [m + factor * v for m, v in zip(mixed, direction, strict=True)]
        for axis, factor in zip(self.axes, factors if self.axes else (), strict=True):
            mixed[axis] = Fraction(factor)
        return tuple(mixed)

    @property
    def dimension(self) -> int:
        """Of the affine hull."""
        return len(self.hull) or len(self.axes)

    @property
    def still(self) -> BoolArray:
        """Which inputs have one value all over the domain."""
        still = np.ones(len(self.lower), dtype=bool)
        still[list(self.axes)] = False
        for direction in self.hull:
            still &= np.array([v == 0 for v in direction])
        return still

    @property
    def bounded(self) -> bool:
        """Whether the domain has proved bounds on every side."""
        return bool(np.isfinite(self.lower).all() and np.isfinite(self.upper).all())

    def contains(self, x: FloatArray) -> bool:
        """Decide exactly whether a point of doubles lies in the domain."""
        inside = bool((self.lower <= x).all() and (x <= self.upper).all())
        return inside and bool(satisfied(self.A, self.b, x).all())

    def settle(self, x: FloatArray) -> FloatArray | None:
        """Return a point of the domain near x, which misses it by rounding; None if too thin."""
        x = np.clip(x, self.lower, self.upper)
        if not len(self.b) or self.contains(x):
            return x
        if self.inside is None:
            return None
        for share in SHARES:
            moved = np.clip(x + share * (self.inside - x), self.lower, self.upper)
            if self.contains(moved):
                return moved
        return self.inside


def ground_of(domain: Domain, inputs: int, deadline: Deadline = NEVER) -> Ground:
    """Describe a domain.

    Raises
    ------
    DomainError
        If it is empty, or of another dimension.
    OutOfTimeError
        If that was not known in time.

    Examples
    --------
    >>> ground_of(Box(-1.0, [1.0, 3.0]), 2).center
    (Fraction(0, 1), Fraction(1, 1))
    """
    check_domain(domain)
    domain.check(inputs)
    none = np.zeros((0, inputs)), np.zeros(0)
    sides = domain.box_sides(inputs)
    if sides is not None:
        lower, upper = sides
        center = tuple((Fraction(a) + Fraction(b)) / 2 for a, b in zip(lower, upper, strict=True))
        middle = lower / 2 + upper / 2
        strict = ((lower < middle) & (middle < upper)) | (lower == upper)
        return Ground(
            lower,
            upper,
            *none,
            middle if strict.all() else None,
            center,
            tuple(np.flatnonzero(lower < upper).tolist()),
        )
    infinite = np.full(inputs, np.inf)
    if not domain.has_rows:
        origin = np.zeros(inputs)
        every = tuple(range(inputs))
        return Ground(-infinite, infinite, *none, origin, (Fraction(0),) * inputs, every)
    A, b = domain.inequalities(inputs)
    working = domain.working_set(inputs, deadline)
    found = relative_interior(cone_of(A, b), deadline)
    if found is None:
        raise DomainError("the polyhedron is empty")
    center = tuple(fraction(v / found.point[-1]) for v in found.point[:-1])
    full = found.basis.shape[1] == inputs + 1
    lower, upper = (-infinite, infinite) if working.lifted else working.box
    return Ground(
        lower,
        upper,
        A,
        b,
        _inside(A, b, center) if full else None,
        center,
        tuple(range(inputs)) if full else (),
        () if full else _directions(found.basis),
    )


def recession_ground(ground: Ground) -> Ground:
    """Return the directions that a domain contains, within the unit cube."""
    inputs = len(ground.lower)
    if not len(ground.b):
        # a side of a box that is finite stops every direction across it
        lower = np.where(np.isfinite(ground.lower), 0.0, -1.0)
        return ground_of(Box(lower, np.where(np.isfinite(ground.upper), 0.0, 1.0)), inputs)
    eye = np.eye(inputs)
    rows = np.concatenate([ground.A, eye, -eye])
    limits = np.concatenate([np.zeros(len(ground.b)), np.ones(2 * inputs)])
    return ground_of(Polyhedron(rows, limits), inputs)


def satisfied(A: FloatArray, b: FloatArray, x: FloatArray, *, strictly: bool = False) -> BoolArray:
    """Decide exactly which rows of ``A x <= b`` (or ``<``) a point of doubles satisfies."""
    with np.errstate(over="ignore", invalid="ignore"):
        room = b - A @ x
        error = rounding_factor(len(x) + 2) * (np.abs(b) + np.abs(A) @ np.abs(x)) + 2.0**-1000
        clear = np.isfinite(error) & (np.abs(room) > error)
    answer = clear & (room > 0)
    for i in np.flatnonzero(~clear):
        exact = Fraction(float(b[i])) - dot(A[i].tolist(), x.tolist())
        answer[i] = exact > 0 if strictly else exact >= 0
    return np.asarray(answer)


def dot(left: Sequence[float | Fraction], right: Sequence[float | Fraction]) -> Fraction:
    """Return a sum of products, exactly."""
    pairs = zip(left, right, strict=True)
    return sum((Fraction(a) * Fraction(b) for a, b in pairs if a and b), Fraction(0))


def _inside(A: FloatArray, b: FloatArray, center: Vector) -> FloatArray | None:
    """Return a point strictly inside, deep inside if that is easily found."""
    for point in (inner_ball(A, b)[0], np.array([float(v) for v in center])):
        if satisfied(A, b, point, strictly=True).all():
            return point
    return None


def _unit(inputs: int, axis: int) -> Vector:
    return tuple(Fraction(int(i == axis)) for i in range(inputs))


def _directions(basis: FloatArray) -> tuple[Vector, ...]:
    """Return the directions of constant t in a hull of (x, t)."""
    vectors = null_space([[v] for v in basis[-1]])
    return tuple(
        tuple(fraction(v) for v in basis[:-1] @ np.array(vector, dtype=object))
        for vector in vectors
    )
