"""Jumps of the gradient across edges of a complex: J of the unit that bends there.

J is carried forward from the unit through the signs of the units behind it, for all edges
at once, with the sum of the absolute terms beside it: a bound of the rounding error.
"""

from __future__ import annotations

import numpy as np

from jensen.cells.complex import IndexArray, SignArray
from jensen.cells.layers import UNIT_ROUNDOFF, Layers
from jensen.network.relu_network import FloatArray

Carried = dict[int, tuple[FloatArray, FloatArray]]


def carry(
    layers: Layers, level: IndexArray, unit: IndexArray, signs: SignArray, last: int
) -> Carried:
    """Return dz of every level up to ``last`` per unit of the bending unit's activation.

    Parameters
    ----------
    level, unit : int arrays (edges,)
        The unit that bends on each edge.
    signs : int8 array (edges, units)
        Of all hidden units on the edges.
    last : int

    Returns
    -------
    dict from level to (change, size), each (edges, units)
        ``size`` sums the absolute terms.
    """
    found: Carried = {}
    rows = np.arange(len(level))
    for k in range(1, last + 1):
        layer = layers.layers[k]
        change = np.zeros((len(level), layer.size))
        size = np.zeros_like(change)
        touched = False
        for read in layer.reads:
            start = rows[level == read.level]
            if len(start):
                column = read.on[:, unit[start]].T
                if read.off is not None:
                    column = column - read.off[:, unit[start]].T
                change[start] += column
                size[start] += np.abs(column)
                touched = True
            if read.level in found:
                before, before_size = found[read.level]
                here = signs[:, layers.span(read.level)]
                on = here > 0
                change += (before * on) @ read.on.T
                size += (before_size * on) @ np.abs(read.on).T
                if read.off is not None:
                    off = here < 0
                    change += (before * off) @ read.off.T
                    size += (before_size * off) @ np.abs(read.off).T
                touched = True
        if touched:
            found[k] = change, size
    return found


def rounding_of(layers: Layers) -> float:
    """Return the relative error of a carried sum, in units of the sum of its absolute terms."""
    return 2 * layers.rounding + 8 * UNIT_ROUNDOFF


def gradient(layers: Layers, level: int, unit: int, signs: SignArray) -> FloatArray:
    """Return the slopes of one unit's z over the coordinates, under given signs."""
    slope: dict[int, FloatArray] = {}
    for k in range(level, -1, -1):
        layer = layers.layers[k]
        here = np.zeros(layer.size)
        if k == level:
            here[unit] = 1.0
        slope[k] = here
    total = np.zeros(layers.coordinates)
    for k in range(level, -1, -1):
        layer = layers.layers[k]
        if layer.source is not None:
            total += slope[k] @ layer.source
        for read in layer.reads:
            passed = signs[layers.span(read.level)]
            slope[read.level] += (slope[k] @ read.on) * (passed > 0)
            if read.off is not None:
                slope[read.level] += (slope[k] @ read.off) * (passed < 0)
    return total
