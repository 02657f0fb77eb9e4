"""The worst jump of one group by joint programs (docs/theory.md, sections 9 and 11).

The joint search proves ``J_g >= 0``, or finds a facet that bends down. With another floor it
measures: a node is closed once its bound of J, times the largest gradient of ``z_g`` under its
states, shows that no facet below it bends down by more than the worst one so far; facets that
are met on the way raise that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice

import numpy as np

from jensen.errors import OutOfTimeError
from jensen.groups.gradients import GradientBounds
from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import FREE, OFF, ON, Activations
from jensen.network.relu_network import ReluNetwork
from jensen.prover.descents.descent import Descent
from jensen.prover.descents.dips import STEPS, Dips
from jensen.prover.descents.pieces import Piece
from jensen.prover.joint.nodes import JointNode, Patterns
from jensen.prover.joint.proof import Path
from jensen.prover.joint.search import CUTOFF_MARGIN, JointSearch, PieceBounds, bounded_pieces
from jensen.prover.joint_engine import joint_boxes
from jensen.prover.trees.tree import SearchState, TreeLimits
from jensen.types import FloatArray, Unit
from jensen.violation.jump_facets import product_above
from jensen_encodings.deadline import Deadline
from jensen_encodings.lp import LpSolver

DESCENTS = 8  # of each group, before any node
BETWEEN = 512  # programs, before descents beside their solutions
FINE_STARTS = 2  # of each group that is left, then
MORE_DESCENTS = 64  # of each group that is left after a first turn
LOWEST = 4  # of these that are looked at exactly
TURN = 16  # nodes of a group at a time
MOST_HANDED = 1000  # nodes of a group that programs cannot decide
CANDIDATES = 64  # ends of descents that are looked at exactly
ROUNDING = 1 - 1e-12  # of a quotient and a product


class JumpOfGroup(JointSearch):
    """The search for patterns under which one group alone bends down by more than a given jump.

    Parameters
    ----------
    net, group, network, pieces, solver, limits, deadline
        As of :class:`jensen.prover.joint.search.JointSearch`.
    gradients : GradientBounds
    met : callable
        Gets patterns where J is low enough for a new worst facet, with points of the working set
        near their facets, and returns the jump to look for more than.

    Attributes
    ----------
    handed : list of (float, activations)
        Nodes that the programs cannot decide, with what is proved of J there: ``share`` does not
        count them.
    """

    stale = 0  # every node needs a bound of its own
    tightens = False  # nor may what is proved of open nodes be lost

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
        self.handed: list[tuple[float, Activations]] = []
        self._lost = 0.0  # what is proved of the share in nodes that were given up
        self._shares: dict[JointNode, float] = {}  # of open nodes
        free = tuple(np.where(level.kink, FREE, ON).astype(np.int8) for level in net.levels)
        self._gradient = gradients.norm(group, free)

    def aim(self, jump: float) -> None:
        """Look for facets that bend down by more than this; those that do not are closed."""
        self._jump = jump
        self.floor = self._floor(self._gradient)
        self.target = self.floor + CUTOFF_MARGIN * max(self.jump.magnitude, 1e-300)

    @property
    def share(self) -> float:
        """Proved: what the group adds to no facet more than; infinite where little is known."""
        if self.jump.only_rationals:
            return math.inf  # products that underflow look like 0
        most = self._lost
        for root in self._roots:
            most = max(most, self._root_share(root.activations))
        if self._current is not None:
            most = max([most, *map(self._node_share, self._current.open)])
        return max(most, self._jump)

    def _root_share(self, activations: Activations) -> float:
        least = self.jump.bound(activations).output[0]
        if least >= self._proved:
            return 0.0
        return product_above(-least, self._gradient_under(activations))

    def _node_share(self, node: JointNode) -> float:
        """Bound what the group adds to facets below a node; found once for each."""
        share = self._shares.get(node)
        if share is not None:
            return share
        assert self._current is not None
        least, gradient = node.above, self._gradient
        if self.group[0] or not least > -math.inf:
            activations = self._current.under(node.path)
            least = max(least, self.jump.bound(activations).output[0])
            gradient = self._gradient_under(activations)
        share = 0.0 if least >= self._proved else product_above(-least, gradient)
        if self.group[0]:
            self._shares[node] = share
        return share

    def _gradient_under(self, activations: Activations) -> float:
        if self.group[0] == 0:
            return self._gradient
        return min(self._gradient, self._gradients.norm(self.group, activations))

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

    def settles(self, bound: float, path: Path) -> bool:
        """Whether the bound and the gradient under the node's states close it."""
        if bound >= self.floor:
            return True
        if self.group[0] == 0:  # the floor is that of the one gradient
            return False
        assert self._current is not None
        return bound >= self._floor(self._gradient_under(self._current.under(path)))

    def next_of(self, stack: Sequence[JointNode]) -> int:
        """Return the place of the node below which a facet can be worst."""
        if self.group[0] == 0:  # one gradient for all
            bounds = [node.above for node in stack]
            return bounds.index(min(bounds))
        known = self._shares
        shares = [known[node] if node in known else self._node_share(node) for node in stack]
        place = shares.index(max(shares))
        del known[stack[place]]
        return place

    def hand_over(
        self, index: int, node: JointNode, activations: Activations, patterns: Patterns
    ) -> None:
        """Look at the solution's pattern; if that does not close the node, others have to.

        Its point is a vertex, so that the network has several patterns beside it.
        """
        if patterns and self._current is not None:
            point = self._current.points[-1]
            values = self.net.pre_activations(point)
            full = tuple(
                np.where(act == FREE, np.where(z > 0, ON, OFF), act).astype(np.int8)
                for act, z in zip(patterns[-1], values, strict=True)
            )
            full[self.group[0]][self.group[1]] = FREE
            self.aim(self._met(full, point))
            if self.settles(node.above, node.path):
                return
        if len(self.handed) < MOST_HANDED:
            self.handed.append((node.above, activations))
        else:
            self.stuck, self._lost = True, max(self._lost, self._node_share(node))


