"""Where f bends down: the patterns of a group's kink that no bound of J closes.

The joint search proves that J is nowhere negative on a kink. Here it looks for no facet and
stops at none: what it cannot close, it lists. Every facet that bends down has a leader
(theory, section 9), and a point of it satisfies the states of one pattern in the leader's list.

References
----------
docs/theory.md, sections 6, 9 and 11.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from jensen.errors import OutOfTimeError
from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import Activations
from jensen.midpoint.whole_kinks import WholeKink
from jensen.network.relu_network import ReluNetwork
from jensen.prover.joint_engine import joint_boxes
from jensen.prover.joint_search import bounded_pieces
from jensen.prover.tree import TreeLimits
from jensen.types import Unit
from jensen_encodings.deadline import Deadline
from jensen_encodings.lp import LpSolver

MOST_NODES = 4_000  # of a group
MOST_PATTERNS = 256  # of a group: where facets that bend down are many, they tell little


class BadFacets(WholeKink):
    """The search for all patterns of one group under which J may be negative."""

    def patterns(self, nodes: int) -> list[Activations] | None:
        """Search; return the patterns that are left, free states as they are; None if too many."""
        if self.jump.only_rationals:
            return None  # products that underflow look like 0
        self.run(nodes)
        return list(self.leaves) if self.closed and len(self.leaves) <= MOST_PATTERNS else None


def bad_facets(
    net: GroupedNetwork, network: ReluNetwork, groups: Iterable[Unit], deadline: Deadline
) -> dict[Unit, list[Activations]] | None:
    """Return patterns of groups with a point on every facet that one of them leads.

    Parameters
    ----------
    net : GroupedNetwork
        On a box.
    network : ReluNetwork
        The same, scalar.
    groups : iterable of (level, unit)
    deadline : Deadline

    Returns
    -------
    dict from group to list of activations, or None
        Of the groups with at least one. None if they are too many, or not known in time.
    """
    boxes = joint_boxes(net)
    if not boxes:
        return None
    try:
        pieces = bounded_pieces(net, boxes, deadline.over)
    except OutOfTimeError:
        return None
    limits, solver = TreeLimits(deadline.over), LpSolver(deadline)
    found: dict[Unit, list[Activations]] = {}
    for group in groups:
        search = BadFacets(net, group, network, pieces, solver, limits, Fraction(0), deadline)
        patterns = search.patterns(MOST_NODES)
        if patterns is None:
            return None
        if patterns:
            found[group] = patterns
    return found
