"""Path sums: equal to the sum over all neuron paths, and to slopes; bounds hold exactly."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product
from time import perf_counter

import numpy as np
import pytest
import scipy.sparse as sp
from fuzz import tiny_network
from hypothesis import given
from hypothesis import strategies as st
from path_oracle import neuron_path_sums
from strategies import networks, patterns

from jensen.bounds.paths import exact_path_sum, path_shares, sign_bounds
from jensen.bounds.pre_activation import pre_activation_bounds, stable_pattern
from jensen.errors import NetworkError
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork


@given(st.data())
def test_exact_path_sums_are_the_sum_of_the_exact_shares_of_all_layer_paths(data):
    network = data.draw(networks(max_width=2, affine=True))
    pattern = data.draw(patterns(network))
    for name in (INPUT, *(block.name for block in network.hidden)):
        for index, exact in enumerate(neuron_path_sums(network, name, pattern)[0]):
            neuron = (name, index)
            shares = path_shares(network, neuron, pattern)
            assert exact_path_sum(network, neuron, pattern) == sum(shares.values()) == exact
            assert list(shares) == list(network.layer_paths(name))


def test_of_many_layer_paths_the_first_ones_are_looked_at():
    blocks = [Block("a", {INPUT: np.eye(1)}, np.zeros(1))]
    for name in "bcd":
        weights = {block.name: np.ones((1, 1)) for block in blocks}
        blocks.append(Block(name, weights, np.zeros(1)))
    output = Block(OUTPUT, {b.name: np.ones((1, 1)) for b in blocks}, np.zeros(1))
    network = ReluNetwork(1, [*blocks, replace(output, activation=Activation.IDENTITY)])
    pattern = {name: np.array([True]) for name in "bcd"}
    assert len(path_shares(network, ("a", 0), pattern, 3)) == 3
    assert exact_path_sum(network, ("a", 0), pattern) == 8


def test_path_sums_from_the_input_are_the_gradient():
    rng = np.random.default_rng(0)
    for seed in range(50):
        network = tiny_network(6 * seed)[1]
        x = rng.uniform(-1, 1, network.input_size)
        pattern = network.activation_pattern(x)
        gradient = [
            float(exact_path_sum(network, (INPUT, i), pattern)) for i in range(network.input_size)
        ]
        assert gradient == pytest.approx(network.affine_form(pattern)[0][0], abs=1e-12)
        step = 1e-7
        moved = [x + step * unit for unit in np.eye(network.input_size)]
        if all(
            all((network.activation_pattern(y)[k] == pattern[k]).all() for k in pattern)
            for y in moved
        ):
            slopes = (network(moved) - network([x])) / step
            assert pytest.approx(gradient, abs=1e-6) == slopes[:, 0]


def test_the_jump_across_a_kink_is_the_path_sum_times_the_gradient_of_z():
    # f = -2 relu(relu(x) + 1): across x = 0 the slope falls by 2
    network = ReluNetwork.from_layers([[[1.0]], [[1.0]], [[-2.0]]], [[0.0], [1.0], [0.0]])
    assert exact_path_sum(network, ("relu_1", 0), {"relu_2": np.array([True])}) == -2
    slopes = np.diff(network([[-1.0], [0.0], [1.0]])[:, 0])
    assert slopes[1] - slopes[0] == -2.0


def test_the_output_is_its_own_path_sum():
    network = tiny_network(0)[1]
    assert exact_path_sum(network, (OUTPUT, 0), {}) == 1
    assert list(network.layer_paths(OUTPUT)) == [(OUTPUT,)]


def test_only_the_blocks_behind_need_an_activation():
    network = ReluNetwork.from_layers([[[1.0]], [[3.0]], [[2.0]]], [[0.0], [0.0], [0.0]])
    assert exact_path_sum(network, ("relu_2", 0), {}) == 2
    with pytest.raises(NetworkError, match="no entry for block 'relu_2'"):
        exact_path_sum(network, ("relu_1", 0), {})


def assert_encloses(network: ReluNetwork, signs, pattern) -> None:
    for name, (low, high) in signs.items():
        for index, value in enumerate(neuron_path_sums(network, name, pattern)[0]):
            assert low[index] == -np.inf or Fraction(float(low[index])) <= value
            assert high[index] == np.inf or value <= Fraction(float(high[index]))


@given(st.data())
def test_sign_bounds_hold_exactly_for_every_pattern(data):
    network = data.draw(networks(max_width=2, affine=True))
    signs = sign_bounds(network)
    assert set(signs) == {block.name for block in network.hidden}
    assert_encloses(network, signs, data.draw(patterns(network)))


@given(st.data())
def test_sign_bounds_hold_for_every_pattern_that_occurs_in_the_box(data):
    network = data.draw(networks(max_width=2))
    signs = sign_bounds(network, stable_pattern(pre_activation_bounds(network, -1, 1)))
    for x in product((-1, -0.5, 0, 1), repeat=network.input_size):
        assert_encloses(network, signs, network.activation_pattern(x))


def test_stable_neurons_sharpen_the_signs():
    network = ReluNetwork.from_layers([[[1.0]], [[1.0], [1.0]], [[1.0, -1.0]]], [[0], [5, -5], [0]])
    free = sign_bounds(network)["relu_1"]
    assert (free[0][0], free[1][0]) == (pytest.approx(-1.0), pytest.approx(1.0))
    low, _ = sign_bounds(network, stable_pattern(pre_activation_bounds(network, -1, 1)))["relu_1"]
    assert low[0] == pytest.approx(1.0)


@given(st.integers(0, 10_000))
def test_an_icnn_has_no_negative_lower_bound(seed):
    rng = np.random.default_rng(seed)
    sizes = {"relu_1": 5, "relu_2": 4, "output": 1}
    blocks, sources = [], [INPUT]
    scale = 10.0 ** rng.uniform(-200, 80)
    for name, size in sizes.items():
        weights = {INPUT: rng.normal(size=(size, 3))}
        for source in sources[1:]:
            weights[source] = np.abs(rng.normal(size=(size, sizes[source]))) * scale
            weights[source] *= rng.random(weights[source].shape) < 0.6
        kind = Activation.IDENTITY if name == OUTPUT else Activation.RELU
        blocks.append(Block(name, weights, rng.normal(size=size), kind))
        sources.append(name)
    signs = sign_bounds(ReluNetwork(3, blocks))
    assert all((low >= 0).all() for low, _ in signs.values())


def test_signs_of_several_outputs_at_once_are_refused():
    network = ReluNetwork.from_layers([[[1.0]], [[1.0], [2.0]]], [[0.0], [0.0, 0.0]])
    with pytest.raises(NetworkError, match="select_output"):
        sign_bounds(network)


def test_sparse_weights_give_the_same_signs():
    for seed in range(0, 60, 3):
        network = tiny_network(seed)[1]
        copy = ReluNetwork(
            network.input_size,
            [
                Block(
                    b.name, {s: sp.csr_array(w) for s, w in b.weights.items()}, b.bias, b.activation
                )
                for b in network.blocks
            ],
        )
        dense, sparse = sign_bounds(network), sign_bounds(copy)
        for name in dense:
            assert dense[name][0] == pytest.approx(sparse[name][0], rel=1e-12, abs=1e-300)
            assert dense[name][1] == pytest.approx(sparse[name][1], rel=1e-12, abs=1e-300)


def test_a_large_sparse_network_is_never_made_dense():
    size, rng = 60_000, np.random.default_rng(0)
    weights = [
        sp.random_array((size, size), density=5 / size, format="csr", rng=rng) for _ in range(2)
    ]
    last = sp.csr_array(np.ones((1, size)))
    network = ReluNetwork.from_layers([*weights, last], [np.zeros(size), np.zeros(size), [0.0]])
    began = perf_counter()
    signs = sign_bounds(network)
    assert all((low >= 0).all() for low, _ in signs.values())
    assert perf_counter() - began < 5  # a dense matrix would take 29 GB
