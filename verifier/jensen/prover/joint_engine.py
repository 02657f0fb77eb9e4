"""The joint engine: refute along the kinks, prove group by group (docs/theory.md, section 11)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from itertools import islice
from threading import Event

from jensen.errors import OutOfTimeError
from jensen.groups.groups import GroupedNetwork
from jensen.groups.tolerance import least_jumps
from jensen.prover.deferred_cells import deferred_walk
from jensen.prover.descents.descent import Seed
from jensen.prover.descents.dips import Dips
from jensen.prover.descents.pieces import Piece, pieces_of
from jensen.prover.group_proof import GroupProof, GroupWriter
from jensen.prover.joint.kink_bounds import ranges_of
from jensen.prover.joint.proof import JointResult
from jensen.prover.joint.search import JointSearch, PieceBounds, bounded_pieces
from jensen.prover.joint.side_by_side import searched
from jensen.prover.outcome import Outcome, bent_at, looked_at
from jensen.prover.question import Question
from jensen.prover.signs import closed_by_sweep, is_small
from jensen.prover.tree_engine import Forest, prove_by_trees, tree_evidence
from jensen.prover.trees.margin import MarginProgram
from jensen.prover.trees.tree import GroupResult, SearchState, TreeLimits
from jensen.types import FloatArray, Neurons, Unit
from jensen.verdicts.crossing import Crossing
from jensen.verdicts.evidence import GroupEvidence, Reason
from jensen_encodings.lp import LpSolver

FIRST_BUDGET = 4  # nodes of a group before the others get their turn
EARLY_BUDGET = 4  # the same before any descent, which costs as much as the programs of
EARLY_GROUPS = 6  # so many groups
EARLY_NODES = 48  # all of these together in small networks, whose programs cost less than descents
BUDGET_GROWTH = 4
WRITTEN_BUDGETS = (64, 256)  # nodes of each tree of a certificate that is written at once
GLANCED = 512  # groups at most that get a descent each before bounds on their kinks
STARTS = 8  # descents of each group from random points, before anything is proved
EARLY_STARTS = 14  # the same from nearby, then
FINE_STARTS = 12  # descents from random points of the groups that are left after a turn
NEAR_STARTS = 3  # descents from nearby for each program that was solved
TOGETHER = 64  # nodes that several groups are given before such descents
LEAST_TOGETHER = 4  # groups that are searched side by side at least
SIGN_BUDGET = 64  # nodes of a tree without linear programs
SIGN_CREDIT = 6  # groups on which such trees may fail before no more are tried
FIRST_CREDIT = 2  # the same at first: one more for each group that they close
TWIN_BUDGET = 16  # nodes of a tree for a group of several neurons, before descents
POLISHED = 3  # facets that descents nearly reached and a linear program may, per round
CANDIDATES = 12  # points that are looked at exactly, per round of descents


def prove_jointly(question: Question) -> Outcome:
    """Descend along the kinks, then search every group; stop at a facet that bends down.

    One backward sweep closes the groups whose path products cannot be negative, bounds on
    the kink close more. The others take turns with growing budgets of nodes, and before
    each turn descents look for a facet that bends down on the kinks that are left.

    Trees by the sign rule come first, while they close what they are tried on: maxima of many
    numbers need nothing else. A group of which several leaves stay undecided gets a tree of
    its own: its kinks coincide with others, or nearly so.

    Where no boxes can be named that meet every kink (:func:`pieces_of`), or a bound is
    beyond the range of doubles, the trees of section 4 are searched.
    """
    boxes = joint_boxes(question.prepared.grouped, fitted=not question.options.certificate)
    if not boxes:
        return prove_by_trees(question)
    with question.prepared.watch.stage("joint"):
        return _Prover(question, boxes).run()


def joint_boxes(net: GroupedNetwork, *, fitted: bool = False) -> tuple[Piece, ...]:
    """Return the pieces on which the joint engine can work, ``fitted`` to the network; or none.

    Certificates speak of the whole box, or of all faces of a cube.
    """
    fit = (net.has_no_bias, net.input_weights) if fitted else ()
    return pieces_of(net.working_set, *fit) if ranges_of(net).finite else ()


class _Prover:
    """The groups that are left, in turns with growing budgets."""

    def __init__(self, question: Question, boxes: tuple[Piece, ...]) -> None:
        self._question, self._boxes = question, boxes
        options, self._net = question.options, question.prepared.grouped
        self._over = question.deadline.over
        self._threads, self._halt = options.threads, Event()
        self._limits = TreeLimits(
            lambda: self._over() or self._halt.is_set(),
            options.node_limit,
            Fraction(options.tolerance),
            options.inputs,
            sides=True,
        )
        self._solver = LpSolver(question.deadline)
        self._forest = Forest(question)
        self._found = closed_by_sweep(question.prepared)
        self._least = least_jumps(self._net, question.network, options.tolerance, options.inputs)
        self._searches: dict[Unit, JointSearch] = {}
        self._proofs: list[GroupProof] = []  # for a certificate
        self._writer: GroupWriter | None = None
        self._walk = deferred_walk(question)
        self._solved = 0  # programs since the last descents
        self._descended = False

    def run(self) -> Outcome:
        """Close group after group, or find a facet that bends down."""
        try:
            return self._run()
        except OutOfTimeError:
            return self._outcome()
        except KeyboardInterrupt:
            return replace(self._outcome(), interrupted=True)

    def _run(self) -> Outcome:
        self._try_signs()
        bent = self._glance()
        if not self._left():
            return self._outcome()
        walked = None if bent else self._walk.glance(self._found.values())
        if not (bent or walked) and self._walk.is_due:
            bent = self._descend_wide(self._left())
            walked = None if bent else self._walked()
        if walked is not None:
            return walked
        bent = bent or self._write()
        if bent is None:
            self._screen()
            bent = self._try_twins()
        if bent is None and len(self._searches) <= EARLY_GROUPS:
            bent = self._turn(self._early_budget())
        if bent is None:
            bent = self._descend_wide(list(self._searches))
        budget = FIRST_BUDGET
        while bent is None and self._searches and not self._over():
            bent = self._turn(budget)
            if bent is None and self._searches:
                walked = self._walked()
            if walked is not None:
                return walked
            if bent is None:
                bent = self._descend(list(self._searches), NEAR_STARTS * self._solved)
            budget *= BUDGET_GROWTH
        if bent is not None:
            return bent_at(self._question, bent[1], bent[0], self._found)
        return self._outcome()

    def _walked(self) -> Outcome | None:
        """Walk, if it is time for that."""
        while self._walk.is_due:
            if (outcome := self._walk.outcome(self._found.values())) is not None:
                return outcome
            self._walk = self._walk.next
        return None

    def _outcome(self) -> Outcome:
        outcome = looked_at(self._question, self._found, proofs=self._proofs)
        return replace(outcome, writer=self._writer)

    def _left(self) -> list[Unit]:
        """Return the groups that nothing has closed yet."""
        return [group for group in self._net.groups() if group not in self._found]

    def _write(self) -> tuple[Unit, Crossing] | None:
        """Where a certificate is asked for, prove in its terms at once, after descents.

        That pays on the faces of a cone. In one piece the engine's bounds are so much tighter
        that a few trees would grow far beyond its own.
        """
        ask = self._question.writer
        if ask is None or not (left := self._left()) or len(self._boxes) == 1:
            return None
        bent = self._descend_wide(left)
        if bent is not None or self._over():
            return bent
        self._writer = ask()
        left = [group for group in left if len(self._net.neurons(group)) == 1]
        for budget in WRITTEN_BUDGETS:
            if self._writer is None or not left or self._over():
                break
            closed = self._writer.close(left, budget)
            self._found |= closed.evidence
            self._question.closed(len(self._found), len(self._net.groups()))
            left = list(closed.paused)
            bent = self._descend(left, budget * len(left))
            if bent is not None:
                return bent
        return None

    def _try_twins(self) -> tuple[Unit, Crossing] | None:
        """Grow small trees where several neurons kink together: there they win."""
        for group in list(self._searches):
            if len(self._net.neurons(group)) > 1 and not self._over():
                bent = self._settle(group, self._forest.run(group, TWIN_BUDGET))
                if bent is not None:
                    return bent
        return None

    def _try_signs(self) -> None:
        """Grow trees by the sign rule, as long as that closes groups."""
        credit = FIRST_CREDIT
        for group in self._net.groups():
            self._question.closed(len(self._found), len(self._net.groups()))
            if group in self._found:
                continue
            if credit <= 0 or self._over():
                return
            result = self._forest.run_by_sign(group, SIGN_BUDGET)
            if result.state is SearchState.CLOSED:
                self._found[group] = tree_evidence(self._net.neurons(group), result)
                self._proofs.append(GroupProof(group, result.root))
                credit = min(credit + 1, SIGN_CREDIT)
            else:
                credit -= 1

    def _screen(self) -> None:
        """Bound every unit on every kink; many groups are closed by that."""
        if len(self._found) == len(self._net.groups()):
            return
        for group in self._net.groups():
            if group in self._found or self._over():
                continue
            search = self._search_of(group)
            if search.closed:
                self._found[group] = GroupEvidence(self._net.neurons(group), Reason.JOINT)
                self._proofs.append(GroupProof(group, joint=search.proof))
            else:
                self._searches[group] = search

    @cached_property
    def _pieces(self) -> list[PieceBounds]:
        return bounded_pieces(self._net, self._boxes, self._over)

    def _search_of(self, group: Unit) -> JointSearch:
        """Begin the search of a group, with bounds on its kink."""
        level, unit = group
        return JointSearch(
            self._net,
            group,
            self._question.network,
            self._pieces,
            self._solver if self._threads == 1 else LpSolver(self._question.deadline),
            self._limits,
            self._least[level][unit],
            self._question.deadline,
            keep=self._question.options.certificate,
        )

    @cached_property
    def _dips(self) -> Dips:
        seed, deadline = self._question.options.seed, self._question.deadline
        return Dips(self._net, [self._pieces[i].piece for i in self._met], seed, deadline)

    @cached_property
    def _met(self) -> list[int]:
        return [i for i, shared in enumerate(self._pieces) if shared.met]

    def _glance(self) -> tuple[Unit, Crossing] | None:
        """Descend once for each group, which costs less than all bounds, unless these are few.

        On all faces of a cone bounds cost so much that all early descents cost less.
        """
        left = self._left()
        if is_small(self._question.network) or not 0 < len(left) <= GLANCED or not self._met:
            return None
        if len(self._met) > 1:
            return self._descend_wide(left)
        return self._crossed(self._dips.glance(left))

    def _descend_wide(self, groups: Sequence[Unit]) -> tuple[Unit, Crossing] | None:
        """Look for a facet that bends down along some kinks, before anything is proved, once."""
        if not groups or not self._met or self._descended:
            return None
        self._descended = True
        found = self._crossed(self._dips.wide(groups, STARTS))
        found = found or self._crossed(self._dips.ascended())
        return found or self._descend_near(groups, (), EARLY_STARTS * len(groups))

    def _descend(self, groups: Sequence[Unit], count: int) -> tuple[Unit, Crossing] | None:
        """Look for one with random descents, and so many from nearby."""
        self._solved = 0
        if not groups or not self._met:
            return None
        found = self._crossed(self._dips.fine(groups, FINE_STARTS))
        if found is not None:
            return found
        return self._descend_near(groups, self._seeds(groups), count)

    def _descend_near(
        self, groups: Sequence[Unit], seeds: Sequence[Seed], count: int
    ) -> tuple[Unit, Crossing] | None:
        """Look for one near where J was low, and near solutions of programs."""
        bounds = {group: self._searches[group].bound for group in groups if group in self._searches}
        for candidates in self._dips.near(groups, seeds, count, bounds):
            found = self._crossed(candidates) or self._crossed(self._polished())
            if found is not None:
                return found
        return None

    def _polished(self) -> Iterator[tuple[Unit, FloatArray]]:
        """Yield points inside facets that descents nearly reached, where they are there."""
        for miss in self._dips.misses(POLISHED):
            point = MarginProgram(self._net, miss.group, self._solver).likely_point(miss.pattern)
            if point is not None:
                yield miss.group, point

    def _seeds(self, groups: Sequence[Unit]) -> list[Seed]:
        """Return the last solutions of the groups that are still searched."""
        searches = [self._searches[group] for group in groups if group in self._searches]
        met = {index: i for i, index in enumerate(self._met)}
        return [replace(s, piece=met[s.piece]) for search in searches for s in search.seeds]

    def _crossed(
        self, candidates: Iterator[tuple[Unit, FloatArray]]
    ) -> tuple[Unit, Crossing] | None:
        """Look at the first candidates exactly."""
        for group, point in islice(candidates, CANDIDATES):
            if self._over():
                break
            search = self._searches.get(group) or self._search_of(group)
            crossing = search.look(point)
            if crossing is not None:
                return group, crossing
        return None

    def _early_budget(self) -> int:
        """Return the nodes of a group before any descent."""
        nodes = EARLY_NODES if is_small(self._question.network) else 0
        return max(EARLY_BUDGET, nodes // max(1, len(self._searches)))

    def _turn(self, budget: int) -> tuple[Unit, Crossing] | None:
        """Give every group that is left so many nodes, with descents in between."""
        # where J may be lowest a facet that bends down is likeliest
        groups = sorted(self._searches, key=lambda group: self._searches[group].bound)
        size = max(LEAST_TOGETHER, TOGETHER // budget)
        for first in range(0, len(groups), size):
            part = groups[first : first + size]
            bent = self._search_some(part, budget)
            if bent is None and first + size < len(groups):
                left = list(self._searches)
                bent = self._descend_near(left, self._seeds(part), NEAR_STARTS * self._solved)
                self._solved = 0
            if bent is not None or self._over() or self._walk.is_due:
                return bent
        return None

    def _search_some(self, groups: list[Unit], budget: int) -> tuple[Unit, Crossing] | None:
        before = {group: _programs_of(self._searches[group]) for group in groups}
        side_by_side = searched(self._searches, groups, budget, self._threads, self._halt)
        with closing(side_by_side) as results:
            for group, found in results:
                programs = _programs_of(self._searches[group]) - before[group]
                self._solved += programs
                self._walk.left -= programs
                self._question.closed(len(self._found), len(self._net.groups()))
                result: JointResult | GroupResult = found
                if self._searches[group].wants_tree and result.state is SearchState.PAUSED:
                    result = self._forest.run(group, budget)
                bent = self._settle(group, result)
                if bent is not None:
                    return bent
        return None

    def _settle(
        self, group: Unit, result: JointResult | GroupResult
    ) -> tuple[Unit, Crossing] | None:
        """Note down what ended the search of a group; return it if its facet bends down."""
        if result.crossing is not None:
            return group, result.crossing
        if result.state is not SearchState.PAUSED:
            neurons = self._net.neurons(group)
            self._found[group] = (
                joint_evidence(neurons, result)
                if isinstance(result, JointResult)
                else tree_evidence(neurons, result)
            )
            if result.state is SearchState.CLOSED:
                tree = result.root if isinstance(result, GroupResult) else None
                joint = self._searches[group].proof if tree is None else None
                self._proofs.append(GroupProof(group, tree, joint))
            del self._searches[group]
        return None


def _programs_of(search: JointSearch) -> int:
    """Return how many programs a search solved, without those for bounds of units."""
    return search.lps - search.bounding


def joint_evidence(neurons: Neurons, result: JointResult) -> GroupEvidence:
    """Return what the joint search of a group says."""
    reason = Reason.JOINT if result.state is SearchState.CLOSED else Reason.OPEN
    return GroupEvidence(neurons, reason, result.nodes, result.lps)
