"""Roots of trees that begin with bounds on the kink: which bounds, and what they decide.

Many roots are looked at together, in doubles that enclose what the checker will compute
(:mod:`jensen.certificate.kink_ranges`). The sign rule closes what it can with the bounds that it
needs; the others keep all bounds that may help. Where doubles cannot tell, as in networks of
small integers whose jumps are 0, the checker's rule is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jensen.certificate import checker
from jensen.certificate.bounded_network import BoundedNetwork, check_time
from jensen.certificate.checker import Malformed, Rejected
from jensen.certificate.float_units import HUGE, Enclosures, FloatUnits, quotient
from jensen.certificate.kink_ranges import MARGIN, KinkRanges, Lemmas
from jensen.certificate.proof_node import ProofNode
from jensen.certificate.slope_intervals import slope_intervals
from jensen.types import BoolArray, FloatArray, IndexArray, Interval


@dataclass(frozen=True, eq=False)
class Root:
    """The root of the tree of a group on a face.

    Attributes
    ----------
    node : ProofNode
        With the bounds that the tree begins with.
    lemmas : list
        These bounds, as a certificate has them.
    leaf : list or None
        The leaf that closes the root, if one does.
    ranges : Enclosures
        Of all units.
    spans : pair of arrays (units,)
        Around the intervals of the slopes over the group.
    """

    node: ProofNode
    lemmas: list[Any]
    leaf: list[Any] | None
    ranges: Enclosures
    spans: Interval


class JointRoots:
    """The roots of some groups on some faces, face 0 being the whole domain.

    Parameters
    ----------
    net : BoundedNetwork
    units : FloatUnits
    pairs : sequence of (unit, face)
    """

    def __init__(
        self, net: BoundedNetwork, units: FloatUnits, pairs: Sequence[tuple[int, int]]
    ) -> None:
        self._net, self._units = net, units
        self._groups = np.array([unit for unit, _ in pairs])
        self._faces = [face for _, face in pairs]
        self._roots: dict[int, Root] = {}
        own = units.ranges
        # what a state may be as long as nothing is known of the kink
        self._spans = self._slopes(own.repeated(len(pairs)), self._groups)
        kinks = np.zeros(len(net.units), dtype=bool)
        kinks[list(net.kinks)] = True
        behind = {int(g): units.behind(int(g)) & kinks for g in set(self._groups.tolist())}
        self._behind = np.array([behind[g] for g in self._groups.tolist()])
        self._behind[:, net.output :] = False
        self._order = np.lexsort((np.arange(len(net.units)), units.level))
        ends = [net.slopes.get(-k, (0, 0)) for k in range(len(net.units))]
        sizes = zip(ends, units.size, strict=True)
        #: how much the output depends on each max(zeta, 0)
        most = ((max(-low, high) * size, units.size[net.output]) for (low, high), size in sizes)
        self._steep = np.array([min(quotient(*pair), HUGE) for pair in most])

    def run(self) -> Iterator[Root]:
        """Yield the roots, in order."""
        left = self._by_missing(np.arange(len(self._groups)))
        # bounds of the units behind are often enough, without those of the units in front
        left = self._by_bounds(left, self._behind[left])
        wanted = self._behind[left].copy()
        wanted[np.arange(len(left)), self._groups[left]] = True
        self._by_bounds(left, self._units.in_front(wanted), last=True)
        for kink in range(len(self._groups)):
            yield self._roots.pop(kink)

    def _left(self, kinks: IndexArray) -> IndexArray:
        return np.array([k for k in kinks.tolist() if k not in self._roots], dtype=int)

    # ------------------------------------------------------------------------ leaves

    def _by_missing(self, kinks: IndexArray) -> IndexArray:
        """Close what the kink does not meet; return the others."""
        side = self._ranges_on(kinks).missed()
        for kink, sign in zip(kinks.tolist(), side.tolist(), strict=True):
            if sign:
                leaf = ["empty", [["facet", "1" if sign < 0 else "-1"]]]
                self._roots[kink] = self._root(kink, self._node(kink), [], leaf)
        return self._left(kinks)

    def _by_bounds(self, kinks: IndexArray, wanted: BoolArray, *, last: bool = False) -> IndexArray:
        """Bound units on the kinks, and close roots by that; return the others.

        The last time these are roots with their bounds, too.
        """
        check_time(self._net)
        if not kinks.size:
            return kinks
        found = self._ranges_on(kinks)
        lemmas = found.find(wanted)
        self._leave_out(kinks, found, lemmas)
        spans = self._slopes(found.ranges, self._groups[kinks])
        jumps = self._jumps(spans)
        near = np.flatnonzero(jumps > -MARGIN)
        needed = self._needed(kinks, near, found, lemmas, jumps)
        for row, units in zip(near.tolist(), needed, strict=True):
            node, lines = self._bounded(row, found, lemmas, units)
            if jumps[row] > 0 or _holds(node):
                self._roots[int(kinks[row])] = self._root(int(kinks[row]), node, lines, ["sign"])
        for row, kink in enumerate(kinks.tolist() if last else []):
            if kink not in self._roots:
                node, lines = self._bounded(row, found, lemmas, lemmas.some[row])
                own = spans[0][row], spans[1][row]
                self._roots[kink] = Root(node, lines, None, found.ranges.row(row), own)
        return self._left(kinks)

    # ------------------------------------------------------------------------ bounds

    def _ranges_on(self, kinks: IndexArray) -> KinkRanges:
        faces = [self._faces[kink] for kink in kinks.tolist()]
        groups, deadline = self._groups[kinks], self._net.deadline
        return KinkRanges(self._net, self._units, groups, faces, deadline)

    def _leave_out(self, kinks: IndexArray, found: KinkRanges, lemmas: Lemmas) -> None:
        """Leave out what cannot raise the jump's least value, of units that only the output reads.

        Where the jump is least with such a unit off, for instance, it helps to know that the
        unit is on, or how far up it goes; not that it is off, or how far down it goes.
        """
        factor = self._units.on_h[self._net.output]
        low, high = (factor * side[kinks] for side in self._spans)
        low, high = np.minimum(low, high), np.maximum(low, high)
        inner = self._units.read | ((low < 0) & (high > 0)) | ~found.affine[:, None]
        least_on = high <= 0
        on, off = found.ranges.lower > 0, found.ranges.upper < 0
        useless = ~inner & ((on & least_on) | (off & ~least_on))
        found.forget(
            lemmas, useless | (~inner & ~on & ~least_on), useless | (~inner & ~off & least_on)
        )

    def _needed(
        self,
        kinks: IndexArray,
        near: IndexArray,
        found: KinkRanges,
        lemmas: Lemmas,
        jumps: FloatArray,
    ) -> BoolArray:
        """Return the bounds that the sign rule needs: of units that can move the jump most."""
        some, ranges = lemmas.some[near], found.ranges
        on, off = ranges.lower[near] > 0, ranges.upper[near] < 0
        decided = some & (on | off) & self._behind[kinks[near]]
        spans = [side[kinks[near]] for side in self._spans]
        pull = np.maximum(-spans[0], spans[1]) * self._steep
        order = np.argsort(np.where(decided, -pull, np.inf), axis=1, kind="stable")
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(order.shape[1])[None], axis=1)
        few, many = np.zeros(len(near), dtype=int), decided.sum(axis=1)
        least = np.where(jumps[near] > 0, 0.0, -MARGIN)
        groups = self._groups[kinks[near]]
        while (few < many).any():
            middle = (few + many) // 2
            chosen = decided & (rank < middle[:, None])
            spread = slope_intervals(self._units, groups, ~(chosen & off), ~(chosen & on))
            enough = self._jumps(spread) > least
            few, many = np.where(enough, few, middle + 1), np.where(enough, middle, many)
        needed = some & self._units.in_front(decided & (rank < many[:, None]))
        # the lines of a kink that is no plane depend on all bounds
        return np.where(found.affine[near, None], needed, some)

    def _bounded(
        self, row: int, found: KinkRanges, lemmas: Lemmas, units: BoolArray
    ) -> tuple[ProofNode, list[Any]]:
        """Return a node with some of the bounds, and their lines."""
        known = found.nodes.get(row)
        node = known or ProofNode(self._net, int(found.groups[row]), found.faces[row])
        lines = []
        chosen = self._order[units[self._order]]
        states = (found.ranges.lower[row, chosen] > 0) * 1 - (found.ranges.upper[row, chosen] < 0)
        sides = found.sides(row, chosen, lemmas)
        for unit, state, (lower, upper) in zip(
            chosen.tolist(), states.tolist(), sides, strict=True
        ):
            if known is None:
                node.narrow_later(unit, lower, upper, state > 0 if state else None)
            lines.append([*self._net.lead(unit), lower, upper])
        return node, lines

    def _node(self, kink: int) -> ProofNode:
        return ProofNode(self._net, int(self._groups[kink]), self._faces[kink])

    def _root(self, kink: int, node: ProofNode, lines: list[Any], leaf: list[Any]) -> Root:
        """Return a root that is closed."""
        own = self._spans[0][kink], self._spans[1][kink]
        return Root(node, lines, leaf, self._units.ranges, own)

    def _slopes(self, ranges: Enclosures, groups: IndexArray) -> Interval:
        return slope_intervals(self._units, groups, ranges.upper >= 0, ranges.lower <= 0)

    def _jumps(self, spans: Interval) -> FloatArray:
        return _least_jumps(self._net, spans)


def closed_by_sign(net: BoundedNetwork, units: FloatUnits, groups: Sequence[int]) -> set[int]:
    """Return the groups that the sign rule closes without any bounds."""
    own = units.ranges.repeated(len(groups))
    spans = slope_intervals(units, np.array(groups), own.upper >= 0, own.lower <= 0)
    jumps = zip(groups, _least_jumps(net, spans).tolist(), strict=True)
    return {g for g, low in jumps if low > 0 or (low > -MARGIN and _holds(ProofNode(net, g)))}


def _least_jumps(net: BoundedNetwork, spans: Interval) -> FloatArray:
    """Return the least jump of each root, divided by the largest that is possible."""
    low, high = (side[:, net.output] for side in spans)
    size = np.maximum(np.abs(low), np.abs(high))
    found: FloatArray = low / np.where(size > 0, size, 1.0)
    return found


def _holds(node: ProofNode) -> bool:
    """Ask the checker's sign rule."""
    node.settle()
    try:
        checker.rule_sign(node)
    except (Rejected, Malformed):
        return False
    return True
