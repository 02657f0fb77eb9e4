"""The provers that look at every hyperplane group: the tree, and the facet programs."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction

from jensen.bounds.paths import sign_bounds
from jensen.bounds.pre_activation import stable_pattern
from jensen.domains.domain import Box, Domain
from jensen.groups.groups import Bounds, GroupedNetwork
from jensen.groups.tolerance import least_jumps
from jensen.network.relu_network import ReluNetwork
from jensen.prover.facet_programs import FacetResult, FacetSearch, facet_data
from jensen.prover.options import Options
from jensen.prover.tree import (
    Allowance,
    Crossing,
    GroupResult,
    Node,
    SearchState,
    Tree,
    TreeLimits,
)
from jensen.prover.verdict import GroupEvidence, Reason
from jensen_encodings.lp import LpSolver

FIRST_BUDGET = 128  # nodes of a group before the others get their turn
BUDGET_GROWTH = 4

Unit = tuple[int, int]
Neurons = tuple[tuple[str, int], ...]


@dataclass
class Outcome:
    """What a prover found out.

    Attributes
    ----------
    evidence : list of GroupEvidence
        One per group; ``Reason.OPEN`` where the group was left open.
    crossing, neurons : a facet that bends down and its group, or None
    proofs : list of (group, root node)
        Closed trees, for a certificate.
    tolerance : float
        The largest solver tolerance that entered; 0 if all is exact.
    """

    evidence: list[GroupEvidence] = field(default_factory=list)
    crossing: Crossing | None = None
    neurons: Neurons = ()
    proofs: list[tuple[Unit, Node]] = field(default_factory=list)
    tolerance: float = 0.0

    @property
    def open(self) -> int:
        """How many groups are left open."""
        return sum(item.reason is Reason.OPEN for item in self.evidence)


def prove_by_trees(
    net: GroupedNetwork,
    bounds: Bounds,
    network: ReluNetwork,
    options: Options,
    deadline: float | None,
) -> Outcome:
    """Search the tree of every group; stop at the first facet that bends down.

    One backward sweep closes the groups whose path products cannot be negative. The
    others take turns with growing budgets of nodes, so that one hard group keeps neither
    the easy ones open nor a facet that bends down hidden.

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
    """
    solver, allowance = LpSolver(deadline), Allowance()
    limits = TreeLimits(
        lambda: deadline is not None and time.monotonic() > deadline,
        options.node_limit,
        Fraction(options.tolerance),
        options.inputs,
    )
    results = closed_by_sweep(net, network, bounds)
    least = least_jumps(net, network, options.tolerance, options.inputs)
    waiting = deque(group for group in net.groups() if group not in results)
    trees: dict[Unit, Tree] = {}
    proofs = []
    budget, turns = FIRST_BUDGET, len(waiting)
    while waiting:
        group = waiting.popleft()
        if group not in trees:
            level, unit = group
            trees[group] = Tree(net, group, network, solver, limits, least[level][unit], allowance)
        result = trees[group].run(budget)
        if result.state is SearchState.PAUSED:
            waiting.append(group)
        else:
            del trees[group]
            results[group] = _tree_evidence(neurons_of(net, group), result)
            if result.crossing is not None:
                evidence = [results[g] for g in net.groups() if g in results]
                return Outcome(evidence, result.crossing, neurons_of(net, group))
            if options.certificate and result.state is SearchState.CLOSED:
                proofs.append((group, result.root))
        turns -= 1
        if not turns:
            budget, turns = budget * BUDGET_GROWTH, len(waiting)
    return Outcome([results[g] for g in net.groups()], proofs=proofs)


def closed_by_sweep(
    net: GroupedNetwork, network: ReluNetwork, bounds: Bounds
) -> dict[Unit, GroupEvidence]:
    """Close groups whose members all have J >= 0 under every pattern of the unstable neurons."""
    signs = sign_bounds(network, stable_pattern(bounds))
    closed = {}
    for group in net.groups():
        neurons = neurons_of(net, group)
        low = min(float(signs[block][0][index]) for block, index in neurons)
        if low >= 0:
            closed[group] = GroupEvidence(neurons, Reason.SIGN, jump_lower_bound=low)
    return closed


def prove_by_facet_programs(
    net: GroupedNetwork,
    network: ReluNetwork,
    domain: Domain,
    options: Options,
    deadline: float | None,
) -> Outcome:
    """Solve the facet programs of every group; stop at the first facet that bends down.

    Parameters
    ----------
    domain : Box or Everywhere
    """
    outcome = Outcome()
    lifted = not isinstance(domain, Box)
    lower, upper = (None, None) if lifted else domain.bounds(network.input_size)  # type: ignore[union-attr]
    data = facet_data(network, lower, upper, lifted=lifted)
    solver = LpSolver(deadline)
    least = least_jumps(net, network, options.tolerance, options.inputs)
    for level, unit in net.groups():
        neurons = neurons_of(net, (level, unit))
        if deadline is not None and time.monotonic() > deadline:
            outcome.evidence.append(GroupEvidence(neurons, Reason.OPEN))
            continue
        search = FacetSearch(
            net,
            data,
            (level, unit),
            network,
            solver,
            inputs=options.inputs,
            least_jump=math.nextafter(float(least[level][unit]), 0.0),
            tolerance=Fraction(options.tolerance),
            threads=options.threads,
            deadline=deadline,
        )
        result = search.run()
        outcome.evidence.append(_facet_evidence(neurons, result))
        if result.crossing is not None:
            outcome.crossing, outcome.neurons = result.crossing, neurons
            return outcome
        if result.closed:
            outcome.tolerance = max(outcome.tolerance, result.tolerance)
    return outcome


def neurons_of(net: GroupedNetwork, group: Unit) -> Neurons:
    """Return the (block, index) of a group's twins, the lead first."""
    level, unit = group
    return tuple((member.block, member.index) for member in net.levels[level].units[unit])


def never_crossing(net: GroupedNetwork, network: ReluNetwork) -> list[GroupEvidence]:
    """Return the evidence of the neurons that never change their activation."""
    kinking = {neuron for group in net.groups() for neuron in neurons_of(net, group)}
    return [
        GroupEvidence(((block.name, i),), Reason.NEVER_CROSSES)
        for block in network.hidden
        if block.is_relu
        for i in range(block.size)
        if (block.name, i) not in kinking
    ]


def _tree_evidence(neurons: Neurons, result: GroupResult) -> GroupEvidence:
    if result.state is not SearchState.CLOSED:
        reason = Reason.OPEN
    elif result.nodes == 1 and not result.lps:
        reason = Reason.SIGN
    else:
        reason = Reason.TREE
    return GroupEvidence(neurons, reason, result.nodes, result.lps)


def _facet_evidence(neurons: Neurons, result: FacetResult) -> GroupEvidence:
    if not result.closed:
        reason = Reason.OPEN
    else:
        reason = Reason.SIGN if result.rounds == 0 and not result.tolerance else Reason.MILP
    return GroupEvidence(
        neurons,
        reason,
        result.nodes,
        exact=not result.tolerance,
        jump_lower_bound=result.jump_lower_bound,
    )
