"""Joint branch and bound for one group (docs/theory.md, section 11).

Every piece of the working set has a root: the units' states that bounds on the kink decide
strictly are fixed there, and nothing else. A piece is closed by the interval of J or by the
kink's not meeting it, a node by the interval of J or by a proved bound of its joint program;
otherwise it is branched on (:mod:`jensen.prover.joint.nodes`). At a solution that satisfies
everything the network's own pattern is crossed in exact arithmetic. Where that neither refutes
nor closes, as on kinks that coincide, the tree of section 4 takes over below the node, with
its own rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jensen.arithmetic.rational import float_below, rational
from jensen.errors import OutOfTimeError
from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import FREE, OFF, ON, Activations, JumpProblem
from jensen.network.relu_network import ReluNetwork
from jensen.prover.descents.descent import Seed
from jensen.prover.descents.pieces import Piece
from jensen.prover.joint.kink_bounds import KinkBounds, Ranges, ranges_of
from jensen.prover.joint.nodes import JointNode, Patterns, PieceSearch
from jensen.prover.joint.proof import JointProof, JointResult, Path
from jensen.prover.joint.root import JointRoot, decided, with_path
from jensen.prover.joint.tightening import Tightening
from jensen.prover.trees.nodes import Allowance
from jensen.prover.trees.tree import SearchState, Tree, TreeLimits
from jensen.types import FloatArray, Unit
from jensen.verdicts.crossing import Crossing, cross_facet, probe
from jensen_encodings.deadline import NEVER, Deadline
from jensen_encodings.lp import LpSolver

CUTOFF_MARGIN = 1e-9  # of the jump's size: programs are stopped once their bound is this far above
KEPT_MARGIN = 1e-3  # the same where multipliers are kept, which a certificate will round
FEW_LEAVES = 4  # leaves that trees are grown below before the whole group gets one
FREE_MISSES = 4  # full patterns whose facet may turn out not to be there, before any node
STALE = 5  # units that are branched on at one solution, while their other sides are closed
AWAY = 32  # nodes until the search goes on elsewhere
PATIENCE = 16  # nodes that allow one more of them
DEEP = 3  # levels from which on linear programs give much better bounds than sweeps
LONG, LONG_KEPT = 64, 1024  # nodes of a piece before they are tried; the second where a
# certificate is wanted, whose own bounds are weaker
NEAR = 1e-2  # of the largest |z|: points further away from the kink say nothing about it
PATTERN_TURN = 4  # nodes of a tree for the pattern of a solution: one, unless other units vanish
TREE_TURN = 64  # nodes of a tree below a leaf before other nodes get their turn


@dataclass(frozen=True, eq=False)
class PieceBounds:
    """What is shared by all groups on one piece."""

    piece: Piece
    bounds: KinkBounds
    ranges: Ranges
    met: bool  # False if the piece is proved to be outside of the domain


def piece_bounds(net: GroupedNetwork, piece: Piece, ranges: Ranges) -> PieceBounds:
    """Narrow the units' ranges to a piece."""
    bounds, narrowed = KinkBounds(net, piece), ranges.copy()
    # a single piece is the whole set, whose bounds are known but for what rows say
    known = piece.face is None and not bounds.rows_matter
    met = known or bounds.narrow(narrowed)
    return PieceBounds(piece, bounds, narrowed, met)


def bounded_pieces(
    net: GroupedNetwork, pieces: Sequence[Piece], out_of_time: Callable[[], bool]
) -> list[PieceBounds]:
    """Return what is shared by all groups on every piece: a cone has two for every input.

    Raises
    ------
    OutOfTimeError
        If time was up before; without all pieces nothing is proved.
    """
    found: list[PieceBounds] = []
    ranges = ranges_of(net)
    for piece in pieces:
        if out_of_time():
            raise OutOfTimeError("time was up before all faces of the cone were bounded")
        found.append(piece_bounds(net, piece, ranges))
    return found


