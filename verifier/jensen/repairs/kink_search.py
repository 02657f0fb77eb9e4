"""Branch and bound along one kink, for one choice of output weights after another.

The joint program of a group (docs/theory.md, section 11) has the output weights in its
objective only. What was branched on, which nodes have no point, and multipliers that closed a
node therefore stay of use when the output weights change: a node is closed again by
evaluating its old multipliers, and by a program where that does not do. What is closed here
is a hint, up to rounding; the proof is the prover's.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import FREE, OFF, ON, Activations, JumpProblem
from jensen.network.relu_network import ReluNetwork
from jensen.prover.joint.program import JointProgram
from jensen.prover.joint.proof import Path
from jensen.prover.joint.search import PieceBounds
from jensen.prover.trees.margin import MARGIN_TOLERANCE, MarginProgram
from jensen.repairs.output_slopes import OutputSlopes
from jensen.types import FloatArray, Unit
from jensen.verdicts.crossing import Crossing, probe
from jensen_encodings.deadline import Deadline
from jensen_encodings.lp import LpSolver

CLOSED = 1e-9  # of the output weights' norm: J that is not told from 0
TIE = 1e-6  # of a unit's range: z so close to 0 that the program's state says which side is meant


@dataclass(eq=False)
class _Node:
    """A part of a piece that has no branches yet; multipliers, if they closed it before."""

    piece: int
    path: Path = ()
    least: float = -np.inf  # the last optimum, its own or its parent's
    closing: _Multipliers | None = None


@dataclass(frozen=True, eq=False)
class _Multipliers:
    """What multipliers say of a program: ``constant + sum of min (cost - combined) x``."""

    constant: float
    combined: FloatArray
    lower: FloatArray
    upper: FloatArray

    def bound(self, jump: FloatArray) -> float:
        """Return a lower bound of ``jump @ (1, x)``."""
        reduced = jump[1:] - self.combined
        ends = np.where(reduced > 0, self.lower, self.upper)
        return float(jump[0] + self.constant + ends @ reduced)


@dataclass(eq=False)
class KinkSearch:
    """The nodes of one group's kink, kept from one choice of output weights to the next.

    Parameters
    ----------
    net : GroupedNetwork
        Under output weights none of which is 0.
    group : (level, unit)
    pieces : sequence of PieceBounds
    slopes : OutputSlopes
        How the output's slopes depend on the output weights.
    """

    net: GroupedNetwork
    group: Unit
    pieces: list[PieceBounds]
    slopes: OutputSlopes
    nodes: int = 0
    _programs: dict[int, JointProgram | None] = field(default_factory=dict)
    _maps: dict[int, FloatArray] = field(default_factory=dict)
    _fixed: dict[int, dict[Unit, bool]] = field(default_factory=dict)
    _leaves: list[_Node] = field(default_factory=list)
    _tried: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._jump = JumpProblem(self.net, *self.group)
        self._leaves = [_Node(i) for i, shared in enumerate(self.pieces) if shared.met]
        self._jumps: dict[int, FloatArray] = {}

    def _program(self, node: _Node, weights: FloatArray) -> JointProgram | None:
        """Return the program of a node's piece under some weights, None if the kink is not there.

        Programs are assembled when they are first asked for: on R^n there are many pieces.
        """
        index = node.piece
        if index not in self._programs:
            self._programs[index] = program = self._assembled(self.pieces[index])
            if program is not None:
                self._maps[index] = program.jump_map(self.slopes.on, self.slopes.off)
                self._fixed[index] = {}
        program = self._programs[index]
        if program is not None and index not in self._jumps:
            self._jumps[index] = weights @ self._maps[index]
            program.set_jump(self._jumps[index])
        return program

    def _assembled(self, shared: PieceBounds) -> JointProgram | None:
        ranges = shared.ranges.copy()
        if not shared.bounds.narrow(ranges, self.group):
            return None
        signs = zip(self.net.levels, ranges.lower, ranges.upper, strict=True)
        decided = [
            np.where(~level.kink | (low > 0), ON, np.where(high < 0, OFF, FREE)).astype(np.int8)
            for level, low, high in signs
        ]
        decided[self.group[0]][self.group[1]] = FREE
        state = self._jump.bound(decided)
        return JointProgram(
            self.net,
            self.group,
            self._jump,
            state,
            decided,
            ranges,
            shared.piece,
            jump_may_change=True,
        )

    def run(
        self,
        weights: FloatArray,
        network: Callable[[], ReluNetwork],
        budget: int,
        deadline: Deadline,
    ) -> tuple[Crossing | None, int]:
        """Close nodes, or find a facet that bends down.

        From the node with the least bound the search dives along the solutions until a node is
        closed, and begins anew: bounds say where a facet may be, full patterns whether it is.

        Parameters
        ----------
        weights : array (units,)
            The output weights.
        network : callable
            Returns the network under these weights.
        budget : int
            Programs at most.
        deadline : Deadline

        Returns
        -------
        (crossing, open)
            A facet that bends down, or None; how many nodes were left open.
        """
        self._jumps = {index: weights @ jump_map for index, jump_map in self._maps.items()}
        target = -CLOSED * math.hypot(*weights.tolist())  # squares may overflow
        for index, jump in self._jumps.items():
            program = self._programs[index]
            assert program is not None
            program.set_jump(jump)
        done: list[_Node] = []
        heap: list[tuple[float, int, _Node]] = []
        order = count()
        for node in self._leaves:
            closing = node.closing
            if closing is not None and closing.bound(self._jumps[node.piece]) >= target:
                done.append(node)
            else:
                heap.append((node.least, next(order), node))
        heapq.heapify(heap)
        crossing = None
        dive: _Node | None = None
        while (dive or heap) and crossing is None and budget > 0 and not deadline.over():
            node, dive = dive or heapq.heappop(heap)[2], None
            program = self._program(node, weights)
            if program is None:
                continue
            budget -= 1
            x = self._solved(program, node, target, deadline)
            if x is None:
                if node.least != np.inf:
                    done.append(node)
                continue
            crossing = self._look(program, node, x, weights, target, network, deadline)
            branches = [node] if crossing is not None else self._branches(program, node, x)
            if not branches:  # no facet that bends down although the program says so: it is flat
                done.append(node)
            if len(branches) == 2:
                dive = branches.pop(0)
            for branch in branches:
                heapq.heappush(heap, (branch.least, next(order), branch))
        if dive is not None:
            heapq.heappush(heap, (dive.least, next(order), dive))
        self._leaves = done + [node for _, _, node in heap]
        return crossing, len(heap)

    def _solved(
        self, program: JointProgram, node: _Node, target: float, deadline: Deadline
    ) -> FloatArray | None:
        """Solve a node's program; None if that closes it, its least J infinite if it is empty."""
        self._fix(program, node)
        self.nodes += 1
        found = program.solve(0.0, deadline)
        node.least = found.bound
        if found.bound < target:
            return found.x
        if math.isfinite(found.bound):
            node.closing = _Multipliers(*program.priced(found))
        return None

    def _fix(self, program: JointProgram, node: _Node) -> None:
        fixed = self._fixed[node.piece]
        wanted = dict(node.path)
        for unit in [u for u, on in fixed.items() if wanted.get(u) is not on]:
            program.fix(unit, None)
            del fixed[unit]
        for unit, on in wanted.items():
            if unit not in fixed:
                program.fix(unit, on)
                fixed[unit] = on

    def _branches(self, program: JointProgram, node: _Node, x: FloatArray) -> list[_Node]:
        choice = program.choose(x, self._fixed[node.piece])
        if choice is None:
            return []
        unit, on = choice.unit, choice.on
        return [_Node(node.piece, (*node.path, (unit, side)), node.least) for side in (on, not on)]

    # ---------------------------------------------------------------------- facets

    def _look(
        self,
        program: JointProgram,
        node: _Node,
        x: FloatArray,
        weights: FloatArray,
        least: float,
        network: Callable[[], ReluNetwork],
        deadline: Deadline,
    ) -> Crossing | None:
        """Cross the kink at a solution, in the network's pattern and in the program's."""
        y = x[: program.dim]
        for own, pattern in enumerate(self._patterns(program, node, x, y)):
            row = self.slopes.row(self.group, self._jump, self._jump.bound(pattern), pattern)
            key = b"".join(part.tobytes() for part in pattern)
            if row @ weights >= least or key in self._tried:
                continue
            self._tried.add(key)
            point = y if not own else None
            for _ in range(2):  # at the solution, then inside of the facet
                if point is not None:
                    found = probe(self.net, self.group, pattern, point, network(), inputs=None)
                    if found is not None and found.violation > 0:
                        return found
                margin = MarginProgram(self.net, self.group, LpSolver(deadline)).solve(pattern)
                if margin.point is None or margin.margin < MARGIN_TOLERANCE:
                    break
                point = margin.point
        return None

    def _patterns(
        self, program: JointProgram, node: _Node, x: FloatArray, y: FloatArray
    ) -> list[Activations]:
        """Return the full pattern by signs of z, and that by the program's states at ties.

        A solution is a vertex: many units are 0 there, and signs of rounding errors say
        nothing about them.
        """
        values = self.net.pre_activations(y)
        signs = [
            np.where(~level.kink | (z > 0), ON, OFF).astype(np.int8)
            for level, z in zip(self.net.levels, values, strict=True)
        ]
        signs[self.group[0]][self.group[1]] = FREE
        meant = [part.copy() for part in signs]
        states = {u: x[c] >= 0.5 for u, c in program.states.items()}
        for (k, u), on in (states | dict(node.path)).items():
            if abs(values[k][u]) < TIE * max(1.0, float(self.net.levels[k].upper[u])):
                meant[k][u] = ON if on else OFF
        return [tuple(signs), tuple(meant)]
