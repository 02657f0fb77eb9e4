"""Leaves that leave units free: no facet that bends down is closed, and few leaves are needed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import oracle
import pytest
from agreement import check_evidence
from certificate_tools import check
from comparators import bracketed_twice, random_order
from fuzz import tiny_network, varied_network
from grouped import grouped

import jensen
from jensen.decide import PROVERS
from jensen.domains.domain import Box, Domain, Everywhere
from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import FREE, OFF, ON
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.prover.question import Question
from jensen.prover.trees.loose import LooseLeaves
from jensen.verdicts.options import Engine, Options
from jensen.verdicts.verdict import Status
from jensen_encodings.deadline import Deadline

BOX = Box(-1, 1)
NEAR = 1e-12
FLAT = 1e-9  # of a change of slope


def facets(network: ReluNetwork, net: GroupedNetwork, rng: np.random.Generator):
    """Yield what random lines cross: the states before and after, and the change of slope."""
    shares = np.linspace(0, 1, 300)
    for _ in range(8):
        start, end = rng.uniform(-1, 1, (2, network.input_size))
        points = start + shares[:, None] * (end - start)
        values = net.pre_activations(points)
        states = [np.where(np.abs(v) < NEAR, 0.0, np.sign(v)) for v in values]
        same = np.all([(s[1:] == s[:-1]).all(axis=1) for s in states], axis=0)
        f = network(points)[:, 0]
        for i in np.flatnonzero(~same[1:-1] & same[:-2] & same[2:]) + 1:
            before, after = ([s[j] for s in states] for j in (i, i + 1))
            flips = [a != b for a, b in zip(before, after, strict=True)]
            ends = [
                np.concatenate([v[j][m] for v, m in zip(values, flips, strict=True)])
                for j in (i, i + 1)
            ]
            places = ends[0] / (ends[0] - ends[1])
            if np.ptp(places) < FLAT and all(s.all() for s in (*before, *after)):
                yield before, after, (f[i + 2] - f[i + 1]) - (f[i] - f[i - 1])


def partial(
    net: GroupedNetwork, group: tuple[int, int], before: list[np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Return the states on one side of a facet, the group and random other units free."""
    kept = rng.choice([0.3, 0.6, 0.9])
    found = []
    for level, state in zip(net.levels, before, strict=True):
        act = np.where(level.kink, np.where(state > 0, ON, OFF), ON)
        free = level.kink & (rng.random(level.size) > kept)
        found.append(np.where(free, FREE, act).astype(np.int8))
    found[group[0]][group[1]] = FREE
    return tuple(found)


def check_facets(network: ReluNetwork, rng: np.random.Generator, counts: Counter[str]) -> None:
    net, bounded = grouped(network, BOX)
    for before, after, bend in facets(bounded, net, rng):
        for k, u in net.groups():
            if before[k][u] * after[k][u] >= 0:
                continue
            for _ in range(3):
                pattern = partial(net, (k, u), before, rng)
                left = sum(int((act == FREE).sum()) for act in pattern) > 1
                closed = left and LooseLeaves(net, (k, u)).close(pattern, None) is None
                counts["closed"] += closed
                counts["down"] += bend < -FLAT
                assert not (closed and bend < -FLAT)


def test_no_facet_that_bends_down_is_closed():
    counts: Counter[str] = Counter()
    rng = np.random.default_rng(0)
    for seed in range(25):
        check_facets(tiny_network(seed)[1], rng, counts)
        check_facets(varied_network(seed)[1], rng, counts)
        check_facets(random_order(seed, inputs=1 + seed % 3, pieces=3), rng, counts)
        for factor in (1.0, 1.25):
            check_facets(bracketed_twice(seed, 1 + seed % 3, factor=factor), rng, counts)
    assert counts["closed"] > 100
    assert counts["down"] > 100


def verdict_of(network: ReluNetwork, domain: Domain, engine: Engine):
    """Ask a prover without the screens in front of it."""
    options = Options(engine=engine, time_limit=60.0)
    return PROVERS[engine](Question(prepare(network, domain), options, Deadline.after(60.0)))


@pytest.mark.parametrize("engine", [Engine.TREE, Engine.JOINT])
def test_sums_with_maxima_bracketed_twice_are_decided_as_by_brute_force(engine):
    answers: Counter[Status] = Counter()
    for seed in range(18):
        network = bracketed_twice(seed, 1 + seed % 2, factor=(1.0, 1.0, 1.25)[seed % 3], beside=2)
        found = verdict_of(network, BOX, engine).status
        convex = oracle.is_convex(network, BOX)
        assert found is (Status.CONVEX if convex else Status.NONCONVEX), seed
        answers[found] += 1
    assert min(answers[Status.CONVEX], answers[Status.NONCONVEX]) >= 4


@pytest.mark.parametrize("domain", [BOX, Everywhere()], ids=["box", "everywhere"])
@pytest.mark.parametrize("engine", [Engine.TREE, Engine.AUTO])
def test_what_stands_beside_a_kink_is_not_branched_on(engine, domain):
    nodes = []
    for beside in (0, 16):
        network = bracketed_twice(0, 4, beside=beside)
        verdict = jensen.verify(network, domain, engine=engine, time_limit=60.0)
        assert verdict.status is Status.CONVEX
        check_evidence(network, domain, verdict)
        nodes.append(verdict.nodes)
    assert nodes[1] <= 3 * nodes[0]


def test_certificates_leave_units_free(tmp_path: Path):
    network = bracketed_twice(0, 6, beside=10)
    verdict = jensen.verify(network, BOX, certificate=True)
    assert verdict.certificate is not None
    assert check(network, verdict.certificate, tmp_path) == 0
    assert sum(line[0] == "smooth" for line in verdict.certificate.lines[1:]) > 0
    assert len(verdict.certificate.lines) < 2**10
