"""Networks without biases are decided on four hyperplanes, as by brute force."""

from __future__ import annotations

from itertools import pairwise

import fuzz
import numpy as np
import oracle
import pytest

import jensen
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.network.relu_network import ReluNetwork
from jensen.prover.walks.cones import ConeWalk, can_walk_cones


def homogeneous(seed: int, inputs: int, *, bounded: bool = False) -> ReluNetwork:
    """Return a tiny network without biases, nearly convex, of one of the degenerate families."""
    rng = np.random.default_rng([seed, inputs])
    sample = list(fuzz.SAMPLERS.values())[seed % len(fuzz.SAMPLERS)]
    sizes = [inputs, *rng.integers(1, 4 if bounded else 5, rng.integers(1, 3)).tolist(), 1]
    weights = []
    for level, (before, width) in enumerate(pairwise(sizes)):
        weight = np.asarray(sample(rng, width, before)[0], dtype=float)
        flip = rng.random(weight.shape) < 0.15
        weights.append(np.where(flip, weight, np.abs(weight)) if level else weight)
    return ReluNetwork.from_layers(weights, [np.zeros(len(w)) for w in weights[:-1]] + [[0.5]])


def domains(inputs: int) -> tuple[Domain, ...]:
    rows = np.vstack([np.eye(inputs), -np.ones((1, inputs))])
    return (Box(-1, 1), Everywhere(), Polyhedron(rows, np.ones(len(rows))))


@pytest.mark.parametrize(("inputs", "count"), [(3, 150), (4, 40)])
def test_tiny_networks_are_decided_as_by_brute_force(inputs: int, count: int):
    right = wrong = 0
    for seed in range(count):
        network = homogeneous(seed, inputs, bounded=inputs == 4)
        domain = domains(inputs)[seed % 3]
        closed = {block.name: np.zeros(block.size, dtype=bool) for block in network.hidden}
        with np.errstate(all="ignore"):
            walk = ConeWalk(network, domain, closed)
            found = walk.run()
        assert not walk.left
        if found is None:
            continue
        assert found.proved == oracle.is_convex(network, domain), seed
        right, wrong = right + found.proved, wrong + (not found.proved)
        if found.pair is not None:
            assert domain.contains(found.pair.x)
            assert domain.contains(found.pair.y)
    assert right > 5
    assert wrong > 0


@pytest.mark.parametrize("inputs", [4, 5])
def test_verify_says_the_same_as_the_joint_search(inputs: int):
    rng = np.random.default_rng(inputs)
    for k in range(6):
        sizes = (inputs, 8, 5, 1)
        weights = [rng.normal(size=(b, a)) for a, b in pairwise(sizes)]
        weights[1:] = [np.where(rng.random(w.shape) < 0.9, abs(w), w) for w in weights[1:]]
        network = ReluNetwork.from_layers(weights, [np.zeros(len(w)) for w in weights])
        domain = domains(inputs)[k % 3]
        assert can_walk_cones(network, domain)
        plain, joint = (jensen.verify(network, domain, engine=e) for e in ("auto", "joint"))
        assert plain.status == joint.status


def test_it_pauses_between_and_inside_planes():
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=(7, 4)), np.abs(rng.normal(size=(5, 7))), np.ones((1, 5))]
    network = ReluNetwork.from_layers(weights, [np.zeros(len(w)) for w in weights])
    closed = {block.name: np.zeros(block.size, dtype=bool) for block in network.hidden}
    once, paused = (ConeWalk(network, Everywhere(), closed) for _ in range(2))
    whole, turns, found = once.run(), 0, None
    while paused.left and found is None:
        found, turns = paused.run(signs=1), turns + 1
    assert turns > 4
    assert (whole is None) == (found is None)
    assert paused.signs == once.signs


def test_what_it_does_not_take():
    plain = homogeneous(0, 4)
    assert can_walk_cones(plain, Box(-1, 1))
    assert not can_walk_cones(plain, Box(0, 1))  # the origin is a corner
    assert not can_walk_cones(homogeneous(0, 3), Box(-1, 1))
    assert not can_walk_cones(homogeneous(0, 8), Box(-1, 1))
    biased = ReluNetwork.from_layers([np.ones((2, 4)), np.ones((1, 2))], [[0.0, 1.0], [0.0]])
    assert not can_walk_cones(biased, Box(-1, 1))
