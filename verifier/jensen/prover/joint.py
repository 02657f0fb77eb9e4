"""The joint engine: refute along the kinks, prove group by group (docs/theory.md, section 11)."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from fractions import Fraction

from jensen.groups.groups import Bounds, GroupedNetwork
from jensen.groups.tolerance import least_jumps
from jensen.network.relu_network import ReluNetwork
from jensen.prover.crossing import Crossing
from jensen.prover.descent import Descent
from jensen.prover.engines import Outcome, closed_by_sweep, neurons_of
from jensen.prover.joint_search import JointResult, JointSearch, PieceBounds, piece_bounds
from jensen.prover.kink_bounds import ranges_of
from jensen.prover.options import Options
from jensen.prover.pieces import Piece, pieces_of
from jensen.prover.tree import SearchState, TreeLimits
from jensen.prover.verdict import GroupEvidence, Reason
from jensen_encodings.lp import LpSolver

Unit = tuple[int, int]

FIRST_BUDGET = 64  # nodes of a group before the others get their turn
BUDGET_GROWTH = 4
STARTS, STEPS = 8, 40  # descents of each group, before anything is proved
STARTS_GROWTH = 4  # and after each round, of the groups that are left
MOST_STARTS = 512
CANDIDATES = 8  # points that are looked at exactly, per round of descents


def joint_pieces(net: GroupedNetwork) -> tuple[PieceBounds, ...]:
    """Return the pieces on which the joint engine can work; none if it cannot at all."""
    ranges = ranges_of(net)
    if not ranges.finite:
        return ()
    return tuple(piece_bounds(net, piece, ranges) for piece in pieces_of(net.working_set))


def prove_jointly(
    net: GroupedNetwork,
    bounds: Bounds,
    network: ReluNetwork,
    options: Options,
    deadline: float | None,
    pieces: Sequence[PieceBounds],
) -> Outcome:
    """Descend along the kinks, then search every group; stop at a facet that bends down.

    Parameters
    ----------
    net : GroupedNetwork
    bounds : mapping from block to (lower, upper)
        Those that the groups were formed with.
    network : ReluNetwork
        The scalar network, for exact evaluation.
    options : Options
    deadline : float or None
        On the clock of ``time.monotonic``.
    pieces : sequence of PieceBounds
        From :func:`joint_pieces`.
    """
    return _JointProver(net, bounds, network, options, deadline, pieces).run()


class _JointProver:
    """The groups that are left, in turns with growing budgets."""

    def __init__(
        self,
        net: GroupedNetwork,
        bounds: Bounds,
        network: ReluNetwork,
        options: Options,
        deadline: float | None,
        pieces: Sequence[PieceBounds],
    ) -> None:
        self._net, self._network, self._options = net, network, options
        self._deadline, self._pieces = deadline, pieces
        self._limits = TreeLimits(
            lambda: deadline is not None and time.monotonic() > deadline,
            options.node_limit,
            Fraction(options.tolerance),
            options.inputs,
        )
        self._solver = LpSolver(deadline)
        self._evidence = closed_by_sweep(net, network, bounds)
        self._least = least_jumps(net, network, options.tolerance, options.inputs)
        self._searches: dict[Unit, JointSearch] = {}

    def run(self) -> Outcome:
        for group in self._net.groups():
            if group not in self._evidence:
                search = self._search(group)
                if search.closed:
                    self._evidence[group] = GroupEvidence(neurons_of(self._net, group), Reason.JOINT)
                else:
                    self._searches[group] = search
        starts, budget = STARTS, FIRST_BUDGET
        while self._searches and not self._limits.out_of_time():
            bent = self._descend(starts) or self._turn(budget)
            if bent is not None:
                group, crossing = bent
                evidence = [e for g, e in self._evidence.items() if e.reason is not Reason.OPEN]
                return Outcome(evidence, crossing, neurons_of(self._net, group))
            starts, budget = min(starts * STARTS_GROWTH, MOST_STARTS), budget * BUDGET_GROWTH
        return Outcome(
            [
                self._evidence.get(g) or GroupEvidence(neurons_of(self._net, g), Reason.OPEN)
                for g in self._net.groups()
            ]
        )

    def _search(self, group: Unit) -> JointSearch:
        level, unit = group
        return JointSearch(
            self._net,
            group,
            self._network,
            self._pieces,
            self._solver,
            self._limits,
            self._least[level][unit],
            self._deadline,
        )

    def _descend(self, starts: int) -> tuple[Unit, Crossing] | None:
        """Look for a facet that bends down along the kinks that are left."""
        groups = list(self._searches)
        boxes = [shared.piece for shared in self._pieces if shared.met]
        descent = Descent(self._net, groups, boxes, self._options.seed + starts)
        for count, (group, point) in enumerate(descent.candidates(starts, STEPS)):
            if count >= CANDIDATES or self._limits.out_of_time():
                break
            crossing = self._searches[group].look(point)
            if crossing is not None:
                return group, crossing
        return None

    def _turn(self, budget: int) -> tuple[Unit, Crossing] | None:
        """Give every group that is left so many nodes."""
        for group in deque(self._searches):
            result = self._searches[group].run(budget)
            if result.crossing is not None:
                return group, result.crossing
            if result.state is SearchState.PAUSED:
                continue
            if result.state is SearchState.CLOSED:
                self._evidence[group] = self._closed(group, result)
            else:
                neurons = neurons_of(self._net, group)
                self._evidence[group] = GroupEvidence(
                    neurons, Reason.OPEN, result.nodes, result.lps
                )
            del self._searches[group]
        return None

    def _closed(self, group: Unit, result: JointResult) -> GroupEvidence:
        return GroupEvidence(
            neurons_of(self._net, group), Reason.JOINT, result.nodes, result.lps
        )
