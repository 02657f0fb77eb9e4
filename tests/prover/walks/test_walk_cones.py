"""Bias-free networks of three inputs are walked on planes, and decided like brute force."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import oracle
import pytest

import jensen
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.prover.walks.cones import is_cone_question, walk_cones
from jensen.prover.walks.walked import Walked

AROUND = Polyhedron(
    np.array([[1.0, 1.0, 1.0], [-1.0, 0.5, 0.0], [0.0, -1.0, 0.0]]), np.array([1.0, 2.0, 2.0**-30])
)

DOMAINS = Everywhere(), Box(-1, 1), AROUND, Box([-1e-9, -1, -3], [1, 1e-12, 5])


def walked(network: ReluNetwork, domain: Domain) -> Walked | None:
    signs = prepare(network, domain).signs
    return walk_cones(network, domain, {name: low >= 0 for name, (low, _) in signs.items()})


def bias_free(seed: int) -> ReluNetwork:
    """Two or three small levels of small integers: twins, zeros and coordinate planes are many."""
    rng = np.random.default_rng(seed)
    sizes = [3, *rng.integers(1, 4, rng.integers(1, 3)), 1]
    weights = [
        rng.integers(-2, 3, (rows, columns)).astype(float) for columns, rows in pairwise(sizes)
    ]
    biases = [np.zeros(len(w)) for w in weights]
    biases[-1][:] = rng.integers(-1, 2)
    return ReluNetwork.from_layers(weights, biases)


@pytest.mark.parametrize("part", range(4))
def test_verdicts_are_those_of_brute_force_and_none_is_left_open(part):
    for seed in range(part, 160, 4):
        network = bias_free(seed)
        domain = (Everywhere(), Box(-1, 1), AROUND, Box([-1e-9, -1, -3], [1, 1e-12, 5]))[
            seed // 4 % 4
        ]
        truth = oracle.is_convex(network, domain)
        found = walked(network, domain)
        if found is not None:
            assert found.proved == truth, seed
        verdict = jensen.verify(network, domain)
        assert verdict.status == ("convex" if truth else "nonconvex"), seed


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_kink_in_a_coordinate_plane_is_seen(axis, sign):
    kink = np.zeros((1, 3))
    kink[0, axis] = 1.0
    network = ReluNetwork.from_layers([kink, [[sign]]], [[0.0], [3.0]])
    found = walked(network, Everywhere())
    assert found is not None
    assert found.proved == (sign > 0)


def test_a_pair_is_shrunk_into_the_domain_and_exact():
    rng = np.random.default_rng(3)
    weights = [rng.normal(size=(5, 3)), rng.normal(size=(5, 5)), rng.normal(size=(1, 5))]
    network = ReluNetwork.from_layers(weights, [np.zeros(5), np.zeros(5), [7.0]])
    for domain in (Box(-(2.0**-40), 2.0**-40), AROUND, Everywhere(), Box(-1e300, 1e-300)):
        found = walked(network, domain)
        assert found is not None
        assert found.pair is not None
        x, y = found.pair.x, found.pair.y
        assert domain.contains(x)
        assert domain.contains(y)
        ends = network.exact(x)[0] + network.exact(y)[0]
        assert network.exact(found.pair.midpoint)[0] - ends / 2 == found.pair.violation > 0


@pytest.mark.parametrize(
    ("domain", "inside"),
    [
        (Everywhere(), True),
        (Box(-1, 1), True),
        (AROUND, True),
        (Box(0, 1), False),
        (Box([-1, -1, 0], [1, 1, 1]), False),
        (Polyhedron(np.eye(3), np.array([1.0, 0.0, 1.0])), False),
    ],
)
def test_the_origin_has_to_be_inside(domain, inside):
    assert is_cone_question(bias_free(0), domain) == inside


def test_a_hidden_bias_makes_it_no_cone():
    shifted = ReluNetwork.from_layers([np.eye(3), np.ones((1, 3))], [[0, 1e-300, 0], [0]])
    assert not is_cone_question(shifted, Everywhere())


def test_certificates_of_cones_are_accepted():
    network = ReluNetwork.from_layers(
        [[[1, 0, 0], [-1, 1, 0], [0, -1, 2]], [[1, 1, 1], [1, -1, 0]], [[2, 0.25]]],
        [np.zeros(3), np.zeros(2), [0]],
    )
    verdict = jensen.verify(network, Box(-1, 1), certificate=True)
    assert verdict.status == ("convex" if oracle.is_convex(network, Box(-1, 1)) else "nonconvex")
    assert verdict.certificate is not None
