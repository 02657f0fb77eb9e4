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

from jensen.arithmetic.intervals import SIDES, SWAPPED, rounding_factor
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
    endless_low, endless_high = np.isinf(lower), np.isinf(upper)
    endless = bool(endless_low.any() or endless_high.any())
    if endless:
        lower, upper = np.where(endless_low, 0.0, lower), np.where(endless_high, 0.0, upper)
    sides = np.empty((*lower.shape, 4))
    sides[:, :, 0], sides[:, :, 1] = lower, upper
    np.abs(sides[:, :, :2], out=sides[:, :, 2:])
    value = up @ sides
    other = down @ sides[:, :, SWAPPED]
    value[:, :, :2] += other[:, :, :2]
    value[:, :, 2:] -= other[:, :, 2:]
    if bias is not None:
        value[:, :, :2] += bias[:, :, None]
        value[:, :, 2:] += np.abs(bias)[:, :, None]
    error = rounding_factor(2 * weights.shape[2] + 2) * value[:, :, 2:]
    bounds = value[:, :, :2] + SIDES * error
    # the last subtraction is rounded as well; a sum of nothing stays exactly 0
    bounds = np.where(error > 0, np.nextafter(bounds, SIDES * np.inf), bounds)
    low, high = bounds[:, :, 0], bounds[:, :, 1]
    if endless:
        for side, bound, towards in ((0, low, -np.inf), (1, high, np.inf)):
            reach = (endless_low, endless_high) if side == 0 else (endless_high, endless_low)
            lost = _reaches(up, reach[0]) | _reaches(down, reach[1])
            bound[lost] = towards
    # of every end by itself: the other one may be large where this one underflows
    sound = _least(weights) * _least(sides) >= _SMALLEST
    # beyond any double that a network holds: not a number, or infinite, by overflow
    sound &= (value[:, :, 2:] < _LARGEST).all(axis=(1, 2))
    if bias is not None:
        sound &= _least(bias) >= _SMALLEST
    return low, high, sound


def _reaches(weights: FloatArray, endless: BoolArray) -> BoolArray:
    """Return where a side without end meets a weight that is not 0."""
    reached: BoolArray = ((weights != 0) & endless[:, None, :]).any(axis=2)
    return reached


def _least(values: FloatArray) -> FloatArray:
    """Return the smallest absolute value of each network that is not 0, at most 1."""
    size = np.abs(values)
    axes = tuple(range(1, values.ndim))
    least: FloatArray = np.where(size > 0, size, 1.0).min(axis=axes, initial=1.0)
    return least
