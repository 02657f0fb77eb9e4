"""Boxes that fix inputs are decided like the network of the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import oracle
import pytest
from agreement import check_evidence
from fuzz import tiny_network

import jensen
from jensen.domains.domain import Box, Domain, Everywhere
from jensen.network.relu_network import INPUT, ReluNetwork
from jensen.prover import flat_boxes
from jensen.verdicts.verdict import Status

VALUES = (0.0, 0.3, -1.0, 1e-9, 7.0)


def flat_box(rng: np.random.Generator, inputs: int) -> Box:
    """A box that fixes some inputs, and leaves at least one."""
    lower, upper = np.full(inputs, -1.0), rng.integers(1, 4, inputs).astype(float)
    fixed = rng.permutation(inputs)[: rng.integers(1, inputs)]
    lower[fixed] = upper[fixed] = rng.choice(VALUES, len(fixed))
    return Box(lower, upper)


def rest_of(network: ReluNetwork, box: Box) -> tuple[ReluNetwork, Box]:
    free = box.lower < box.upper
    fixed = {int(i): float(box.lower[i]) for i in np.flatnonzero(~free)}
    return network.fix_inputs(fixed), Box(box.lower[free], box.upper[free])


def test_verdicts_are_those_of_brute_force_on_the_free_inputs() -> None:
    rng, met = np.random.default_rng(3), Counter[Status]()
    for seed in range(220):
        _, network = tiny_network(seed, budget=8)
        if network.input_size == 1:
            continue
        box = flat_box(rng, network.input_size)
        concave = bool(rng.random() < 0.2)
        verdict = jensen.verify(network, box, concave=concave, time_limit=20)
        rest, domain = rest_of(network.negated() if concave else network, box)
        truth = oracle.is_convex(rest, domain)
        assert verdict.status is (Status.CONVEX if truth else Status.NONCONVEX), seed
        met[verdict.status] += 1
        if not concave:
            check_evidence(network, box, verdict)
    assert min(met[Status.CONVEX], met[Status.NONCONVEX]) > 20


def test_inputs_of_a_partial_question_keep_their_meaning() -> None:
    """|x0| - |x2| at x1 = 0.5: convex in x0, not in x2, and nothing moves where only x1 may."""
    rows = [[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]
    network = ReluNetwork.from_layers([rows, [[1.0, 1.0, -1.0, -1.0]]], [np.zeros(4), [0.0]])
    box = Box([-1, 0.5, -1], [1, 0.5, 1])
    found = {i: jensen.verify(network, box, inputs=i) for i in ((0,), (0, 1), (2,), (1,))}
    assert [verdict.status for verdict in found.values()] == [
        Status.CONVEX,
        Status.CONVEX,
        Status.NONCONVEX,
        Status.CONVEX,
    ]
    pair = found[2,].counterexample
    assert pair is not None
    assert pair.x[:2] == pair.y[:2]
    assert pair.x[1] == 0.5
    assert jensen.verify(network, box, inputs=(0,), certificate=True).certificate is not None


def wide_network(inputs: int) -> ReluNetwork:
    """Three layers of ReLUs, convex for the most part."""
    rng = np.random.default_rng(1)
    sizes = (inputs, 10, 10, 10, 1)
    weights = [rng.normal(size=(b, a)) for a, b in pairwise(sizes)]
    weights[1:] = [np.where(rng.random(w.shape) < 0.1, -0.1, 1) * np.abs(w) for w in weights[1:]]
    biases = [-rng.random(len(w)) for w in weights]
    return ReluNetwork.from_layers(weights, biases)


@pytest.mark.parametrize("free", [1, 2, 3])
def test_few_free_inputs_are_walked(free: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network = wide_network(5)
    lower, upper = np.full(5, -1.0), np.ones(5)
    lower[free:] = upper[free:] = 0.25
    verdict = jensen.verify(network, Box(lower, upper))
    monkeypatch.setattr(flat_boxes, "WALKED", 0)
    other = jensen.verify(network, Box(lower, upper))
    assert verdict.status is other.status is not Status.UNKNOWN
    assert verdict.nodes == 0
    names = {neuron for item in verdict.evidence for neuron in item.neurons}
    assert names <= {(b.name, u) for b in network.hidden for u in range(b.size)}


def spread(network: ReluNetwork, size: int, places: np.ndarray) -> ReluNetwork:
    """Return the same function of some of so many inputs."""
    blocks = []
    for block in network.blocks:
        weights = dict(block.weights)
        if INPUT in weights:
            weights[INPUT] = np.zeros((block.size, size))
            weights[INPUT][:, places] = block.weights[INPUT]
        blocks.append(replace(block, weights=weights))
    return ReluNetwork(size, blocks)


@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere()])
def test_inputs_that_nothing_reads_are_left_out(domain: Domain) -> None:
    rng, met = np.random.default_rng(8), Counter[Status]()
    for seed in range(60):
        _, tiny = tiny_network(seed, budget=8)
        network = spread(tiny, 7, np.sort(rng.permutation(7)[: tiny.input_size]))
        verdict = jensen.verify(network, domain)
        truth = oracle.is_convex(tiny, domain)
        assert verdict.status is (Status.CONVEX if truth else Status.NONCONVEX), seed
        check_evidence(network, domain, verdict)
        met[verdict.status] += 1
    assert min(met[Status.CONVEX], met[Status.NONCONVEX]) > 5


@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere()])
def test_three_of_thirty_inputs_are_walked(domain: Domain) -> None:
    network = spread(wide_network(3), 30, np.array([4, 11, 29]))
    verdict = jensen.verify(network, domain)
    assert verdict.status is jensen.verify(wide_network(3), domain).status
    assert verdict.nodes == 0
