"""Weights as a network keeps them: its own, shared where nobody can write to them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork


def _parts(matrix):
    return (matrix.data, matrix.indices) if sp.issparse(matrix) else (matrix,)


@pytest.mark.parametrize("kind", [np.array, sp.csr_array])
def test_weights_are_copied_from_who_can_write_to_them_and_shared_between_networks(kind):
    weight = kind(np.eye(3))
    network = ReluNetwork(3, [Block(OUTPUT, {INPUT: weight}, np.zeros(3), Activation.IDENTITY)])
    weight[0, 0] = 5.0
    assert network.exact([1, 0, 0]) == (1, 0, 0)
    stored = network.output.weights[INPUT]
    again = ReluNetwork(3, network.blocks).output.weights[INPUT]
    assert all(np.shares_memory(a, b) for a, b in zip(_parts(again), _parts(stored), strict=True))


def test_a_read_only_view_of_a_writable_array_is_copied():
    weight = np.eye(2)
    view = weight[:]
    view.flags.writeable = False
    network = ReluNetwork.from_layers([view], [np.zeros(2)])
    weight[0, 0] = 5.0
    assert network.exact([1, 0]) == (1, 0)


def test_repeated_entries_of_a_sparse_weight_are_added_once_and_for_all():
    twice = sp.csr_array((np.ones(2), np.zeros(2, int), np.array([0, 2])), shape=(1, 1))
    network = ReluNetwork(1, [Block(OUTPUT, {INPUT: twice}, np.zeros(1), Activation.IDENTITY)])
    assert network.output.weights[INPUT].data.tolist() == [2.0]
    assert network.exact([3]) == (6,)