class JointSearch:
    """The search for one group.

    Parameters
    ----------
    net : GroupedNetwork
    group : (level, unit)
    network : ReluNetwork
        The scalar network, for exact evaluation.
    pieces : sequence of PieceBounds
    solver : LpSolver
        For trees below leaves.
    limits : TreeLimits
    least_jump : Fraction
        ``J_g >= -least_jump`` is accepted.
    deadline : Deadline
    keep : bool
        Whether to keep what a certificate needs.

    Attributes
    ----------
    stale : int
        How many units in a row may be branched on at one solution.
    tightens : bool
        Whether pieces that take long begin anew with bounds by linear programs.
    nodes, lps, bounding : int
        How many nodes were looked at, and programs solved; those among them for bounds of units.
    """

    stale = STALE
    tightens = True

    def __init__(
        self,
        net: GroupedNetwork,
        group: Unit,
        network: ReluNetwork,
        pieces: Sequence[PieceBounds],
        solver: LpSolver,
        limits: TreeLimits,
        least_jump: Any,
        deadline: Deadline = NEVER,
        *,
        keep: bool = False,
    ) -> None:
        self.net, self.group, self.network = net, group, network
        self._solver, self._limits, self.deadline = solver, limits, deadline
        self._least_jump = least_jump
        self._least = rational(-least_jump)
        self.jump = JumpProblem(net, *group)
        self.floor = -float_below(-self._least)
        if self._least == 0 and self.jump.step:
            # J is a multiple of the step: what is above the last one below 0 is at least 0
            self.floor = float(np.nextafter(-self.jump.step, 0.0))
        self.pieces = pieces
        margin = KEPT_MARGIN if keep else CUTOFF_MARGIN
        self.target = self.floor + margin * max(self.jump.magnitude, 1e-300)
        self.stuck = False
        self._misses = -FREE_MISSES
        self._handed_over = 0
        self._roots: list[JointRoot] = []  # those that are left
        self._current: PieceSearch | None = None
        self._long = np.inf  # nodes at which what is searched took long
        self._trees: list[tuple[int, Path, Tree]] = []
        self._tried: set[bytes] = set()
        faces = [shared.piece.face for shared in pieces]
        self.proof = JointProof(faces=faces) if keep else None
        self.nodes = self.lps = self.bounding = 0
        self.lowest = np.inf  # the least interval bound of J over the open pieces
        self._screen()

    def _screen(self) -> None:
        """Close the pieces that bounds on the kink close."""
        for index, shared in enumerate(self.pieces):
            if not shared.met:
                continue
            ranges = shared.ranges.copy()
            if not shared.bounds.narrow(ranges, self.group):
                continue
            activations = decided(self.net, self.group, ranges)
            state = self.jump.bound(activations)
            if self.proof is not None:
                self.proof.ranges[index] = ranges
                self.proof.activations[index] = activations
            if not self.jump.is_nonnegative(state, activations, self._least):
                self._roots.append(JointRoot(index, ranges, activations))
                self.lowest = min(self.lowest, state.output[0])

    @property
    def wants_tree(self) -> bool:
        """Whether so many leaves were left undecided that kinks are likely to coincide."""
        return self._handed_over > FEW_LEAVES

    @property
    def seeds(self) -> list[Seed]:
        """The last solutions on the piece that is searched."""
        if self._current is None:
            return []
        index = self._current.index
        return [Seed(self.group, index, point) for point in self._current.points]

    @property
    def bound(self) -> float:
        """Proved, but for rounding: J is at least this where the search is not done."""
        return max(self.lowest, min(self.open_bounds, default=self.lowest))

    @property
    def open_bounds(self) -> list[float]:
        """What is proved of J below the roots and the nodes that are left."""
        nodes = [] if self._current is None else self._current.open
        return [root.above for root in self._roots] + [node.above for node in nodes]

    @property
    def closed(self) -> bool:
        """Whether nothing is left open."""
        return not (self._roots or self._current or self._trees)

    def run(self, budget: int) -> JointResult:
        """Search, or go on, until all is closed, a facet bends down or a limit is hit.

        Parameters
        ----------
        budget : int
            Nodes of this turn; then the search pauses and can be gone on with.
        """
        pause = self.nodes + budget
        while not self.closed:
            if self.stuck or self._limit_reached():
                return self._result(SearchState.STOPPED)
            if self.nodes >= pause or self.wants_tree:
                return self._result(SearchState.PAUSED)
            crossing = self._step()
            if crossing is not None:
                return self._result(SearchState.BENT, crossing)
        return self._result(SearchState.CLOSED)

    def _step(self) -> Crossing | None:
        if self._current is None and self._roots:
            self._begin(self._roots.pop())
        if self._current is None:
            return self._grow_tree() if self._trees and not self._roots else None
        if self.nodes >= self._long:
            self._begin_anew(self._current)
            return None
        crossing = self._current.step()
        if not self._current.open:
            self._current = None
        return crossing

    def _begin(self, root: JointRoot) -> None:
        """Search below a root, with better bounds where that was begun anew."""
        narrowed = self._narrowed(root) if root.begun else root
        if narrowed is not None:
            shared = self.pieces[root.index]
            kink = shared.bounds.exact_kink(self.group)
            self._current = PieceSearch(self, narrowed, shared.piece, kink)
            self._long = self._long_from_now(narrowed)

    def _long_from_now(self, root: JointRoot) -> float:
        """Return the nodes at which a root took more than bounds of all its units would."""
        if not self.tightens or sum(bool(level.kink.any()) for level in self.net.levels) < DEEP:
            return np.inf
        free = sum(int((act == FREE).sum()) for act in root.activations)
        return self.nodes + max(LONG if self.proof is None else LONG_KEPT, 2 * free)

    def _begin_anew(self, current: PieceSearch) -> None:
        """Let a piece begin anew, after that the nodes that are left, each as a root of its own."""
        root, self._current = current.root, None
        if root.begun:
            self._roots += [replace(part, begun=root.begun + 1) for part in current.parts()]
            return
        self._trees = [tree for tree in self._trees if tree[0] != root.index]
        if self.proof is not None:
            self.proof.forget(root.index)
        self._roots.append(replace(root, begun=1))

    def _narrowed(self, root: JointRoot) -> JointRoot | None:
        """Bound units by what is known at a root, then by linear programs; None if that closes it.

        Only patterns count with J below the floor.
        """
        shared, ranges = self.pieces[root.index], with_path(root.ranges, root.path)
        if root.path and not shared.bounds.narrow(ranges, self.group):
            return None
        parts = self.net, self.group, self.jump, shared.piece, self.deadline
        tightening = Tightening(*parts, root.path, self.floor)
        found = tightening.run(ranges, root.within)
        self.lps, self.bounding = self.lps + tightening.lps, self.bounding + tightening.lps
        if found is None:
            return None
        activations = decided(self.net, self.group, found, root.path)
        state = self.jump.bound(activations, within=tightening.within)
        closed = self.jump.is_nonnegative(state, activations, self._least)
        return (
            None if closed else replace(root, ranges=found, activations=activations, within=state)
        )

    def _limit_reached(self) -> bool:
        limit = self._limits.node_limit
        return (limit is not None and self.nodes >= limit) or self._limits.out_of_time()

    def _result(self, state: SearchState, crossing: Crossing | None = None) -> JointResult:
        return JointResult(state, crossing, self.nodes, self.lps)

    def _grow_tree(self) -> Crossing | None:
        """Go on with a tree below a leaf."""
        index, path, tree = self._trees[0]
        nodes, lps = tree.nodes, tree.lps
        result = tree.run(TREE_TURN)
        self.nodes += tree.nodes - nodes
        self.lps += tree.lps - lps
        if result.state is SearchState.CLOSED:
            self._trees.pop(0)
            if self.proof is not None:
                self.proof.trees.append((index, path, result.root))
        elif result.state is SearchState.STOPPED and not self._limit_reached():
            self.stuck = True
        return result.crossing

    def hand_over(
        self, index: int, node: JointNode, activations: Activations, patterns: Patterns
    ) -> Crossing | None:
        """Let the tree of section 4 decide what is below a node.

        Where its solution satisfies everything, its patterns are looked at first: it is mostly a
        vertex, at which other units vanish, and the network's own pattern need not be the one.
        """
        for pattern in patterns:
            tree = self._tree(pattern)
            result = tree.run(PATTERN_TURN)
            self.lps += tree.lps
            if result.crossing is not None:
                return result.crossing
        self._handed_over += 1
        assert self._current is not None
        path = self._current.root.path + node.path
        self._trees.append((index, path, self._tree(activations)))
        return None

    def _tree(self, activations: Activations) -> Tree:
        return Tree(
            self.net,
            self.group,
            self.network,
            self._solver,
            self._limits,
            self._least_jump,
            Allowance(),
            start=tuple(activations),
        )

    def settles(self, bound: float, path: Path) -> bool:
        """Whether a node is closed by its bound of J, once the network was looked at there."""
        return bound >= self.floor

    def next_of(self, stack: Sequence[JointNode]) -> int:
        """Return the place of the node to take next: the last, now and then one left earlier."""
        return -1 if self.nodes % AWAY else len(stack) // 2

    def look(self, point: FloatArray) -> Crossing | None:
        """Cross the kink in the network's own pattern at a point, if J is negative there."""
        patterns = self.patterns_at(point)
        if patterns is None or self.jump.bound(patterns).output[0] >= self.floor:
            return None
        key = b"".join(part.tobytes() for part in patterns)
        if key in self._tried:
            return None
        self._tried.add(key)
        limits, tolerance = self._limits, self._limits.tolerance
        where = self.net, self.group, patterns, point, self.network
        if tolerance:
            # the probe may meet several facets, whose jumps must not be added up
            crossing = cross_facet(*where, inputs=limits.inputs, out_of_time=limits.out_of_time)
        else:
            crossing = probe(*where, inputs=limits.inputs)
        if crossing is None or not crossing.bends_down(tolerance):
            crossing = self._inside(patterns)
        return crossing

    def patterns_at(self, point: FloatArray) -> Activations | None:
        """Return the network's own pattern at a point, the group itself free.

        None if the point is not near the kink, as where a program's h are not the units' values.
        """
        values = self.net.pre_activations(point)
        level, unit = self.group
        reach = max(-self.net.levels[level].lower[unit], self.net.levels[level].upper[unit])
        if abs(values[level][unit]) > NEAR * reach:
            return None
        patterns = [
            np.where(here.kink, np.where(z > 0, ON, OFF), ON).astype(np.int8)
            for here, z in zip(self.net.levels, values, strict=True)
        ]
        patterns[level][unit] = FREE
        return tuple(patterns)

    def _inside(self, pattern: Activations) -> Crossing | None:
        """Cross the facet of a full pattern at a point that its own program finds.

        Points found are often on the boundary of the domain, or where several units are 0.
        """
        if self._misses > self.nodes // PATIENCE:
            return None
        tree = self._tree(pattern)
        result = tree.run(1)
        self.lps += result.lps
        if result.crossing is None:
            self._misses += 1
        return result.crossing
