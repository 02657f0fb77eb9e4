"""Bounds of ``|grad z|`` under partial activation patterns (docs/theory.md, section 9).

The gradient with respect to the inputs is carried through the levels component by
component: a unit with fixed activation multiplies by its slope, a free one contributes the
hull of both. All sums are rounded outward.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jensen.groups.groups import SOURCE, GroupedNetwork
from jensen.groups.jump import FREE, OFF, ON, UNIT_ROUNDOFF, Activations
from jensen.groups.slopes import Slopes
from jensen.groups.tolerance import UNDERFLOW
from jensen.network.relu_network import INPUT, ReluNetwork
from jensen.types import FloatArray


class GradientBounds:
    """Largest gradients of the units of one grouped network.

    Parameters
    ----------
    net : GroupedNetwork
    network : ReluNetwork
        The scalar network that was grouped: its weights on the inputs.
    moving : bool array (inputs,)
        Inputs that vary on the domain; the others are constants there.
    """

    def __init__(
        self, net: GroupedNetwork, network: ReluNetwork, moving: NDArray[np.bool_]
    ) -> None:
        self._net = net
        count = int(np.count_nonzero(moving))
        of_inputs = {
            block.name: _columns(block.weights[INPUT], moving)
            for block in network.blocks
            if INPUT in block.weights
        }
        self._start = [np.zeros((level.size, count)) for level in net.levels]
        for start, level in zip(self._start, net.levels, strict=True):
            for unit, twins in enumerate(level.units):
                if twins[0].block in of_inputs:
                    start[unit] = of_inputs[twins[0].block][twins[0].index]

    def norm(self, group: tuple[int, int], activations: Activations) -> float:
        """Return a proved upper bound of ``|grad z|`` of a group under a partial pattern."""
        level, unit = group
        lower: list[FloatArray] = []
        upper: list[FloatArray] = []
        with np.errstate(over="ignore", invalid="ignore"):
            for k in range(level + 1):
                rows = slice(None) if k < level else slice(unit, unit + 1)
                low, high = self._level(k, rows, activations, lower, upper)
                lower.append(low)
                upper.append(high)
            size = np.maximum(np.abs(lower[-1][0]), np.abs(upper[-1][0]))
            norm = math.hypot(*size.tolist()) * (1 + 1e-15) + UNDERFLOW
        return math.inf if math.isnan(norm) else norm

    def _level(
        self,
        k: int,
        rows: slice,
        activations: Activations,
        lower: list[FloatArray],
        upper: list[FloatArray],
    ) -> tuple[FloatArray, FloatArray]:
        low = self._start[k][rows].copy()
        high, size, terms = low.copy(), np.abs(low), 1
        for source, slopes in self._net.levels[k].slopes.items():
            if source == SOURCE:
                continue
            act, below, above = activations[source], lower[source], upper[source]
            terms += 2 * len(act) + 2
            two_sided = np.flatnonzero(slopes.two_sided)
            for column in two_sided:
                ends = _two_sided(slopes, rows, int(column), int(act[column]), below, above)
                low += ends[0]
                high += ends[1]
                size += np.maximum(np.abs(ends[0]), np.abs(ends[1]))
            passes = act[:, None].copy()
            passes[two_sided] = OFF
            below = np.where(passes == FREE, np.minimum(below, 0), np.where(passes, below, 0))
            above = np.where(passes == FREE, np.maximum(above, 0), np.where(passes, above, 0))
            low += slopes.plus[rows] @ below + slopes.minus[rows] @ above
            high += slopes.plus[rows] @ above + slopes.minus[rows] @ below
            reach = np.maximum(np.abs(below), np.abs(above))
            size += slopes.plus[rows] @ reach - slopes.minus[rows] @ reach
        if terms == 1:
            return low, high
        error = 2.2 * UNIT_ROUNDOFF * (terms + 10) * size + UNDERFLOW
        return low - error, high + error


def _two_sided(
    slopes: Slopes, rows: slice, column: int, act: int, below: FloatArray, above: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the interval that one unit with two slopes contributes."""
    assert slopes.off is not None
    kinds = [slopes.on] if act == ON else [slopes.off] if act == OFF else [slopes.on, slopes.off]
    products = [
        np.outer(weights[rows, column], end[column]) for weights in kinds for end in (below, above)
    ]
    return np.minimum.reduce(products), np.maximum.reduce(products)


def _columns(weight: object, moving: NDArray[np.bool_]) -> FloatArray:
    dense = weight.toarray() if sp.issparse(weight) else np.asarray(weight)  # type: ignore[attr-defined]
    chosen: FloatArray = dense[:, moving]
    return chosen
