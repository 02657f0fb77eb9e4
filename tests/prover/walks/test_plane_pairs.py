"""Where pieces of hyperplanes bend down, a pair about a point of theirs says so exactly."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import oracle
import pytest

import jensen
from jensen.domains.domain import Box, Domain, Everywhere
from jensen.network.relu_network import ReluNetwork
from jensen.network.stack import NetworkStack
from jensen.prover.walks.plane_pairs import Bend, pair_about
from jensen.prover.walks.planes import looked_at_planes, planes_bend_upwards


def general(seed: int, sizes: tuple[int, ...], negative: float = 0.15) -> ReluNetwork:
    """Return a network of weights without ties, few of those behind the first level negative."""
    rng = np.random.default_rng([seed, *sizes])
    weights = [rng.normal(size=(b, a)) for a, b in pairwise((*sizes, 1))]
    weights[1:] = [np.where(rng.random(w.shape) < negative, w, abs(w)) for w in weights[1:]]
    return ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])


def seen(network: ReluNetwork, domain: Domain) -> bool | Bend:
    stack = NetworkStack.from_networks([network])
    return looked_at_planes(stack, domain, np.ones((1, network.relu_count), dtype=bool))


@pytest.mark.parametrize("domain", [Box(-2, 2), Everywhere()], ids=str)
@pytest.mark.parametrize("sizes", [(3, 4, 4), (3, 6, 3), (4, 5, 4), (4, 6, 3)])
def test_most_that_is_not_convex_is_refuted_about_a_bend(sizes: tuple[int, ...], domain: Domain):
    refuted = nonconvex = 0
    for seed in range(30):
        network = general(seed, sizes)
        convex = jensen.verify(network, domain).status == "convex"
        found = seen(network, domain)
        assert convex or found is not True
        if isinstance(found, Bend):
            pair = pair_about(network, domain, found.point[:-1], found.across)
            assert pair is None or not convex
            refuted += pair is not None
        nonconvex += not convex
    assert refuted >= 0.8 * nonconvex > 0


@pytest.mark.parametrize("domain", [Box(-1, 1), Box([-3, 0, 2], [5, 1, 4]), Everywhere()], ids=str)
def test_pairs_lie_in_the_domain_and_violate_convexity(domain: Domain):
    pairs = 0
    for seed in range(40):
        network = general(seed, (3, 3, 3), 0.4)
        found = seen(network, domain)
        if isinstance(found, Bend):
            pair = pair_about(network, domain, found.point[:-1], found.across)
            if pair is not None:
                assert domain.contains(pair.x)
                assert domain.contains(pair.y)
                assert pair.violation > 0
                assert not oracle.is_convex(network, domain)
                pairs += 1
    assert pairs > 5


@pytest.mark.parametrize("scale", [2.0**-30, 1e-5, 1e5, 2.0**30])
def test_scaled_inputs_are_refuted_as_well(scale: float):
    for seed in range(10):
        network = general(seed, (3, 4, 3), 0.4)
        first, *others = network.blocks
        weights = [first.weights["input"] / scale]
        weights += [next(iter(block.weights.values())) for block in others]
        scaled = ReluNetwork.from_layers(weights, [block.bias for block in network.blocks])
        for domain, large in ((Box(-1, 1), Box(-scale, scale)), (Everywhere(), Everywhere())):
            plain, wide = seen(network, domain), seen(scaled, large)
            assert isinstance(plain, Bend) == isinstance(wide, Bend)
            if isinstance(plain, Bend):
                pairs = [
                    pair_about(n, d, b.point[:-1], b.across)
                    for n, d, b in ((network, domain, plain), (scaled, large, wide))
                ]
                assert (pairs[0] is None) == (pairs[1] is None)


def test_a_unit_of_the_last_level_that_sinks_is_crossed():
    network = ReluNetwork.from_layers(
        [np.eye(3) + 0.1, [[1.0, 1.0, 1.0], [1.0, -1.0, 0.5]], [[1.0, -0.01]]],
        [np.array([0.1, 0.2, -0.1]), np.array([0.3, -0.2]), np.zeros(1)],
    )
    found = seen(network, Everywhere())
    assert isinstance(found, Bend)
    pair = pair_about(network, Everywhere(), found.point[:-1], found.across)
    assert pair is not None
    asked = np.ones((1, network.relu_count), dtype=bool)
    assert not planes_bend_upwards(NetworkStack.from_networks([network]), Everywhere(), asked)[0]


def test_points_that_are_no_numbers_show_nothing():
    network = general(0, (3, 4, 3))
    for point, across in (
        (np.full(3, np.inf), np.ones(3)),
        (np.zeros(3), np.zeros(3)),
        (np.zeros(3), np.full(3, np.nan)),
    ):
        assert pair_about(network, Everywhere(), point, across) is None
