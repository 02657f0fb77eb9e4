"""The tree prover: one hyperplane group at a time (docs/theory.md, section 4).

A node is a partial activation pattern. It is closed by *sign* (the jump is >= 0 whatever
the free units do), *side* (neither side of the kink has the pattern), *empty* (no facet of
the group has it) or, with all units fixed that matter, *smooth* (the exact second difference
across the facet is >= 0). Otherwise it is branched on a unit. All are decided in exact
arithmetic, so a closed tree is a proof, and a facet that bends down is a counterexample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jensen.arithmetic.rational import rational
from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import FREE, OFF, ON, Activations, JumpProblem
from jensen.network.relu_network import ReluNetwork
from jensen.prover.trees.loose import LooseLeaves
from jensen.prover.trees.margin import Margin, MarginProgram
from jensen.prover.trees.nodes import Allowance, Node, Patience, Rule
from jensen.prover.trees.sides import Sides
from jensen.types import Unit
from jensen.verdicts.crossing import Crossing, cross_facet, probe
from jensen_encodings.lp import LpSolver


class SearchState(StrEnum):
    """How far a group's search has come."""

    CLOSED = "closed"  # every leaf is closed: proved
    BENT = "bent"  # a facet bends down
    PAUSED = "paused"  # the budget of this turn is used up
    STOPPED = "stopped"  # a limit was hit, or a leaf could not be decided


@dataclass(frozen=True, eq=False)
class GroupResult:
    """The state of one group's search.

    Attributes
    ----------
    state : SearchState
    crossing : Crossing or None
        A facet that bends down.
    root : Node
    nodes, lps : int
    """

    state: SearchState
    crossing: Crossing | None
    root: Node
    nodes: int
    lps: int


SIDE_REWARD = 32  # further nodes by the sign rule for one that the sides close


@dataclass(frozen=True)
class TreeLimits:
    """When to stop, what counts as bending down, and whether the rule *side* is used.

    Searches for the worst jump look at all patterns and do without it.
    """

    out_of_time: Callable[[], bool]
    node_limit: int | None = None
    tolerance: Fraction = Fraction(0)
    inputs: tuple[int, ...] | None = None
    sides: bool = False


