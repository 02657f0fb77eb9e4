"""Signs of J under bounds, before the kinks of few inputs are walked and before many lines."""

from __future__ import annotations

import numpy as np
import pytest

import jensen
from jensen import Box, Polyhedron, ReluNetwork
from jensen.verdicts.evidence import Reason


def cancelling(inputs: int, gap: float = 3.0) -> ReluNetwork:
    """Two neurons that are always on cancel in one of weight -1, which is >= gap - 2 everywhere.

    Intervals do not see that, backward bounds do.
    """
    width = inputs + 2
    first = np.vstack([np.ones((2, inputs)), np.eye(inputs)])
    second = np.zeros((2, width))
    second[0, :2], second[1, 2:] = (-1.0, 1.0), 1.0
    biases = [np.array([10.0, 8.0] + [0.0] * inputs), np.array([gap, -1.0]), np.zeros(1)]
    return ReluNetwork.from_layers([first, second, [[-1.0, 1.0]]], biases)


@pytest.mark.parametrize("inputs", [4, 6])
def test_small_networks_that_bounds_close_are_not_searched(inputs):
    verdict = jensen.verify(cancelling(inputs), Box(-1, 1))
    assert verdict.status == "convex"
    assert "groups" not in verdict.times
    reasons = {item.neurons[0]: item.reason for item in verdict.evidence}
    assert reasons["relu_2", 0] is Reason.NEVER_CROSSES
    assert reasons["relu_2", 1] is Reason.SIGN


def test_bounds_that_close_all_but_one_leave_the_rest_to_searches():
    assert jensen.verify(cancelling(4, gap=1.5), Box(-1, 1)).status == "convex"
    bent = cancelling(4, gap=3.0)
    weights = [np.array(next(iter(block.weights.values()))) for block in bent.blocks]
    weights[-1][0, 1] = -1.0
    biases = [np.array(block.bias) for block in bent.blocks]
    assert jensen.verify(ReluNetwork.from_layers(weights, biases), Box(-1, 1)).status == "nonconvex"


def test_a_certificate_says_the_same():
    verdict = jensen.verify(cancelling(4), Box(-1, 1), certificate=True)
    assert verdict.status == "convex"
    assert verdict.certificate is not None


def test_polyhedra_of_many_inputs_are_searched_along_lines_first():
    """Their boxes cost linear programs."""
    rows = np.vstack([np.eye(4), -np.eye(4), np.ones((1, 4))])
    domain = Polyhedron(rows, np.array([1.0] * 8 + [2.0]))
    assert jensen.verify(cancelling(4), domain).status == "convex"
