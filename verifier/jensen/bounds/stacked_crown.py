"""Backward linear bounds (CROWN, DeepPoly) for many small networks at once.

As :mod:`jensen.bounds.crown`, whose rounding errors these are, for dense layers in a row, the
network on the first axis.

References
----------
H. Zhang et al., "Efficient neural network robustness certification with general
activation functions", NeurIPS 2018.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jensen.arithmetic.intervals import SAFETY, SUBNORMAL, UNIT, rounding_factor
from jensen.bounds.crown import relaxation
from jensen.types import FloatArray, IndexArray, Interval


class StackedBackward:
    """Backward bounds on the layers of networks, each over a box of its own.

    Parameters
    ----------
    weights, biases : sequences of arrays (networks, out, in), (networks, out)
    box : (lower, upper), arrays (networks, inputs)
        Finite.
    """

    def __init__(
        self, weights: Sequence[FloatArray], biases: Sequence[FloatArray], box: Interval
    ) -> None:
        self._weights, self._biases, self._box = weights, biases, box
        # per layer in front the lines, what rounding costs per unit of a weight, and at all
        self._lines: list[tuple[FloatArray, FloatArray, FloatArray]] = []
        self._costs: list[tuple[FloatArray, FloatArray]] = []
        self._reach = np.maximum(np.abs(box[0]), np.abs(box[1]))

    def tightened(self, bounds: Interval) -> Interval:
        """Return better bounds of the next layer; layers are handed over from the first one on.

        Parameters
        ----------
        bounds : (lower, upper), arrays (networks, neurons)
            True bounds of its pre-activations.
        """
        layer, (low, high) = len(self._lines), bounds
        if layer:
            rows = np.flatnonzero(((low < 0) & (high > 0)).any(axis=0))
            if rows.size:
                sides = self._lower(layer, rows)
                low, high = low.copy(), high.copy()
                low[:, rows] = np.fmax(low[:, rows], sides[:, : rows.size])
                high[:, rows] = np.fmin(high[:, rows], -sides[:, rows.size :])
        weight, bias = self._weights[layer], self._biases[layer]
        size = weight.shape[2]
        # largest change of the sum per unit of a weight, from every rounding of a step
        rounding, reached = rounding_factor(bias.shape[1]), np.maximum(np.abs(low), np.abs(high))
        cost = rounding * (np.abs(bias) + (np.abs(weight) @ self._reach[:, :, None])[:, :, 0])
        cost += 2.0 * UNIT * reached
        total = 1.0 + reached.sum(axis=1) + self._reach.sum(axis=1)
        tiny = 8.0 * SUBNORMAL * (bias.shape[1] + size + 1) * total
        self._costs.append((SAFETY * cost, tiny[:, None]))
        line = relaxation(low, high)
        self._lines.append((line.low, line.up, line.offset))
        self._reach = np.maximum(high, 0.0)
        return low, high

    def _lower(self, layer: int, rows: IndexArray) -> FloatArray:
        """Return lower bounds of some pre-activations of a layer, then of their negatives."""
        matrix, constant = self._weights[layer][:, rows], self._biases[layer][:, rows]
        form = np.concatenate([matrix, -matrix], axis=1)
        constant = np.concatenate([constant, -constant], axis=1)
        error = np.zeros_like(constant)
        for k in range(layer - 1, -1, -1):
            (flat, steep, offset), (cost, tiny) = self._lines[k], self._costs[k]
            size = offset.shape[1]
            negative = np.minimum(form, 0.0)
            lift = (negative @ offset[:, :, None])[:, :, 0]
            constant = constant + lift
            error += UNIT * np.abs(constant) - rounding_factor(size) * lift + SUBNORMAL * size
            form = np.maximum(form, 0.0) * flat[:, None] + negative * steep[:, None]
            constant += (form @ self._biases[k][:, :, None])[:, :, 0]
            error += (np.abs(form) @ cost[:, :, None])[:, :, 0]
            error += 2.0 * UNIT * np.abs(constant) + tiny
            form = form @ self._weights[k]
        lower, upper = (side[:, :, None] for side in self._box)
        positive, negative = np.maximum(form, 0.0), np.minimum(form, 0.0)
        value = (positive @ lower + negative @ upper)[:, :, 0] + constant
        size = (positive @ np.abs(lower) - negative @ np.abs(upper))[:, :, 0]
        inputs = form.shape[2]
        error += rounding_factor(2 * inputs + 2) * (size + np.abs(constant))
        error += 4.0 * SUBNORMAL * (inputs + 1)
        below: FloatArray = np.nextafter(value - SAFETY * error, -np.inf)
        return below
