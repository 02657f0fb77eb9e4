"""The nodes of a joint search on one piece, or a part of it (docs/theory.md, section 11).

A node is popped and its program is solved. Three things keep the programs few:

* States that follow from J alone, because J cannot be negative with any other one, are fixed
  before the program is solved.
* Of the two sides of a state that is branched on the one that the unit has at the solution's point
  comes first. The search follows the network itself, and soon meets a facet that bends down if
  there is one; the other sides, mostly empty or closed at once, wait until it comes back.
* That side has the same solution but for one state, so the next unit is chosen there without
  solving, for a few units in a row, until the states put right should have raised J enough.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from jensen.groups.forms import RowName
from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import FREE, OFF, ON, Activations, JumpProblem
from jensen.prover.descents.ascent import KinkAscent
from jensen.prover.descents.pieces import Piece
from jensen.prover.joint.branching import Choice
from jensen.prover.joint.corners import Corners, CornerState, corners_of
from jensen.prover.joint.cuts import ValueCuts
from jensen.prover.joint.kink_bounds import Kink
from jensen.prover.joint.program import JointProgram, JointSolution
from jensen.prover.joint.proof import JointLeaf, JointProof, Path, raising_states
from jensen.prover.joint.root import JointRoot
from jensen.types import FloatArray, Unit
from jensen.verdicts.crossing import Crossing
from jensen_encodings.deadline import Deadline

Patterns = Sequence[Activations]

POINTS = 16  # solutions that are remembered
AT_ZERO = 1e-9  # of the largest |z|
FIRST_ASCENTS = 1  # before
EACH_ASCENT = 16  # solutions get one more
UNCUT = 1  # solutions without cuts: many searches take no more
LEANING = 0.85  # of the bounds that closed nodes have to need cuts, but for
SPARE = 3  # so many


@dataclass(frozen=True, eq=False)
class JointNode:
    """A node that waits.

    Attributes
    ----------
    path : tuple of ((level, unit), on)
        The units fixed.
    above : float
        Proved: J is at least this below the node.
    x : array or None
        The last solution above, if the node may be branched on there.
    expected : float
        J at x with the real states of the units that were branched on since.
    age : int
        How many units these are.
    """

    path: Path = ()
    above: float = float("-inf")
    x: FloatArray | None = field(default=None, repr=False)
    expected: float = 0.0
    age: int = 0


class GroupSearch(Protocol):
    """What the nodes of a piece ask of the search of their group."""

    net: GroupedNetwork
    group: Unit
    jump: JumpProblem
    floor: float  # J at least this closes a node
    target: float  # programs are stopped once their bound is above
    stale: int  # how many units in a row may be branched on at one solution
    deadline: Deadline
    proof: JointProof | None
    nodes: int
    lps: int

    def next_of(self, stack: Sequence[JointNode]) -> int:
        """Return the place of the node to take next."""
        ...

    def look(self, point: FloatArray) -> Crossing | None:
        """Cross the kink at a point, if J is negative there."""
        ...

    def settles(self, bound: float, path: Path) -> bool:
        """Whether a node is closed by its bound of J."""
        ...

    def hand_over(
        self, index: int, node: JointNode, activations: Activations, patterns: Patterns
    ) -> Crossing | None:
        """Let something else decide what is below a node, where a solution may have patterns."""
        ...


class PieceSearch:
    """The nodes below one root, depth first.

    Parameters
    ----------
    search : GroupSearch
    root : JointRoot
    piece : Piece
    kink : Kink, optional
        The group's, where it is affine and its doubles are exact.
    """

    def __init__(
        self, search: GroupSearch, root: JointRoot, piece: Piece, kink: Kink | None = None
    ) -> None:
        self._search = search
        self.root, self.index = root, root.index
        state = search.jump.bound(root.activations, within=root.within)
        if search.proof is not None and not root.path:
            raising = raising_states(search.jump, state, root.activations)
            search.proof.raising[root.index] = raising
        self._program = JointProgram(
            search.net,
            search.group,
            search.jump,
            state,
            root.activations,
            root.ranges,
            piece,
            path=root.path,
        )
        self._piece, self._kink = piece, kink
        self._stack: list[JointNode] = [JointNode(above=root.above)]
        self._fixed: dict[Unit, bool] = {}
        self._path: Path = ()
        self.points: deque[FloatArray] = deque(maxlen=POINTS)
        self._solutions = self._ascents = self._closed = self._leaning = 0
        self._ascent: KinkAscent | None = None
        self._corners: Corners | None = None
        if not any(units.size for _, units in search.jump.supports[:-1]):
            # J is a constant
            self._ascent = KinkAscent(search.net, search.group, piece, search.deadline)

    @property
    def open(self) -> Sequence[JointNode]:
        """The nodes that are left."""
        return self._stack

    def step(self) -> Crossing | None:
        """Take one node: close it, branch on it, or give it to a tree."""
        self._search.nodes += 1
        if self._corners is not None:
            return self._at_corners(self._corners)
        return self._at_node()

    def _at_node(self) -> Crossing | None:
        search = self._search
        node = self._entered(self._stack.pop(search.next_of(self._stack)))
        while node is not None and node.x is not None:
            node = self._put_right(node, node.x)
        if node is None:
            return None
        search.lps += 1
        solution = self._program.solve(search.target, search.deadline)
        if solution.bound >= search.floor:
            self._closed += 1
            self._leaning += self._program.leans_on_added(solution)
            self._close(node.path, solution)
            return None
        if solution.x is None:
            return search.hand_over(self.index, node, self.under(node.path), ())
        self._solutions += 1
        self.points.append(solution.x[: self._program.dim])
        crossing = search.look(self.points[-1]) or self._ascended(self.points[-1])
        if crossing is not None:
            return crossing
        if search.settles(solution.bound, node.path):
            self._close(node.path, solution)
            return None
        if self._solutions == 1 and self._ascent is not None and search.proof is None:
            self._corners = corners_of(self._program.forms, search.group, self._piece)
        self._cut(solution.x)
        return self._branch(node, solution)

    def _at_corners(self, corners: Corners) -> Crossing | None:
        """Take a node of the search that shows that the kink is not met, if it may be so."""
        before = corners.lps
        corners.step(self._search.deadline)
        self._search.lps += corners.lps - before
        if corners.state is CornerState.OPEN:
            return None
        self._corners = None
        if corners.state is CornerState.MISSED:
            self._stack.clear()
            return None
        self.points.append(corners.point)
        crossing = self._search.look(corners.point)
        if crossing is None and corners.above and self._ascent is not None:
            found = self._ascent.across(corners.point)
            crossing = None if found is None else self._search.look(found)
        return crossing

    def _cut(self, x: FloatArray) -> None:
        """Add cuts that a solution does not satisfy, as long as nearly all bounds need them.

        Where other bounds close nodes, too, cuts save few nodes and cost more. In a certificate
        they speak of the whole piece.
        """
        proof, program = self._search.proof, self._program
        if self._solutions <= UNCUT or (proof is not None and self.root.path):
            return
        if self._leaning + SPARE < LEANING * self._closed:
            return
        rows, limits, units = self._cuts.separate(x)
        names = []
        if proof is not None:
            names = [RowName("cut", unit=len(proof.cuts) + i) for i in range(len(units))]
            proof.cuts.extend(zip(units, -rows[:, : program.dim], strict=True))
        program.add_rows(rows, limits, names)

    @cached_property
    def _cuts(self) -> ValueCuts:
        program, ranges = self._program, self.root.ranges
        return ValueCuts(program.forms, ranges, self._piece, self._kink, program.width)

    def _ascended(self, point: FloatArray) -> Crossing | None:
        """Step from a solution to the kink, now and then, where any point on it refutes."""
        if self._ascent is None or self._ascents > FIRST_ASCENTS + self._solutions // EACH_ASCENT:
            return None
        self._ascents += 1
        found = self._ascent.across(point)
        return None if found is None else self._search.look(found)

    # -------------------------------------------------------------------- entering

    def _entered(self, node: JointNode) -> JointNode | None:
        """Fix a node's units and the states that follow; None if that closes it."""
        self._fix(node.path)
        implied = self._program.implied(self._search.floor)
        if implied is None:
            self._close(node.path, None)
            return None
        path = node.path
        for unit, on in implied:
            self._close((*path, (unit, not on)), None)
            path = (*path, (unit, on))
        self._fix(path)
        return JointNode(path, node.above, node.x, node.expected, node.age)

    def _put_right(self, node: JointNode, x: FloatArray) -> JointNode | None:
        """Branch once more at an old solution, and stay on the side that it has."""
        choice = None
        if node.expected < self._search.target and node.age < self._search.stale:
            choice = self._program.choose(x, self._fixed)
        if choice is None or not choice.is_state:
            return JointNode(node.path, node.above)
        self._stack.append(JointNode((*node.path, (choice.unit, not choice.real)), node.above))
        return self._entered(self._real_side(node, choice, x))

    def _fix(self, path: Path) -> None:
        """Fix the units of a path, and free the others: paths mostly begin alike."""
        program, fixed, old = self._program, self._fixed, self._path
        same = 0
        for before, after in zip(old, path, strict=False):
            if before is not after:
                break
            same += 1
        for unit, _ in old[same:]:
            program.fix(unit, None)
            del fixed[unit]
        for unit, on in path[same:]:
            program.fix(unit, on)
            fixed[unit] = on
        self._path = path

    # ------------------------------------------------------------ branching, closing

    def _branch(self, node: JointNode, solution: JointSolution) -> Crossing | None:
        assert solution.x is not None
        choice = self._program.choose(solution.x, self._fixed)
        if choice is None:
            states = self.under(node.path)
            patterns = self._patterns(states, solution.x)
            solved = JointNode(node.path, max(node.above, solution.bound))
            return self._search.hand_over(self.index, solved, states, patterns)
        path, above = node.path, max(node.above, solution.bound)
        # the stack pops the last one first
        if choice.is_state and self._search.stale:
            solved = JointNode(path, above, expected=self._program.value(solution.x))
            self._stack.append(JointNode((*path, (choice.unit, not choice.real)), above))
            self._stack.append(self._real_side(solved, choice, solution.x))
            return None
        # go where the solution is
        self._stack.append(JointNode((*path, (choice.unit, not choice.on)), above))
        self._stack.append(JointNode((*path, (choice.unit, choice.on)), above))
        return None

    def _patterns(self, states: Activations, x: FloatArray) -> Patterns:
        """Return patterns of a solution that satisfies everything, the likeliest first.

        It is mostly a vertex of a region where states that make J negative hold, cut by kinks of
        units in front that vanish there. The region has points on either side of these, so that
        their states hardly matter: they are on in the first pattern, and free in the second.
        """
        program, net = self._program, self._search.net
        level, unit = self._search.group
        values = net.pre_activations(x[: program.dim])
        small = AT_ZERO * max(float(np.abs(z).max(initial=0.0)) for z in values)
        found = []
        for at_zero in (ON, FREE):
            pattern = []
            for act, z in zip(states, values, strict=True):
                sign = np.where(z > small, ON, np.where(z < -small, OFF, at_zero))
                pattern.append(np.where(act == FREE, sign, act).astype(np.int8))
            for (k, u), column in program.states.items():
                pattern[k][u] = ON if x[column] >= 0.5 else OFF
            pattern[level][unit] = FREE
            found.append(tuple(pattern))
        return found

    def _real_side(self, node: JointNode, choice: Choice, x: FloatArray) -> JointNode:
        path = (*node.path, (choice.unit, choice.real))
        return JointNode(path, node.above, x, node.expected + choice.gain, node.age + 1)

    def _close(self, path: Path, solution: JointSolution | None) -> None:
        """Note down what closed a node: a solution, or the interval of J."""
        proof = self._search.proof
        if proof is None:
            return
        used: dict[RowName, float] = {}
        if solution is not None:
            used = self._program.named(solution.multipliers)
        empty = solution is not None and solution.bound == float("inf")
        proof.leaves.append(JointLeaf(self.index, self.root.path + path, used, empty))

    def parts(self) -> list[JointRoot]:
        """Return the open nodes as roots, the next one last."""
        root = self.root
        return [replace(root, path=root.path + node.path, above=node.above) for node in self._stack]

    def under(self, path: Path) -> Activations:
        """Return the states of a node: those of the root, and those branched on."""
        activations = [act.copy() for act in self.root.activations]
        for (k, u), on in path:
            activations[k][u] = ON if on else OFF
        return tuple(activations)
