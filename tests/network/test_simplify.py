"""Simplification keeps the function exactly."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from jensen.network.relu_network import Activation, Block, ReluNetwork
from jensen.network.simplify.duplicates import merge_duplicates
from jensen.network.simplify.simplify import (
    drop_constant_neurons,
    drop_dead_neurons,
    fold_affine_blocks,
    merge_blocks,
    simplify,
)
from jensen.network.simplify.sketch import Sketch

IDENTITY, RELU = Activation.IDENTITY, Activation.RELU


def block(name, activation=RELU, bias=None, **weights):
    matrices = {source: np.array(w, dtype=float) for source, w in weights.items()}
    size = len(next(iter(matrices.values())))
    return Block(
        name, matrices, np.zeros(size) if bias is None else np.array(bias, float), activation
    )


def grid_around(kinks):
    places = sorted(kinks) or [Fraction(0)]
    return [places[0] - 1, *places, places[-1] + 1]


def kinks_on(network, point_at):
    """Return every t where a neuron of the network may kink on a line, exactly."""
    kinks = set()
    for block in network.blocks:
        if not block.is_relu:
            continue
        # between the kinks of the blocks before it the block's z are affine
        grid = grid_around(kinks)
        values = [
            network.exact_pre_activations(point_at(t))[block.name].to_fractions() for t in grid
        ]
        for i, (t, u) in enumerate(pairwise(grid)):
            for z, w in zip(values[i], values[i + 1], strict=True):
                if z == w:
                    continue
                zero = t - z * (u - t) / (w - z)
                before = i > 0 and zero < t
                after = i < len(grid) - 2 and zero > u
                if not before and not after:
                    kinks.add(zero)
    return kinks


def assert_equal_functions(first, second, lines=3, seed=0):
    """Prove equality on random lines: two functions that are affine between the same
    points, and beyond them, are equal if they are equal there and at one point further."""
    rng = np.random.default_rng(seed)
    for _ in range(lines):
        ends = rng.integers(-30, 31, (2, first.input_size))

        def point_at(t, ends=ends):
            return [Fraction(int(p), 7) + t * int(q) for p, q in ends.T]

        for t in grid_around(kinks_on(first, point_at) | kinks_on(second, point_at)):
            assert first.exact(point_at(t)) == second.exact(point_at(t))


@st.composite
def networks(draw):
    """Random DAGs with small integer weights: dead, constant and equal neurons are common."""
    sizes = {"input": draw(st.integers(1, 3))}
    blocks = []
    entry = st.sampled_from([-2.0, -1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.5])
    for i in range(draw(st.integers(1, 4))):
        size = draw(st.integers(1, 4))
        sources = draw(st.sets(st.sampled_from(sorted(sizes)), min_size=1))
        weights = {}
        for source in sorted(sources):
            rows = draw(
                st.lists(
                    st.lists(entry, min_size=sizes[source], max_size=sizes[source]),
                    min_size=size,
                    max_size=size,
                )
            )
            matrix = np.array(rows)
            weights[source] = sp.csr_array(matrix) if draw(st.booleans()) else matrix
        bias = np.array(draw(st.lists(entry, min_size=size, max_size=size)))
        name = f"b{i}"
        blocks.append(Block(name, weights, bias, draw(st.sampled_from([RELU, RELU, IDENTITY]))))
        sizes[name] = size
    unread = set(sizes) - {"input"} - {s for b in blocks for s in b.weights}
    weights = {
        source: np.array([[draw(entry) for _ in range(sizes[source])] for _ in range(2)])
        for source in sorted(unread)
    }
    blocks.append(Block("output", weights, np.array([1.0, 0.0]), IDENTITY))
    return ReluNetwork(sizes["input"], blocks)


@given(networks())
@settings(max_examples=150, deadline=None)
def test_simplification_keeps_every_value_and_adds_no_neuron(network):
    smaller = simplify(network)
    assert_equal_functions(network, smaller, lines=1)
    assert smaller.relu_count <= network.relu_count
    assert len(smaller.blocks) <= len(network.blocks)


STEPS = (
    drop_dead_neurons,
    fold_affine_blocks,
    merge_blocks,
    drop_constant_neurons,
    merge_duplicates,
)


@pytest.mark.parametrize("step", STEPS)
@given(network=networks())
@settings(max_examples=40, deadline=None)
def test_every_step_alone_keeps_the_function(step, network):
    sketch = Sketch(network)
    step(sketch)
    assert_equal_functions(network, sketch.network(), lines=1)


def test_a_chain_of_blocks_that_a_step_leaves_unread_is_no_part_of_the_result():
    network = ReluNetwork(
        1,
        [
            block("a", bias=[1], input=[[1]]),
            block("b", bias=[2], a=[[0]]),
            block("c", bias=[3], b=[[0]]),
            block("output", IDENTITY, c=[[1]], input=[[1]]),
        ],
    )
    sketch = Sketch(network)
    drop_constant_neurons(sketch)
    assert [b.name for b in sketch.network().blocks] == ["output"]
    assert_equal_functions(network, sketch.network())


@given(networks())
@settings(max_examples=40, deadline=None)
def test_simplification_is_finished_after_one_call(network):
    once = simplify(network)
    assert simplify(once).relu_count == once.relu_count


def test_an_affine_chain_is_folded():
    network = ReluNetwork(
        2,
        [
            block("a", IDENTITY, [1, 2], input=[[1, 2], [3, 4]]),
            block("h", bias=[1], a=[[1, -1]]),
            block("output", IDENTITY, h=[[1]]),
        ],
    )
    smaller = simplify(network)
    assert [b.name for b in smaller.blocks] == ["h", "output"]
    assert_equal_functions(network, smaller)


def test_an_affine_chain_is_kept_where_its_product_would_be_rounded():
    network = ReluNetwork(
        1,
        [
            block("a", IDENTITY, input=[[0.1]]),
            block("h", a=[[0.1]]),
            block("output", IDENTITY, h=[[1]]),
        ],
    )
    assert simplify(network) is network


def test_blocks_with_the_same_predecessors_are_merged():
    network = ReluNetwork(
        1,
        [
            block("a", input=[[1]]),
            block("b", input=[[2], [3]], bias=[1, 0]),
            block("c", a=[[1]]),
            block("output", IDENTITY, b=[[1, 1]], c=[[5]]),
        ],
    )
    smaller = simplify(network)
    assert [b.size for b in smaller.blocks] == [3, 1, 1]
    assert_equal_functions(network, smaller)


def test_dead_constant_and_duplicate_neurons_are_dropped():
    network = ReluNetwork(
        1,
        [
            block("a", input=[[1], [1], [0], [0], [2]], bias=[1, 1, 3, -3, 0]),
            block("output", IDENTITY, a=[[1, 2, 4, 8, 0]]),
        ],
    )
    smaller = simplify(network)
    assert smaller.relu_count == 1
    assert smaller.output.bias.tolist() == [12.0]
    assert_equal_functions(network, smaller)


def test_a_network_that_is_constant_keeps_its_input():
    network = ReluNetwork(
        2, [block("a", input=[[0, 0]], bias=[2]), block("output", IDENTITY, a=[[3]])]
    )
    smaller = simplify(network)
    assert (smaller.relu_count, smaller.input_size) == (0, 2)
    assert smaller.exact([1, 1]) == (6,)


@pytest.mark.parametrize("value", [1 + 2.0**-40])
def test_duplicates_whose_weights_do_not_add_exactly_are_kept(value):
    network = ReluNetwork(
        1,
        [
            block("a", input=[[1], [1]]),
            block("output", IDENTITY, a=[[value, 2.0**-30 * value]]),
        ],
    )
    assert simplify(network).relu_count == 2
