"""Bounds for many small networks of one architecture at once, the network on the first axis.

Intervals forward, and linear bounds backward, as for one network. They hold in real arithmetic;
nothing is recomputed exactly, so that a network whose signs rounding hides is only not settled
here.

References
----------
N. J. Higham, "Accuracy and Stability of Numerical Algorithms",
2nd ed., section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jensen.arithmetic.intervals import ENDS, SIDES, SWAPPED, rounding_factor
from jensen.bounds.stacked_crown import StackedBackward
from jensen.network.stack import NetworkStack
from jensen.types import BoolArray, FloatArray, Interval

_SMALLEST = 2.0**-900  # products of absolute values from here on do not underflow
_LARGEST = 2.0**900


def stacked_bounds(
    stack: NetworkStack, lower: FloatArray, upper: FloatArray, *, backward: bool = False
) -> tuple[Sequence[Interval], BoolArray]:
    """Return bounds of pre-activations per hidden layer, and for which networks they hold.

    Parameters
    ----------
    stack : NetworkStack
    lower, upper : arrays (inputs,) or (networks, inputs)
        Boxes that hold the domain; their sides may be infinite.
    backward : bool
        Take linear bounds as well, where the boxes are finite.
    """
    count = len(stack)
    low, high = (np.broadcast_to(side, (count, stack.input_size)) for side in (lower, upper))
    sound = np.ones(count, dtype=bool)
    lines = None
    if backward and np.isfinite(low).all() and np.isfinite(high).all():
        lines = StackedBackward(stack.weights, stack.biases, (low, high))
    found: list[Interval] = []
    for weights, bias in zip(stack.weights[:-1], stack.biases[:-1], strict=True):
        if found:
            low, high = np.maximum(low, 0.0), np.maximum(high, 0.0)
        low, high, fine = _affine(weights, low, high, bias)
        sound &= fine
        if lines is not None:
            low, high = lines.tightened((low, high))
        found.append((low, high))
    return found, sound


def _affine(
    weights: FloatArray, lower: FloatArray, upper: FloatArray, bias: FloatArray | None
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Enclose ``W h + b`` for every network, and say where no product can have underflowed."""
    up, down = np.maximum(weights, 0.0), np.minimum(weights, 0.0)
    endless = np.stack([np.isinf(lower), np.isinf(upper)], axis=2)
    ends = np.count_nonzero(endless)
    sides = np.empty((*lower.shape, 4))
    sides[:, :, 0], sides[:, :, 1] = lower, upper
    if ends:
        sides[:, :, :2][endless] = 0.0
    np.abs(sides[:, :, :2], out=sides[:, :, 2:])
    swapped = sides[:, :, SWAPPED]
    np.negative(swapped[:, :, 2:], out=swapped[:, :, 2:])
    total = up @ sides
    total += down @ swapped
    value, magnitude = total[:, :, :2], total[:, :, 2:]
    if bias is not None:
        value += bias[:, :, None]
        magnitude += np.abs(bias)[:, :, None]
    error = rounding_factor(2 * weights.shape[2] + 2) * magnitude
    bounds = np.nextafter(value + SIDES * error, ENDS)
    # of every end by itself: the other one may be large where this one underflows
    least = np.minimum.reduce(magnitude, axis=None, initial=1.0)
    most = np.maximum.reduce(magnitude, axis=None, initial=0.0)
    if least >= _SMALLEST and most < _LARGEST:
        sound = np.ones(len(weights), dtype=bool)  # what underflows is far less than the errors
    else:
        # the last subtraction is rounded as well; a sum of nothing stays exactly 0
        bounds = np.where(error > 0, bounds, value)
        sound = _least(weights) * _least(sides) >= _SMALLEST
        # beyond any double that a network holds: not a number, or infinite, by overflow
        sound &= (magnitude < _LARGEST).all(axis=(1, 2))
        if bias is not None:
            sound &= _least(bias) >= _SMALLEST
    if ends:
        # a side without end that meets a weight which is not 0; sums of what is not negative
        reach = endless.astype(np.float64)
        bounds = np.where(up @ reach - down @ reach[:, :, ::-1] > 0, ENDS, bounds)
    return bounds[:, :, 0], bounds[:, :, 1], sound


def _least(values: FloatArray) -> FloatArray:
    """Return the smallest absolute value of each network that is not 0, at most 1."""
    size = np.abs(values)
    axes = tuple(range(1, values.ndim))
    least: FloatArray = np.where(size > 0, size, 1.0).min(axis=axes, initial=1.0)
    return least
