"""Bounds of every unit over the domain *and* one kink (docs/theory.md, section 11).

What decides how many nodes a proof takes are the bounds of the units in the box and on
``z_g = 0`` together. No linear program is needed for them: the least value of ``a y + c`` on
``lower <= y <= upper, n y + beta = 0`` is the largest, over one multiplier, of

    c - lambda beta + sum_j min((a_j - lambda n_j) lower_j, (a_j - lambda n_j) upper_j),

and that is attained at a weighted median of the ratios ``a_j / n_j``. Any multiplier gives a
true bound, so the one found in floating point does, after rounding outward. Units behind
the first level are replaced by lines, back to the working variables, as in
:mod:`jensen.bounds.crown`; there the kink of a deeper group enters by the two lines that
enclose its z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from jensen.arithmetic.intervals import SAFETY, SUBNORMAL, UNIT, rounding_factor
from jensen.arithmetic.rational import rationals
from jensen.groups.groups import SOURCE, GroupedNetwork
from jensen.prover.descents.pieces import Piece
from jensen.types import FloatArray, Unit

SWEEPS = 2  # over the rows of a piece
MOST_WORK = 1 << 20  # numbers that are sorted in a sweep


@dataclass(frozen=True, eq=False)
class Kink:
    """``normal y + offset``: 0 on the kink, or at least 0 where ``above``."""

    normal: FloatArray
    offset: float
    above: bool = False


@dataclass(eq=False)
class Ranges:
    """Proved bounds of z, per level: arrays that are replaced, never changed."""

    lower: list[FloatArray]
    upper: list[FloatArray]

    def copy(self) -> Ranges:
        """Return ranges that can be narrowed without changing these."""
        return Ranges(list(self.lower), list(self.upper))

    def reach(self, level: int) -> FloatArray:
        """Return the largest ``|z|`` of a level's units."""
        reach: FloatArray = np.maximum(np.abs(self.lower[level]), np.abs(self.upper[level]))
        return reach

    @property
    def finite(self) -> bool:
        """Whether all bounds are numbers."""
        return all(np.isfinite(side).all() for side in (*self.lower, *self.upper))


def ranges_of(net: GroupedNetwork) -> Ranges:
    """Return the bounds on the whole working set."""
    return Ranges([level.lower for level in net.levels], [level.upper for level in net.levels])


def least_values(
    A: FloatArray, constants: FloatArray, piece: Piece, kink: Kink | None = None
) -> FloatArray:
    """Return proved lower bounds of ``A y + constants`` over a piece's box, on a kink.

    Parameters
    ----------
    A : array (m, dim)
    constants : array (m,)

    Returns
    -------
    array (m,)
        Minus infinity where floating point overflows.
    """
    magnitude = np.abs(A) @ piece.reach + np.abs(constants)
    rest, shift = A, constants
    if kink is not None:
        slope = best_multipliers(A, piece, kink)
        rest = A - slope[:, None] * kink.normal
        shift = constants - slope * kink.offset
        magnitude += np.abs(slope) * (np.abs(kink.normal) @ piece.reach + abs(kink.offset))
    return _least(rest, shift, magnitude, piece, 0)


def least_values_by_rows(A: FloatArray, constants: FloatArray, piece: Piece) -> FloatArray:
    """Return proved lower bounds of ``A y + constants`` over a piece's box and rows.

    Every row in turn gets the multiplier that is best while those of the others stay as they
    are, which is a weighted median; any multipliers ``>= 0`` give a true bound.

    Parameters
    ----------
    A : array (m, dim)
    constants : array (m,)

    Returns
    -------
    array (m,)
        Minus infinity where floating point overflows.
    """
    rows, limits = piece.rows, piece.limits
    sides = [Kink(-row, float(limit), above=True) for row, limit in zip(rows, limits, strict=True)]
    y = np.zeros((len(A), len(rows)))
    rest = A
    for _ in range(SWEEPS):
        before = y.copy()
        for i, side in enumerate(sides):
            without = rest - y[:, i, None] * rows[i]
            y[:, i] = best_multipliers(without, piece, side)
            rest = without + y[:, i, None] * rows[i]
        if (y == before).all():
            break
    rest, shift = A + y @ rows, constants - y @ limits
    magnitude = np.abs(A) @ piece.reach + np.abs(constants)
    magnitude += y @ (np.abs(rows) @ piece.reach + np.abs(limits))
    return _least(rest, shift, magnitude, piece, len(rows))


