"""Bounds of levels behind the second one, and of J, on pieces of hyperplanes.

On a piece, units of the second level are linear; of those behind, bounds at its vertices and
directions hold all over it, as relu is sublinear: ``L <= z <= U`` at the generators r of a cone
in the sense of ``sum s_r L_r <= z(sum s_r r) <= sum s_r U_r`` for all ``s >= 0``.

References
----------
docs/theory.md, section 4: few inputs, cells one by one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jensen.arithmetic.intervals import UNIT
from jensen.cells.cones import MORE
from jensen.types import BoolArray, FloatArray, IndexArray

States = tuple[BoolArray, BoolArray]


def states_behind(
    values: tuple[FloatArray, FloatArray],
    states: States,
    levels: Sequence[tuple[FloatArray, FloatArray]],
    last: tuple[FloatArray, FloatArray],
    first: IndexArray,
) -> list[States]:
    """Return which units may be on, and off, on pieces: of each level from the second one on.

    Parameters
    ----------
    values : two arrays (units, incidences)
        Bounds of the second level at vertices, piece by piece.
    states : two bool arrays (units, pieces)
        Of that level.
    levels : sequence of (array (units, units before), array (units,))
        Weights and biases of the levels behind.
    last : two arrays (incidences,)
        The last coordinate of the vertices, exactly 0 at infinity, and how far it may be off.
    first : int array (pieces + 1,)
        Where the vertices of each piece begin.
    """
    (low, high), (place, uncertain) = values, last
    found = [states]
    begin, count = first[:-1], np.diff(first)
    for weight, bias in levels:
        on, off = found[-1]
        rising = np.add.reduceat(low + high, begin, axis=1) > 0
        sure, may_be, as_it_is = (
            np.repeat(part, count, axis=1) for part in (on & ~off, on, on & (~off | rising))
        )
        high = np.where(may_be, np.where(sure, high, np.maximum(high, 0.0)), 0.0)
        low = np.where(as_it_is, low, 0.0)
        size = np.abs(weight)
        middle, apart = weight @ ((low + high) / 2), (high - low) / 2
        rounding = (weight.shape[1] + 8) * UNIT
        apart += rounding * np.maximum(np.abs(low), np.abs(high))
        apart = size @ apart
        middle += bias[:, None] * place
        apart += np.abs(bias)[:, None] * (uncertain + rounding * place)
        apart *= MORE
        low, high = middle - apart, middle + apart
        # so written, what is not a number may be both
        up, down = ~(high < 0), ~(low > 0)
        up |= ~np.isfinite(apart)
        nothing = (low == 0) & (high == 0) & (place == 0)
        up &= ~nothing
        down &= ~nothing
        on, off = (np.logical_or.reduceat(side, begin, axis=1) for side in (up, down))
        found.append((on, off))
    return found


def jumps_behind(
    states: Sequence[States], weights: Sequence[FloatArray], kink: IndexArray
) -> FloatArray:
    """Return lower bounds of J on pieces under the states that levels behind may have there.

    Parameters
    ----------
    states : sequence of two bool arrays (units, pieces)
        Of the levels from the second one on.
    weights : sequence of arrays
        From the second level's on; the output's at the end.
    kink : int array (pieces,)
        Units of the first level.
    """
    column = np.arange(len(kink))
    output = np.repeat(weights[-1].reshape(-1, 1), len(kink), axis=1)
    least, most = _stated(output, output, states[-1])
    for weight, state in zip(weights[-2:0:-1], states[-2::-1], strict=True):
        least, most = _stated(*_product(weight.T, least, most), state)
    low: FloatArray = _product(weights[0].T, least, most)[0][kink, column]
    left = (~(low >= 0)).nonzero()[0]
    if left.size:
        states = [(on[:, left], off[:, left]) for on, off in states]
        slope = weights[0][:, kink[left]]
        least, most = slope, slope
        for weight, state in zip(weights[1:-1], states[:-1], strict=True):
            least, most = _product(weight, *_stated(least, most, state))
        # of the last level with the output weight, before the state counts
        passed = weights[-1].reshape(-1, 1)
        least, most = _stated(*_scaled(passed, least, most), states[-1])
        size = np.maximum(np.abs(least), np.abs(most)).sum(axis=0)
        total = least.sum(axis=0) - 2 * (len(least) + 4) * UNIT * size
        low[left] = np.maximum(low[left], total)
    return low


def _stated(least: FloatArray, most: FloatArray, state: States) -> tuple[FloatArray, FloatArray]:
    """Bound what units pass on in states that they may have."""
    on, off = state
    return (
        np.where(on, np.where(off, np.minimum(least, 0.0), least), 0.0),
        np.where(on, np.where(off, np.maximum(most, 0.0), most), 0.0),
    )


def _product(
    weight: FloatArray, least: FloatArray, most: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Bound the product of a matrix and columns within bounds."""
    size = np.abs(weight)
    middle, apart = weight @ ((least + most) / 2), size @ ((most - least) / 2)
    largest = size @ np.maximum(np.abs(least), np.abs(most))
    apart += 4 * (weight.shape[1] + 4) * UNIT * largest
    apart *= MORE
    return middle - apart, middle + apart


def _scaled(
    factor: FloatArray, least: FloatArray, most: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Bound the products with a factor for each row."""
    one, other = factor * least, factor * most
    return np.minimum(one, other), np.maximum(one, other)
