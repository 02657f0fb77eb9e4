"""Where a kink bends down: every node is closed by its J, or by functions that touch f there.

References
----------
docs/theory.md, section 6, Lemma 16.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

from jensen.groups.jump import FREE, Activations
from jensen.midpoint.bad_facets import BadFacets
from jensen.midpoint.touching import Excess, Touching
from jensen.prover.joint_nodes import JointNode, Patterns, PieceSearch
from jensen.prover.joint_proof import Path
from jensen.prover.tree import TreeLimits
from jensen.types import Unit
from jensen_encodings.deadline import Deadline

EVERY = 4  # levels of the search where touching functions are tried, as at all its ends
TURN = 32  # nodes of a group
MOST_NODES = 20_000  # of all groups
FIRST_AIM = 0.5  # of what all groups cost at the beginning
BALANCE = 0.5  # of the aim: what they may cost until it is lowered
LOWER = 0.7  # by this factor
SLOW = 0.75  # of what they cost at first: where as much is left after half of the time, little goes


class TouchedKink(BadFacets):
    """The search for the least J of one group, but for facets that touching functions settle.

    ``lower`` holds for all other facets. At first there are no such functions.
    """

    _touching: Touching | None = None
    _aim = 0.0
    _piece: PieceSearch | None = None

    def touch(self, touching: Touching, deadline: Deadline) -> None:
        """Let functions touch f from now on, also where programs could not decide before."""
        self._touching = touching
        self.deadline, self._limits = deadline, TreeLimits(deadline.over)
        self.leaves, self._undecided = (), math.inf
        self._open_again(self._left)
        self._left.clear()

    @cached_property
    def _left(self) -> list[tuple[float, Path, float]]:
        return []

    @property
    def plain(self) -> float:
        """Proved: J is at least this on the kink, also where touching functions settled nodes."""
        return min([self.lower, *(above for _, _, above in self._settled)])

    @property
    def excess(self) -> float:
        """The largest one that settled a node."""
        return max((bound for bound, _, _ in self._settled), default=0.0)

    @cached_property
    def _settled(self) -> list[tuple[float, Path, float]]:
        return []

    def aim(self, excess: float) -> None:
        """Settle nodes with functions that exceed f by so much; open those again with more."""
        self._aim = excess
        self._open_again([one for one in self._settled if one[0] > excess])
        self._settled[:] = [one for one in self._settled if one[0] <= excess]

    def _open_again(self, nodes: Sequence[tuple[float, Path, float]]) -> None:
        if nodes:
            assert self._piece is not None
            for _, path, above in nodes:
                self._piece.open_again(path, above)
            self._current = self._piece

    def settles(self, bound: float, path: Path) -> bool:
        """Whether a node is closed by its bound of J, or by what touches f there."""
        if super().settles(bound, path):
            return True
        if self._touching is None or len(path) % EVERY:
            return False
        return self._touched(self._touching, path, bound).bound <= self._aim

    def hand_over(
        self, index: int, node: JointNode, activations: Activations, patterns: Patterns
    ) -> None:
        """Settle a node that programs cannot decide, or branch on a unit of which that depends."""
        self._piece = self._current
        if self._touching is not None:
            found = self._touched(self._touching, node.path, node.above)
            if found.bound <= self._aim:
                return
            if found.unit is not None and self._current is not None:
                self._current.divide(node, found.unit)
                return
        self._left.append((math.inf, node.path, node.above))
        super().hand_over(index, node, activations, patterns)

    def _touched(self, touching: Touching, path: Path, above: float) -> Excess:
        """Return what touching functions prove at a node, and settle it if that is enough."""
        assert self._current is not None
        self._piece = self._current
        states = self._current.under(path)
        free = {(k, u) for k, u in self._current.units if states[k][u] == FREE}
        found = touching.excess(self.group, states, free, self._aim, self.deadline)
        if found.bound <= self._aim:
            self._settled.append((found.bound, path, above))
        return found


def touched_jumps(
    kinks: Mapping[Unit, TouchedKink],
    reach: Mapping[Unit, float],
    touching: Touching,
    least: float,
    deadline: Deadline,
) -> tuple[dict[Unit, float], float]:
    """Bound J of groups on their kinks, but for facets that touching functions settle.

    Parameters
    ----------
    kinks : mapping from group to TouchedKink
        Searches to go on with, of the one piece of a box.
    reach : mapping from group to float
        What a unit of J is worth.
    touching : Touching
    least : float
        An excess that is small enough.
    deadline : Deadline

    Returns
    -------
    bounds : dict from group to float
        At most 0.
    excess : float
        The largest one of A over f at the facets that were settled; 0 if none was.
    """
    for kink in kinks.values():
        kink.touch(touching, deadline)

    def cost(group: Unit) -> float:
        return max(0.0, -kinks[group].lower) * reach[group]

    aim = best = math.inf
    began, first = deadline.left(), 0.0
    found: dict[Unit, float] = {}
    excess, spent = 0.0, dict.fromkeys(kinks, 0)
    while not deadline.over() and sum(spent.values()) < MOST_NODES:
        left = [group for group, kink in kinks.items() if not (kink.closed or kink.stuck)]
        costs = sum(cost(group) for group in kinks)
        if aim + BALANCE * costs < best:
            best = aim + BALANCE * costs
            found = {group: min(0.0, kink.lower) for group, kink in kinks.items()}
            excess = max((kink.excess for kink in kinks.values()), default=0.0)
        first = max(first, costs)
        if deadline.left() < began / 2 and costs > SLOW * first:
            break  # the tree makes more of the rest
        if not left or costs <= BALANCE * aim:
            if aim == least:
                break
            aim = max(least, min(LOWER * aim, FIRST_AIM * costs if aim == math.inf else aim))
            for kink in kinks.values():
                kink.aim(aim)
        else:
            # what still costs much after many nodes has fewer of the next ones
            group = max(left, key=lambda one: cost(one) / (TURN + spent[one]))
            before = kinks[group].nodes
            kinks[group].run(TURN)
            spent[group] += kinks[group].nodes - before
    return found, excess
