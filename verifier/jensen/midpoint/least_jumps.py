"""The least jump of a group on its kink, whatever its sign, proved from below.

The joint search proves that J is nowhere negative. Here its floor follows the least J that was
met, so that what is left in the end is a bound of J itself.

References
----------
docs/theory.md, sections 6 and 11.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from jensen.errors import OutOfTimeError
from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import Activations
from jensen.network.relu_network import ReluNetwork
from jensen.prover.joint_engine import joint_boxes
from jensen.prover.joint_nodes import JointNode
from jensen.prover.joint_search import CUTOFF_MARGIN, JointSearch, bounded_pieces
from jensen.prover.tree import SearchState, TreeLimits
from jensen.types import FloatArray, Unit
from jensen_encodings.deadline import Deadline
from jensen_encodings.lp import LpSolver

UNMET = 1e250  # a bound as large says that the kink is not met
CEILING = -Fraction(2.0 * UNMET)
GAP = 0.01  # of the least J that was met: bounds need be no closer
FIRST_TURN, TURN = 8, 32  # nodes of a group at a time
SETTLED = 0.01  # of what all groups bend down: groups that might add less are left
MOST_NODES = 20_000


class LeastJump(JointSearch):
    """The search for the least J of one group on its kink.

    Parameters
    ----------
    net, group, network, pieces, solver, limits, least_jump, deadline
        As of :class:`jensen.prover.joint_search.JointSearch`; with :data:`CEILING` the floor
        begins above all J.

    Attributes
    ----------
    met : float
        The least J of a pattern that was looked at; infinite if there was none.
    """

    stale = 0  # every node needs a bound of its own
    met = math.inf
    _undecided = math.inf  # the least bound of nodes that programs cannot decide

    @property
    def lower(self) -> float:
        """Proved: J is at least this on the kink, under every pattern that is met there."""
        if self.jump.only_rationals:
            return -math.inf  # products that underflow look like 0
        return max(self.lowest, min(self.floor, self._undecided, *self.open_bounds))

    def look(self, point: FloatArray) -> None:
        """Lower the floor to what the network's own pattern at a point has."""
        patterns = self.patterns_at(point)
        if patterns is None:
            return
        jump = self.jump.bound(patterns).output[0]
        if jump < self.met:
            self.met = jump
            self.floor = jump - GAP * abs(jump)
            self.target = self.floor + CUTOFF_MARGIN * max(self.jump.magnitude, 1e-300)

    def next_of(self, stack: Sequence[JointNode]) -> int:
        """Return the place of the node with the least bound."""
        bounds = [node.above for node in stack]
        return bounds.index(min(bounds))

    def hand_over(
        self, index: int, node: JointNode, activations: Activations, pattern: Activations | None
    ) -> None:
        """Leave a node that programs cannot decide with the bound that it has."""
        self._undecided = min(self._undecided, max(node.above, self.lowest))


def least_jumps(
    net: GroupedNetwork,
    network: ReluNetwork,
    groups: Iterable[Unit],
    reach: Mapping[Unit, float],
    deadline: Deadline,
) -> dict[Unit, float] | None:
    """Bound J of groups on their kinks; those that may bend down most get most nodes.

    Parameters
    ----------
    net : GroupedNetwork
    network : ReluNetwork
        The same, scalar.
    groups : iterable of (level, unit)
    reach : mapping from group to float
        What a unit of J is worth.
    deadline : Deadline

    Returns
    -------
    dict from group to float, or None
        At least :data:`UNMET` where the kink is not met. None if that cannot be told, or not in
        time.
    """
    boxes = joint_boxes(net)
    if not boxes:
        return None
    try:
        pieces = bounded_pieces(net, boxes, deadline.over)
    except OutOfTimeError:
        return None
    limits, solver = TreeLimits(deadline.over), LpSolver(deadline)
    searches = {
        group: LeastJump(net, group, network, pieces, solver, limits, CEILING, deadline)
        for group in groups
    }
    open_ = {group for group, search in searches.items() if not search.closed}
    for group in sorted(open_):
        if searches[group].run(FIRST_TURN).state is not SearchState.PAUSED:
            open_.discard(group)
    while open_ and not deadline.over():
        group = max(open_, key=lambda one: _doubt(searches[one]) * reach[one])
        all_bend = sum(max(0.0, -search.met) * reach[one] for one, search in searches.items())
        if _doubt(searches[group]) * reach[group] <= SETTLED * all_bend:
            break
        if sum(search.nodes for search in searches.values()) > MOST_NODES:
            break
        if searches[group].run(TURN).state is not SearchState.PAUSED:
            open_.discard(group)
    return {group: search.lower for group, search in searches.items()}


def _doubt(search: LeastJump) -> float:
    """Return by how much the bound may still rise, as far as it is negative."""
    return max(0.0, -search.lower) - max(0.0, -search.met)
