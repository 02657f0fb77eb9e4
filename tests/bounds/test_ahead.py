"""Bounds of J from single neurons onwards hold exactly, and are at least as good."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import scipy.sparse as sp
from fuzz import tiny_network
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import networks, patterns

import jensen
from jensen.bounds.ahead import raised_signs
from jensen.bounds.paths import exact_path_sum, sign_bounds
from jensen.bounds.pre_activation import pre_activation_bounds, stable_pattern
from jensen.network.relu_network import Block, ReluNetwork
from jensen.types import Interval


def raised(network: ReluNetwork, stable=None) -> dict[str, Interval]:
    nothing = {b.name: (np.zeros(b.size, bool), np.zeros(b.size, bool)) for b in network.hidden}
    stable = nothing if stable is None else stable
    return raised_signs(network, sign_bounds(network, stable), stable)


def assert_below(network: ReluNetwork, signs, pattern) -> None:
    for block in network.hidden:
        if block.is_relu:
            for index, low in enumerate(signs[block.name][0].tolist()):
                value = exact_path_sum(network, (block.name, index), pattern)
                assert low == -np.inf or Fraction(low) <= value


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_they_hold_for_every_pattern(data):
    network = data.draw(networks(max_width=3, affine=True))
    signs, free = raised(network), sign_bounds(network)
    assert_below(network, signs, data.draw(patterns(network)))
    assert all((signs[name][0] >= low).all() for name, (low, _) in free.items())
    assert all((signs[name][1] == high).all() for name, (_, high) in free.items())


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_they_hold_where_neurons_are_stable(seed):
    _, network = tiny_network(seed)
    stable = stable_pattern(pre_activation_bounds(network, -1, 1))
    signs = raised(network, stable)
    for x in product((-0.9, -0.37, 0.53), repeat=network.input_size):
        # a neuron that is never negative passes its z on, also where that is 0
        pattern = network.activation_pattern(x)
        on = {name: stable[name][0] & ~stable[name][1] for name in pattern}
        assert_below(network, signs, {name: act | on[name] for name, act in pattern.items()})


def outweighed() -> ReluNetwork:
    """A neuron with a negative weight that one which is always on outweighs, two levels on."""
    return ReluNetwork.from_layers(
        [[[1.0, 0.0]], [[2.0], [-1.0]], [[1.0, 1.0]], [[1.0]]],
        [[0.0], [5.0, 0.5], [-1.0], [0.0]],
    )


def test_what_is_summed_first_is_not_forgotten():
    network = outweighed()
    stable = {"relu_1": [False], "relu_2": [True, False], "relu_3": [False]}
    stable = {name: (np.array(on), ~np.ones(len(on), bool)) for name, on in stable.items()}
    assert sign_bounds(network, stable)["relu_1"][0][0] < 0
    assert raised(network, stable)["relu_1"][0][0] >= 0


def test_verify_needs_no_walk_where_they_do():
    weights = [np.array(w, dtype=float) for w in ([[1, 0, 0, 0], [0, 1, 1, 1]], [[2, 2], [-1, 1]])]
    weights += [np.ones((1, 2)), np.ones((1, 1))]
    network = ReluNetwork.from_layers(weights, [[0, 0], [5.0, 0.5], [-1.0], [0.0]])
    verdict = jensen.verify(network)
    assert verdict.status is jensen.Status.CONVEX
    assert set(verdict.reasons) <= {"sign", "never crosses"}


def test_sparse_weights_and_extreme_sizes_are_left_as_they_are():
    network = outweighed()
    blocks = [
        Block(b.name, {s: sp.csr_array(w) for s, w in b.weights.items()}, b.bias, b.activation)
        for b in network.blocks
    ]
    huge = [
        Block(b.name, {s: w * 1e160 for s, w in b.weights.items()}, b.bias, b.activation)
        for b in network.blocks[:1]
    ]
    for other in (ReluNetwork(2, blocks), ReluNetwork(2, [*huge, *network.blocks[1:]])):
        free = sign_bounds(other)
        assert all((raised(other)[name][0] == low).all() for name, (low, _) in free.items())
