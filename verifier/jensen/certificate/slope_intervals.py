"""Intervals of all slopes over many groups at once, around those of the checker's rule `sign`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jensen.certificate.float_units import FloatLevel, FloatUnits, outward
from jensen.types import BoolArray, FloatArray, IndexArray


def slope_intervals(
    units: FloatUnits,
    groups: IndexArray,
    on: BoolArray,
    off: BoolArray,
    levels: Sequence[FloatLevel] | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Enclose the slope of every unit over max(zeta, 0) of some groups, carried forward.

    Parameters
    ----------
    units : FloatUnits
    groups : index array (kinks,)
    on, off : bool arrays (kinks, units)
        Whether a unit may be on, or off; the group's own state is not asked for.
    levels : sequence of FloatLevel, optional
        What :func:`levels_within` says, of units that the groups are known to reach.

    Returns
    -------
    lower, upper : arrays (kinks, units)
        Of units divided by their sizes; the checker's intervals lie within. Both are 0 where
        the group is not read.
    """
    low, high = np.zeros((2, *on.shape))
    kinks = np.arange(len(groups))
    for level in units.levels if levels is None else levels:
        if units.level[level.units[0]] <= units.level[groups].min(initial=0):
            continue
        least, most, size = _passed(level, low, high, on, off)
        # the group itself passes on max(zeta, 0) alone, with slope 1
        direct = units.on_h[np.ix_(level.units, groups)].T
        size += np.abs(direct)
        found = outward(least + direct, units.rounding * size)
        other = outward(most + direct, units.rounding * size)
        low[:, level.units] = np.where(size, found[0], 0.0)
        high[:, level.units] = np.where(size, other[1], 0.0)
        low[kinks, groups] = high[kinks, groups] = 0.0
    low[kinks, groups] = high[kinks, groups] = 1.0
    return low, high


def levels_within(units: FloatUnits, reached: BoolArray) -> list[FloatLevel]:
    """Return the levels without units that are not reached."""
    found = []
    for level in units.levels:
        here = level.units[reached[level.units]]
        if here.size:
            found.append(units.level_of(here, reached))
    return found


def _passed(
    level: FloatLevel, low: FloatArray, high: FloatArray, on: BoolArray, off: BoolArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the least and the largest slope of a level's units, and the size of the terms."""
    shape = len(low), len(level.units)
    least, most, size = np.zeros((3, *shape))
    if not level.columns.size:
        return least, most, size
    reached = (low[:, level.columns] != 0).any(axis=0) | (high[:, level.columns] != 0).any(axis=0)
    if not reached.any():
        return least, most, size
    columns, on_z, on_h = level.columns, level.both[0], level.both[1]
    if not reached.all():
        columns, on_z, on_h = columns[reached], on_z[:, reached], on_h[:, reached]
    a, b = low[:, columns], high[:, columns]
    may_on, may_off = on[:, columns], off[:, columns]
    reach = np.maximum(np.abs(a), np.abs(b))
    steep = np.abs(on_z) + np.abs(on_h)
    size += reach @ steep.T
    plain = ~on_z.any(axis=0)
    for chosen, slopes, must in (
        (~may_off, on_z + on_h, True),
        (~may_on & may_off, on_z, True),
        (may_on & may_off & plain, on_h, False),
    ):
        if not chosen.any():
            continue
        # where a unit is off as well as on, its slope is 0 or this one
        ends = (
            np.where(chosen, a if must else np.minimum(a, 0.0), 0.0),
            np.where(chosen, b if must else np.maximum(b, 0.0), 0.0),
        )
        up, down = np.maximum(slopes, 0.0).T, np.minimum(slopes, 0.0).T
        least += ends[0] @ up + ends[1] @ down
        most += ends[1] @ up + ends[0] @ down
    both = may_on & may_off & ~plain
    for p in np.flatnonzero(both.any(axis=0)):
        rows = np.flatnonzero(both[:, p])
        four = np.stack([
            np.outer(end[rows, p], slope)
            for end in (a, b)
            for slope in (on_z[:, p], on_z[:, p] + on_h[:, p])
        ])  # fmt: skip
        least[rows] += four.min(axis=0)
        most[rows] += four.max(axis=0)
    return least, most, size
