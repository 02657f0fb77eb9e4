"""Least distances over cuts and bounds, in the multipliers: for many inputs.

For multipliers y the minimum over u within its bounds of

    y (M u + c) + |u - center|^2 / (2 step)

is attained at ``clip(center - step y M)``, side by side; as a function d of y it is concave.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jensen.optimise.quadratic import maximise_quadratic
from jensen.types import FloatArray, IndexArray

PASSES = 20
HALVINGS = 20


@dataclass(frozen=True, eq=False)
class Dual:
    """Multipliers (of cuts, and then of rows and equations), their point, and d there."""

    y: FloatArray
    u: FloatArray
    value: float


@dataclass(frozen=True, eq=False)
class Distances:
    """A least distance program without rows.

    Attributes
    ----------
    center : array (inputs,)
    step : float
    lower, upper : arrays (inputs,)
        Bounds of u, infinite where there are none.
    matrix, constants : arrays (k, inputs), (k,)
        The cuts.
    term : int array (k,)
        The term that each belongs to.
    weights : array (terms,)
        What the multipliers of a term sum up to.
    """

    center: FloatArray
    step: float
    lower: FloatArray
    upper: FloatArray
    matrix: FloatArray
    constants: FloatArray
    term: IndexArray
    weights: FloatArray

    def solve(self, start: FloatArray) -> Dual:
        """Maximise d by quadratic programs that keep the bounds active which are so now.

        Parameters
        ----------
        start : array (at most k,)
            Multipliers of the first cuts.
        """
        y = np.zeros(len(self.term))
        y[: len(start)] = start
        sums = np.zeros(len(self.weights))
        np.add.at(sums, self.term, y)
        if not (sums > 0).all():
            y = self.weights[self.term] / np.bincount(self.term)[self.term]
        best = self._at(y)
        for _ in range(PASSES):
            free = (self.lower < best.u) & (best.u < self.upper)
            moving = self.matrix[:, free]
            slope = self.constants + self.matrix @ np.where(free, self.center, best.u)
            square = self.step * (moving @ moving.T)
            y = maximise_quadratic(slope, square, self.term, self.weights, best.y)
            found = self._at(y)
            now = (self.lower < found.u) & (found.u < self.upper)
            if found.value > best.value and (now == free).all():
                return found
            if not found.value > best.value:
                found = self._between(best, y)
                if not found.value > best.value:
                    return best
            best = found
        return best

    def _at(self, y: FloatArray) -> Dual:
        u = np.clip(self.center - self.step * (y @ self.matrix), self.lower, self.upper)
        square = float(((u - self.center) ** 2).sum()) / (2.0 * self.step)
        return Dual(y, u, float(y @ (self.constants + self.matrix @ u)) + square)

    def _between(self, best: Dual, y: FloatArray) -> Dual:
        """Return the best of some points on the way to y."""
        shares = 0.5 ** np.arange(1, HALVINGS + 1)
        ways = [self._at(best.y + t * (y - best.y)) for t in shares]
        return max(ways, key=lambda dual: dual.value)
