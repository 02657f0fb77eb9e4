"""The rule *side*: no facet's pattern is closed by it, and sums of the largest need no program."""

from __future__ import annotations

from collections import Counter

import numpy as np
import oracle
import pytest
from agreement import check_evidence
from comparators import random_order, weighted_order
from fuzz import tiny_network, varied_network
from grouped import grouped, walk

import jensen
from jensen.decide import PROVERS
from jensen.domains.domain import Box, Domain, Everywhere
from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import FREE, OFF, ON
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.prover.question import Question
from jensen.prover.trees.nodes import Rule
from jensen.prover.trees.tree import Tree, TreeLimits
from jensen.verdicts.options import Engine, Options
from jensen.verdicts.verdict import Status
from jensen_encodings.deadline import Deadline
from jensen_encodings.lp import LpSolver

BOX = Box(-1, 1)
LIMITS = TreeLimits(lambda: False, sides=True)
NEAR = 1e-12


def sum_of_largest(kept: int, pieces: int, inputs: int, seed: int = 0) -> ReluNetwork:
    rng = np.random.default_rng(seed)
    rows = np.round(rng.normal(size=(pieces, inputs)) * 64) / 64
    return weighted_order(rows, np.round(rng.normal(size=pieces) * 64) / 64, np.ones(kept))


def states_beside(net: GroupedNetwork, rng: np.random.Generator):
    """Yield the states on both sides of facets that random lines cross, flips and all."""
    dim = net.working_set.dim
    for _ in range(12):
        start, end = rng.uniform(-1, 1, (2, dim))
        shares = np.linspace(0, 1, 400)
        points = start + shares[:, None] * (end - start)
        z = [np.where(np.abs(v) < NEAR, 0.0, v) for v in net.pre_activations(points)]
        for i in range(len(shares) - 1):
            one, two = [v[i] for v in z], [v[i + 1] for v in z]
            if any((np.sign(a) != np.sign(b)).any() for a, b in zip(one, two, strict=True)):
                # where a unit is 0 on a side it has the state of the other
                yield (
                    [np.where(a == 0, b, a) > 0 for a, b in zip(one, two, strict=True)],
                    [np.where(b == 0, a, b) > 0 for a, b in zip(one, two, strict=True)],
                )


def patterns_between(net: GroupedNetwork, before, after):
    """Yield the groups that flip with the patterns of the proof of theorem A."""
    current = [np.where(a, ON, OFF) for a in before]
    for level, unit in net.groups():
        if before[level][unit] != after[level][unit]:
            current[level][unit] = ON if after[level][unit] else OFF
            yield (level, unit), [act.copy() for act in current]


def contains(net: GroupedNetwork, group, node, pattern) -> bool:
    for k, (level, act) in enumerate(zip(net.levels, node.activations, strict=True)):
        fixed = level.kink & (act != FREE)
        if k == group[0]:
            fixed[group[1]] = False
        if (act[fixed] != pattern[k][fixed]).any():
            return False
    return True


def check_no_facet_is_closed_by_its_sides(network: ReluNetwork, counts: Counter[str]) -> None:
    net, bounded = grouped(network, BOX)
    closed = {}
    for group in net.groups():
        result = Tree(net, group, bounded, LpSolver(), LIMITS).run(200)
        closed[group] = [node for node in walk(result.root) if node.rule is Rule.SIDE]
        counts["leaves"] += len(closed[group])
    if not any(closed.values()):
        return
    for before, after in states_beside(net, np.random.default_rng(0)):
        for group, pattern in patterns_between(net, before, after):
            counts["patterns"] += 1
            assert not any(contains(net, group, node, pattern) for node in closed[group])


def test_no_pattern_between_two_regions_is_closed_by_its_sides():
    counts: Counter[str] = Counter()
    for seed in range(40):
        network = random_order(seed, inputs=1 + seed % 4, pieces=3 + seed % 3)
        check_no_facet_is_closed_by_its_sides(network, counts)
        check_no_facet_is_closed_by_its_sides(tiny_network(seed)[1], counts)
        check_no_facet_is_closed_by_its_sides(varied_network(seed)[1], counts)
    assert counts["leaves"] > 60
    assert counts["patterns"] > 300


def verdicts(network: ReluNetwork, domain: Domain, engine: Engine) -> Status:
    """Ask a prover without the screens in front of it."""
    options = Options(engine=engine, time_limit=60.0)
    question = Question(prepare(network, domain), options, Deadline.after(60.0))
    return PROVERS[engine](question).status


@pytest.mark.parametrize("engine", [Engine.TREE, Engine.JOINT])
@pytest.mark.parametrize("domain", [BOX, Everywhere()], ids=["box", "everywhere"])
def test_weighted_orders_are_decided_as_by_brute_force(engine, domain):
    answers: Counter[Status] = Counter()
    for seed in range(36):
        network = random_order(seed, inputs=1 + seed % 3, pieces=3 + seed % 2)
        convex = oracle.is_convex(network, domain)
        found = verdicts(network, domain, engine)
        assert found is (Status.CONVEX if convex else Status.NONCONVEX), seed
        answers[found] += 1
    assert min(answers[Status.CONVEX], answers[Status.NONCONVEX]) >= 4


@pytest.mark.parametrize("domain", [BOX, Everywhere()], ids=["box", "everywhere"])
@pytest.mark.parametrize("engine", [Engine.TREE, Engine.AUTO])
def test_sums_of_the_largest_are_proved_without_programs(engine, domain):
    for kept, pieces, inputs in ((2, 7, 20), (3, 6, 8)):
        verdict = jensen.verify(sum_of_largest(kept, pieces, inputs), domain, engine=engine)
        assert verdict.status is Status.CONVEX
        check_evidence(sum_of_largest(kept, pieces, inputs), domain, verdict)
        assert sum(item.lps for item in verdict.evidence) <= 8


@pytest.mark.parametrize("domain", [BOX, Everywhere()], ids=["box", "everywhere"])
@pytest.mark.parametrize("engine", [Engine.TREE, Engine.AUTO])
def test_certificates_have_the_rule(engine, domain):
    verdict = jensen.verify(sum_of_largest(2, 6, 5), domain, certificate=True, engine=engine)
    assert verdict.status is Status.CONVEX
    assert verdict.certificate is not None
    names = Counter(line[0] for line in verdict.certificate.lines[1:])
    assert names["side"] >= 5
    assert not names["empty"]
