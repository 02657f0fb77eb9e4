"""Stacks that are walked together: as one by one, and true by brute force in integers."""

from __future__ import annotations

from itertools import pairwise

import fuzz
import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jensen
from jensen.domains.domain import Box, Domain, Everywhere
from jensen.network.relu_network import ReluNetwork
from jensen.network.stack import NetworkStack
from jensen.prover.links import links_of_stack
from jensen.prover.walks import straight as walk_straight
from jensen.prover.walks.stack import walked_straight
from jensen.prover.walks.straight import bend_upwards, stack_bends_upwards

DOMAINS: list[Domain] = [Box(-1, 1), Box([-3, 0.5], [-0.25, 2]), Everywhere()]


def degenerate(seed: int, count: int, first: int, second: int) -> NetworkStack:
    """Networks of every family, some of them mixed with zero rows and what bends down."""
    rng = np.random.default_rng(seed)
    networks = []
    for number in range(count):
        sample = list(fuzz.SAMPLERS.values())[(seed + number) % len(fuzz.SAMPLERS)]
        (w1, b1), (w2, b2), (w3, b3) = (
            sample(rng, b, a) for a, b in pairwise((2, first, second, 1))
        )
        if rng.random() < 0.9:
            w2 = np.where(rng.random(w2.shape) < 0.3, w2, np.abs(w2))
            w3 = np.where(rng.random(w3.shape) < 0.2, w3, np.abs(w3))
        if rng.random() < 0.7:
            b2 = np.abs(b2) + rng.integers(0, 3)
        if rng.random() < 0.2:
            w1[rng.integers(first)] = 0.0
        networks.append(ReluNetwork.from_layers([w1, w2, w3], [b1, b2, b3]))
    return NetworkStack.from_networks(networks)


def closed_by_signs(stack: NetworkStack) -> list[np.ndarray]:
    """Return the neurons of non-negative J under every pattern, generously rounded."""
    last = stack.weights[2][:, 0]
    gains = last[:, :, None] * stack.weights[1]
    return [np.minimum(gains, 0.0).sum(axis=1) >= 0, last >= 0]


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_a_stack_is_walked_as_its_networks_are(domain, seed, first, second):
    stack = degenerate(seed, 6, first, second)
    closed = closed_by_signs(stack)
    with np.errstate(all="ignore"):
        together = stack_bends_upwards(stack, domain, closed)
        for number, network in enumerate(stack):
            names = [block.name for block in network.hidden]
            part = dict(zip(names, (side[number] for side in closed), strict=True))
            assert bend_upwards(network, domain, part) == together[number]


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
def test_degenerate_stacks_that_are_walked_are_convex_by_brute_force(domain):
    proved = convex = 0
    for seed in range(25):
        stack = degenerate(seed, 12, 1 + seed % 4, 1 + seed % 5)
        signs = links_of_stack(stack, domain, backward=True)
        closed = [np.zeros(stack.biases[0].shape, dtype=bool), stack.weights[2][:, 0] >= 0]
        with np.errstate(all="ignore"):
            walked = stack_bends_upwards(stack, domain, closed)
            walked |= walked_straight(stack, domain, signs)
        for number, network in enumerate(stack):
            truth = oracle.is_convex(network, domain)
            found = walked[number] or signs.convex[number]
            assert truth or not found, (seed, number)
            proved += int(walked[number])
            convex += truth
    assert proved > 0.3 * convex > 10


@pytest.mark.parametrize("domain", [*DOMAINS, Box([-1, 2], [1, 2])], ids=str)
def test_verdicts_of_degenerate_stacks_are_true_and_those_of_one_by_one(domain):
    for seed in range(8):
        stack = degenerate(100 + seed, 10, 4, 1 + seed % 4)
        together = jensen.verify_many(stack, domain)
        for number, network in enumerate(stack):
            alone = jensen.verify(network, domain)
            assert together[number].status == alone.status
            if domain in DOMAINS:
                convex = together[number].status is jensen.Status.CONVEX
                assert convex == oracle.is_convex(network, domain)


def test_small_tables_change_nothing(monkeypatch):
    stack = degenerate(3, 30, 4, 4)
    closed = closed_by_signs(stack)
    with np.errstate(all="ignore"):
        whole = [stack_bends_upwards(stack, domain, closed) for domain in DOMAINS]
        for size in (1, 100, 10**6):
            monkeypatch.setattr(walk_straight, "CHUNK", size)
            for domain, right in zip(DOMAINS, whole, strict=True):
                assert (stack_bends_upwards(stack, domain, closed) == right).all()
    assert any(right.any() for right in whole)


def test_a_network_of_extreme_weights_does_not_disturb_the_others():
    good = ReluNetwork.from_layers(
        [[[1.0, 0.0], [0.0, 1.0]], [[2.0, -1.0], [0.0, 2.0]], [[1.0, 1.0]]], [[0, 0], [5, 5], [0]]
    )
    weights = [
        w[None].repeat(4, axis=0)
        for w in (
            b.weights[n] for b, n in zip(good.blocks, ("input", "relu_1", "relu_2"), strict=True)
        )
    ]
    weights[0][0, 0, 0], weights[1][1, 0, 0], weights[0][2] = 1e-200, 1e200, 0.0
    stack = NetworkStack(weights, [[[0, 0]] * 4, [[5, 5]] * 4, [[0]] * 4])
    closed = [np.zeros((4, 2), dtype=bool), np.ones((4, 2), dtype=bool)]
    with np.errstate(all="ignore"):
        found = stack_bends_upwards(stack, Box(-1, 1), closed)
    # a row of zeros that is asked for bends nothing, which lines do not show
    assert found.tolist() == [False, False, False, True]


def test_walked_neurons_are_named_as_evidence():
    # on the kink of x, the second neuron behind is on from y = 1 on only, the first from 1/2 on
    weights = [[[1, 0], [0, 1], [0, 1]], [[1, 1, 0], [-0.5, 0, 10]], [[1, 1]]]
    network = ReluNetwork.from_layers(weights, [[0, 0, -1], [-0.5, 0], [0]])
    for domain in (Everywhere(), Box(-5, 5)):
        for verdict in (*jensen.verify_many([network] * 2, domain), jensen.verify(network, domain)):
            assert verdict.status is jensen.Status.CONVEX
            assert verdict.reasons == {"walk": 1, "sign": 4}
