"""Pieces of lines on which units behind are nearly linear, and J on them, for straight walks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jensen.arithmetic.intervals import UNIT
from jensen.types import BoolArray, FloatArray, IndexArray

OUTWARD = 16 * UNIT  # of quotients, so that they err to one side
CHUNK = 1 << 13  # numbers in a table at a time, so that they stay in the cache


@dataclass(frozen=True, eq=False)
class Pieces:
    """``z`` of the second level on pieces of lines: ``start + t rise`` for ``0 <= t <= reach``.

    Attributes
    ----------
    line : array (pieces,)
    start, rise, error, drift : arrays (pieces, neurons)
        z is exact up to ``error + t drift``.
    reach : float
        1 between two nodes, infinite beyond the last one.
    """

    line: IndexArray
    start: FloatArray
    rise: FloatArray
    error: FloatArray
    drift: FloatArray
    reach: float

    def of(self, neurons: IndexArray) -> Pieces:
        """Return z of some neurons."""
        drift = self.drift if self.reach == 1 else self.drift[:, neurons]
        start, rise, error = (side[:, neurons] for side in (self.start, self.rise, self.error))
        return Pieces(self.line, start, rise, error, drift, self.reach)

    def along(self, chosen: BoolArray) -> Pieces:
        """Return some of the pieces."""
        drift = self.drift if self.reach == 1 else self.drift[chosen]
        start, rise, error = (side[chosen] for side in (self.start, self.rise, self.error))
        return Pieces(self.line[chosen], start, rise, error, drift, self.reach)

    def sides(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return z > 0 where the first is positive and how it changes, and the same of -z."""
        low, fall = self.start - self.error, self.rise - self.drift
        return low, fall, -self.start - self.error, -self.rise - self.drift

    def signs(self) -> tuple[BoolArray, BoolArray]:
        """Return where z is surely positive all along a piece, and where surely negative."""
        low, fall, high, climb = self.sides()
        if self.reach == 1:
            return np.minimum(low, low + fall) > 0, np.minimum(high, high + climb) > 0
        return (low > 0) & (fall >= 0), (high > 0) & (climb >= 0)


def all_upwards(pieces: Pieces, direct: FloatArray, gains: FloatArray) -> bool:
    """Whether J >= 0 on all pieces, of what ``jumps`` of the lines says for each."""
    low, fall, high, climb = pieces.sides()
    on, off = pieces.signs()
    sure, loss = on | off, np.minimum(gains, 0.0)
    jump = direct + np.where(on, gains, np.where(off, 0.0, loss)).sum(axis=1)
    left = np.flatnonzero(~(jump >= 0))
    if not len(left):
        return True
    unsure = np.count_nonzero(~sure[left], axis=1)
    if not unsure.all():
        return False
    most = int(unsure.max())
    step = max(1, CHUNK // (8 * most))
    for at in range(0, len(left), step):
        rows = left[at : at + step, None]
        # the neurons that change or may, and to fill up some that do not
        some = np.argsort(sure[rows[:, 0]], axis=1, kind="stable")[:, :most]
        may = ~sure[rows, some]
        values = np.concatenate([low[rows, some], high[rows, some]], axis=1)
        slopes = np.concatenate([fall[rows, some], climb[rows, some]], axis=1)
        gain = np.maximum(gains[rows, some], 0.0)
        weights = np.concatenate([gain * may, -loss[rows, some] * may], axis=1)
        lowest = jump[rows[:, 0]] + _lowest(values, slopes, weights, pieces.reach)
        if not (lowest >= 0).all():
            return False
    return True


def _lowest(
    values: FloatArray, slopes: FloatArray, weights: FloatArray, reach: float
) -> FloatArray:
    """Return the least sum of the weights of the linear functions that are positive.

    Parameters
    ----------
    values, slopes : arrays (pieces, functions)
        Function i of a piece is ``values + t slopes`` for ``0 <= t <= reach``.
    weights : array (pieces, functions)
        All ``>= 0``.
    """
    positive = values > 0
    root = np.abs(values / slopes)
    # each changes its sign once, if at all; it counts as positive a little too late, too briefly
    falls = positive & ~(slopes >= 0) & ~(root * (1 - OUTWARD) >= reach)
    rises = (values <= 0) & (slopes > 0) & (root * (1 + OUTWARD) < reach)
    place = np.where(falls, root * (1 - OUTWARD), root * (1 + OUTWARD))
    change = np.where(falls, -weights, np.where(rises, weights, 0.0))
    # where several change at one place, those that cease to be positive come first
    order = np.lexsort((change, np.where(rises | falls & (place > 0), place, 0.0)), axis=-1)
    sums = np.cumsum(np.take_along_axis(change, order, axis=1), axis=1)
    start = (positive * weights).sum(axis=1)
    lowest: FloatArray = start + np.minimum(sums.min(axis=1), 0.0)
    return lowest
