"""The worst jump of one group by joint programs (docs/theory.md, sections 9 and 11).

The joint search proves ``J_g >= 0``, or finds a facet that bends down. With another floor it
measures: a node is closed once its bound of J, times the largest gradient of ``z_g`` under its
states, shows that no facet below it bends down by more than the worst one so far; facets that
are met on the way raise that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import numpy as np

from jensen.errors import OutOfTimeError
from jensen.groups.gradients import GradientBounds
from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import FREE, ON, Activations
from jensen.network.relu_network import ReluNetwork
from jensen.prover.descent import Descent
from jensen.prover.dips import STEPS
from jensen.prover.joint_engine import joint_boxes
from jensen.prover.joint_nodes import JointNode
from jensen.prover.joint_search import CUTOFF_MARGIN, JointSearch, PieceBounds, bounded_pieces
from jensen.prover.tree import SearchState, TreeLimits
from jensen.types import FloatArray, Unit
from jensen_encodings.deadline import Deadline
from jensen_encodings.lp import LpSolver

DESCENTS = 8  # of each group, before any node
MORE_DESCENTS = 64  # of each group that is left after a first turn
LOWEST = 4  # of these that are looked at exactly
TURN = 16  # nodes of a group at a time
CANDIDATES = 64  # ends of descents that are looked at exactly
ROUNDING = 1 - 1e-12  # of a quotient and a product


class JumpOfGroup(JointSearch):
    """The search for facets of one group that bend down by more than a given jump.

    No other group may share the hyperplanes of this one.

    Parameters
    ----------
    net, group, network, pieces, solver, limits, deadline
        As of :class:`jensen.prover.joint_search.JointSearch`.
    gradients : GradientBounds
    met : callable
        Gets patterns where J is low enough for a new worst facet, with points of the working set
        near their facets, and returns the jump to look for more than.
    """

    stale = 0  # every node needs a bound of its own

    def __init__(
        self,
        net: GroupedNetwork,
        group: Unit,
        network: ReluNetwork,
        pieces: Sequence[PieceBounds],
        solver: LpSolver,
        limits: TreeLimits,
        deadline: Deadline,
        gradients: GradientBounds,
        met: Callable[[Activations, FloatArray], float],
    ) -> None:
        super().__init__(net, group, network, pieces, solver, limits, Fraction(0), deadline)
        self._proved = self.floor  # J above this is >= 0
        self._gradients, self._met = gradients, met
        self._jump = 0.0
        self._lost = math.inf  # what is proved of J in the node that was given up
        free = tuple(np.where(level.kink, FREE, ON).astype(np.int8) for level in net.levels)
        self._gradient = gradients.norm(group, free)

    def aim(self, jump: float) -> None:
        """Look for facets that bend down by more than this; those that do not are closed."""
        self._jump = jump
        self.floor = self._floor(self._gradient)
        self.target = self.floor + CUTOFF_MARGIN * max(self.jump.magnitude, 1e-300)

    @property
    def share(self) -> float:
        """Proved: what no facet of the group exceeds; infinite where little is known."""
        if self.jump.only_rationals:
            return math.inf  # products that underflow look like 0
        least = self._lost
        for _, activations in self._roots.values():
            least = min(least, self.jump.bound(activations).output[0])
        if self._current is not None:
            least = min([least, *(node.above for node in self._current.open)])
        if least >= self.floor:
            return self._jump
        share = -least * self._gradient / ROUNDING
        return math.inf if math.isnan(share) else share

    def _floor(self, gradient: float) -> float:
        """Return the J above which no facet with so large a gradient bends down by more."""
        floor = -self._jump / gradient * ROUNDING if gradient > 0 else -math.inf
        return self._proved if math.isnan(floor) else min(floor, self._proved)

    def look(self, point: FloatArray) -> None:
        """Report the network's own pattern at a point, if J is low enough there."""
        patterns = self.patterns_at(point)
        if patterns is None or self.jump.bound(patterns).output[0] >= self.floor:
            return
        key = b"".join(part.tobytes() for part in patterns)
        if key not in self._tried:
            self._tried.add(key)
            self.aim(self._met(patterns, point))

    def settles(self, bound: float, activations: Activations) -> bool:
        """Whether the bound and the gradient under the node's states close it."""
        if bound >= self.floor:
            return True
        if self.group[0] == 0:
            return False
        return bound >= self._floor(self._gradients.norm(self.group, activations))

    def next_of(self, stack: Sequence[JointNode]) -> int:
        """Return the place of the node below which J can be least."""
        return min(range(len(stack)), key=lambda i: stack[i].above)

    def hand_over(
        self, index: int, node: JointNode, activations: Activations, pattern: Activations | None
    ) -> None:
        """Give up: kinks coincide below this node, or nearly so."""
        self.stuck, self._lost = True, node.above


