"""Partial evaluation: the same function exactly, whatever the values round to."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from strategies import REALS, networks

import jensen
from jensen.errors import NetworkError
from jensen.network.relu_network import Activation, Block, ReluNetwork

AWKWARD = st.one_of(st.sampled_from([0.0, 1.0, -1.0, 0.1, 1e-300, 1e300]), REALS)


@given(st.data())
def test_the_fixed_network_is_the_same_function_exactly(data):
    network = data.draw(
        networks(max_inputs=4, outputs=2, affine=True).filter(lambda n: n.input_size > 1)
    )
    chosen = data.draw(
        st.sets(st.integers(0, network.input_size - 1), min_size=1, max_size=network.input_size - 1)
    )
    values = {index: data.draw(AWKWARD) for index in chosen}
    left = [i for i in range(network.input_size) if i not in chosen]
    rest = [data.draw(REALS) for _ in left]
    whole = [values.get(i, 0.0) for i in range(network.input_size)]
    for index, value in zip(left, rest, strict=True):
        whole[index] = value
    assert network.fix_inputs(values).exact(rest) == network.exact(whole)


def test_sums_that_no_double_holds_are_read_from_constants():
    network = ReluNetwork.from_layers([[[1.0, 1 / 3], [2.0, 0.5]], [[1.0, 1.0]]], [[0.1, 1], [0]])
    fixed = network.fix_inputs({1: 0.1})
    assert [block.name for block in fixed.blocks] == ["fixed", "relu_1", "output"]
    expected = Fraction(1.0) + Fraction(1 / 3) * Fraction(0.1) + Fraction(0.1)
    assert fixed.exact_pre_activations([1.0])["relu_1"].to_fractions()[0] == expected


def test_sums_that_doubles_hold_leave_the_network_as_small_as_it_was():
    network = ReluNetwork.from_layers([[[1.0, 0.5], [2.0, -3.0]], [[1.0, 1.0]]], [[0.25, 1], [0]])
    fixed = network.fix_inputs({1: 0.5})
    assert [block.name for block in fixed.blocks] == ["relu_1", "output"]
    assert fixed["relu_1"].bias.tolist() == [0.5, -0.5]


def test_a_block_called_fixed_keeps_its_name():
    blocks = [
        Block("fixed", {"input": np.array([[1 / 3, 0.7]])}, np.array([0.1])),
        Block("output", {"fixed": np.eye(1)}, np.zeros(1), Activation.IDENTITY),
    ]
    network = ReluNetwork(2, blocks)
    assert network.fix_inputs({0: 0.1}).exact([2.0]) == network.exact([0.1, 2.0])


def test_sparse_weights_stay_sparse():
    weight = sp.csr_array(np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]]))
    network = ReluNetwork.from_layers([weight, [[1.0, 1.0]]], [[0, 0], [0]])
    fixed = network.fix_inputs({2: 4.0})
    assert sp.issparse(fixed["relu_1"].weights["input"])
    assert fixed.exact([1, 1]) == (Fraction(12),)


@pytest.mark.parametrize("value", [0.5, 0.1])
def test_fixed_networks_verify_on_boxes_and_everywhere(value):
    # x * relu-like coupling: convex in x for the value fixed, and refuted without it
    network = ReluNetwork.from_layers(
        [[[1.0, 1.0], [1.0, -1.0], [0.0, 1.0]], [[1.0, 1.0, -1.0]]], [[0, 0, 0], [0]]
    )
    assert jensen.verify(network, jensen.Box(-1, 1)).status == "nonconvex"
    fixed = network.fix_inputs({1: value})
    for domain in (jensen.Box(-1, 1), jensen.Everywhere()):
        assert jensen.verify(fixed, domain).status == "convex"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({3: 1.0}, "input 3 to fix: the network has 2"),
        ({-1: 1.0}, "input -1 to fix"),
        ({0: np.nan}, "input 0 fixed to nan"),
        ({0: np.inf}, "input 0 fixed to inf"),
        ({0: 1.0, 1: 1.0}, "at least one has to be left"),
    ],
)
def test_wrong_values_are_refused_by_name(values, message):
    network = ReluNetwork.from_layers([[[1.0, 1.0]], [[1.0]]], [[0], [0]])
    with pytest.raises(NetworkError, match=message):
        network.fix_inputs(values)
