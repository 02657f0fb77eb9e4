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
from jensen.certificate.float_units import FloatLevel, FloatUnits
from jensen.certificate.joint_roots import Root
from jensen.certificate.slope_intervals import levels_within, slope_intervals
from jensen.types import BoolArray, FloatArray

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
    """

    def __init__(
        self,
        net: Network,
        units: FloatUnits,
        root: Root,
        lead: Callable[[int], list[Any]],
    ) -> None:
        self._net, self._units, self._root, self.lead = net, units, root, lead
        self._group = root.node.group
        count = len(net.units)
        self._low, self._high = root.ranges.lower, root.ranges.upper
        self._on, self._free = np.zeros(count, dtype=bool), np.ones(count, dtype=bool)
        for unit, on in root.node.root.items():
            self._on[unit], self._free[unit] = on, False
        self._span = root.spans
        self._reached = (self._span[0] != 0) | (self._span[1] != 0)
        self._reading = levels_within(units, self._reached)
        self.rounding = units.rounding
        self._rows: list[tuple[Words, int, int, FloatArray, float, float]] = []
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
        on, off = np.ones((2, 1, len(self._net.units)), dtype=bool)
        for unit, state in fixed.items():
            (off if state else on)[0, unit] = False
        low, _ = slope_intervals(self._units, np.array([self._group]), on, off, self._reading)
        return float(np.ldexp(low[0, self._net.output], -self._top_bits))

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
        for k, column in self.values.items():
            upper[column] = max(self._high[k], 0.0)
            reach[column] = units.reach[k] + units.own_reach[k]
        self._add(("facet",), 0, self.size_bits(group), self.forms[group], units.reach[group])
        for k in self.values:
            self._value_rows(k)
        for k in self.states:
            self._state_rows(k)
        for k, column in self.products.items():
            lower[column], upper[column] = self._product_rows(k)
            reach[column] = max(-lower[column], upper[column])
        for i, (form, _) in enumerate(net.rows):
            self._domain_row(i, form)
        self._top_bits = self._exponent(output)
        self.top = self._span_bits(output)
        cost = np.ldexp(self._slopes[output], -self._top_bits)
        self.cost, self.shift = cost[1:], float(cost[0])
        self.cost_size = float(np.ldexp(self._slope_sizes[output], -self._top_bits))
        A = np.array([row[3] for row in self._rows])
        self.A, self.constants = A[:, 1:], A[:, 0]
        self.lower = -self.constants
        self.upper = np.full(len(A), np.inf)
        self.upper[0] = self.lower[0]
        self.least, self.most, self.reach = lower, upper, reach
        self.words = [row[0] for row in self._rows]
        self.unit_of = [row[1] for row in self._rows]
        self.bits = [row[2] for row in self._rows]
        self.sizes, self.slack = np.array([row[4:] for row in self._rows]).T
        pull = np.maximum(-self._span[0], self._span[1])
        steep = [net.slopes.get(-k, (0, 0)) for k in self.states]
        self.weights = {
            k: float(pull[k]) * max(-low, high) * units.size[k] / units.size[output]
            for k, (low, high) in zip(self.states, steep, strict=True)
        }

    def _add(
        self, words: Words, unit: int, bits: int, form: FloatArray, size: float, slack: float = 0.0
    ) -> None:
        """Add a row ``form >= 0``; the checker's is ``2**bits`` times as large."""
        self._rows.append((words, unit, bits, form, size, slack))

    def _value_rows(self, k: int) -> None:
        low, high, lead, bits = self._low[k], self._high[k], self.lead(k), self.size_bits(k)
        reach, value = self._units.reach[k], 1 + self.values[k]
        passed = reach + self._units.own_reach[k]
        above = -self.forms[k]
        above[value] += 1.0
        self._add(("above", *lead), k, bits, above, reach + passed)
        inner = self._root.ranges.lower_in[k], self._root.ranges.upper_in[k]
        # the rows of the state imply it
        if inner[0] < 0 < inner[1] and k not in self.states:
            # the checker's row, divided by a power of two next to high - low
            extra = int(np.frexp(high - low)[1])
            below = high * self.forms[k]
            below[value] -= high - low
            below[0] -= high * low
            size = high * reach + (high - low) * passed - high * low
            # an end that is further in may move it either way
            slack = (high - inner[1] + inner[0] - low) * (reach + passed + high - low)
            below, size, slack = (np.ldexp(v, -extra) for v in (below, size, slack))
            self._add(("below", *lead), k, 2 * bits + extra, below, float(size), float(slack))

    def _state_rows(self, k: int) -> None:
        low, high, lead, bits = self._low[k], self._high[k], self.lead(k), self.size_bits(k)
        if not low <= 0 <= high:
            return
        reach, state = self._units.reach[k], 1 + self.states[k]
        passed = reach + self._units.own_reach[k]
        value = np.zeros(1 + self._width)
        if k in self.values:
            value[1 + self.values[k]] = 1.0
        # without a value the first one is the sum of `on` and `above`
        on = -(value if k in self.values else self.forms[k])
        on[state] += high
        self._add(("on", *lead), k, bits, on, high + reach + 2 * passed)
        off = self.forms[k] - value
        off[0] -= low
        off[state] += low
        self._add(("off", *lead), k, bits, off, reach + passed - 2 * low)

    def _product_rows(self, k: int) -> tuple[float, float]:
        """Add the rows of a product; return the range of its column."""
        bits, more = self._span_bits(k), self._product_bits(k)
        least, most = (float(np.ldexp(end[k], -more)) for end in self._span)
        lead, state, product = self.lead(k), 1 + self.states[k], 1 + self.products[k]
        scaled = np.ldexp(self._slopes[k], -more)
        size = float(np.ldexp(self._slope_sizes[k], -more))
        for number, (sign, end, slope) in enumerate(
            ((1.0, most, 0.0), (-1.0, least, 0.0), (1.0, least, 1.0), (-1.0, most, 1.0))
        ):
            # sign (end a - g), or sign (slope - g - end (1 - a))
            row = slope * sign * scaled
            row[0] -= slope * sign * end
            row[state] += sign * end
            row[product] -= sign
            self._add(("product", *lead, number), k, bits, row, size + 2 * abs(end) + 2.0)
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
        self._add(("domain", index), 0, exponent + more, total, 2.0 * len(form))


def _product(level: FloatLevel, on_z: FloatArray, on_h: FloatArray) -> FloatArray:
    """Return the forms of a level's units, from those of zeta and of max(zeta, 0)."""
    found: FloatArray = (
        level.on_z @ on_z[level.on_z_columns] + level.on_h @ on_h[level.on_h_columns]
    )
    return found


def _scaled(value: int, exponent: int) -> float:
    """Return ``value / 2**exponent``."""
    if exponent >= 0:
        return value / (1 << exponent)
    return float(value * (1 << -exponent))
