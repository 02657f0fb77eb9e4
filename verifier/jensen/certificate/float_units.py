"""The checker's units in doubles, with bounds of what rounding costs (docs/FORMAT.md, section 4).

Units are divided by their sizes, which are powers of two. What the checker computes from the
integers is then near to what doubles say, and how near is known: a claim that holds in doubles
with room for that need not be computed in integers before it is written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jensen.arithmetic.intervals import SAFETY, SUBNORMAL, rounding_factor
from jensen.certificate.checker import ONE, Network, text_of
from jensen.types import BoolArray, FloatArray, IndexArray, IntArray

TINY = 2.0**-800  # more than all underflows together, as long as nothing is larger than
HUGE = 2.0**200
SHIFT_BITS = 24  # of a multiple of a group


@dataclass(eq=False)
class Enclosures:
    """Numbers ``low <= high`` that the checker knows as integers, each between two doubles.

    The signs are never in doubt: where ``lower <= 0`` so is ``lower_in``, where ``upper >= 0``
    so is ``upper_in``.

    Attributes
    ----------
    lower, lower_in : arrays (..., units)
        ``lower <= low <= lower_in``.
    upper_in, upper : arrays (..., units)
        ``upper_in <= high <= upper``.
    own : bool array (..., units)
        Whether the range is that of the unit itself, wherever the group is.
    """

    lower: FloatArray
    lower_in: FloatArray
    upper_in: FloatArray
    upper: FloatArray
    own: BoolArray

    def repeated(self, count: int) -> Enclosures:
        """Return so many copies, which may be changed."""
        sides = (self.lower, self.lower_in, self.upper_in, self.upper)
        lower, lower_in, upper_in, upper = (np.repeat(s[None], count, axis=0) for s in sides)
        own = np.repeat(self.own[None], count, axis=0)
        return Enclosures(lower, lower_in, upper_in, upper, own)

    def set(self, place: tuple[int, int], low: float, high: float) -> None:
        """Set a range to two rounded numbers of the right sign."""
        for ends, values in (
            ((self.lower, self.lower_in), around(np.array(low), np.sign(low))),
            ((self.upper_in, self.upper), around(np.array(high), np.sign(high))),
        ):
            ends[0][place], ends[1][place] = values
        self.own[place] = False

    def row(self, index: int) -> Enclosures:
        """Return one of several."""
        parts = (self.lower, self.lower_in, self.upper_in, self.upper, self.own)
        return Enclosures(*(part[index] for part in parts))


@dataclass(frozen=True, eq=False)
class FloatLevel:
    """Units that do not read one another: what they read, by columns that are not 0.

    Attributes
    ----------
    units, on_z_columns, on_h_columns : index arrays
    on_z, on_h : arrays (units, columns)
        Coefficients on zeta, and on max(zeta, 0).
    columns : index array
        The columns of either.
    both : array (2, units, columns)
        Coefficients on zeta, and on max(zeta, 0), in these.
    """

    units: IndexArray
    on_z_columns: IndexArray
    on_h_columns: IndexArray
    on_z: FloatArray
    on_h: FloatArray
    columns: IndexArray
    both: FloatArray


class FloatUnits:
    """The checker's units divided by their sizes, as matrices of doubles.

    Attributes
    ----------
    size : list of int
        By which a unit is divided, a power of two.
    bits : array (units,)
        Its exponent.
    on_z, on_h : arrays (units, units)
        Coefficients on zeta and max(zeta, 0), rounded; column 0 holds the constants.
    ranges : Enclosures
        Of the units, on the whole domain.
    tilts : bool array (units,)
        Whether ``high > -low``, exactly.
    reach : array (units,)
        Of zeta, written in the inputs by lines: the sum of the sizes of all terms.
    affine : bool array (units,)
        Units that are affine in the inputs.
    level : array (units,)
        0 for inputs.
    levels : list of FloatLevel
        Inputs left out.
    reads_z, reads_h, reads : bool arrays (units, units)
        Which units read zeta, max(zeta, 0), or either.
    read : bool array (units,)
        Which are read by others than the output.
    rounding : float
        The relative error of what is computed along all levels.
    slopes : FloatUnits
        The same units with the rows that slopes are carried through.
    usable : bool
        Whether all numbers are of moderate size; nothing is proved in doubles elsewhere.
    """

    def __init__(self, net: Network, *, through: bool = False) -> None:
        count = len(net.units)
        self.inputs, self.output = net.inputs, net.output
        self.size = [1 << max(-unit.low, unit.high).bit_length() for unit in net.units]
        self.size[ONE] = 1
        # of the output no bounds are known
        last = net.units[net.output].form.items()
        most = sum(abs(factor) * self.size[abs(key)] for key, factor in last)
        self.size[net.output] = 1 << most.bit_length()
        self.bits: IntArray = np.array([size.bit_length() - 1 for size in self.size])
        self.ranges = self._ranges(net)
        self.tilts = np.array([unit.high > -unit.low for unit in net.units])
        self.on_z, self.on_h = np.zeros((count, count)), np.zeros((count, count))
        level = np.zeros(count, dtype=int)
        for k in range(net.inputs, count):
            unit = net.units[k]
            for key, factor in (unit.through if through else unit.form).items():
                matrix = self.on_z if key >= 0 else self.on_h
                h = abs(key)
                matrix[k, h] = quotient(factor * self.size[h], self.size[k])
                level[k] = max(level[k], level[h] + 1)
            level[k] = max(level[k], 1)
        self.level: IntArray = level
        self.levels = [
            self.level_of(np.flatnonzero(level == i)) for i in range(1, level.max(initial=0) + 1)
        ]
        self.reads_z, self.reads_h = self.on_z != 0, self.on_h != 0
        self.reads = self.reads_z | self.reads_h
        self.read: BoolArray = self.reads[: net.output].any(axis=0)
        self.rounding = rounding_factor((len(self.levels) + 2) * (count + 16))
        self._measure(count)
        same = through or all(dict(unit.inner) == unit.through for unit in net.units)
        self.slopes: FloatUnits = self if same else FloatUnits(net, through=True)

    def _ranges(self, net: Network) -> Enclosures:
        ends: list[FloatArray] = []
        for side in ("low", "high"):
            exact = [getattr(unit, side) for unit in net.units]
            near = np.array([quotient(v, s) for v, s in zip(exact, self.size, strict=True)])
            ends += around(near, np.array([(v > 0) - (v < 0) for v in exact]))
        lower, lower_in, upper_in, upper = ends
        own = np.ones(len(net.units), dtype=bool)
        return Enclosures(lower, lower_in, upper_in, upper, own)

    def level_of(self, units: IndexArray, columns: BoolArray | None = None) -> FloatLevel:
        """Return some units of one level, and what they read, of some columns."""
        parts = [matrix[units] for matrix in (self.on_z, self.on_h)]
        if columns is not None:
            parts = [np.where(columns, part, 0.0) for part in parts]
        used = [np.flatnonzero(part.any(axis=0)) for part in parts]
        both = np.union1d(*used)
        return FloatLevel(
            units,
            used[0],
            used[1],
            parts[0][:, used[0]],
            parts[1][:, used[1]],
            both,
            np.array([part[:, both] for part in parts]),
        )

    def _measure(self, count: int) -> None:
        """Sum up the sizes of all terms, and find what is affine."""
        own = np.maximum(np.abs(self.ranges.lower), np.abs(self.ranges.upper))
        self.reach, self.affine = own.copy(), np.ones(count, dtype=bool)
        self.reach[ONE] = 1.0
        for level in self.levels:
            on_h = level.on_h_columns
            total = np.abs(level.on_z) @ self.reach[level.on_z_columns]
            # a line for max(zeta, 0) has at most the size of zeta, and an end of its range
            total += np.abs(level.on_h) @ (self.reach[on_h] + own[on_h])
            self.reach[level.units] = np.maximum(total, own[level.units]) * (1 + 1e-6) + TINY
            on_z = level.on_z[:, ~self.affine[level.on_z_columns]]
            self.affine[level.units] = ~(level.on_h.any(axis=1) | on_z.any(axis=1))
        self.own_reach = own
        # an integer, as a share of a unit's size; slopes of lines are rounded to 2**-20 of one
        spread = int(self.bits[1:].max() - self.bits[1:].min())
        self.grain = np.ldexp(1.0, -np.minimum(self.bits, 1000))
        sizes = np.concatenate([self.reach, np.abs(self.on_z).ravel(), np.abs(self.on_h).ravel()])
        self.usable = bool(spread < 900 and np.isfinite(sizes).all() and (sizes < HUGE).all())

    def ratio(self, unit: int, value: int) -> float:
        """Return a value of a unit, divided by its size."""
        return quotient(value, self.size[unit])

    def behind(self, group: int) -> BoolArray:
        """Return the units whose slope over a group may differ from 0."""
        found = self.on_h[:, group] != 0
        for level in self.levels:
            units = level.units
            found[units] |= self.reads[np.ix_(units, np.flatnonzero(found))].any(axis=1)
        return np.asarray(found)

    def in_front(self, units: BoolArray) -> BoolArray:
        """Return the units that some depend on, themselves included.

        Parameters
        ----------
        units : bool array (units,) or (several, units)
        """
        found = units.copy()
        for level in reversed(self.levels):
            chosen = found[..., level.units].astype(float)
            found |= (chosen @ self.reads[level.units]) > 0
        found[..., : self.inputs] = False
        return found


def around(near: FloatArray, sign: FloatArray | IntArray) -> tuple[FloatArray, FloatArray]:
    """Return what lies just below and above a rounded number, with the sign that it has."""
    low, high = np.nextafter(near, -np.inf), np.nextafter(near, np.inf)
    low = np.where(sign > 0, np.maximum(low, SUBNORMAL), np.where(sign == 0, 0.0, low))
    high = np.where(sign < 0, np.minimum(high, -SUBNORMAL), np.where(sign == 0, 0.0, high))
    return low, high


def outward(value: FloatArray, error: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return ``value - error`` and ``value + error``, moved by what that is rounded by."""
    room = SAFETY * error + TINY
    low = np.nextafter(value - room, -np.inf)
    high = np.nextafter(value + room, np.inf)
    return low, high


