"""The joint engine: refute along the kinks, prove group by group (docs/theory.md, section 11)."""

from __future__ import annotations

from fractions import Fraction

from jensen.groups.groups import GroupedNetwork, Unit
from jensen.groups.tolerance import least_jumps
from jensen.prover.crossing import Crossing
from jensen.prover.descent import Descent
from jensen.prover.joint_search import JointSearch, PieceBounds, piece_bounds
from jensen.prover.kink_bounds import ranges_of
from jensen.prover.outcome import Outcome, bent_at, looked_at
from jensen.prover.pieces import pieces_of
from jensen.prover.question import Question
from jensen.prover.signs import closed_by_sweep
from jensen.prover.tree import SearchState, TreeLimits
from jensen.prover.tree_engine import prove_by_trees
from jensen.prover.verdict import GroupEvidence, Reason
from jensen_encodings.lp import LpSolver

FIRST_BUDGET = 64  # nodes of a group before the others get their turn
BUDGET_GROWTH = 4
STARTS, STEPS = 8, 40  # descents of each group, before anything is proved
STARTS_GROWTH = 4  # and after each round, of the groups that are left
MOST_STARTS = 512
CANDIDATES = 8  # points that are looked at exactly, per round of descents


def prove_jointly(question: Question) -> Outcome:
    """Descend along the kinks, then search every group; stop at a facet that bends down.

    One backward sweep closes the groups whose path products cannot be negative, bounds on
    the kink close more. The others take turns with growing budgets of nodes, and before
    each turn descents look for a facet that bends down on the kinks that are left.

    Where no boxes can be named that meet every kink (:func:`pieces_of`), or a bound is
    beyond the range of doubles, the trees of section 4 are searched.
    """
    pieces = joint_pieces(question.prepared.grouped)
    if not pieces:
        return prove_by_trees(question)
    with question.prepared.watch.stage("joint"):
        return _Prover(question, pieces).run()


def joint_pieces(net: GroupedNetwork) -> tuple[PieceBounds, ...]:
    """Return the pieces on which the joint engine can work; none if it cannot at all."""
    ranges = ranges_of(net)
    if not ranges.finite:
        return ()
    return tuple(piece_bounds(net, piece, ranges) for piece in pieces_of(net.working_set))


class _Prover:
    """The groups that are left, in turns with growing budgets."""

    def __init__(self, question: Question, pieces: tuple[PieceBounds, ...]) -> None:
        self._question, self._pieces = question, pieces
        options, self._net = question.options, question.prepared.grouped
        self._over = question.deadline.over
        self._limits = TreeLimits(
            self._over, options.node_limit, Fraction(options.tolerance), options.inputs
        )
        self._solver = LpSolver(question.deadline.at)
        self._found = closed_by_sweep(question.prepared)
        self._least = least_jumps(self._net, question.network, options.tolerance, options.inputs)
        self._searches: dict[Unit, JointSearch] = {}

    def run(self) -> Outcome:
        """Close group after group, or find a facet that bends down."""
        self._screen()
        starts, budget = STARTS, FIRST_BUDGET
        while self._searches and not self._over():
            bent = self._descend(starts) or self._turn(budget)
            if bent is not None:
                return bent_at(self._question, bent[1], bent[0], self._found)
            starts, budget = min(starts * STARTS_GROWTH, MOST_STARTS), budget * BUDGET_GROWTH
        return looked_at(self._question, self._found)

    def _screen(self) -> None:
        """Bound every unit on every kink; many groups are closed by that."""
        for group in self._net.groups():
            if group in self._found or self._over():
                continue
            level, unit = group
            search = JointSearch(
                self._net,
                group,
                self._question.network,
                self._pieces,
                self._solver,
                self._limits,
                self._least[level][unit],
                self._question.deadline,
            )
            if search.closed:
                self._found[group] = GroupEvidence(self._net.neurons(group), Reason.JOINT)
            else:
                self._searches[group] = search

    def _descend(self, starts: int) -> tuple[Unit, Crossing] | None:
        """Look for a facet that bends down along the kinks that are left."""
        boxes = [shared.piece for shared in self._pieces if shared.met]
        seed = self._question.options.seed + starts
        descent = Descent(self._net, list(self._searches), boxes, seed)
        for count, (group, point) in enumerate(descent.candidates(starts, STEPS)):
            if count >= CANDIDATES or self._over():
                break
            crossing = self._searches[group].look(point)
            if crossing is not None:
                return group, crossing
        return None

    def _turn(self, budget: int) -> tuple[Unit, Crossing] | None:
        """Give every group that is left so many nodes."""
        for group in list(self._searches):
            result = self._searches[group].run(budget)
            if result.crossing is not None:
                return group, result.crossing
            if result.state is SearchState.PAUSED:
                continue
            reason = Reason.JOINT if result.state is SearchState.CLOSED else Reason.OPEN
            neurons = self._net.neurons(group)
            self._found[group] = GroupEvidence(neurons, reason, result.nodes, result.lps)
            del self._searches[group]
        return None
