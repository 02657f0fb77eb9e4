"""Intervals of all slopes over many groups at once, around those of the checker's rule `sign`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jensen.arithmetic.intervals import SAFETY
from jensen.certificate.float_units import TINY, FloatLevel, FloatUnits, outward
from jensen.types import BoolArray, FloatArray, IndexArray, Interval


def slope_intervals(
    units: FloatUnits,
    groups: IndexArray,
    on: BoolArray,
    off: BoolArray,
) -> tuple[FloatArray, FloatArray]:
    """Enclose the slope of every unit over max(zeta, 0) of some groups, carried forward.

    Parameters
    ----------
    units : FloatUnits
    groups : index array (kinks,)
    on, off : bool arrays (kinks, units)
        Whether a unit may be on, or off; the group's own state is not asked for.

    Returns
    -------
    lower, upper : arrays (kinks, units)
        Of units divided by their sizes; the checker's intervals lie within. Both are 0 where
        the group is not read.
    """
    units = units.slopes
    low, high = np.zeros((2, *on.shape))
    kinks = np.arange(len(groups))
    for level in units.levels:
        if units.level[level.units[0]] <= units.level[groups].min():
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


@dataclass(frozen=True, eq=False)
class _Changing:
    """Units of a level whose slopes depend on states, and the columns that these enter by."""

    units: IndexArray
    columns: IndexArray
    off: FloatArray
    on: FloatArray
    least: FloatArray  # of the other columns, rounded downwards
    most: FloatArray


class JumpBound:
    """The least jump of one group under states that are branched on.

    Parameters
    ----------
    units : FloatUnits
    group : int
    spans : pair of arrays (units,)
        The slopes at the root, as :func:`slope_intervals` encloses them.
    root : mapping from unit to bool
        The states that are fixed there.
    """

    def __init__(
        self, units: FloatUnits, group: int, spans: Interval, root: Mapping[int, bool]
    ) -> None:
        units = units.slopes
        self._low, self._high = spans
        self._output = units.output
        self._open = np.ones(len(self._low), dtype=bool)
        self._open[list(root)] = False
        on = np.zeros_like(self._open)
        on[[unit for unit, state in root.items() if state]] = True
        self._may_on, self._may_off = self._open | on, ~on
        reached, changing = (self._low != 0) | (self._high != 0), np.zeros_like(self._open)
        self._levels: list[_Changing] = []
        for level in units.levels:
            here = level.units[reached[level.units]]
            if not here.size or units.level[here[0]] <= units.level[group]:
                continue
            part = units.level_of(here, reached)
            moved = (changing | self._open)[part.columns] & (part.columns != group)
            if moved.any():
                changing[here] = True
                self._levels.append(self._changing(units, part, moved, on, group))

    def _changing(
        self, units: FloatUnits, level: FloatLevel, moved: BoolArray, on: BoolArray, group: int
    ) -> _Changing:
        columns, (on_z, on_h) = level.columns, level.both
        a, b = self._low[columns], self._high[columns]
        slopes = np.where(columns == group, on_h, np.where(on[columns], on_z + on_h, on_z))
        ends = np.where(moved, 0.0, np.array([slopes * a, slopes * b]))
        size = (np.abs(on_z) + np.abs(on_h)) @ np.maximum(np.abs(a), np.abs(b))
        error = SAFETY * 2 * units.rounding * size + TINY
        off = on_z[:, moved]
        return _Changing(
            level.units,
            columns[moved],
            off,
            off + on_h[:, moved],
            ends.min(axis=0).sum(axis=1) - error,
            ends.max(axis=0).sum(axis=1) + error,
        )

    def least(self, fixed: Mapping[int, bool]) -> float:
        """Return a lower bound of the jump, divided by the sizes of the output and the group."""
        low, high = self._low.copy(), self._high.copy()
        may_on, may_off = self._may_on.copy(), self._may_off.copy()
        for unit, state in fixed.items():
            if self._open[unit]:
                (may_off if state else may_on)[unit] = False
        for level in self._levels:
            a, b = low[level.columns], high[level.columns]
            off = np.minimum(level.off * a, level.off * b), np.maximum(level.off * a, level.off * b)
            on = np.minimum(level.on * a, level.on * b), np.maximum(level.on * a, level.on * b)
            some, none = may_on[level.columns], may_off[level.columns]
            least = np.where(some, np.where(none, np.minimum(on[0], off[0]), on[0]), off[0])
            most = np.where(some, np.where(none, np.maximum(on[1], off[1]), on[1]), off[1])
            low[level.units] = level.least + least.sum(axis=1)
            high[level.units] = level.most + most.sum(axis=1)
        return float(low[self._output])


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
