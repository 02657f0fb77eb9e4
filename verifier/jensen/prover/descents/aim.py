"""Descents that aim: the cheapest states that make the jump negative, as inequalities.

A facet bends down if enough units behind are in the state that pulls J down. From the states at a
point the nearest of them are chosen, so many that J would be negative if they changed; these, and
those that pull already, are inequalities, linear as long as no unit in front changes. Steps of
Polyak (1969) lead to a point where all hold, if there is one nearby: the least value of the sum of
their violations is known, 0. Every step makes the choice anew (docs/theory.md, section 11).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from jensen.prover.descents.walk import TINY, Walk, dot
from jensen.types import BoolArray, FloatArray

RELAXED = 1.8  # of a step that reaches the inequalities where they are linear
LONGEST = 0.3  # step, in units of the piece's longest side
TASTE = 1.5  # standard deviation of the logarithms by which half of the rows find units dearer


class AimedWalk(Walk):
    """Rows of points that move towards states under which their groups' jumps are negative.

    Parameters
    ----------
    *rows
        As of :class:`Walk`.
    rng : numpy.random.Generator
    """

    def __init__(self, *rows: Any, rng: np.random.Generator) -> None:
        super().__init__(*rows)
        self._rng = rng
        self._taste: FloatArray | None = None

    def step(self, tau: float, length: float) -> None:
        """Go back to the kinks, and along them to states that hold by tau, in units' sizes."""
        normals = self.to_kink(1)
        self.points, self.met = self.points.copy(), self.points
        n = self._moving
        if not n:
            return
        missed, way = self._violations(self._wanted(tau), tau)
        way = self._along(way, normals[:n])
        size = dot(way, way)
        share = RELAXED * missed / np.maximum(size, TINY)
        lower, upper, side = self._lower, self._upper, self._side
        if len(side) > 1:
            lower, upper, side = lower[:n], upper[:n], side[:n]
        share = np.minimum(share, LONGEST * side[:, 0] / np.maximum(np.sqrt(size), TINY))
        self.points[:n] = np.clip(self.points[:n] - share[:, None] * way, lower, upper)
        self._into_domain()

    def _wanted(self, margin: float) -> list[FloatArray | None]:
        """Return, by level, the signed inverse sizes of the units whose states are wanted.

        Positive where z is to be negative; 0 for units whose state may be any.
        """
        rows = slice(0, self._moving)
        jump, slopes = self._jump_slopes([on[rows] for on in self._on], rows)
        found: list[FloatArray | None] = []
        parts = []
        for slope, z, scale, layer in zip(
            slopes, self._z, self._scales, self._net.layers, strict=False
        ):
            if slope is None:
                found.append(None)
                continue
            if layer.linear is not None:
                slope[:, layer.linear] = 0.0
            signed = np.sign(slope) / scale.astype(self._net.dtype)
            beyond = z[rows] * signed  # > 0: the unit is not in the state that pulls J down
            weight = np.abs(slope)
            cost = np.where(beyond > 0, (beyond + margin) / np.maximum(weight, TINY), np.inf)
            found.append(signed)
            parts.append((cost, weight))
        if not parts:
            return found
        cost = np.concatenate([part[0] for part in parts], axis=1)
        weight = np.concatenate([part[1] for part in parts], axis=1)
        cost *= self._tastes(cost.shape[1])
        most = _dearest(cost, weight, jump)
        first = 0
        for signed in found:
            if signed is not None:
                part = cost[:, first : first + signed.shape[1]]
                first += signed.shape[1]
                signed[(part > most[:, None]) & (part < np.inf)] = 0.0
        return found

    def nearest(self, count: int, margin: float) -> Iterator[tuple[int, float, list[BoolArray]]]:
        """Yield the rows that miss least, by how much, and all states with those that they want."""
        if not self._moving:
            return
        wanted = self._wanted(margin)
        missed, _ = self._violations(wanted, margin)
        for row in np.argsort(missed, kind="stable")[:count].tolist():
            states = [on[row] > 0 for on in self._on]
            for state, signed in zip(states, wanted, strict=False):
                if signed is not None:
                    state[signed[row] > 0], state[signed[row] < 0] = False, True
            yield row, float(missed[row]), states

    def _tastes(self, units: int) -> FloatArray:
        """Return factors of what it costs to change units: 1 in half of the rows, else random.

        Rows that choose alike end alike, often where no more can be changed.
        """
        if self._taste is None:
            self._taste = np.ones((self._moving, units), dtype=self._net.dtype)
            drawn = self._rng.normal(size=self._taste[1::2].shape)
            self._taste[1::2] = np.exp(TASTE * drawn)
        return self._taste

    def _violations(
        self, wanted: list[FloatArray | None], margin: float
    ) -> tuple[FloatArray, FloatArray]:
        """Return how far the wanted states are missed, in all, and the gradient by the points."""
        rows = slice(0, self._moving)
        missed = np.zeros(self._moving, dtype=self._net.dtype)
        slopes: list[FloatArray | None] = []
        for signed, z in zip(wanted, self._z, strict=False):
            if signed is None:
                slopes.append(None)
                continue
            beyond = z[rows] * signed + margin
            violated = (beyond > 0) & (signed != 0)
            missed += np.where(violated, beyond, 0.0).sum(axis=1)
            slopes.append(np.where(violated, signed, 0.0).astype(self._net.dtype))
        total = np.zeros((self._moving, self.points.shape[1]), dtype=self._net.dtype)
        self._go_back(len(slopes) - 1, slopes, total, rows)
        return missed, total


def _dearest(cost: FloatArray, weight: FloatArray, jump: FloatArray) -> FloatArray:
    """Return the cost up to which units have to change so that the jump is negative, if any."""
    order = np.argsort(cost, axis=1)
    saved = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    last = np.minimum((saved <= jump[:, None]).sum(axis=1), cost.shape[1] - 1)
    rows = np.arange(len(cost))
    dearest: FloatArray = np.where(jump < 0, -np.inf, cost[rows, order[rows, last]])
    return dearest
