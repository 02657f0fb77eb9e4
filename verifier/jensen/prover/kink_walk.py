"""Points that move along the kinks of their groups, in the boxes of their pieces.

A step goes down a function of z, at a right angle to the kink, and then back to the kink as it
was seen from where the step began. Where the kink is a hyperplane that is exact; where it bends,
the next step puts right what is left.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jensen.groups.groups import SOURCE, GroupedNetwork
from jensen.prover.pieces import Piece
from jensen.types import FloatArray, IndexArray

CORRECTIONS = 3  # of a step back to the kink: coordinates on their way out of the box stay


class KinkWalk:
    """Points, one a row, each with a group of its own.

    Parameters
    ----------
    net : GroupedNetwork
    pieces : sequence of Piece
    chosen : array (points,)
        Number of every point's piece.
    owners : pair of arrays (points,)
        Level and unit of every point's group.
    inertia : float
        Share of the last direction that is kept.
    rng : numpy.random.Generator

    Attributes
    ----------
    points : array (points, dim)
    """

    def __init__(
        self,
        net: GroupedNetwork,
        pieces: Sequence[Piece],
        chosen: IndexArray,
        owners: tuple[IndexArray, IndexArray],
        inertia: float,
        rng: np.random.Generator,
    ) -> None:
        self._net, self.chosen = net, chosen
        self._lower = np.array([piece.lower for piece in pieces])[chosen]
        self._upper = np.array([piece.upper for piece in pieces])[chosen]
        self._rows, self._limits = pieces[0].rows, pieces[0].limits
        self.points = self._lower + rng.random(self._lower.shape) * (self._upper - self._lower)
        self._side = (self._upper - self._lower).max(axis=1, keepdims=True)
        self._inertia, self._way = inertia, np.zeros_like(self.points)
        levels, units = owners
        self._owners = [
            (int(k), here, units[here])
            for k in np.unique(levels)
            for here in [np.flatnonzero(levels == k)]
        ]
        # gradients of units that read the inputs alone are the same everywhere
        self._normals = np.zeros_like(self.points)
        bent = []
        for k, here, own in self._owners:
            slopes = net.levels[k].slopes
            if set(slopes) == {SOURCE}:
                self._normals[here] = slopes[SOURCE].on[own]
            else:
                bent.append((k, here, own))
        self._bent = np.concatenate([here for _, here, _ in bent]) if bent else None
        self._seeds = _seeds_of(net, [(k, own) for k, _, own in bent])
        self._into_domain()

    def values(self) -> list[FloatArray]:
        """Return z of all levels."""
        return self._net.pre_activations(self.points)

    def own(self, z: list[FloatArray]) -> FloatArray:
        """Return every point's own group's z."""
        found = np.empty(len(self.points))
        for k, here, units in self._owners:
            found[here] = z[k][here, units]
        return found

    def to_kink(self, rounds: int) -> None:
        """Step to z_g = 0 by Newton."""
        for _ in range(rounds):
            z = self.values()
            self._step_back(self.own(z), self._normals_at(z))

    def move(self, z: list[FloatArray], seeds: list[FloatArray | None], step: float) -> None:
        """Go down a function of z along the kinks.

        Parameters
        ----------
        z : list of arrays
            :meth:`values` of the points.
        seeds : list of arrays or None
            The function's derivatives by them.
        step : float
            In units of the longest sides of the pieces.
        """
        normal, left = self._normals_at(z), self.own(z)
        if any(seed is not None for seed in seeds):
            way = self._gradient(z, seeds)
            low, high = self.points <= self._lower, self.points >= self._upper
            for _ in range(2):
                stuck = (low & (way > 0)) | (high & (way < 0))
                way[stuck] = 0.0
                free = np.where(stuck, 0.0, normal)
                share = _dot(way, free) / np.maximum(_dot(free, free), 1e-300)
                way -= share[:, None] * free
            way /= np.maximum(np.sqrt(_dot(way, way)), 1e-300)[:, None]
            if self._inertia:
                way = self._way = self._inertia * self._way + (1.0 - self._inertia) * way
            before = self.points
            self.points = self._clipped(before - step * self._side * way)
            left += _dot(self.points - before, normal)
        self._step_back(left, normal)
        self._into_domain()

    def _step_back(self, left: FloatArray, normal: FloatArray) -> None:
        """Go so far along the gradients of z_g that what is left of it becomes 0."""
        for _ in range(CORRECTIONS):
            way = np.sign(left)[:, None] * normal
            stuck = (self.points <= self._lower) & (way > 0)
            stuck |= (self.points >= self._upper) & (way < 0)
            free = np.where(stuck, 0.0, normal)
            share = left / np.maximum(_dot(free, free), 1e-300)
            before = self.points
            self.points = self._clipped(before - share[:, None] * free)
            left = left + _dot(self.points - before, normal)

    def _clipped(self, points: FloatArray) -> FloatArray:
        inside: FloatArray = np.minimum(np.maximum(points, self._lower), self._upper)
        return inside

    def _into_domain(self) -> None:
        """Project on the rows that are violated, one after the other."""
        for row, limit in zip(self._rows, self._limits, strict=True):
            beyond = np.maximum(self.points @ row - limit, 0.0) / max(float(row @ row), 1e-300)
            if beyond.any():
                moved = self.points - beyond[:, None] * row
                self.points = self._clipped(moved)

    def _normals_at(self, z: list[FloatArray]) -> FloatArray:
        """Return the gradients of the points' own z."""
        if self._bent is not None:
            there = [values[self._bent] for values in z]
            self._normals[self._bent] = self._gradient(there, self._seeds)
        normals: FloatArray = self._normals
        return normals

    def _gradient(self, z: list[FloatArray], seeds: list[FloatArray | None]) -> FloatArray:
        """Return the gradient by the working variables of ``sum seed z``, as the network is."""
        total: FloatArray = np.zeros((len(z[0]), self.points.shape[1]))
        carried = list(seeds)
        for k in range(len(z) - 1, -1, -1):
            behind = carried[k]
            if behind is None:
                continue
            for source, slopes in self._net.levels[k].slopes.items():
                if source == SOURCE:
                    total += behind @ slopes.on
                    continue
                active = ~self._net.levels[source].kink | (z[source] > 0)
                off = 0.0 if slopes.off is None else behind @ slopes.off
                part = np.where(active, behind @ slopes.on, off)
                earlier = carried[source]
                carried[source] = part if earlier is None else earlier + part
        return total


def _seeds_of(
    net: GroupedNetwork, owners: Sequence[tuple[int, IndexArray]]
) -> list[FloatArray | None]:
    """Return, per level, a 1 in the row of every owner, whose rows are behind one another."""
    seeds: list[FloatArray | None] = [None] * len(net.levels)
    count, place = sum(len(units) for _, units in owners), 0
    for k, units in owners:
        seed = np.zeros((count, net.levels[k].size))
        seed[np.arange(place, place + len(units)), units] = 1.0
        seeds[k] = seed
        place += len(units)
    return seeds


def _dot(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the products of rows."""
    found: FloatArray = (a * b) @ np.ones(a.shape[1])
    return found