def _least(
    rest: FloatArray, shift: FloatArray, magnitude: FloatArray, piece: Piece, terms: int
) -> FloatArray:
    """Return the least values of forms over the box, moved down by what rounding may have cost.

    Of all that was summed up the sizes are ``magnitude``; each number has so many terms more.
    """
    count = rest.shape[1]
    value = np.maximum(rest, 0.0) @ piece.lower + np.minimum(rest, 0.0) @ piece.upper + shift
    error = SAFETY * rounding_factor(2 * count + terms + 8) * magnitude
    error += SUBNORMAL * 8 * (count + terms + 1) * (1.0 + piece.reach.sum())
    bound: FloatArray = np.nextafter(value - error, -np.inf)
    return np.where(np.isnan(bound), -np.inf, bound)


def best_multipliers(A: FloatArray, piece: Piece, kink: Kink) -> FloatArray:
    """Return, per row, the weighted median that maximises the dual bound: a hint."""
    weights = piece.radius * np.abs(kink.normal)
    used = np.flatnonzero(weights > 0)
    if not used.size:
        return np.zeros(len(A))
    with np.errstate(over="ignore", invalid="ignore"):
        ratios = A[:, used] / kink.normal[used]
    order = np.argsort(ratios, axis=1)
    reached = np.cumsum(weights[used][order], axis=1)
    half = 0.5 * (weights.sum() - (kink.offset + kink.normal @ piece.middle))
    index = np.minimum((reached < half).sum(axis=1), len(used) - 1)
    rows = np.arange(len(A))
    slope = ratios[rows, order[rows, index]]
    if kink.above:
        slope = np.maximum(slope, 0.0)
    return np.where(np.isfinite(slope), slope, 0.0)


