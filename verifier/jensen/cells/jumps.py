"""Jumps of the gradient across edges of a complex: J of the unit that bends there.

J is carried forward from the unit through the signs of the units behind it, for all edges
at once, with the sum of the absolute terms beside it: a bound of the rounding error.
"""

from __future__ import annotations

import numpy as np

from jensen.cells.complex import SignArray
from jensen.cells.layers import UNIT_ROUNDOFF, Layers, Reading
from jensen.types import FloatArray, IndexArray

Carried = dict[int, tuple[FloatArray, FloatArray]]
Bends = tuple[IndexArray, IndexArray]  # the (level, unit) that bends on each edge


def carry(layers: Layers, bends: Bends, signs: SignArray, last: int) -> Carried:
    """Return dz of every level up to ``last`` per unit of the bending unit's activation.

    Parameters
    ----------
    bends : (level, unit), int arrays (edges,)
    signs : int8 array (edges, units)
        Of all hidden units on the edges.
    last : int

    Returns
    -------
    dict from level to (change, size), each (edges, units)
        ``size`` sums the absolute terms.
    """
    found: Carried = {}
    for k in range(1, last + 1):
        change, size = np.zeros((2, len(signs), layers.layers[k].size))
        for read in layers.layers[k].reads:
            _add(layers, read, bends, signs, found, change, size)
        if size.any():
            found[k] = change, size
    return found


def to_output(
    layers: Layers, carried: Carried, bends: Bends, signs: SignArray, without: int | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return J of the bending units, and the sum of its absolute terms, each (edges,).

    Parameters
    ----------
    carried : from :func:`carry`
    without : int or None
        A level whose share is left out.
    """
    change, size = np.zeros((2, len(signs), 1))
    for read in layers.layers[-1].reads:
        if read.level != without:
            _add(layers, read, bends, signs, carried, change, size)
    return change[:, 0], size[:, 0]


def _add(
    layers: Layers,
    read: Reading,
    bends: Bends,
    signs: SignArray,
    found: Carried,
    change: FloatArray,
    size: FloatArray,
) -> None:
    """Add what arrives through one level that is read."""
    here = np.flatnonzero(bends[0] == read.level)
    if len(here):
        column = read.bend[bends[1][here]]
        if len(here) == len(change):
            change += column
            size += np.abs(column)
        else:
            change[here] += column
            size[here] += np.abs(column)
    if read.level in found:
        before, before_size = found[read.level]
        passed = signs[:, layers.span(read.level)]
        change += np.where(passed > 0, before, 0.0) @ read.weights.T
        size += np.where(passed > 0, before_size, 0.0) @ np.abs(read.weights).T


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
            slope[read.level] += (slope[k] @ read.weights) * (passed > 0)
    return total
