"""The walk along the kinks of three inputs decides like brute force."""

from __future__ import annotations

from itertools import pairwise

import fuzz
import numpy as np
import oracle
import pytest

import jensen
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.prover.walks.solid import walk_surfaces
from jensen.prover.walks.walked import Walked
from jensen.verdicts.evidence import Reason

SIMPLEX = Polyhedron([[1, 1, 1], [-1, 0, 0], [0, -1, 0], [0, 0, -1]], [1, 1, 1, 1])


def walked(network: ReluNetwork, domain: Domain) -> Walked | None:
    signs = prepare(network, domain).signs
    with np.errstate(all="ignore"):
        return walk_surfaces(network, domain, {name: low >= 0 for name, (low, _) in signs.items()})


def compare_with_brute_force(seeds: range) -> tuple[int, int]:
    decided = undecided = 0
    for seed in seeds:
        family, network = fuzz.tiny_network(seed)
        if network.input_size == 3:
            domain = [Box(-1, 1), Everywhere(), SIMPLEX][seed % 3]
            found = walked(network, domain)
            if found is None:
                undecided += 1
                continue
            decided += 1
            assert found.proved == oracle.is_convex(network, domain), (seed, family)
            assert (found.pair is None) == found.proved
    return decided, undecided


def test_verdicts_of_tiny_networks_are_those_of_brute_force():
    decided, undecided = compare_with_brute_force(range(450))
    assert decided > 60
    assert undecided < 2 * decided  # degenerate places are left to the other provers


@pytest.mark.slow
def test_verdicts_of_two_thousand_tiny_networks_are_those_of_brute_force():
    decided, undecided = compare_with_brute_force(range(450, 6800))
    assert decided + undecided > 2000


def nearly_convex(seed: int) -> ReluNetwork:
    rng = np.random.default_rng(seed)
    sizes = [3, *rng.integers(2, 7, rng.integers(1, 4)), 1]
    weights = [rng.normal(size=(b, a)) for a, b in pairwise(sizes)]
    weights[1:] = [np.where(rng.random(w.shape) < 0.9, abs(w), w) for w in weights[1:]]
    return ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])


@pytest.mark.parametrize("domain", [Box(-2, 2), Everywhere(), SIMPLEX])
def test_it_agrees_with_the_joint_search_on_networks_in_general_position(domain):
    verdicts = []
    for seed in range(40):
        network = nearly_convex(seed)
        found = walked(network, domain)
        assert found is not None
        verdict = jensen.verify(network, domain, engine="joint")
        assert found.proved == (verdict.status == "convex"), seed
        verdicts.append(found.proved)
    assert 5 < sum(verdicts) < 35


def test_verify_walks_where_bounds_do_not_decide():
    rng = np.random.default_rng(3)
    reasons = set()
    for seed in range(40):
        network = nearly_convex(seed)
        verdict = jensen.verify(network, Box(-2, 2))
        reasons |= {e.reason for e in verdict.evidence}
        if verdict.status == "convex":
            x, y = rng.uniform(-2, 2, (2, 500, 3))
            bend = network(x) + network(y) - 2 * network((x + y) / 2)
            assert bend.min() > -1e-9
    assert {Reason.SIGN, Reason.WALK} <= reasons


def test_a_jump_that_is_exactly_zero_is_no_bend():
    # the second unit takes back what the first one adds, twice as steep and half as heavy
    weights = [[[1.0, 2.0, -1.0]], [[1.0], [2.0]], [[1.0, -0.5]]]
    network = ReluNetwork.from_layers(weights, [[0.25], [1, 2], [0]])
    found = walked(network, Box(-1, 1))
    assert found is None or found.proved
    assert jensen.verify(network, Box(-1, 1)).status == "convex"


@pytest.mark.parametrize("domain", [Box(-2, 2), Everywhere()], ids=str)
def test_twins_are_walked_where_j_of_each_is_not_negative(domain):
    convex = proved = refuted = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        sizes = (3, 4, 3, 2, 1) if seed % 2 else (3, 4, 3, 1)
        weights = [rng.integers(-9, 10, (b, a)).astype(float) for a, b in pairwise(sizes)]
        weights[1:] = [np.where(rng.random(w.shape) < 0.9, abs(w), w) for w in weights[1:]]
        biases = [rng.integers(-9, 10, len(w)).astype(float) for w in weights]
        level = seed // 2 % 2  # twins of the first level, or of the second one
        scale = (-2.0, 3.0)[seed % 2] if level == 0 else 3.0
        weights[level][-1] = scale * weights[level][0]
        biases[level][-1] = scale * biases[level][0]
        network = ReluNetwork.from_layers(weights, biases)
        found = walked(network, domain)
        truth = oracle.is_convex(network, domain)
        assert found is None or found.proved == truth, seed
        convex += truth
        proved += found is not None and found.proved
        refuted += found is not None and not found.proved
    assert proved > 0.9 * convex > 5
    assert refuted > 0


def test_huge_weights_and_flat_boxes_are_left_to_others():
    network = ReluNetwork.from_layers([[[1e70, 1.0, 1.0]], [[-1.0]]], [[0], [0]])
    assert walked(network, Box(-1, 1)) is None
    flat = ReluNetwork.from_layers([[[1.0, 1.0, 1.0]], [[-1.0]]], [[0], [0]])
    assert jensen.verify(flat, Box([-1, -1, 0], [1, 1, 0])).status == "nonconvex"


def test_kinks_that_open_neurons_share_are_left_to_searches():
    """A walk would leave their facets to them in the end."""
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(1, 3))
    weights = [np.vstack([plane, -plane, rng.normal(size=(4, 3))]), np.full((1, 6), -1.0), [[0.5]]]
    network = ReluNetwork.from_layers(weights, [np.zeros(6), np.ones(1), np.zeros(1)])
    verdict = jensen.verify(network, Box(-1, 1))
    assert "walk" not in verdict.times
    apart = ReluNetwork.from_layers(
        [weights[0][1:], weights[1][:, 1:], [[0.5]]], [np.zeros(5), np.ones(1), np.zeros(1)]
    )
    assert jensen.verify(apart, Box(-1, 1)).status == verdict.status


def test_what_never_crosses_is_not_said_to_be_walked():
    rng = np.random.default_rng(4)
    weights = [rng.normal(size=(4, 3)), rng.normal(size=(2, 4)), np.abs(rng.normal(size=(1, 2)))]
    biases = [np.array([0.3, 0.2, 9.0, -0.1]), rng.normal(size=2), np.zeros(1)]
    verdict = jensen.verify(ReluNetwork.from_layers(weights, biases), Box(-1, 1))
    reasons = {item.neurons[0]: item.reason for item in verdict.evidence}
    assert verdict.status == "convex"
    assert reasons["relu_1", 2] is Reason.NEVER_CROSSES  # its bias outweighs the box
    assert Reason.WALK in reasons.values()
