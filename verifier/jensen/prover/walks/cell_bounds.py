"""Bounds of all units and of all J on cells, from what they are at the cells' extreme rays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jensen.arithmetic.intervals import UNIT
from jensen.cells.cones import Cones, UncertainSignError
from jensen.cells.layers import Layers
from jensen.types import BoolArray, FloatArray


@dataclass(eq=False)
class CellValues:
    """What is known of all units on the rays, and of J on the cells.

    Attributes
    ----------
    z, error : arrays (rays, units)
        Exact up to the error where a unit is linear on the ray's cell.
    both : bool array (cells, units)
        Whether a unit surely has both signs.
    gap : array (cells, units)
        Most by which relu is below the line above it, or 0 where a unit may have one sign.
    low, high : arrays (cells, units)
        Bounds of J.
    """

    z: FloatArray
    error: FloatArray
    both: BoolArray
    gap: FloatArray
    low: FloatArray
    high: FloatArray


class CellBounds:
    """Bounds on the cells of one network of levels in a row.

    Parameters
    ----------
    layers : Layers

    Attributes
    ----------
    spans : list of slice
        Places of each level's units.
    first : array (units of the first level, coordinates)
    weights : list of arrays
        Of each level but the first one on the level before it.
    biases : list of arrays
    """

    def __init__(self, layers: Layers) -> None:
        hidden = [layers.layers[k] for k in layers.hidden]
        self.spans = [layers.span(k) for k in layers.hidden]
        self.first = np.zeros((0, 0)) if hidden[0].source is None else hidden[0].source
        self.weights = [layer.reads[0].weights for layer in layers.layers[1:]]
        self.sizes = [np.abs(weight) for weight in self.weights]
        self.biases = [
            np.zeros(layer.size) if layer.source is None else layer.source[:, -1]
            for layer in layers.layers
        ]
        self._lipschitz = [float(layers.lipschitz[k].max()) for k in layers.hidden]
        self._rounding = 4 * layers.rounding
        self.form_rounding = self._rounding * max(*self._lipschitz, 1.0)

    def reach(self, cones: Cones) -> FloatArray:
        """Return how far values of a unit of slope 1 may be off on the rays: (rays, 1)."""
        reach = cones.radius + self._rounding * (cones.size + cones.radius)
        return reach[:, None]

    def first_values(self, cones: Cones) -> tuple[FloatArray, FloatArray]:
        """Return z of the first level's units on the rays, and how far it may be off."""
        return cones.points @ self.first.T, self._lipschitz[0] * self.reach(cones)

    def of(self, cones: Cones) -> CellValues:
        """Bound all units on all cells, note which keep their sign, and bound J."""
        first, owner, last = cones.first, cones.cell, cones.points[:, -1:]
        reach, far = self.reach(cones), last[:, 0] == 0
        has_far = bool(far.any())
        shape = cones.states.shape
        z, error = np.empty((2, len(owner), shape[1]))
        both, gap = np.empty(shape, dtype=bool), np.empty(shape)
        nonzero = ~cones.vanishing(shape[1])
        dead: BoolArray | None = None
        middle, apart = cones.points @ self.first.T, None
        for level, span in enumerate(self.spans):
            off = self._lipschitz[level] * reach
            if dead is not None:
                off[dead] = 0.0
            around = off if apart is None else apart + off
            z[:, span], error[:, span] = middle, around
            least, most = middle - around, middle + around
            tops, bottoms = np.maximum.reduceat(least, first), np.minimum.reduceat(most, first)
            top, bottom = np.maximum.reduceat(most, first), np.minimum.reduceat(least, first)
            up, down = tops > 0, bottoms < 0  # surely reached
            on, never = up & (bottom >= 0), down & (top <= 0)
            states = cones.states[:, span]
            unknown = states == 0
            self._check_sides(cones, span, unknown & (on | never), least, most)
            states[on & unknown] = 1
            states[never & unknown] = -1
            both[:, span] = up & down
            with np.errstate(all="ignore"):
                gap[:, span] = np.where(up & down, tops / (1 - tops / bottoms), 0.0)
            if level + 1 == len(self.spans):
                break
            passed = nonzero[:, span] & (states >= 0)[owner]
            if dead is not None:
                passed[dead] = False
            dead = far & ~passed.any(axis=1) if has_far else None
            sure = states > 0
            high = middle if apart is None else middle + apart
            high = np.maximum(high, np.where(sure, -np.inf, 0.0)[owner]) * passed
            low = middle if apart is None else middle - apart
            low = low * (passed & (sure | (bottom + top > 0))[owner])
            middle = (low + high) @ (self.weights[level].T / 2)
            middle += last * self.biases[level + 1]
            apart = (high - low) @ (self.sizes[level].T / 2)
        return CellValues(z, error, both, gap, *self._jumps(cones.states))

    def _check_sides(
        self, cones: Cones, span: slice, kept: BoolArray, least: FloatArray, most: FloatArray
    ) -> None:
        """Give up where a kink that is asked for may lie in a side of a cell."""
        kept = kept & cones.asked[:, span]
        if not kept.any():
            return
        near = cones.points[:, -1:] != 0
        if (kept[cones.cell] & near & (least <= 0) & (most >= 0)).any():
            raise UncertainSignError("a kink in a side of a cell")

    def _jumps(self, states: NDArray[np.int8]) -> tuple[FloatArray, FloatArray]:
        """Bound J of all units under the states of each cell."""
        low, high = np.empty((2, *states.shape))
        least = most = np.broadcast_to(
            self.weights[-1][0], (len(states), self.weights[-1].shape[1])
        )
        for level in range(len(self.spans) - 1, -1, -1):
            span = self.spans[level]
            low[:, span], high[:, span] = least, most
            if not level:
                break
            on, never = states[:, span] > 0, states[:, span] < 0
            least = np.where(on, least, np.where(never, 0.0, np.minimum(least, 0.0)))
            most = np.where(on, most, np.where(never, 0.0, np.maximum(most, 0.0)))
            size = np.maximum(np.abs(least), np.abs(most)) @ self.sizes[level - 1]
            middle = (least + most) / 2 @ self.weights[level - 1]
            apart = (most - least) / 2 @ self.sizes[level - 1]
            apart += 8 * (least.shape[1] + 4) * UNIT * size
            least, most = middle - apart, middle + apart
        return low, high
