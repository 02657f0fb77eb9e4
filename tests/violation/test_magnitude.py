"""Violations compared with their length and with the range of f."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from fuzz import tiny_network

from jensen.domains.domain import Box, Everywhere
from jensen.network.relu_network import ReluNetwork
from jensen.violation.magnitude import magnitude, value_range


def hat() -> ReluNetwork:
    """``|x| - 2 relu(x - 1)``: 1 at 1 and -1, falls behind 1."""
    return ReluNetwork.from_layers(
        [[[1.0], [-1.0], [1.0]], [[1.0, 1.0, -2.0]]], [[0.0, 0.0, -1.0], [0.0]]
    )


def test_a_violation_is_compared_with_length_and_range():
    x, y = (Fraction(0),), (Fraction(2),)
    scale = magnitude(hat(), Box(-2, 2), x, y, (1.0, 1.0))
    assert (scale.at_x, scale.at_y, scale.at_middle) == (0.0, 0.0, 1.0)
    assert (scale.distance, scale.per_distance) == (2.0, 0.5)
    assert scale.range.attained == (0.0, 2.0)
    low, high = scale.share
    assert low <= 0.5 <= high
    assert high == pytest.approx(0.5)
    assert scale.to_json()["share_of_range"] == [low, high]


def test_the_range_is_enclosed_from_both_sides():
    for seed in range(40):
        network = tiny_network(seed)[1]
        found = value_range(network, Box(-1, 1))
        rng = np.random.default_rng(seed)
        values = network(rng.uniform(-1, 1, (500, network.input_size)))[:, 0]
        noise = 1e-9 * (1 + np.abs(values).max())
        assert found.proved[0] - noise <= values.min()
        assert values.max() <= found.proved[1] + noise
        assert found.proved[0] - noise <= found.attained[0] <= found.attained[1]
        assert found.attained[1] <= found.proved[1] + noise
        narrow, wide = found.widths
        assert 0 <= narrow <= wide


def test_without_a_bounded_domain_there_is_no_range():
    scale = magnitude(hat(), Everywhere(), (Fraction(0),), (Fraction(2),), (1.0, math.inf))
    assert scale.range is None
    assert scale.share is None


def test_equal_points_and_constants_divide_by_nothing():
    flat = ReluNetwork.from_layers([np.zeros((2, 2)), np.zeros((1, 2))], [np.zeros(2), [1.0]])
    point = (Fraction(0), Fraction(0))
    scale = magnitude(flat, Box(-1, 1), point, point, (0.0, 0.0))
    assert scale.per_distance is None
    assert scale.share is None
    assert scale.range.attained == (1.0, 1.0)


def test_a_share_never_exceeds_the_whole():
    scale = magnitude(hat(), Box(-2, 2), (Fraction(0),), (Fraction(2),), (1.0, 50.0))
    assert scale.share[1] == 1.0


def test_no_violation_is_no_share():
    scale = magnitude(hat(), Box(-2, 0.5), (Fraction(0),), (Fraction(0),), (0.0, 0.0))
    assert scale.share == (0.0, 0.0)


def test_violations_beyond_the_doubles_have_a_size():
    steep = ReluNetwork.from_layers([[[1e200]], [[-1e200]]], [[0.0], [0.0]])
    x, y = (Fraction(-(2**100)),), (Fraction(2**100),)
    scale = magnitude(steep, Everywhere(), x, y, (1.0, math.inf))
    assert scale.per_distance == np.finfo(float).max
    upside_down = magnitude(steep, Everywhere(), x, y, (1.0, math.inf), concave=True)
    assert upside_down.per_distance == -np.finfo(float).max


@pytest.mark.filterwarnings("error")
def test_values_beyond_the_doubles_give_no_warning():
    steep = ReluNetwork.from_layers([[[1e200]], [[-1e200]]], [[0.0], [0.0]])
    x, y = (Fraction(-1),), (Fraction(1),)
    scale = magnitude(steep, Box(-1, 1), x, y, (1.0, math.inf))
    assert scale.range.proved[0] == -math.inf
