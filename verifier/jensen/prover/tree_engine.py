"""The exact engine: a tree for every hyperplane group, all of them by turns."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from fractions import Fraction

from jensen.groups.tolerance import least_jumps
from jensen.prover.group_proof import GroupProof
from jensen.prover.outcome import Outcome, bent_at, looked_at
from jensen.prover.question import Question
from jensen.prover.signs import closed_by_sweep
from jensen.prover.trees.nodes import Allowance
from jensen.prover.trees.tree import GroupResult, SearchState, Tree, TreeLimits
from jensen.types import Neurons, Unit
from jensen.verdicts.evidence import GroupEvidence, Reason
from jensen_encodings.lp import LpSolver

FIRST_BUDGET = 128  # nodes of a group before the others get their turn
BUDGET_GROWTH = 4


def prove_by_trees(question: Question) -> Outcome:
    """Search the tree of every group; stop at the first facet that bends down.

    One backward sweep closes the groups whose path products cannot be negative. The
    others take turns with growing budgets of nodes, so that one hard group keeps neither
    the easy ones open nor a facet that bends down hidden.
    """
    net = question.prepared.grouped
    with question.prepared.watch.stage("tree"):
        found = closed_by_sweep(question.prepared)
        forest = Forest(question)
        waiting = deque(group for group in net.groups() if group not in found)
        proofs: list[GroupProof] = []
        budget, turns = FIRST_BUDGET, len(waiting)
        while waiting:
            question.closed(len(found), len(net.groups()))
            group = waiting.popleft()
            try:
                result = forest.run(group, budget)
            except KeyboardInterrupt:
                return replace(looked_at(question, found, proofs=proofs), interrupted=True)
            if result.state is SearchState.PAUSED:
                waiting.append(group)
            else:
                found[group] = tree_evidence(net.neurons(group), result)
                if result.crossing is not None:
                    return bent_at(question, result.crossing, group, found)
                if question.options.certificate and result.state is SearchState.CLOSED:
                    proofs.append(GroupProof(group, result.root))
            turns -= 1
            if not turns:
                budget, turns = budget * BUDGET_GROWTH, len(waiting)
        return looked_at(question, found, proofs=proofs)


class Forest:
    """The trees that are under way."""

    def __init__(self, question: Question) -> None:
        options, self._net = question.options, question.prepared.grouped
        self._network = question.network
        self._solver, self._allowance = LpSolver(question.deadline), Allowance()
        self._limits = TreeLimits(
            question.deadline.over,
            options.node_limit,
            Fraction(options.tolerance),
            options.inputs,
            sides=True,
        )
        self._least = least_jumps(self._net, self._network, options.tolerance, options.inputs)
        self._trees: dict[Unit, Tree] = {}

    def run(self, group: Unit, budget: int) -> GroupResult:
        """Give a group's tree so many nodes; once it is done it is dropped."""
        tree = self._tree(group)
        result = tree.run(budget)
        if result.state is not SearchState.PAUSED:
            del self._trees[group]
        return result

    def run_by_sign(self, group: Unit, budget: int) -> GroupResult:
        """Give a group's tree so many nodes without linear programs; drop it if that fails."""
        result = self._tree(group).run_by_sign(budget)
        del self._trees[group]
        return result

    def _tree(self, group: Unit) -> Tree:
        level, unit = group
        if group not in self._trees:
            self._trees[group] = Tree(
                self._net,
                group,
                self._network,
                self._solver,
                self._limits,
                self._least[level][unit],
                self._allowance,
            )
        return self._trees[group]


def tree_evidence(neurons: Neurons, result: GroupResult) -> GroupEvidence:
    """Return what the search of a group's tree says."""
    if result.state is not SearchState.CLOSED:
        reason = Reason.OPEN
    elif result.nodes == 1 and not result.lps:
        reason = Reason.SIGN
    else:
        reason = Reason.TREE
    return GroupEvidence(neurons, reason, result.nodes, result.lps)
