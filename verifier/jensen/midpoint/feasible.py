"""The set that both points of a pair come from: a box, perhaps with rows of a polyhedron."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jensen.arithmetic.rational import rationals
from jensen.midpoint.linked import Cuts, LinkedNetwork
from jensen.types import FloatArray

INSIDE = 1e-13  # by which points are pulled in, relative to their way from the centre
RETRIES = (1e-12, 1e-10, 1e-8)


@dataclass(frozen=True, eq=False)
class Feasible:
    """``lower <= x <= upper, A x <= b`` around a point that is strictly inside of the rows.

    Attributes
    ----------
    lower, upper : arrays (inputs,)
    A : array (rows, inputs)
    b : array (rows,)
    centre : array (inputs,)
    """

    lower: FloatArray
    upper: FloatArray
    A: FloatArray
    b: FloatArray
    centre: FloatArray

    @classmethod
    def box(cls, lower: FloatArray, upper: FloatArray) -> Feasible:
        """Return a box."""
        return cls(lower, upper, np.zeros((0, len(lower))), np.zeros(0), lower.copy())

    def into(self, points: FloatArray, inside: float = INSIDE) -> FloatArray:
        """Return the points, or the ones where their way to the centre enters the set.

        Parameters
        ----------
        points : array (points, inputs)
        inside : float
            How much further, relative to the way.
        """
        points = np.clip(points, self.lower, self.upper)
        if not len(self.b):
            return points
        way = points - self.centre
        move, room = way @ self.A.T, self.b - self.A @ self.centre
        share = np.where(move > room, room / np.where(move > room, move, 1.0), np.inf)
        share = np.clip(share.min(axis=1, keepdims=True) * (1.0 - inside), 0.0, 1.0)
        return np.where(share < 1.0, self.centre + share * way, points)

    def exactly(self, point: FloatArray) -> FloatArray:
        """Return a point of doubles that satisfies all rows exactly, next to one that nearly does.

        If there is none nearby it is the centre.
        """
        point = self.into(point[None])[0]
        if self.contains(point):
            return point
        for inside in RETRIES:
            near = self.centre + (1.0 - inside) * (point - self.centre)
            near = np.clip(near, self.lower, self.upper)
            if self.contains(near):
                return near
        return self.centre

    def contains(self, point: FloatArray) -> bool:
        """Decide in rational arithmetic whether a point satisfies all rows."""
        slack = rationals(self.b) - rationals(self.A) @ rationals(point)
        return all(value >= 0 for value in slack)

    def cuts(self, linked: LinkedNetwork) -> Cuts:
        """Return the rows as cuts at x and at y; the midpoint satisfies them by itself."""
        count = len(self.b)
        found = Cuts.none(linked, 2 * count)
        for k in range(2):
            rows = slice(k * count, (k + 1) * count)
            found.inputs[rows, :, k], found.right[rows] = -self.A, self.b
        return found