@dataclass(frozen=True, eq=False)
class TurnResult:
    """What a turn of one group has proved.

    Attributes
    ----------
    group : (level, unit)
    share : float
        What it adds to no facet more than, but for those below the nodes handed over.
    handed : list of (float, activations)
        New such nodes, with a proved bound of J below.
    """

    group: Unit
    share: float
    handed: list[tuple[float, Activations]]


class JointTurns:
    """Searches of several groups by turns.

    Parameters
    ----------
    net, network, solver, deadline, gradients
        As of :class:`JumpOfGroup`.
    groups : sequence of (level, unit)
        Those that are likely to bend down most come first.
    attempt : callable
        Gets a group, a pattern and a point near a facet that may be worse than all so far;
        returns the jump to look for more than.
    aim : callable
        Returns that jump for a group.
    waiting : callable
        Returns the bound of all facets that a group leads: the largest is what all wait for.

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
        aim: Callable[[Unit], float],
        waiting: Callable[[Unit], float],
    ) -> None:
        self._net, self._network, self._groups = net, network, groups
        self._solver, self._deadline, self._gradients = solver, deadline, gradients
        self._attempt, self._aim, self._waiting = attempt, aim, waiting
        self.nodes = self.lps = 0

    def run(self, seed: int) -> Iterator[TurnResult]:
        """Search; yield after every turn what it has proved.

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
        for group in self._groups:
            yield self._turn(searches, group)
        descent = self._descent(list(searches), pieces, seed + 1)
        for group, point in descent.lowest(MORE_DESCENTS, STEPS, LOWEST):
            searches[group].look(point)
        dips = Dips(self._net, self._met(pieces), seed + 2, self._deadline)
        looked = self.lps
        while searches and not self._deadline.over():
            group = max(searches, key=lambda one: (self._waiting(one), -searches[one].nodes))
            yield self._turn(searches, group)
            if self.lps - looked >= BETWEEN:
                self._look_beside(searches, pieces, dips, self.lps - looked)
                looked = self.lps

    def _look_beside(
        self,
        searches: dict[Unit, JumpOfGroup],
        pieces: Sequence[PieceBounds],
        dips: Dips,
        programs: int,
    ) -> None:
        """Descend around dips and the last solutions, as often as programs were solved."""
        groups = [group for group in searches if self._waiting(group) > self._aim(group)]
        met = [i for i, shared in enumerate(pieces) if shared.met]
        seeds = [
            replace(seed, piece=met.index(seed.piece))
            for group in groups
            for seed in searches[group].seeds
        ]
        if not groups:
            return
        self._look(searches, dips.fine(groups, FINE_STARTS))
        for found in dips.near(groups, seeds, programs):
            self._look(searches, found)

    def _look(
        self, searches: dict[Unit, JumpOfGroup], found: Iterable[tuple[Unit, FloatArray]]
    ) -> None:
        for group, point in islice(found, CANDIDATES):
            if self._deadline.over():
                return
            searches[group].look(point)

    def _turn(self, searches: dict[Unit, JumpOfGroup], group: Unit) -> TurnResult:
        """Give a group so many nodes, and drop its search if that ends it."""
        search = searches[group]
        search.aim(self._aim(group))
        nodes, lps = search.nodes, search.lps
        result = search.run(TURN)
        self.nodes += search.nodes - nodes
        self.lps += search.lps - lps
        if result.state is not SearchState.PAUSED:
            del searches[group]
        handed, search.handed = search.handed, []
        return TurnResult(group, search.share, handed)

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
        self._look(searches, descent.candidates(DESCENTS, STEPS))

    def _descent(self, groups: Sequence[Unit], pieces: Sequence[PieceBounds], seed: int) -> Descent:
        return Descent(self._net, groups, self._met(pieces), seed, self._deadline)

    def _met(self, pieces: Sequence[PieceBounds]) -> list[Piece]:
        return [shared.piece for shared in pieces if shared.met]
