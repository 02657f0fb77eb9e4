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
    start, rise, error : arrays (lines, pieces, neurons)
        z is exact up to ``error + t drift``.
    end : array (lines, pieces, neurons) or None
        ``start + rise`` where the pieces end, which is exact up to ``error``, too.
    drift : array (lines, pieces, neurons) or None
        Of pieces without an end.
    """

    start: FloatArray
    rise: FloatArray
    error: FloatArray
    end: FloatArray | None = None
    drift: FloatArray | None = None

    @property
    def reach(self) -> float:
        """1 between two nodes, infinite beyond the last one."""
        return np.inf if self.end is None else 1.0

    def of(self, neurons: IndexArray) -> Pieces:
        """Return z of some neurons."""
        return self._part((slice(None), slice(None), neurons))

    def along(self, lines: IndexArray) -> Pieces:
        """Return the pieces of some lines."""
        return self._part((lines,))

    def at(self, line: IndexArray, piece: IndexArray, neurons: IndexArray) -> Pieces:
        """Return z of some neurons of each of some pieces.

        Parameters
        ----------
        line, piece : int arrays (pieces, 1)
        neurons : int array (pieces, some)
        """
        return self._part((line, piece, neurons))

    def _part(self, part: tuple[IndexArray | slice, ...]) -> Pieces:
        end = None if self.end is None else self.end[part]
        drift = None if self.drift is None else self.drift[part]
        return Pieces(self.start[part], self.rise[part], self.error[part], end, drift)

    def signs(self) -> tuple[BoolArray, BoolArray]:
        """Return where z is surely positive all along a piece, and where surely negative."""
        start, error = self.start, self.error
        if self.end is not None:
            least, most = np.minimum(start, self.end), np.maximum(start, self.end)
            return least > error, most < -error
        drift = 0.0 if self.drift is None else self.drift
        return (start > error) & (self.rise >= drift), (start < -error) & (self.rise <= -drift)

    def sides(self) -> tuple[FloatArray, FloatArray]:
        """Return linear functions that are positive only where z > 0, or only where z < 0.

        Returns
        -------
        values, slopes : arrays (..., twice as many functions)
        """
        drift = 0.0 if self.drift is None else self.drift
        return (
            np.concatenate([self.start - self.error, -self.start - self.error], axis=-1),
            np.concatenate([self.rise - drift, -self.rise - drift], axis=-1),
        )


def not_upwards(
    pieces: Pieces, direct: FloatArray, gains: FloatArray, real: BoolArray | None = None
) -> IndexArray:
    """Return the lines on some piece of which J >= 0 is not shown.

    Parameters
    ----------
    pieces : Pieces
    direct, gains : arrays (lines,), (lines, neurons)
        Whole numbers: what J is without any neuron, and what one adds that is on.
    real : bool array (lines, pieces) or None
        The other pieces show nothing.
    """
    on, off = pieces.signs()
    gain, loss = np.maximum(gains, 0.0), np.minimum(gains, 0.0)
    jump = on.astype(float) @ gain[:, :, None]
    jump += (~off).astype(float) @ loss[:, :, None]
    jump = jump[:, :, 0] + direct[:, None]
    open_pieces = ~(jump >= 0)
    if real is not None:
        open_pieces &= real
    line, piece = open_pieces.nonzero()
    if not line.size:
        return line
    unsure = ~(on[line, piece] | off[line, piece])
    many = np.count_nonzero(unsure, axis=1)
    bad = [line[many == 0]]  # where all states are known, J is
    left, most = np.flatnonzero(many), int(many.max())
    step = max(1, CHUNK // (8 * max(most, 1)))
    for at in range(0, len(left), step):
        rows = left[at : at + step]
        # the neurons that change or may, and to fill up some that do not
        some = np.argsort(~unsure[rows], axis=1, kind="stable")[:, :most]
        may = np.take_along_axis(unsure[rows], some, axis=1)
        where = line[rows, None]
        values, slopes = pieces.at(where, piece[rows, None], some).sides()
        weights = np.concatenate([gain[where, some] * may, -loss[where, some] * may], axis=1)
        lowest = jump[line[rows], piece[rows]] + _lowest(values, slopes, weights, pieces.reach)
        bad.append(line[rows[~(lowest >= 0)]])
    return np.concatenate(bad)


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