class JointTurns:
    """Searches of several groups, each of which is alone on its hyperplanes, by turns.

    Parameters
    ----------
    net, network, solver, deadline, gradients
        As of :class:`JumpOfGroup`.
    groups : sequence of (level, unit)
        Those that are likely to bend down most come first.
    attempt : callable
        Gets a group, a pattern and a point near a facet that may be worse than all so far;
        returns the jump to look for more than.
    floor : callable
        Returns that jump.

    Attributes
    ----------
    nodes, lps : int
    """

    def __init__(
        self,
        net: GroupedNetwork,
        network: ReluNetwork,
        groups: Sequence[Unit],
        solver: LpSolver,
        deadline: Deadline,
        gradients: GradientBounds,
        attempt: Callable[[Unit, Activations, FloatArray], float],
        floor: Callable[[], float],
    ) -> None:
        self._net, self._network, self._groups = net, network, groups
        self._solver, self._deadline, self._gradients = solver, deadline, gradients
        self._attempt, self._floor = attempt, floor
        self.nodes = self.lps = 0

    def run(self, seed: int) -> Iterator[tuple[Unit, float]]:
        """Search; yield after every turn the group and what no facet of it exceeds.

        After a first turn of all, the group of which least is proved has the next one: it is
        what the bound of all groups together waits for.

        Parameters
        ----------
        seed : int
            Of descents along the kinks, whose lowest points are looked at first.
        """
        boxes = joint_boxes(self._net) if self._groups else ()
        if not boxes:
            return
        try:
            pieces = bounded_pieces(self._net, boxes, self._deadline.over)
        except OutOfTimeError:
            return
        searches: dict[Unit, JumpOfGroup] = {}
        for group in self._groups:
            if self._deadline.over():
                return
            searches[group] = self._search(group, pieces)
        self._descend(searches, pieces, seed)
        shares: dict[Unit, float] = {}
        for group in self._groups:
            shares[group] = self._turn(searches, group)
            yield group, shares[group]
        descent = self._descent(list(searches), pieces, seed + 1)
        for group, point in descent.lowest(MORE_DESCENTS, STEPS, LOWEST):
            searches[group].look(point)
        while searches and not self._deadline.over():
            group = max(searches, key=lambda one: (shares[one], -searches[one].nodes))
            shares[group] = self._turn(searches, group)
            yield group, shares[group]

    def _turn(self, searches: dict[Unit, JumpOfGroup], group: Unit) -> float:
        """Give a group so many nodes, drop its search if that ends it, and return its share."""
        search = searches[group]
        search.aim(self._floor())
        nodes, lps = search.nodes, search.lps
        result = search.run(TURN)
        self.nodes += search.nodes - nodes
        self.lps += search.lps - lps
        if result.state is not SearchState.PAUSED:
            del searches[group]
        return search.share

    def _search(self, group: Unit, pieces: Sequence[PieceBounds]) -> JumpOfGroup:
        return JumpOfGroup(
            self._net,
            group,
            self._network,
            pieces,
            self._solver,
            TreeLimits(self._deadline.over),
            self._deadline,
            self._gradients,
            lambda pattern, point: self._attempt(group, pattern, point),
        )

    def _descend(
        self, searches: dict[Unit, JumpOfGroup], pieces: Sequence[PieceBounds], seed: int
    ) -> None:
        descent = self._descent(self._groups, pieces, seed)
        for count, (group, point) in enumerate(descent.candidates(DESCENTS, STEPS)):
            if count >= CANDIDATES or self._deadline.over():
                return
            searches[group].look(point)

    def _descent(self, groups: Sequence[Unit], pieces: Sequence[PieceBounds], seed: int) -> Descent:
        boxes = [shared.piece for shared in pieces if shared.met]
        return Descent(self._net, groups, boxes, seed, self._deadline)
