"""Affine functions below a convex network: the cuts of a cutting-plane method.

Let f be convex on its domain D, and let ``g y + c`` be its affine piece on a region in D. Then
``f(y) >= g y + c`` on all of D. Where D lies in a box the doubles that are kept satisfy this as
they are: the constant is lowered by what the rounding of g and c can amount to on the box.
Elsewhere they are hints, and the pattern that is kept with them gives g and c exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np

from jensen.arithmetic.exact import to_double
from jensen.arithmetic.intervals import round_down
from jensen.errors import SolverError
from jensen.network.relu_network import ReluNetwork
from jensen.optimise.feasible import FeasibleSet
from jensen.optimise.ground import Ground, Vector, recession_ground
from jensen.optimise.linearise import Linearisation, Lineariser
from jensen.optimise.pieces import Pattern, Pieces
from jensen.types import FloatArray, IndexArray
from jensen.violation.recession import recession_network

NUDGES = (2.0**-40, 2.0**-32, 2.0**-24)  # shares of the way into the domain, off a kink
TILT = 0.125  # how far the way off a kink points beside the middle of the domain


@dataclass(frozen=True, eq=False)
class Cuts:
    """Functions ``gradient y + offset``, each below one of the terms of an objective.

    Attributes
    ----------
    gradient : array (cuts, inputs)
    offset : array (cuts,)
    term : int array (cuts,)
    patterns : tuple of Pattern
        Empty where the doubles hold as they are.
    """

    gradient: FloatArray
    offset: FloatArray
    term: IndexArray
    patterns: tuple[Pattern, ...] = ()

    def __len__(self) -> int:
        """Return the number of cuts."""
        return len(self.offset)

    def joined(self, more: Cuts) -> Cuts:
        """Return these and more cuts."""
        return Cuts(
            np.concatenate([self.gradient, more.gradient]),
            np.concatenate([self.offset, more.offset]),
            np.concatenate([self.term, more.term]),
            self.patterns + more.patterns,
        )

    def only(self, chosen: IndexArray) -> Cuts:
        """Return some cuts, by their indices."""
        patterns = tuple(self.patterns[i] for i in chosen) if self.patterns else ()
        return Cuts(self.gradient[chosen], self.offset[chosen], self.term[chosen], patterns)


def no_cuts(inputs: int) -> Cuts:
    """Return an empty collection."""
    return Cuts(np.zeros((0, inputs)), np.zeros(0), np.zeros(0, dtype=np.intp))


class Convex(Protocol):
    """A sum of convex terms ``weight * term(x)`` on one domain, as the algorithms see it."""

    ground: Ground
    weights: FloatArray

    def at(self, x: FloatArray) -> tuple[float, Cuts]:
        """Return about the sum at a point near the domain, and a cut of each term there."""

    def values(self, X: FloatArray) -> FloatArray:
        """Return the sum in floating point: (n, inputs) -> (n,)."""

    def gradients(self, X: FloatArray) -> FloatArray:
        """Return subgradients, rounded, at points of the domain: (n, inputs) -> the same."""

    def exact(self, point: Sequence[Fraction]) -> Fraction:
        """Return the sum at a point of the domain."""

    def exact_cut(self, cuts: Cuts, index: int) -> tuple[Sequence[Fraction], Fraction]:
        """Return gradient and constant of a cut that keeps its pattern."""

    def recession(self) -> Convex:
        """Return ``lim f(x + s d) / s`` as a function of directions d of the domain."""


class Term:
    """One convex network on its domain.

    Parameters
    ----------
    network : ReluNetwork
        With one output; convex on the domain.
    ground : Ground
    """

    def __init__(self, network: ReluNetwork, ground: Ground) -> None:
        self.network, self.ground = network, ground
        self.weights = np.ones(1)
        self.lineariser = Lineariser(network)
        self._pieces: Pieces | None = None
        self._domain: FeasibleSet | None = None
        self._random = np.random.default_rng(0)

    @property
    def pieces(self) -> Pieces:
        """The exact affine pieces; built when first asked for."""
        if self._pieces is None:
            self._pieces = Pieces(self.network)
        return self._pieces

    def at(self, x: FloatArray) -> tuple[float, Cuts]:
        """Return about f(x), and a cut at x or very close to it."""
        settled = self.ground.settle(x)
        if settled is None:
            return self.exactly_at(x)
        found = self.lineariser.at(settled[None])
        if found.certain[0]:
            return float(found.value[0]), self._cut(found)
        for nudge in NUDGES:
            moved = self._off_kinks(settled, nudge)
            near = None if moved is None else self.lineariser.at(moved[None])
            if near is not None and near.certain[0]:
                return float(found.value[0]), self._cut(near)
        return self.exactly_at(settled)

    def values(self, X: FloatArray) -> FloatArray:
        """Return f in floating point."""
        return self.lineariser.values(X)[0]

    def gradients(self, X: FloatArray) -> FloatArray:
        """Return subgradients, rounded, at points of the domain."""
        found = self.lineariser.at(X)
        gradients = found.gradient.copy()
        for i in np.flatnonzero(~found.certain):
            exact, _ = self.pieces.affine(self.region_at([Fraction(v) for v in X[i].tolist()]))
            gradients[i] = slopes(exact)
        return gradients

    def exactly_at(self, x: FloatArray) -> tuple[float, Cuts]:
        """Return about f(x), and the cut of a region that touches x, in rational arithmetic."""
        point = self.settled(x)
        pattern = self.region_at(point)
        gradient, offset = self.pieces.affine(pattern)
        rounded = slopes(gradient)
        kept: tuple[Pattern, ...] = (pattern,)
        if self.ground.bounded:
            reach = np.maximum(np.abs(self.ground.lower), np.abs(self.ground.upper))
            offset -= sum(
                (
                    abs(exact - Fraction(near)) * Fraction(size)
                    for exact, near, size in zip(gradient, rounded, reach, strict=True)
                ),
                Fraction(0),
            )
            kept = ()
        cut = Cuts(rounded[None], np.array([round_down(offset)]), np.zeros(1, np.intp), kept)
        return to_double(self.network.exact(point)[0]), cut

    def settled(self, x: FloatArray) -> Vector:
        """Return a rational point of the domain near x."""
        settled = self.ground.settle(x)
        if settled is not None:
            return tuple(Fraction(float(v)) for v in settled)
        if self._domain is None:
            self._domain = FeasibleSet(self.ground)
        return self._domain.restore(x).point

    def region_at(self, point: Sequence[Fraction]) -> Pattern:
        """Return the pattern of a region of the domain that touches a point of it."""
        towards = [c - v for c, v in zip(self.ground.center, point, strict=True)]
        # a random direction of the hull settles almost every sign; the whole basis every one
        mix = self._random.integers(-99, 100, size=self.ground.dimension).tolist()
        blend = self.ground.blend(mix)
        return self.pieces.around(point, [towards, blend], lambda: self.ground.directions)

    def exact(self, point: Sequence[Fraction]) -> Fraction:
        """Return f at a rational point."""
        return self.network.exact(point)[0]

    def exact_cut(self, cuts: Cuts, index: int) -> tuple[Sequence[Fraction], Fraction]:
        """Return gradient and constant of a cut that keeps its pattern."""
        return self.pieces.affine(cuts.patterns[index])

    def recession(self) -> Term:
        """Return ``lim f(x + s d) / s`` on the directions of the domain in the unit cube."""
        return Term(recession_network(self.network), recession_ground(self.ground))

    def _off_kinks(self, x: FloatArray, nudge: float) -> FloatArray | None:
        if self.ground.inside is None:
            return None
        way = self.ground.inside - x
        length = float(np.abs(way).max()) or 1.0
        tilted = way + TILT * length * self._random.standard_normal(len(x))
        for step in (tilted, way):
            moved = x + nudge * step
            if self.ground.contains(moved):
                return moved
        return None

    def _cut(self, found: Linearisation) -> Cuts:
        gradient, offset = found.gradient, found.offset
        if not self.ground.bounded:
            pattern = {name: on[0] for name, on in found.pattern.items()}
            return Cuts(gradient, offset, np.zeros(1, np.intp), (pattern,))
        low = lowered(gradient, offset, found.gradient_error, found.offset_error, self.ground)
        return Cuts(gradient, low, np.zeros(1, np.intp))


def slopes(gradient: Sequence[Fraction]) -> FloatArray:
    """Round the slopes of an affine piece to the nearest doubles.

    Raises
    ------
    SolverError
        If one is larger than all doubles.
    """
    try:
        return np.array([float(v) for v in gradient])
    except OverflowError:
        raise SolverError("a slope is no double: the network's numbers are too large") from None


def lowered(
    gradient: FloatArray,
    offset: FloatArray,
    gradient_error: FloatArray,
    offset_error: FloatArray,
    ground: Ground,
) -> FloatArray:
    """Return constants (N,) with which the doubles are below the real pieces on the box."""
    reach = np.maximum(np.abs(ground.lower), np.abs(ground.upper))
    # a sum of non-negative numbers, rounded generously upwards
    slack = (gradient_error @ reach + offset_error) * (1.0 + 2.0**-20)
    return np.nextafter(offset - slack * (1.0 + 2.0**-20), -np.inf)
