"""A walk in parts that overlap decides like one walk through all of the domain."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import fuzz
import numpy as np
import oracle
import pytest
import scipy.sparse as sp

import jensen
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.groups.prepared import prepare
from jensen.network.relu_network import Block, ReluNetwork
from jensen.prover.walks import parts, solid
from jensen.prover.walks.parts import expected_signs, walk_in_parts
from jensen.prover.walks.walked import Walked
from jensen.verdicts.evidence import Reason

SIMPLEX = Polyhedron([[1, 1, 1], [-1, 0, 0], [0, -1, 0], [0, 0, -1]], [1, 1, 1, 1])
DOMAINS = [Box(-2, 2), Everywhere(), SIMPLEX]


def walked(network: ReluNetwork, domain: Domain) -> Walked | None:
    signs = prepare(network, domain).signs
    with np.errstate(all="ignore"):
        return walk_in_parts(network, domain, {name: low >= 0 for name, (low, _) in signs.items()})


def nearly_convex(seed: int, *widths: int) -> ReluNetwork:
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(b, a)) for a, b in pairwise((3, *widths, 1))]
    weights[1:] = [np.where(rng.random(w.shape) < 0.96, abs(w), w) for w in weights[1:]]
    return ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])


@pytest.fixture
def count(monkeypatch):
    """Let parts be small, and count them."""
    seen: list[Domain] = []

    def within(limit, network, domain, closed, deadline):
        seen.append(domain)
        return solid.walk_surfaces_within(limit, network, domain, closed, deadline)

    monkeypatch.setattr(parts, "PART", 2e3)
    monkeypatch.setattr(parts, "walk_surfaces_within", within)
    return seen


@pytest.mark.parametrize("domain", DOMAINS)
def test_it_agrees_with_one_walk(domain, count, monkeypatch):
    verdicts = []
    for seed in range(16):
        network = nearly_convex(seed, 12, 6)
        found = walked(network, domain)
        with monkeypatch.context() as whole:
            whole.setattr(parts, "PART", 1e9)
            assert found is not None
            assert found.proved == walked(network, domain).proved
        verdicts.append(found.proved)
    assert 3 < sum(verdicts) < 16
    assert len(count) > 60


def test_verdicts_of_tiny_networks_are_those_of_brute_force(count):
    decided = 0
    for seed in range(300):
        family, network = fuzz.tiny_network(seed)
        if network.input_size == 3:
            domain = DOMAINS[seed % 3]
            found = walked(network, domain)
            if found is not None:
                decided += 1
                assert found.proved == oracle.is_convex(network, domain), (seed, family)
    assert decided > 40


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_point_inside_is_inside_a_part(domain, count):
    """Else a kink could lie on the side that two parts share, and inside of none."""
    rng = np.random.default_rng(0)
    network = ReluNetwork.from_layers(
        [rng.normal(size=(20, 3)), np.ones((1, 20))], [rng.normal(size=20) / 3, [0]]
    )
    found = walk_in_parts(network, domain, {"relu_1": np.zeros(20, dtype=bool)})
    assert found is not None
    assert found.proved
    assert len(count) > 3
    points = np.random.default_rng(3).normal(size=(4000, 3))
    points = points[[domain.contains([Fraction(x) for x in point]) for point in points]]
    inside = np.zeros(len(points), dtype=bool)
    for part in count:
        box = part.box_sides(3)
        A, b = part.inequalities(3)
        here = (points @ A.T < b).all(axis=1)
        if box is not None:
            here &= ((points > box[0]) & (points < box[1])).all(axis=1)
        inside |= here
    assert inside.all()


def test_networks_without_biases_are_not_parted_for_ever(count):
    """All their planes meet in one point."""
    rng = np.random.default_rng(0)
    network = ReluNetwork.from_layers(
        [rng.normal(size=(30, 3)), np.ones((1, 30))], [np.zeros(30), [0]]
    )
    found = walk_in_parts(network, Box(-1, 1), {"relu_1": np.zeros(30, dtype=bool)})
    assert found is None or found.proved
    assert len(count) < 50


def test_signs_are_expected_where_planes_meet():
    network = nearly_convex(1, 40, 10)
    small, large = (expected_signs(network, Box(-r, r)) for r in (0.1, 100))
    everywhere = expected_signs(network, Everywhere())
    assert small < large / 4
    assert large <= everywhere * 1.01
    assert 40**3 / 2 * 50 * 0.9 < everywhere < 40**3 / 2 * 50 * 1.2
    none = ReluNetwork.from_layers([[[1.0, 1.0, 1.0]], [[-1.0]]], [[0], [0]])
    assert expected_signs(none, Box(-1, 1)) < 10


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e150, 1e300])
def test_weights_of_any_size_have_a_sample(scale):
    """Products of them leave the doubles; some planes are parallel, and one unit is constant."""
    network = nearly_convex(1, 40, 10)
    weights = [np.array(network["relu_1"].weights["input"]), network["relu_2"].weights["relu_1"]]
    weights[0][:3] = weights[0][3]
    weights[0][4] = 0.0
    biases = [network["relu_1"].bias, network["relu_2"].bias, [0.0]]
    weights.append(np.ones((1, 10)))
    large = ReluNetwork.from_layers(
        [weights[0] * scale, *weights[1:]], [biases[0] * scale, *biases[1:]]
    )
    same = ReluNetwork.from_layers(weights, biases)
    assert expected_signs(large, Box(-1, 1)) == pytest.approx(expected_signs(same, Box(-1, 1)), 0.1)


def test_sparse_weights_are_read_as_dense_ones_are():
    network = nearly_convex(1, 40, 60)
    blocks = [
        Block(b.name, {k: sp.csr_array(w) for k, w in b.weights.items()}, b.bias, b.activation)
        for b in network.blocks
    ]
    sparse = ReluNetwork(3, blocks)
    assert expected_signs(sparse, Box(-1, 1)) == expected_signs(network, Box(-1, 1))
    assert jensen.verify(sparse, Box(-1, 1)).status == jensen.verify(network, Box(-1, 1)).status


@pytest.mark.parametrize("at_once", [0, 2000])
def test_verify_walks_large_networks_after_descents(at_once, monkeypatch):
    """At once, or after some programs if the walk would take longer than these."""
    monkeypatch.setattr(solid, "SOLID_LIMIT", 1e3)
    monkeypatch.setattr(parts, "SOLID_LIMIT", 1e3)
    monkeypatch.setattr(parts, "PART", 1e5)
    monkeypatch.setattr("jensen.prover.deferred_walk.AT_ONCE", at_once)
    reasons = set()
    for seed in range(12):
        network = nearly_convex(seed, 12, 5)
        verdict = jensen.verify(network, Box(-2, 2))
        assert verdict.status == jensen.verify(network, Box(-2, 2), engine="joint").status
        if verdict.status == "convex":
            reasons |= {item.reason for item in verdict.evidence}
    assert Reason.WALK in reasons
