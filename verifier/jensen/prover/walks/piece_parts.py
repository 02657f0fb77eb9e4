"""J on parts of pieces of hyperplanes, cut where units of the second level change their sign.

On a piece these units are linear, so that their values at its vertices and directions are all
that is needed to cut it: those of a unit that cuts vanish between two neighbours of both signs,
and those of the others follow there.

References
----------
docs/theory.md, section 4: few inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jensen.arithmetic.intervals import UNIT
from jensen.cells.cones import MORE, pairs_within
from jensen.types import FloatArray, IndexArray

MOST = 1 << 16  # pairs of vertices of parts that are cut at a time


@dataclass(frozen=True, eq=False)
class Parts:
    """Convex parts of pieces, each by vertices and directions that it is the hull of.

    Attributes
    ----------
    points : array (coordinates, generators)
        Vertices and directions part by part, of whatever positive length.
    z, off : arrays (units, generators)
        The second level there, and how far it may be off.
    planes, cuts : int arrays (generators,)
        Bit sets: which hyperplanes, and which units that cut, vanish there.
    first : int array (parts,)
        Where those of each part begin.
    jumps : array (units, parts)
        What units add to J where they are on.
    kink : int array (parts,)
        The hyperplane that each is a part of.
    """

    points: FloatArray
    z: FloatArray
    off: FloatArray
    planes: NDArray[np.int64]
    cuts: NDArray[np.int64]
    first: IndexArray
    jumps: FloatArray
    kink: IndexArray


def sinking_part(parts: Parts) -> tuple[FloatArray, int] | bool:
    """Return whether J may be negative on a part: False if not, a place if it surely is.

    Parameters
    ----------
    parts : Parts
        Pieces of kinks on which bounds leave J open.

    Returns
    -------
    bool or (array (coordinates,), int)
        False if J >= 0 on all of them. A point in a part where J < 0, and its kink. True if
        neither is known: a sign is hidden by rounding, or there are too many parts.
    """
    shared = len(parts.points) - 2
    while True:
        up, down = parts.z > parts.off, parts.z < -parts.off
        hidden = ~(up | down)
        hidden &= (parts.z != 0) | (parts.off != 0)
        up, down, hidden = (
            np.logical_or.reduceat(signs, parts.first, axis=1) for signs in (up, down, hidden)
        )
        hidden |= ~(up | down)  # it may vanish all over the part, and be on beside it
        may_be_on, both = up | hidden, (up & down) | hidden
        jumps = parts.jumps * may_be_on
        error = (2 * (len(jumps) + 4) * UNIT * MORE) * np.abs(jumps).sum(axis=0)
        least = np.minimum(jumps, 0.0, out=jumps.copy(), where=both).sum(axis=0)
        left = (~(least >= error)).nonzero()[0]
        if not left.size:
            return False
        most = np.maximum(jumps, 0.0, out=jumps.copy(), where=both).sum(axis=0)
        worst = int((most + error).argmin())
        if most[worst] < -error[worst]:
            return _inside(parts, worst), int(parts.kink[worst])
        by = np.where(both & ~hidden, np.abs(jumps), 0.0)[:, left]
        unit = by.argmax(axis=0)
        if not (by[unit, np.arange(len(left))] > 0).all():
            return True
        cut = _cut(parts, left, unit, shared)
        if cut is None:
            return True
        parts = cut


def _inside(parts: Parts, part: int) -> FloatArray:
    """Return a point inside a part."""
    end = np.append(parts.first, parts.points.shape[1])
    points = parts.points[:, end[part] : end[part + 1]]
    size = np.maximum(points[-1], np.abs(points).max(axis=0) * (points[-1] == 0))
    inside: FloatArray = (points / size).sum(axis=1)
    return inside


def _cut(parts: Parts, some: IndexArray, unit: IndexArray, shared: int) -> Parts | None:
    """Return the halves that some parts are cut into, each by a unit with certain signs there."""
    every = np.append(parts.first, parts.z.shape[1])
    count = np.diff(every)[some]
    part = np.arange(len(some)).repeat(count)
    at = np.arange(len(part)) + (every[some] - (count.cumsum() - count)).repeat(count)
    value, off = parts.z[unit[part], at], parts.off[unit[part], at]
    above, below, on = (value > 0).nonzero()[0], (value < 0).nonzero()[0], (value == 0).nonzero()[0]
    each = [np.bincount(part[side], minlength=len(some)) for side in (above, below)]
    if int(each[0] @ each[1]) > MOST:
        return None
    up, down = pairs_within(part, above, below, len(some))
    planes, cuts = parts.planes[at], parts.cuts[at]
    bit = np.int64(1) << unit.astype(np.int64)
    common = planes[up] & planes[down], cuts[up] & cuts[down]
    near = np.bitwise_count(common[0]) + np.bitwise_count(common[1]) >= shared
    up, down = up[near], down[near]
    share, slack = _share(value[up], -value[down], off[up], off[down])
    one, other = at[up], at[down]
    z = parts.z[:, one] * (1 - share) + parts.z[:, other] * share
    errors = parts.off[:, one], parts.off[:, other]
    away = np.abs(parts.z[:, one] - parts.z[:, other]) + errors[0] + errors[1]
    size = np.maximum(np.abs(parts.z[:, one]), np.abs(parts.z[:, other]))
    error = (np.maximum(*errors) + slack * away + (4 * UNIT) * size) * MORE
    column = np.arange(len(up))
    z[unit[part[up]], column] = error[unit[part[up]], column] = 0.0
    points = parts.points[:, one] * (1 - share) + parts.points[:, other] * share
    cuts[on] |= bit[part[on]]
    # old ones of both halves, then new ones
    new = len(at) + column
    kept = np.concatenate([above, on, new, below, on, new])
    owner = np.concatenate([part, part[up]])[kept]
    owner[len(above) + len(on) + len(new) :] += len(some)
    order = owner.argsort(kind="stable")
    kept = kept[order]
    return Parts(
        np.concatenate([parts.points[:, at], points], axis=1)[:, kept],
        np.concatenate([parts.z[:, at], z], axis=1)[:, kept],
        np.concatenate([parts.off[:, at], error], axis=1)[:, kept],
        np.concatenate([planes, common[0][near]])[kept],
        np.concatenate([cuts, common[1][near] | bit[part[up]]])[kept],
        np.searchsorted(owner[order], np.arange(2 * len(some))),
        np.tile(parts.jumps[:, some], 2),
        np.tile(parts.kink[some], 2),
    )


def _share(
    a: FloatArray, b: FloatArray, off_a: FloatArray, off_b: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return how far on the way a value falls from a to 0 before -b, and how far that is off."""
    slack = ((b + off_b) * off_a + (a + off_a) * off_b) / ((a + b) * (a + b - off_a - off_b))
    return a / (a + b), slack + 4 * UNIT
