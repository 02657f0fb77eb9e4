"""Trees of a certificate that are grown with the checker's own numbers, without programs.

Their leaves are `sign`, and `empty` where two units contradict one another: one is on wherever
another is. That is enough where many groups have few patterns each, as in maxima of many
numbers, and hopeless where J is negative under some pattern that only the kink excludes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from jensen.certificate.bounded_network import BoundedNetwork
from jensen.certificate.checker import Node, Spans, States
from jensen.certificate.leaf_proof import accepted
from jensen.certificate.unit_pairs import UnitPairs

MOST_LINES = 1024  # of a tree


class _Below(NamedTuple):
    """A line that branches, and what is on both sides: a leaf, or the states of a node."""

    line: list[Any]
    off: list[Any] | States
    on: list[Any] | States


class SignTrees:
    """Grows trees of single groups.

    Parameters
    ----------
    net : BoundedNetwork

    Attributes
    ----------
    pairs : UnitPairs
    """

    def __init__(self, net: BoundedNetwork) -> None:
        self._net = net
        level = [0] * len(net.units)
        for k in range(net.inputs, len(net.units)):
            level[k] = 1 + max((level[h] for h in net.units[k].reads), default=0)
        self._level, self.pairs = level, UnitPairs(net, level)

    def grow(self, group: int) -> list[Any] | None:
        """Return the lines of a tree behind its first one; None if that has no end soon."""
        node, lines = Node(self._net, group, {group: False}), list[Any]()
        stack: list[list[Any] | States] = [{}]  # last first: lines, and nodes that wait
        while stack:
            if len(lines) + len(stack) > MOST_LINES:
                return None
            item = stack.pop()
            if isinstance(item, list):
                lines.append(item)
            elif node.least_jump(item) >= 0:
                lines.append(["sign"])
            else:
                below = self._below(group, item, node.last_spans)
                if below is None:
                    return None
                lines.append(below.line)
                stack += [below.off, below.on]
        return lines

    def _below(self, group: int, fixed: States, spans: Spans) -> _Below | None:
        """Branch on a unit; None where none is left, or J is negative under all patterns."""
        if spans[self._net.output][1] < 0:
            return None
        # what is on since others are on goes first: it costs a leaf
        for unit in self._implied(group, fixed, spans):
            empty = self._empty(group, fixed | {unit: False})
            if empty is not None:
                return self._branch(unit, empty, fixed | {unit: True})
        pulls = self._next(group, fixed, spans)
        if pulls is None:
            return None
        on = fixed | {pulls: True}
        return self._branch(pulls, fixed | {pulls: False}, self._empty(group, on) or on)

    def _branch(self, unit: int, off: list[Any] | States, on: list[Any] | States) -> _Below:
        return _Below(["branch", *self._net.lead(unit)], off, on)

    def _implied(self, group: int, fixed: States, spans: Spans) -> list[int]:
        """Return open units that are on with one that is fixed on; what raises J most is first."""
        found = {k for unit, on in fixed.items() if on for k in self.pairs.on_with(unit)}
        gains = {k: self._gain(k, spans) for k in found & spans.keys() - fixed.keys() - {group}}
        return sorted((k for k, gain in gains.items() if gain > 0), key=lambda k: (-gains[k], k))

    def _gain(self, unit: int, spans: Spans) -> int:
        """Return by how much a unit can raise J."""
        (low, high), jump = spans[unit], self._net.slopes.get(-unit, (0, 0))
        return max(low * jump[0], low * jump[1], high * jump[0], high * jump[1])

    def _empty(self, group: int, fixed: States) -> list[Any] | None:
        """Return the leaf of a node where a unit is on, and one that is on wherever it is, off."""
        for unit in [k for k, on in fixed.items() if on]:
            for other in self.pairs.on_with(unit):
                if not fixed.get(other, True):
                    entries = self.pairs.contradiction(unit, other, fixed)
                    if accepted(Node(self._net, group, {group: False} | fixed), entries):
                        return ["empty", entries]
        return None

    def _next(self, group: int, fixed: States, spans: Spans) -> int | None:
        """Return an open unit of the first level that has one: that which can pull J down most."""
        net, best, found = self._net, (0, 0, 0), None
        for unit, (low, high) in spans.items():
            jump = net.slopes.get(-unit, (0, 0))
            if unit == group or unit in fixed or not any(jump):
                continue
            down = -min(low * jump[0], low * jump[1], high * jump[0], high * jump[1])
            reach = max(-low, high) * max(-jump[0], jump[1])
            rank = -self._level[unit], 2 * (reach + down) if down > 0 else reach, -unit
            if found is None or rank > best:
                best, found = rank, unit
        return found