@dataclass(eq=False)
class Tree:
    """The search for one group.

    Parameters
    ----------
    net : GroupedNetwork
    group : (level, unit)
    network : ReluNetwork
        The scalar network, for exact evaluation.
    solver : LpSolver
    limits : TreeLimits
    least_jump : Fraction
        ``J_g >= -least_jump`` is accepted (a share of the tolerance divided by the largest
        gradient).
    start : activations or None
        The root's; by default every unit that may kink is free.
    """

    net: GroupedNetwork
    group: Unit
    network: ReluNetwork
    solver: LpSolver
    limits: TreeLimits
    least_jump: Fraction = Fraction(0)
    allowance: Allowance = field(default_factory=Allowance)
    nodes: int = 0
    start: Activations | None = None

    def __post_init__(self) -> None:
        self.jump = JumpProblem(self.net, *self.group)
        self._program = MarginProgram(self.net, self.group, self.solver)
        self._least = rational(-self.least_jump)
        wanted = self.jump.supports if self.limits.sides else self.jump.supports[-1:]
        self._sides = Sides(self.net, self.group, wanted)
        self._loose = LooseLeaves(self.net, self.group)
        self._pull = self.jump.slopes_behind if len(self.jump.supports) > 1 else []
        activations = self.start or tuple(
            np.where(level.kink, FREE, ON).astype(np.int8) for level in self.net.levels
        )
        self.root = Node(activations, self.jump.bound(activations), Patience(self.allowance.nodes))
        self._stack = [self.root]

    def run(self, budget: int | None = None) -> GroupResult:
        """Search, or go on, until all is closed, a facet bends down or a limit is hit.

        Parameters
        ----------
        budget : int or None
            Nodes of this turn; then the search pauses and can be gone on with.
        """
        pause = None if budget is None else self.nodes + budget
        while self._stack:
            if self._limit_reached():
                return self._result(SearchState.STOPPED)
            if pause is not None and self.nodes >= pause:
                return self._result(SearchState.PAUSED)
            node = self._stack.pop()
            self.nodes += 1
            try:
                crossing = self._process(node)
            except UndecidedLeafError:
                self._stack.append(node)
                return self._result(SearchState.STOPPED)
            if crossing is not None:
                return self._result(SearchState.BENT, crossing)
            self._stack.extend(node.children)
        return self._result(SearchState.CLOSED)

    def run_by_sign(self, budget: int) -> GroupResult:
        """Search by sign and sides alone; pause where they cannot close a node, either.

        That is enough where many groups have few patterns each, as in maxima of many
        numbers, and hopeless where J is negative under some pattern.
        """
        stop = self.nodes + budget
        while self._stack and self.nodes < stop and not self.limits.out_of_time():
            node = self._stack[-1]
            if self.jump.is_nonnegative(node.state, node.activations, self._least):
                node.rule = Rule.SIGN
            elif (unit := self.unit_behind(node)) is not None and node.state.output[1] >= 0:
                self.branch(node, unit)
            elif self._contradicted(node):
                stop += SIDE_REWARD
            else:
                return self._result(SearchState.PAUSED)
            self._stack.pop()
            self._stack.extend(node.children)
            self.nodes += 1
        return self._result(SearchState.PAUSED if self._stack else SearchState.CLOSED)

    def _result(self, state: SearchState, crossing: Crossing | None = None) -> GroupResult:
        return GroupResult(state, crossing, self.root, self.nodes, self.lps)

    def _limit_reached(self) -> bool:
        limit = self.limits.node_limit
        return (limit is not None and self.nodes >= limit) or self.limits.out_of_time()

    @property
    def lps(self) -> int:
        """Linear programs solved so far."""
        return self._program.lps

    # ------------------------------------------------------------------- one node

    def _process(self, node: Node) -> Crossing | None:
        """Close a node, or give it children; return a facet that bends down if one is met."""
        if self.jump.is_nonnegative(node.state, node.activations, self._least):
            node.rule = Rule.SIGN
            return None
        unit = self.unit_behind(node)
        if unit is not None and not self.wants_program(node):
            node.patience.spend()
            self.branch(node, unit)
            return None
        if self._contradicted(node):
            return None
        return self._by_program(node, unit)

    def _contradicted(self, node: Node) -> bool:
        """Close a node whose pattern no side of the kink has."""
        node.proof = self._sides.contradict(node.activations)
        if node.proof is None:
            return False
        node.rule = Rule.SIDE
        return True

    def _by_program(self, node: Node, unit: Unit | None) -> Crossing | None:
        """Go on where the path products alone do not tell: with the margin program."""
        margin = self.solve(node)
        if margin.empty:
            return None
        if margin.point is not None:
            crossing = self._cross_where_the_network_is(node, margin)
            if crossing is not None:
                return crossing
        unit = unit if unit is not None else self.unit_in_front(margin)
        if unit is None:
            return self._finish_leaf(node, margin)
        self.branch(node, unit)
        return None

    def solve(self, node: Node) -> Margin:
        """Solve the margin program of a node; close the node if it has no facet."""
        margin = self._program.solve(node.activations)
        self.allowance.learn(margin.empty)
        node.patience = Patience(self.allowance.nodes)
        if margin.empty:
            node.rule, node.proof = Rule.EMPTY, margin.multipliers
        return margin

    def wants_program(self, node: Node) -> bool:
        """Whether the sign alone cannot close the node, or has had its chance here."""
        return bool(node.state.output[1] < 0) or node.patience.is_over

    def branch(self, node: Node, unit: Unit) -> None:
        """Give a node the two children in which a unit is on and off."""
        children = []
        for value in (ON, OFF):
            level, index = unit
            changed = node.activations[level].copy()
            changed[index] = value
            activations = (*node.activations[:level], changed, *node.activations[level + 1 :])
            state = self.jump.bound(activations, node.state, level)
            children.append(Node(activations, state, node.patience))
        node.unit = unit
        # the stack pops the last child first: search where the jump can be worst
        node.children = tuple(children)
        if children[0].state.output[0] < children[1].state.output[0]:
            node.children = (children[1], children[0])

    # ----------------------------------------------------------- choice of the unit

    def unit_behind(self, node: Node) -> Unit | None:
        """Return a free unit that matters to the jump, in the earliest layer that has one.

        Layer order keeps the jump exact up to the branched layer. Within a layer, the unit
        that can pull the jump down most goes first, then the one that can move it most.
        """
        for index, (level, units) in enumerate(self.jump.supports[:-1]):
            free = node.activations[level][units] == FREE
            if not free.any():
                continue
            low, high = self._pull[index]
            ul, uu = node.state.lower[index], node.state.upper[index]
            reach = np.maximum(np.abs(ul), np.abs(uu)) * np.maximum(np.abs(low), np.abs(high))
            down = -np.minimum.reduce([ul * low, ul * high, uu * low, uu * high])
            score = np.where(free, np.where(down > 0, reach + down, 0.5 * reach), 0.0)
            best = int(np.argmax(score))
            if score[best] > 0:
                return level, int(units[best])
        return None

    def unit_in_front(self, margin: Margin) -> Unit | None:
        """Return the unit whose relaxation is furthest off, those in the first layers first."""
        if not margin.gaps:
            return None
        worst = max(margin.gaps.values())
        candidates = [unit for unit, gap in margin.gaps.items() if gap >= 0.1 * worst]
        return min(candidates)

    # ------------------------------------------------------------------------ leaves

    def _cross_where_the_network_is(self, node: Node, margin: Margin) -> Crossing | None:
        """Look at the network's own pattern at the program's point: a cheap chance to refute."""
        assert margin.point is not None
        pattern = self.pattern_at(margin.point)
        if self.jump.bound(pattern).output[0] >= 0:
            return None
        crossing = probe(
            self.net, self.group, pattern, margin.point, self.network, inputs=self.limits.inputs
        )
        if crossing is not None and self.limits.tolerance:
            # the probe may have met several facets, whose jumps must not be added up
            crossing = self.cross(pattern, margin.point)
        bends_down = crossing is not None and crossing.bends_down(self.limits.tolerance)
        return crossing if bends_down else None

    def pattern_at(self, point: NDArray[np.float64]) -> Activations:
        """Return the full pattern at a working point, the group itself free."""
        patterns = [
            np.where(level.kink, np.where(z > 0, ON, OFF), ON).astype(np.int8)
            for level, z in zip(self.net.levels, self.net.pre_activations(point), strict=True)
        ]
        patterns[self.group[0]][self.group[1]] = FREE
        return tuple(patterns)

    def _finish_leaf(self, node: Node, margin: Margin) -> Crossing | None:
        """Decide a node whose program is affine: cross its facet, or fix a further unit."""
        unit = self.next_free(node)
        if unit is not None and self.limits.sides:
            unit = self._loose.close(node.activations, margin.point)
            if unit is None:
                node.rule = Rule.SMOOTH
                return None
        if unit is not None:
            self.branch(node, unit)
            return None
        crossing = self.cross_leaf(node, margin)
        if crossing is None or crossing.bends_down(self.limits.tolerance):
            return crossing
        node.rule, node.proof = Rule.SMOOTH, crossing.middle
        return None

    def cross_leaf(self, node: Node, margin: Margin) -> Crossing | None:
        """Cross the facet of a full pattern; None, and the node is closed, if there is none.

        Raises
        ------
        UndecidedLeafError
            If neither could be shown.
        """
        crossing = None if margin.point is None else self.cross(node.activations, margin.point)
        if crossing is None:
            exact = self._program.solve_exactly(node.activations, self.limits.out_of_time)
            if exact is None:
                raise UndecidedLeafError
            if exact.point is None:
                node.rule, node.proof = Rule.EMPTY, exact.multipliers
                return None
            crossing = self.cross(node.activations, exact.point)
            if crossing is None:
                raise UndecidedLeafError
        return crossing

    def cross(self, activations: Activations, point: NDArray[Any]) -> Crossing | None:
        """Cross the group's facet of a full pattern near a working point, if it is there."""
        return cross_facet(
            self.net,
            self.group,
            activations,
            point,
            self.network,
            inputs=self.limits.inputs,
            out_of_time=self.limits.out_of_time,
        )

    def next_free(self, node: Node) -> Unit | None:
        """Return any free unit, in layer order; None at a full pattern."""
        for level, act in enumerate(node.activations):
            for index in np.flatnonzero(act == FREE):
                if (level, int(index)) != self.group:
                    return level, int(index)
        return None


class UndecidedLeafError(ArithmeticError):
    """A full pattern whose facet could be neither crossed nor shown empty."""
