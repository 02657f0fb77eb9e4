"""Planted violations that random search cannot find are never called convex.

In the manner of SoundnessBench (arXiv 2412.03154): the network is built around its one
violation, and a twin of the same weights, but for one bias, has none.
"""

from __future__ import annotations

import numpy as np
import pytest
from agreement import check_evidence

import jensen
from jensen.domains.domain import Box, Everywhere
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork
from jensen.verdicts.verdict import Status

TIME_LIMIT = 60.0


def needle(inputs: int, size: float, seed: int, *, base: int = 6) -> ReluNetwork:
    """A convex network plus ``relu(size - |x - p|_1)``; for ``size <= 0`` that is nothing.

    The needle's ridge bends down, its rim up; outside the rim f is the convex base, a
    sum of ReLUs with non-negative weights, so that every violation crosses the needle.
    """
    rng = np.random.default_rng(seed)
    centre = rng.integers(-40, 41, inputs) / 64.0
    signs = np.vstack([np.eye(inputs), -np.eye(inputs)])
    blocks = [
        Block("base", {INPUT: rng.normal(size=(base, inputs))}, rng.normal(size=base)),
        Block("distance", {INPUT: signs}, np.hstack([-centre, centre])),
        Block("needle", {"distance": -np.ones((1, 2 * inputs))}, np.array([size])),
        Block(
            OUTPUT,
            {"base": np.abs(rng.normal(size=(1, base))), "needle": np.array([[0.5]])},
            np.zeros(1),
            Activation.IDENTITY,
        ),
    ]
    return ReluNetwork(inputs, blocks)


def sampled_violations(network: ReluNetwork, count: int = 20_000) -> int:
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, (2, count, network.input_size))
    gap = network((x + y) / 2) - (network(x) + network(y)) / 2
    return int((gap > 1e-9).sum())


@pytest.mark.parametrize("size", [1e-3, 1e-6])
@pytest.mark.parametrize("inputs", [2, 3, 5])
def test_a_needle_that_sampling_misses_is_found(inputs, size):
    network = needle(inputs, size, seed=inputs)
    assert sampled_violations(network) <= (5 if inputs == 2 else 1)
    verdict = jensen.verify(network, Box(-1, 1), time_limit=TIME_LIMIT)
    assert verdict.status is Status.NONCONVEX
    check_evidence(network, Box(-1, 1), verdict)


@pytest.mark.parametrize("size", [0.0, -1e-6, -1e-3])
@pytest.mark.parametrize("inputs", [2, 3, 5])
@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere()], ids=["box", "everywhere"])
def test_without_its_needle_the_same_network_is_convex(inputs, size, domain):
    network = needle(inputs, size, seed=inputs)
    verdict = jensen.verify(network, domain, time_limit=TIME_LIMIT)
    assert verdict.status is Status.CONVEX


def test_a_needle_just_outside_the_box_does_not_count():
    network = needle(2, 2.0**-10, seed=7)
    bias = network["distance"].bias
    centre = bias[2:]
    tip = centre + np.array([2.0**-10, 0.0])
    right = Box([tip[0], -1.0], [1.0, 1.0])
    assert jensen.verify(network, right, time_limit=TIME_LIMIT).status is Status.CONVEX
    wider = Box([tip[0] - 2.0**-11, -1.0], [1.0, 1.0])
    assert jensen.verify(network, wider, time_limit=TIME_LIMIT).status is Status.NONCONVEX


@pytest.mark.parametrize("jump", [-1e-30, -1e-200, -5e-324])
def test_the_tiniest_negative_jump_is_a_violation(jump):
    network = ReluNetwork.from_layers(
        [[[1.0, 0.5], [0.25, -1.0], [3.0, 1.0]], [[1.0, 1.0, jump]]], [[0.0, 0.5, 0.125], [0.0]]
    )
    for domain in (Box(-1, 1), Everywhere()):
        verdict = jensen.verify(network, domain, time_limit=TIME_LIMIT)
        assert verdict.status is Status.NONCONVEX
        check_evidence(network, domain, verdict)


@pytest.mark.parametrize("bend", [1e-30, 0.0, -1e-30])
def test_a_sum_of_jumps_that_cancels_up_to_1e_minus_30_is_decided_exactly(bend):
    """Twins ``relu(z)`` and ``relu(-2 z)`` bend by 1 and -2 * 0.5, plus the rest."""
    network = ReluNetwork.from_layers(
        [[[1.0, 0.5], [-2.0, -1.0], [1.0, 0.5]], [[1.0, -0.5, bend]]], [[0.25, -0.5, 0.25], [0.0]]
    )
    expected = Status.CONVEX if bend >= 0 else Status.NONCONVEX
    for domain in (Box(-1, 1), Everywhere()):
        assert jensen.verify(network, domain, time_limit=TIME_LIMIT).status is expected


@pytest.mark.parametrize("bend", [1e-15, -1e-15])
def test_tiny_jumps_through_several_layers_are_decided_exactly(bend):
    network = ReluNetwork.from_layers(
        [[[1.0], [1.0]], [[bend, 0.0], [0.0, 1.0]], [[1e-15, 1.0]]],
        [[0.0, -0.5], [1.0, 0.0], [0.0]],
    )
    expected = Status.CONVEX if bend >= 0 else Status.NONCONVEX
    for domain in (Box(-1, 1), Box(-1e6, 1e6)):
        assert jensen.verify(network, domain, time_limit=TIME_LIMIT).status is expected


@pytest.mark.parametrize("seed", range(6))
def test_one_negative_weight_behind_a_rarely_active_neuron_is_found(seed):
    """An ICNN in which a neuron that is on in one corner only gets a negative weight."""
    rng = np.random.default_rng(seed)
    inputs, width = 4, 8
    first = rng.normal(size=(width, inputs))
    corner = np.where(first[0] >= 0, 1.0, -1.0)
    bias = rng.normal(size=width)
    depth = 2.0**-12
    bias[0] = -float(np.abs(first[0]).sum()) + depth
    second, third = np.abs(rng.normal(size=(2, width, width)))
    last = np.abs(rng.normal(size=(1, width)))
    second[:, 0] = 0.0
    second[0, 0] = -4.0
    network = ReluNetwork.from_layers(
        [first, second, third, last], [bias, rng.normal(size=width) + 2, np.ones(width), [0.0]]
    )
    assert network.exact_pre_activations(corner)["relu_1"].positive()[0]
    assert sampled_violations(network) == 0
    verdict = jensen.verify(network, Box(-1, 1), time_limit=TIME_LIMIT)
    assert verdict.status is Status.NONCONVEX
    check_evidence(network, Box(-1, 1), verdict)