class KinkBounds:
    """Bounds on the kinks of a network's groups over one piece of the working set.

    Parameters
    ----------
    net : GroupedNetwork
    piece : Piece
    """

    def __init__(self, net: GroupedNetwork, piece: Piece) -> None:
        self._net = net
        self._piece = piece
        self._affine: dict[int, bool] = {}
        self._straight: dict[int, tuple[FloatArray, FloatArray]] = {}

    @cached_property
    def rows_matter(self) -> bool:
        """Whether a bounded polyhedron may be much smaller than its box.

        It has many faces, or its working variables make up for inputs, whose bounds are rows.
        """
        working, count = self._net.working_set, len(self._piece.rows)
        skew = count > 0 and working.dim < len(working.matrix) - 1
        return not working.lifted and (skew or count >= max(working.dim, 1))

    def narrow(self, ranges: Ranges, group: Unit | None = None) -> bool:
        """Narrow the ranges to the piece, and to a group's kink.

        Returns
        -------
        bool
            False if the kink is proved not to meet the piece.
        """
        kinks: list[Kink | None] = [None]
        level, unit = (-1, -1) if group is None else group
        if group is not None:
            kinks = [*self._kinks(group, ranges)]
            if not self._met(kinks):
                return False
        for k in range(self._net.output_level):
            if k == level and k > 0 and not self._is_affine(level):
                assert group is not None
                kinks = [*self._kinks(group, ranges)]
                if not self._met(kinks):
                    return False
            unsure = (ranges.lower[k] < 0) & (ranges.upper[k] > 0)
            if k == level:
                unsure[unit] = False
            rows = np.flatnonzero(unsure)
            if not rows.size:
                continue
            A, constants = self._lines(k, rows, ranges, group)
            found = np.maximum.reduce(
                [least_values(A, constants, self._piece, kink) for kink in kinks]
            )
            few = A.size * len(self._piece.rows) <= MOST_WORK
            if group is None and self.rows_matter and few:
                found = np.maximum(found, least_values_by_rows(A, constants, self._piece))
            lower, upper = ranges.lower[k].copy(), ranges.upper[k].copy()
            lower[rows] = np.maximum(lower[rows], found[: len(rows)])
            upper[rows] = np.minimum(upper[rows], -found[len(rows) :])
            ranges.lower[k], ranges.upper[k] = lower, upper
            if (lower > upper).any():
                return False
        return True

    def _is_affine(self, level: int) -> bool:
        """Whether a level's units are affine in y, with doubles that are exact."""
        if level not in self._affine:
            here = self._net.levels[level]
            self._affine[level] = (
                set(here.slopes) == {SOURCE}
                and here.slopes[SOURCE].is_exact
                and all(rationals(here.bias) == here.exact_bias)
            )
        return self._affine[level]

    def exact_kink(self, group: Unit) -> Kink | None:
        """Return the kink of a group, if it is affine in y with doubles that are exact."""
        level, unit = group
        if not self._is_affine(level):
            return None
        here = self._net.levels[level]
        return Kink(here.slopes[SOURCE].on[unit], float(here.bias[unit]))

    def _kinks(self, group: Unit, ranges: Ranges) -> Sequence[Kink]:
        level, unit = group
        kink = self.exact_kink(group)
        if kink is not None:
            return [kink]
        # z >= a y + c and -z >= a' y + c', so that both -a y - c and -a' y - c' are >= 0 at z = 0
        A, constants = self._lines(level, np.array([unit]), ranges, None)
        return [Kink(-a, -float(c), above=True) for a, c in zip(A, constants, strict=True)]

    def _met(self, kinks: Sequence[Kink | None]) -> bool:
        for kink in kinks:
            assert kink is not None
            signs = np.array([-1.0]) if kink.above else np.array([-1.0, 1.0])
            A, offset = signs[:, None] * kink.normal, signs * kink.offset
            if (least_values(A, offset, self._piece) > 0).any():
                return False
        return True

    # ------------------------------------------------------------------------ lines

    def _lines(
        self, level: int, rows: NDArray[np.intp], ranges: Ranges, group: Unit | None
    ) -> tuple[FloatArray, FloatArray]:
        """Return lines ``A y + constants`` below ``z[rows]``, then below ``-z[rows]``.

        The constants are moved down by a bound of all rounding errors on the way.
        """
        net = self._net
        if set(net.levels[level].slopes) == {SOURCE}:
            return self._straight_lines(level, rows, ranges)
        back = _Backward(net, self._piece, ranges, 2 * len(rows))
        back.start(level, rows)
        for k in range(level - 1, -1, -1):
            coefficients = back.pop(k)
            if coefficients is not None:
                back.replace(k, coefficients, group)
        return back.lines()

    def _straight_lines(
        self, level: int, rows: NDArray[np.intp], ranges: Ranges
    ) -> tuple[FloatArray, FloatArray]:
        """Return the lines of units that read y alone: they depend on the piece, no ranges."""
        size = self._net.levels[level].size
        if level not in self._straight:
            back = _Backward(self._net, self._piece, ranges, 2 * size)
            back.start(level, np.arange(size))
            self._straight[level] = back.lines()
        A, constants = self._straight[level]
        both = np.concatenate([rows, rows + size])
        return A[both], constants[both]


