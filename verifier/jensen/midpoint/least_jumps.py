"""The least jump of a group on its kink, whatever its sign, proved from below.

First it is searched where J is negative, and most groups are soon proved to bend up. Of those the
floor of a second search follows the least J that was met, so that what is left is a bound of J.

References
----------
docs/theory.md, sections 6 and 11.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from jensen.errors import OutOfTimeError
from jensen.groups.groups import GroupedNetwork
from jensen.midpoint.bad_facets import BadFacets
from jensen.midpoint.whole_kinks import WholeKink
from jensen.network.relu_network import ReluNetwork
from jensen.prover.joint.search import CUTOFF_MARGIN, PieceBounds, bounded_pieces
from jensen.prover.joint_engine import joint_boxes
from jensen.prover.trees.tree import TreeLimits
from jensen.types import FloatArray, Unit
from jensen_encodings.deadline import Deadline
from jensen_encodings.lp import LpSolver

UNMET = 1e250  # a bound as large says that the kink is not met
CEILING = -Fraction(2.0 * UNMET)
GAP = 0.01  # of the least J that was met: bounds need be no closer
FIRST_TURN = 8  # nodes for J of a group that bends up
FIRST_BUDGET = 8  # nodes of a group, doubled in every round, for a proof that it does
NEGATIVE_SHARE = 0.8  # of the time, for these proofs
SETTLED = 0.01  # of what all groups bend down: groups that might add less are left
MOST_NODES = 20_000


class LeastJump(WholeKink):
    """The search for the least J of one group on its kink, whatever its sign.

    Parameters
    ----------
    net, group, network, pieces, solver, limits, least_jump, deadline
        As of :class:`jensen.prover.joint.search.JointSearch`; with :data:`CEILING` the floor
        begins above all J.
    """

    def look(self, point: FloatArray) -> None:
        """Lower the floor to what the network's own pattern at a point has."""
        before = self.met
        super().look(point)
        if self.met < before:
            self.floor = self.met - GAP * abs(self.met)
            self.target = self.floor + CUTOFF_MARGIN * max(self.jump.magnitude, 1e-300)


def least_jumps(
    net: GroupedNetwork,
    network: ReluNetwork,
    groups: Iterable[Unit],
    reach: Mapping[Unit, float],
    deadline: Deadline,
) -> tuple[dict[Unit, float], dict[Unit, BadFacets] | None] | None:
    """Bound J of groups on their kinks; those that bend down come first.

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
    bounds : dict from group to float
        At least :data:`UNMET` where the kink is not met.
    kinks : dict from group to BadFacets, or None
        The searches where J is negative, which can be gone on with. None where much was left
        open when their time was up: as much again closes no more.

    None if that cannot be told, or not in time.
    """
    boxes = joint_boxes(net)
    if not boxes:
        return None
    try:
        pieces = bounded_pieces(net, boxes, deadline.over)
        kinks = _where_negative(net, network, groups, reach, deadline.share(NEGATIVE_SHARE), pieces)
    except OutOfTimeError:
        return None
    solver = LpSolver(deadline)
    # a group that bounds close has a bound of its own below
    found = {group: min(0.0, kink.lower) for group, kink in kinks.items()}
    limits = TreeLimits(deadline.over)
    for group, kink in kinks.items():
        if deadline.over():
            break
        if kink.closed and not kink.leaves:
            search = LeastJump(net, group, network, pieces, solver, limits, CEILING, deadline)
            search.run(FIRST_TURN)
            found[group] = max(found[group], search.lower)
    left = _left(kinks, reach)
    return found, kinks if all(kinks[group].closed for group in left) else None


def _where_negative(
    net: GroupedNetwork,
    network: ReluNetwork,
    groups: Iterable[Unit],
    reach: Mapping[Unit, float],
    deadline: Deadline,
    pieces: Sequence[PieceBounds],
) -> dict[Unit, BadFacets]:
    """Search where J is negative: most groups are soon proved to bend up."""
    limits, solver = TreeLimits(deadline.over), LpSolver(deadline)
    kinks: dict[Unit, BadFacets] = {}
    for group in groups:
        if deadline.over():
            raise OutOfTimeError("time was up before all kinks were bounded")
        kink = BadFacets(net, group, network, pieces, solver, limits, Fraction(0), deadline)
        kinks[group] = kink
    budget, spent = FIRST_BUDGET, 0
    while spent < MOST_NODES and not deadline.over():
        left = _left(kinks, reach)
        if all(kinks[group].closed for group in left):
            break
        for group in left:
            if deadline.over():
                break
            kinks[group].run(budget - kinks[group].nodes)
        budget, spent = 2 * budget, sum(kink.nodes for kink in kinks.values())
    return kinks


def _left(kinks: Mapping[Unit, BadFacets], reach: Mapping[Unit, float]) -> list[Unit]:
    """Return the groups that may add much to what all bend down, the most doubtful one first."""
    doubts = {group: _doubt(kink) * reach[group] for group, kink in kinks.items()}
    bend = sum(max(0.0, -kink.met) * reach[group] for group, kink in kinks.items())
    left = [group for group in kinks if doubts[group] > SETTLED * bend]
    return sorted(left, key=lambda group: -doubts[group])


def _doubt(kink: BadFacets) -> float:
    """Return by how much the bound may still rise, as far as it is negative."""
    return max(0.0, -kink.lower) - max(0.0, -kink.met)