def trailing_zeros(values: IntArray) -> IntArray:
    """Return how many zeros the binary digits of 64-bit integers end with; 0 for 0."""
    exponents: IntArray = np.frexp((values & -values).astype(float))[1]
    return np.maximum(exponents - 1, 0)


def quotient(a: int, b: int) -> float:
    """Divide integers of any size; infinite beyond the range of doubles, 0 for b = 0."""
    try:
        return a / b if b else 0.0
    except OverflowError:
        return math.inf if (a > 0) == (b > 0) else -math.inf


def rounded(shifts: FloatArray) -> FloatArray:
    """Round multiples of a group to few bits, as they will be written."""
    mantissa, exponent = np.frexp(shifts)
    whole = np.rint(np.ldexp(mantissa, SHIFT_BITS))
    found: FloatArray = np.ldexp(whole, exponent - SHIFT_BITS)
    return found


def texts(shifts: FloatArray, bits: IntArray) -> list[str | None]:
    """Write numbers ``shift * 2**bits``, of few bits, in the checker's grammar; None for NaN."""
    missing = np.isnan(shifts)
    mantissa, exponent = np.frexp(np.where(missing, 0.0, shifts))
    whole = np.ldexp(mantissa, SHIFT_BITS).astype(np.int64)
    zeros = trailing_zeros(whole)
    powers = exponent - SHIFT_BITS + bits + zeros
    pairs = zip((whole >> zeros).tolist(), powers.tolist(), missing.tolist(), strict=True)
    return [None if none else _text(odd, power) for odd, power, none in pairs]


def _text(odd: int, power: int) -> str:
    """Write ``odd * 2**power``, in lowest terms."""
    if power >= 0:
        return text_of(odd << power)
    style = "d" if -power < 64 else "#x"
    return f"{odd:{style}}/{1 << -power:{style}}" if odd else "0"