class _Backward:
    """Lower lines of some units, replaced level by level from the back to the front."""

    def __init__(self, net: GroupedNetwork, piece: Piece, ranges: Ranges, count: int) -> None:
        self._net = net
        self._piece = piece
        self._ranges = ranges
        self._A = np.zeros((count, len(piece.lower)))
        self._constants = np.zeros(count)
        self._error = np.zeros(count)
        self._on: dict[int, FloatArray] = {}
        self._off: dict[int, FloatArray] = {}
        self._tiny = 0.0

    def start(self, level: int, rows: NDArray[np.intp]) -> None:
        """Begin with ``z[rows]`` and ``-z[rows]`` of a level."""
        bias = self._net.levels[level].bias[rows]
        self._constants += np.concatenate([bias, -bias])
        weight = self._weight(level, rows)
        self._error += np.concatenate([weight, weight])
        for source, slopes in self._net.levels[level].slopes.items():
            on = np.concatenate([slopes.on[rows], -slopes.on[rows]])
            off = None
            if slopes.off is not None:
                off = np.concatenate([slopes.off[rows], -slopes.off[rows]])
            self._add(source, on, off)

    def pop(self, level: int) -> tuple[FloatArray, FloatArray | None] | None:
        """Return the coefficients of a level's units, on ``max(z, 0)`` and ``min(z, 0)``."""
        on, off = self._on.pop(level, None), self._off.pop(level, None)
        if on is None:
            return None
        return on, off

    def replace(
        self, k: int, coefficients: tuple[FloatArray, FloatArray | None], group: Unit | None
    ) -> None:
        """Replace a level's units by lines in their z, and z by what the level reads."""
        on, off = coefficients
        level = self._net.levels[k]
        lower, upper = self._ranges.lower[k], self._ranges.upper[k]
        active = ~level.kink | (lower >= 0)
        free = ~active & (upper > 0)
        slope = np.where(free, np.clip(upper / np.where(free, upper - lower, 1.0), 0.0, 1.0), 0.0)
        # any slope is valid with the offset that lifts the line over both ends
        lift = np.maximum(-slope * lower, upper * (1.0 - slope))
        lift = np.where(free, lift * (1.0 + 8 * UNIT) + 2 * SUBNORMAL, 0.0)
        below = np.where(free & (upper > -lower), 1.0, 0.0)
        size = np.abs(on)
        bend = on
        if off is not None:
            bend = np.where(free, on - off, 0.0)
            size = size + np.abs(off)
        down = np.minimum(bend, 0.0)
        on_z = np.maximum(bend, 0.0) * below + down * slope
        if off is not None:
            on_z = on_z + off
        on_z = np.where(active, on, on_z)
        if group is not None and k == group[0]:
            on_z[:, group[1]] = 0.0
        reach = self._ranges.reach(k)
        self._constants += down @ lift + on_z @ level.bias
        self._error += size @ (6 * UNIT * reach + rounding_factor(level.size + 4) * lift)
        self._error += np.abs(on_z) @ self._weight(k) + 4 * UNIT * np.abs(self._constants)
        self._tiny += 16 * SUBNORMAL * (level.size + 1) * (1.0 + float(reach.sum() + lift.sum()))
        for source, slopes in level.slopes.items():
            self._add(source, on_z @ slopes.on, None if slopes.off is None else on_z @ slopes.off)

    def lines(self) -> tuple[FloatArray, FloatArray]:
        """Return what is left: lines in the working variables."""
        error = self._error + 4 * UNIT * np.abs(self._constants)
        return self._A, self._constants - SAFETY * error - self._tiny

    def _add(self, source: int, on: FloatArray, off: FloatArray | None) -> None:
        if source == SOURCE:
            self._A += on
            return
        # a level that is read with off-slopes in one place is written as two-sided everywhere
        if off is None and source in self._off:
            off = np.zeros_like(on)
        if off is not None and source in self._on and source not in self._off:
            self._off[source] = np.zeros_like(on)
        self._on[source] = self._on[source] + on if source in self._on else on
        if off is not None:
            self._off[source] = self._off[source] + off if source in self._off else off

    def _weight(self, k: int, rows: NDArray[np.intp] | None = None) -> FloatArray:
        """Return what rounding one replacement of a unit's z may cost, per unit of coefficient."""
        level = self._net.levels[k]
        chosen = slice(None) if rows is None else rows
        total = np.abs(level.bias[chosen])
        terms = level.size + 16
        for source, slopes in level.slopes.items():
            reach = self._piece.reach if source == SOURCE else self._ranges.reach(source)
            total = total + slopes.size[chosen] @ reach
            terms += 2 * slopes.on.shape[1]
        weight: FloatArray = SAFETY * rounding_factor(terms) * total + SUBNORMAL * terms
        return weight
