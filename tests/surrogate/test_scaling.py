"""Scaling of neurons by powers of two, in which nothing may be rounded."""

from __future__ import annotations

import numpy as np

from jensen.network.relu_network import ReluNetwork
from jensen.surrogate.scaling import tamed

BOX = np.array([-1.0]), np.array([1.0])


def test_neurons_come_near_one_and_back_without_rounding():
    network = ReluNetwork.from_layers([[[3e9], [-1e9]], [[2e-3, 1e-3]]], [[1e9, 0.25], [5.0]])
    scaled, (exponent,) = tamed(network, *BOX)
    assert scaled is not network
    for x in (-1.0, -0.3, 0.0, 0.7):
        (value,), (near,) = network.exact([x]), scaled.exact([x])
        assert value == near * 2**exponent if exponent >= 0 else value * 2**-exponent == near


def test_numbers_that_scaling_would_lose_leave_the_network_as_it_is():
    tiny = 5e-324
    biased = ReluNetwork.from_layers([[[1e200]], [[1.0]]], [[tiny], [0.0]])
    weighted = ReluNetwork.from_layers([[[1e200], [1.0]], [[1.0, tiny]]], [[0.0, 0.0], [0.0]])
    for network in (biased, weighted):
        same, exponents = tamed(network, *BOX)
        assert same is network
        assert exponents == [0]
