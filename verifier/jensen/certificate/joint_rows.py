"""The joint program at the root of a tree of a certificate, in doubles.

Rows and ranges are the checker's (docs/FORMAT.md, rule `empty`), of units divided by their
sizes, which are powers of two: what a multiplier of a program is for the checker's row
differs by a power of two, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from jensen.certificate.checker import Network, spans
from jensen.certificate.kink_lemmas import FloatUnits
from jensen.certificate.proof_node import ProofNode
from jensen.types import BoolArray, FloatArray

Words = tuple[Any, ...]


class JointRows:
    """Columns, rows and objective of the joint program at a root.

    Parameters
    ----------
    net : Network
    units : FloatUnits
    node : ProofNode
        The root, with its bounds.
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
    top : int
        The power of two by which the checker's jump is larger.
    weights : dict from unit to float
        How much a state can move the jump.
    """

    def __init__(
        self,
        net: Network,
        units: FloatUnits,
        node: ProofNode,
        lead: Callable[[int], list[Any]],
    ) -> None:
        self._net, self._units, self._node, self.lead = net, units, node, lead
        count = len(net.units)
        self._low, self._high = np.array(
            [[units.ratio(k, v) for v in node.bounds(k)] for k in range(count)]
        ).T
        self._on, self._free = np.zeros(count, dtype=bool), np.ones(count, dtype=bool)
        for unit, on in node.fixed.items():
            self._on[unit], self._free[unit] = on, False
        self._spans = spans(net, node.group, node.root)
        self._rows: list[tuple[Words, int, int, FloatArray]] = []
        self._columns()
        self._carry()
        self._assemble()

    def size_bits(self, unit: int) -> int:
        """Return the power of two that a unit was divided by."""
        return self._units.size[unit].bit_length() - 1

    def columns_of(self, unit: int) -> list[int]:
        """Return the columns that fixing a unit changes."""
        return [columns[unit] for columns in (self.values, self.states) if unit in columns]

    def chord(self, unit: int) -> float:
        """Return the length of a unit's range, in the checker's terms."""
        return float(np.ldexp(self._high[unit] - self._low[unit], self.size_bits(unit)))

    def least_jump(self, fixed: Mapping[int, bool]) -> float:
        """Return the lower end of the jump's interval under some states, divided as the cost."""
        units, group = self._units, self._node.group
        on, off = np.ones((2, len(self._net.units)), dtype=bool)
        for unit, state in fixed.items():
            (off if state else on)[unit] = False
        low, high = np.zeros((2, len(self._net.units)))
        is_group = np.zeros_like(on)
        is_group[group] = True
        for level, on_z, on_h in units.rows:
            low[group] = high[group] = 1.0
            if level[-1] <= group:
                continue
            without = np.where(is_group, 0.0, on_z)
            ends = [
                slope * end
                for slope, used in ((without, off & ~is_group), (without + on_h, on | is_group))
                for end in (np.where(used, low, np.nan), np.where(used, high, np.nan))
            ]
            low[level] = np.fmin.reduce(ends).sum(axis=1)
            high[level] = np.fmax.reduce(ends).sum(axis=1)
        bits = self.size_bits(self._net.output) - self.size_bits(group) - self.top
        return float(np.ldexp(low[self._net.output], bits))

    # ----------------------------------------------------------------------- columns

    def _columns(self) -> None:
        """Find which units have a state, a product and a value."""
        units, net, group = self._units, self._net, self._node.group
        on_z, on_h = units.reads_z, units.reads_h
        arrives, varies, passed, moves = np.zeros((4, len(net.units)), dtype=bool)
        passed[group] = True
        states: list[int] = []
        products: list[int] = []
        for level, *_ in units.rows:
            arrives[level] |= (on_z[level] & arrives).any(axis=1)
            arrives[level] |= (on_h[level] & passed).any(axis=1)
            varies[level] |= (on_z[level] & varies).any(axis=1)
            varies[level] |= (on_h[level] & moves).any(axis=1)
            for k in level[arrives[level]].tolist():
                opened = bool(self._free[k]) and k in net.kinks and k in self._spans
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
        for level, *_ in reversed(units.rows):
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
        units, group, count = self._units, self._node.group, len(self._net.units)
        forms, passed = np.zeros((2, count, 1 + self._width))
        slopes, moved = np.zeros((2, count, 1 + self._width))
        for k in range(units.inputs):
            forms[k, k] = 1.0
        moved[group, 0] = 1.0
        for level, on_z, on_h in units.rows:
            chosen = self._needed[level]
            rows = level[chosen]
            forms[rows] = on_z[chosen] @ forms + on_h[chosen] @ passed
            for k in rows.tolist():
                if k in self.values:
                    passed[k, 1 + self.values[k]] = 1.0
                elif self._on[k]:
                    passed[k] = forms[k]
            slopes[level] = on_z @ slopes + on_h @ moved
            for k in level.tolist():
                if k in self.products:
                    moved[k, 1 + self.products[k]] = 1.0
                elif k in self.states:
                    moved[k, 1 + self.states[k]] = slopes[k, 0]
                elif self._on[k] and k != group:
                    moved[k] = slopes[k]
        for k, column in self.products.items():
            slopes[:, 1 + column] = np.ldexp(slopes[:, 1 + column], self._product_bits(k))
        self.forms, self._slopes = forms, slopes

    # -------------------------------------------------------------------------- rows

    def _span_bits(self, k: int) -> int:
        """Return the power of two by which slopes over a unit are divided."""
        low, high = self._spans.get(k, (0, 0))
        return max(-low, high).bit_length()

    def _product_bits(self, k: int) -> int:
        """Return by which power of two a product's column is divided once more."""
        return self._span_bits(k) - self.size_bits(k) + self.size_bits(self._node.group)

    def _assemble(self) -> None:
        units, node, net = self._units, self._node, self._net
        lower, upper = np.zeros(self._width), np.ones(self._width)
        for k in range(1, units.inputs):
            lower[k - 1], upper[k - 1] = self._low[k], self._high[k]
        for k, column in self.values.items():
            upper[column] = max(self._high[k], 0.0)
        self._add(("facet",), 0, self.size_bits(node.group), self.forms[node.group])
        for k in self.values:
            self._value_rows(k)
        for k in self.states:
            self._state_rows(k)
        for k, column in self.products.items():
            lower[column], upper[column] = self._product_rows(k)
        for i, (form, _) in enumerate(net.rows):
            self._domain_row(i, form)
        group_bits = self.size_bits(node.group)
        self.top = self._span_bits(net.output)
        cost = np.ldexp(
            self._slopes[net.output], self.size_bits(net.output) - group_bits - self.top
        )
        self.cost, self.shift = cost[1:], float(cost[0])
        A = np.array([row[3] for row in self._rows])
        self.A, constants = A[:, 1:], A[:, 0]
        self.lower = -constants
        self.upper = np.full(len(A), np.inf)
        self.upper[0] = self.lower[0]
        self.least, self.most = lower, upper
        self.words = [row[0] for row in self._rows]
        self.unit_of = [row[1] for row in self._rows]
        self.bits = [row[2] for row in self._rows]
        self.weights = {}
        for k in self.states:
            low, high = self._spans.get(k, (0, 0))
            down, up = net.slopes[-k]
            self.weights[k] = float(max(-low, high)) * float(max(-down, up))

    def _add(self, words: Words, unit: int, bits: int, form: FloatArray) -> None:
        """Add a row ``form >= 0``; the checker's is ``2**bits`` times as large."""
        self._rows.append((words, unit, bits, form))

    def _value_rows(self, k: int) -> None:
        low, high, lead, bits = self._low[k], self._high[k], self.lead(k), self.size_bits(k)
        value = 1 + self.values[k]
        above = -self.forms[k]
        above[value] += 1.0
        self._add(("above", *lead), k, bits, above)
        if low < 0 < high and k not in self.states:  # the rows of the state imply it
            # the checker's row, divided by a power of two next to high - low
            extra = int(np.frexp(high - low)[1])
            below = high * self.forms[k]
            below[value] -= high - low
            below[0] -= high * low
            self._add(("below", *lead), k, 2 * bits + extra, np.ldexp(below, -extra))

    def _state_rows(self, k: int) -> None:
        low, high, lead, bits = self._low[k], self._high[k], self.lead(k), self.size_bits(k)
        if not low <= 0 <= high:
            return
        state = 1 + self.states[k]
        value = np.zeros(1 + self._width)
        if k in self.values:
            value[1 + self.values[k]] = 1.0
        # without a value the first one is the sum of `on` and `above`
        on = -(value if k in self.values else self.forms[k])
        on[state] += high
        self._add(("on", *lead), k, bits, on)
        off = self.forms[k] - value
        off[0] -= low
        off[state] += low
        self._add(("off", *lead), k, bits, off)

    def _product_rows(self, k: int) -> tuple[float, float]:
        """Add the rows of a product; return the range of its column."""
        bits = self._span_bits(k)
        least, most = (_scaled(end, bits) for end in self._spans[k])
        lead, state, product = self.lead(k), 1 + self.states[k], 1 + self.products[k]
        scaled = np.ldexp(self._slopes[k], -self._product_bits(k))
        for number, (sign, end, slope) in enumerate(
            ((1.0, most, 0.0), (-1.0, least, 0.0), (1.0, least, 1.0), (-1.0, most, 1.0))
        ):
            # sign (end a - g), or sign (slope - g - end (1 - a))
            row = slope * sign * scaled
            row[0] -= slope * sign * end
            row[state] += sign * end
            row[product] -= sign
            self._add(("product", *lead, number), k, bits, row)
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
        self._add(("domain", index), 0, exponent + more, total)


def _scaled(value: int, exponent: int) -> float:
    """Return ``value / 2**exponent``."""
    if exponent >= 0:
        return value / (1 << exponent)
    return float(value * (1 << -exponent))
