"""Stacked bounds: true of every pattern that occurs, and no better than those of one network."""

from __future__ import annotations

import numpy as np
import pytest
from stacks import random_stack

from jensen.decide import verify
from jensen.domains.domain import Box, Everywhere
from jensen.many import settle_many, verify_many
from jensen.network.relu_network import ReluNetwork
from jensen.network.stack import NetworkStack
from jensen.prover.links import links_of_stack


def narrow_stack(count: int, seed: int, depth: int = 8) -> NetworkStack:
    """Deep and narrow: often convex by chance."""
    return random_stack(count, 3, *[2] * depth, 1, seed=seed, scale=0.6)


@pytest.mark.parametrize("side", [0.0, 0.3, 100.0, np.inf])
def test_networks_that_intervals_prove_are_convex(side):
    stack = narrow_stack(60, seed=1)
    domain = Everywhere() if np.isinf(side) else Box(-side, side)
    signs = links_of_stack(stack, domain)
    assert signs.convex.any()
    for number in np.flatnonzero(signs.convex)[:12]:
        assert verify(stack[int(number)], domain, time_limit=20).status == "convex"


def test_stable_neurons_are_stable_and_jumps_are_lower_bounds():
    rng = np.random.default_rng(0)
    stack = narrow_stack(40, seed=2)
    signs = links_of_stack(stack, Box([-2.0] * 3, [2.0] * 3))
    points = rng.uniform(-2, 2, (500, 3))
    for number in range(len(stack)):
        h, before = points, []
        for w, b in zip(stack.weights[:-1], stack.biases[:-1], strict=True):
            z = h @ w[number].T + b[number]
            before.append(z)
            h = np.maximum(z, 0.0)
        slope = np.broadcast_to(stack.weights[-1][number, 0], (len(points), 2))
        for layer in range(len(before) - 1, -1, -1):
            assert (slope.min(axis=0) >= signs.jumps[layer][number] - 1e-12).all()
            settled = ~signs.crossing[layer][number]
            assert not ((before[layer] > 0).any(axis=0) & (before[layer] < 0).any(axis=0))[
                settled
            ].any()
            slope = (slope * (before[layer] > 0)) @ stack.weights[layer][number]


def test_input_convex_networks_are_proved_on_all_of_space_and_named_as_they_are():
    stack = random_stack(20, 3, 5, 5, 1)
    weights = [stack.weights[0], *[np.abs(w) for w in stack.weights[1:]]]
    convex = NetworkStack(weights, stack.biases)
    assert links_of_stack(convex, Everywhere()).convex.all()
    assert sorted(settle_many(convex, Everywhere())) == list(range(20))
    network = convex[3]
    blocks = [network.hidden[0].name, network.hidden[1].name]
    (verdict,) = verify_many([network])
    assert {e.neurons[0][0] for e in verdict.evidence} == set(blocks)
    alone = verify(network)
    assert {e.neurons for e in verdict.evidence} == {e.neurons for e in alone.evidence}


def test_nothing_is_settled_where_products_underflow_or_overflow():
    tiny = ReluNetwork.from_layers([[[1e-200]], [[1e-200]], [[-1.0]]], [[0], [0], [0]])
    huge = ReluNetwork.from_layers([[[1e200]], [[1e200]], [[-1.0]]], [[0], [0], [0]])
    for network in (tiny, huge):
        stack = NetworkStack.from_networks([network])
        assert not links_of_stack(stack, Box(-1, 1)).convex.any()


def test_a_jump_that_rounding_hides_is_left_to_the_others():
    # 0.1 + 0.2 - 0.3 is 2.8e-17 in exact arithmetic of these doubles, and the negative below 0
    weights = [[[1.0]], [[0.1], [0.2], [0.3]], [[1.0, 1.0, -1.0]]]
    network = ReluNetwork.from_layers(weights, [[0], [5, 5, 5], [0]])
    for net in (network, network.negated()):
        stack = NetworkStack.from_networks([net])
        signs = links_of_stack(stack, Box(-1, 1))
        assert not signs.convex[0]
        assert verify_many([net], Box(-1, 1))[0].status == verify(net, Box(-1, 1)).status


def test_an_end_that_underflows_beside_a_large_one_settles_nothing():
    # z = 1e-30 x changes its sign at 0, though 1e-30 times the lower end is 0 in doubles
    network = ReluNetwork.from_layers([[[1e-30]], [[-1.0]]], [[0.0], [0.0]])
    assert verify_many([network], Box(-1e-300, 1.0))[0].status == "nonconvex"
    stack = NetworkStack.from_networks([network])
    assert not links_of_stack(stack, Box(-1e-300, 1.0)).convex.any()
