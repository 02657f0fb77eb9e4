"""The joint program at the root of a tree of a certificate, in doubles.

Rows and ranges are the checker's (docs/FORMAT.md, rule `empty`), of units divided by their
sizes, which are powers of two: what a multiplier of a program is for the checker's row
differs by a power of two, too. Ranges are taken a little wider than the checker's, which
all rows but `below` only grow by; of every row it is known how far it may be off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from jensen.certificate.checker import Network
from jensen.certificate.cut_rows import CutHint, cuts_of
from jensen.certificate.float_units import HUGE, FloatLevel, FloatUnits, quotient
from jensen.certificate.joint_roots import Root
from jensen.certificate.slope_intervals import JumpBound
from jensen.types import BoolArray, FloatArray, IndexArray

Words = tuple[Any, ...]


class JointRows:
    """Columns, rows and objective of the joint program at a root.

    Parameters
    ----------
    net : Network
    units : FloatUnits
    root : Root
        With its bounds.
    lead : callable
        The words that name a unit.
    hints : mapping from number to CutHint
        Cuts that the engine's multipliers speak of.

    Attributes
    ----------
    values, states, products : dict from unit to column
    forms : array (units, 1 + columns)
        Units in front, in terms of the columns; column 0 holds the constants.
    cost, shift, A, lower, upper, least, most
        ``min cost x + shift, lower <= A x <= upper, least <= x <= most``.
    words, bits, unit_of : lists
        Of every row what the checker calls it, the power of two by which its row is larger,
        and the unit that it speaks of (0 if there is none).
    sizes, slack : arrays (rows,)
        The sum of the sizes of all terms that a row, written in the inputs, is made of; and
        how far its ranges may move it.
    reach : array (columns,)
        The same of the columns.
    certain : bool
        Whether these are the checker's rows; if not, sums that cancel may have left a form
        that is 0 in exact numbers.
    top : int
        The power of two by which the checker's jump is larger.
    weights : dict from unit to float
        How much a state can move the jump.
    cuts : Cuts
        Those that the checker's node knows.
    """

    def __init__(
        self,
        net: Network,
        units: FloatUnits,
        root: Root,
        lead: Callable[[int], list[Any]],
        hints: Mapping[int, CutHint] | None = None,
    ) -> None:
        self._hints = hints or {}
        self._net, self._units, self._root, self.lead = net, units, root, lead
        self._group = root.node.group
        count = len(net.units)
        self._low, self._high = root.ranges.lower, root.ranges.upper
        self._on, self._free = np.zeros(count, dtype=bool), np.ones(count, dtype=bool)
        for unit, on in root.node.root.items():
            self._on[unit], self._free[unit] = on, False
        self._span = root.spans
        self._reached = (self._span[0] != 0) | (self._span[1] != 0)
        self._jump = JumpBound(units, self._group, root.spans, root.node.root)
        self.rounding = units.rounding
        self.words: list[Words] = []
        self.unit_of: list[int] = []
        self.bits: list[int] = []
        self._blocks: list[tuple[FloatArray, FloatArray, FloatArray]] = []
        self._columns()
        self._carry()
        self._assemble()

    def size_bits(self, unit: int) -> int:
        """Return the power of two that a unit was divided by."""
        return self._units.size[unit].bit_length() - 1

    def high(self, unit: int) -> float:
        """Return the upper end of a unit's range."""
        return float(self._high[unit])

    def columns_of(self, unit: int) -> list[int]:
        """Return the columns that fixing a unit changes."""
        return [columns[unit] for columns in (self.values, self.states) if unit in columns]

    def chord(self, unit: int) -> float:
        """Return the length of a unit's range, in the checker's terms."""
        return float(np.ldexp(self._high[unit] - self._low[unit], self.size_bits(unit)))

    def least_jump(self, fixed: Mapping[int, bool]) -> float:
        """Return a lower bound of the jump under some states, divided as the cost."""
        return math.ldexp(self._jump.least(fixed), -self._top_bits)

    # ----------------------------------------------------------------------- columns

    def _columns(self) -> None:
        """Find which units have a state, a product and a value."""
        units, net, group = self._units, self._net, self._group
        on_z, on_h = units.reads_z, units.reads_h
        arrives, varies, passed, moves = np.zeros((4, len(net.units)), dtype=bool)
        passed[group] = True
        states: list[int] = []
        products: list[int] = []
        for level in (here.units for here in units.levels):
            arrives[level] |= (on_z[level] & arrives).any(axis=1)
            arrives[level] |= (on_h[level] & passed).any(axis=1)
            varies[level] |= (on_z[level] & varies).any(axis=1)
            varies[level] |= (on_h[level] & moves).any(axis=1)
            for k in level[arrives[level]].tolist():
                opened = bool(self._free[k]) and bool(self._reached[k]) and k in net.kinks
                passed[k] = opened or self._on[k]
                moves[k] = opened or (self._on[k] and varies[k])
                if opened:
                    states.append(k)
                    if varies[k]:
                        products.append(k)
        needed = np.zeros(len(net.units), dtype=bool)
        needed[[group, *states]] = True
        read = np.zeros_like(needed)
        passes = on_h & (self._on | self._free)
        for level in (here.units for here in reversed(units.levels)):
            chosen = level[needed[level]]
            needed |= on_z[chosen].any(axis=0)
            found = passes[chosen].any(axis=0)
            needed |= found
            read |= found & self._free
        needed[: units.inputs] = False
        self._needed: BoolArray = needed
        width = units.inputs - 1
        self.values = {k: width + i for i, k in enumerate(np.flatnonzero(read).tolist())}
        width += len(self.values)
        self.states = {k: width + i for i, k in enumerate(states)}
        width += len(states)
        self.products = {k: width + i for i, k in enumerate(products)}
        self._width = width + len(products)

    def _carry(self) -> None:
        """Compute the forms of the units in front, and of the slopes behind the group."""
        units, group, count = self._units, self._group, len(self._net.units)
        forms, passed = np.zeros((2, count, 1 + self._width))
        slopes, moved = np.zeros((2, count, 1 + self._width))
        size = np.zeros(count)  # of all terms of a slope
        forms[np.arange(units.inputs), np.arange(units.inputs)] = 1.0
        moved[group, 0] = size[group] = 1.0
        for level in units.levels:
            rows = level.units
            if self._needed[rows].any():
                self._carry_values(level, forms, passed)
            slopes[rows] = _product(level, slopes, moved)
            size[rows] = np.abs(level.on_z) @ size[level.on_z_columns]
            size[rows] += np.abs(level.on_h) @ size[level.on_h_columns]
            size[group] = 1.0
            for k in rows[self._reached[rows]].tolist():
                if k in self.products:
                    moved[k, 1 + self.products[k]] = 1.0
                elif k in self.states:
                    moved[k, 1 + self.states[k]] = slopes[k, 0]
                elif self._on[k] and k != group:
                    moved[k] = slopes[k]
        room = units.rounding * size
        self.certain = not self._cancelled() and all(
            np.abs(slopes[k, 1:]).max() > 4 * room[k] for k in self.products
        )
        for k, column in self.products.items():
            slopes[:, 1 + column] = np.ldexp(slopes[:, 1 + column], self._product_bits(k))
        self.forms, self._slopes, self._slope_sizes = forms, slopes, size

    def _cancelled(self) -> bool:
        """Whether a unit of which no state is kept, since it never bends the output, is read."""
        kinks = np.zeros(len(self._free), dtype=bool)
        kinks[list(self._net.kinks)] = True
        silent = self._free & self._reached & ~kinks
        silent[self._net.output] = False
        kinks[self._net.output] = True
        return bool(self._units.reads_h[np.ix_(kinks, silent)].any())

    def _carry_values(self, level: FloatLevel, forms: FloatArray, passed: FloatArray) -> None:
        """Compute the forms of a level's units that are needed, and of what they pass on."""
        chosen = self._needed[level.units]
        rows = level.units[chosen]
        forms[rows] = _product(level, forms, passed)[chosen]
        for k in rows.tolist():
            if k in self.values:
                passed[k, 1 + self.values[k]] = 1.0
            elif self._on[k]:
                passed[k] = forms[k]

    # -------------------------------------------------------------------------- rows

    def _span_bits(self, k: int) -> int:
        """Return the power of two by which slopes over a unit are divided."""
        return self._exponent(k) + self.size_bits(k) - self.size_bits(self._group)

    def _exponent(self, k: int) -> int:
        return math.frexp(max(-self._span[0][k], self._span[1][k], 0.0))[1]

    def _product_bits(self, k: int) -> int:
        """Return by which power of two a product's column is divided once more."""
        return self._exponent(k)

    def _assemble(self) -> None:
        units, net, group, output = self._units, self._net, self._group, self._net.output
        lower, upper, reach = np.zeros(self._width), np.ones(self._width), np.ones(self._width)
        inputs = slice(1, units.inputs)
        lower[: units.inputs - 1], upper[: units.inputs - 1] = self._low[inputs], self._high[inputs]
        reach[: units.inputs - 1] = units.reach[inputs]
        values, columns = _pairs(self.values)
        upper[columns] = np.maximum(self._high[values], 0.0)
        reach[columns] = units.reach[values] + units.own_reach[values]
        facet = self.forms[group][None], units.reach[[group]]
        self._add([("facet",)], [0], [self.size_bits(group)], *facet)
        self._value_rows()
        self._state_rows()
        for k, column in self.products.items():
            lower[column], upper[column] = self._product_rows(k)
            reach[column] = max(-lower[column], upper[column])
        for i, (form, _) in enumerate(net.rows):
            self._domain_row(i, form)
        self.cuts = cuts_of(units, self._root, self.forms, self.values, self._hints, self.lead)
        words: list[Words] = [("cut", i) for i in range(len(self.cuts.lines))]
        self._add(words, [0] * len(words), self.cuts.bits, self.cuts.rows, self.cuts.sizes)
        self._top_bits = self._exponent(output)
        self.top = self._span_bits(output)
        cost = np.ldexp(self._slopes[output], -self._top_bits)
        self.cost, self.shift = cost[1:], float(cost[0])
        self.cost_size = float(np.ldexp(self._slope_sizes[output], -self._top_bits))
        A, self.sizes, self.slack = (
            np.concatenate(parts) for parts in zip(*self._blocks, strict=True)
        )
        self.A, self.constants = np.ascontiguousarray(A[:, 1:]), A[:, 0]
        self.lower = -self.constants
        self.upper = np.full(len(A), np.inf)
        self.upper[0] = self.lower[0]
        self.least, self.most, self.reach = lower, upper, reach
        pull = np.maximum(-self._span[0], self._span[1])
        steep = [net.slopes.get(-k, (0, 0)) for k in self.states]
        self.weights = {
            k: min(
                float(pull[k]) * quotient(max(-low, high) * units.size[k], units.size[output]), HUGE
            )
            for k, (low, high) in zip(self.states, steep, strict=True)
        }

    def _add(
        self,
        words: list[Words],
        units: list[int],
        bits: list[int],
        forms: FloatArray,
        sizes: FloatArray,
        slack: FloatArray | None = None,
    ) -> None:
        """Add rows ``form >= 0``; the checker's are ``2**bits`` times as large."""
        self.words += words
        self.unit_of += units
        self.bits += bits
        self._blocks.append((forms, sizes, np.zeros_like(sizes) if slack is None else slack))

    def _named(self, kind: str, units: IndexArray) -> tuple[list[Words], list[int], list[int]]:
        """Return the words, the units and the exponents of rows about units."""
        listed = units.tolist()
        words = [(kind, *self.lead(k)) for k in listed]
        return words, listed, self._units.bits[units].tolist()

    def _value_rows(self) -> None:
        units, columns = _pairs(self.values)
        forms, place = self.forms[units], np.arange(len(units))
        reach = self._units.reach[units]
        passed = reach + self._units.own_reach[units]
        above = -forms
        above[place, 1 + columns] += 1.0
        self._add(*self._named("above", units), above, reach + passed)
        # elsewhere the rows of the state imply the chord
        inner = self._root.ranges.lower_in[units], self._root.ranges.upper_in[units]
        chosen = (inner[0] < 0) & (inner[1] > 0) & ~np.isin(units, list(self.states))
        units, columns, forms = units[chosen], columns[chosen], forms[chosen]
        low, high, reach, passed = (
            self._low[units],
            self._high[units],
            reach[chosen],
            passed[chosen],
        )
        # the checker's row, divided by a power of two next to high - low
        extra = np.frexp(high - low)[1]
        below = high[:, None] * forms
        below[np.arange(len(units)), 1 + columns] -= high - low
        below[:, 0] -= high * low
        size = high * reach + (high - low) * passed - high * low
        # an end that is further in may move it either way
        inward = high - inner[1][chosen] + inner[0][chosen] - low
        slack = inward * (reach + passed + high - low)
        words, listed, bits = self._named("below", units)
        bits = [2 * b + more for b, more in zip(bits, extra.tolist(), strict=True)]
        scaled = np.ldexp(below, -extra[:, None]), np.ldexp(size, -extra), np.ldexp(slack, -extra)
        self._add(words, listed, bits, *scaled)

    def _state_rows(self) -> None:
        units, columns = _pairs(self.states)
        chosen = (self._low[units] <= 0) & (self._high[units] >= 0)
        units, columns = units[chosen], columns[chosen]
        low, high, forms = self._low[units], self._high[units], self.forms[units]
        reach, place = self._units.reach[units], np.arange(len(units))
        passed = reach + self._units.own_reach[units]
        valued = np.isin(units, list(self.values))
        value = np.zeros_like(forms)
        for row in np.flatnonzero(valued).tolist():
            value[row, 1 + self.values[int(units[row])]] = 1.0
        # without a value the first one is the sum of `on` and `above`
        on = -np.where(valued[:, None], value, forms)
        on[place, 1 + columns] += high
        self._add(*self._named("on", units), on, high + reach + 2 * passed)
        off = forms - value
        off[:, 0] -= low
        off[place, 1 + columns] += low
        self._add(*self._named("off", units), off, reach + passed - 2 * low)

    def _product_rows(self, k: int) -> tuple[float, float]:
        """Add the rows of a product; return the range of its column."""
        bits, more = self._span_bits(k), self._product_bits(k)
        least, most = (float(np.ldexp(end[k], -more)) for end in self._span)
        lead, state, product = self.lead(k), 1 + self.states[k], 1 + self.products[k]
        scaled = np.ldexp(self._slopes[k], -more)
        size = float(np.ldexp(self._slope_sizes[k], -more))
        rows = []
        for sign, end, slope in (
            (1.0, most, 0.0),
            (-1.0, least, 0.0),
            (1.0, least, 1.0),
            (-1.0, most, 1.0),
        ):
            # sign (end a - g), or sign (slope - g - end (1 - a))
            row = slope * sign * scaled
            row[0] -= slope * sign * end
            row[state] += sign * end
            row[product] -= sign
            rows.append(row)
        words = [("product", *lead, number) for number in range(4)]
        sizes = size + 2 * np.abs([most, least, least, most]) + 2.0
        self._add(words, [k] * 4, [bits] * 4, np.array(rows), sizes)
        return min(least, 0.0), max(most, 0.0)

    def _domain_row(self, index: int, form: dict[int, int]) -> None:
        total = np.zeros(1 + self._width)
        if not form:
            return
        exponent = max(
            abs(v).bit_length() + (self.size_bits(k) if k else 0) for k, v in form.items()
        )
        for k, v in form.items():
            total += _scaled(v, exponent - self.size_bits(k)) * self.forms[k]
        factor = self._net.rows[index][1]
        more = factor.numerator.bit_length() - factor.denominator.bit_length()
        total = total * float(factor / Fraction(2) ** more)
        size = np.array([2.0 * len(form)])
        self._add([("domain", index)], [0], [exponent + more], total[None], size)


def _product(level: FloatLevel, on_z: FloatArray, on_h: FloatArray) -> FloatArray:
    """Return the forms of a level's units, from those of zeta and of max(zeta, 0)."""
    found: FloatArray = (
        level.on_z @ on_z[level.on_z_columns] + level.on_h @ on_h[level.on_h_columns]
    )
    return found


def _pairs(columns: Mapping[int, int]) -> tuple[IndexArray, IndexArray]:
    """Return units and their columns."""
    return np.array(list(columns), dtype=int), np.array(list(columns.values()), dtype=int)


def _scaled(value: int, exponent: int) -> float:
    """Return ``value / 2**exponent``."""
    if exponent >= 0:
        return value / (1 << exponent)
    return float(value * (1 << -exponent))
