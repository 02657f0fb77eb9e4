"""Cells cut where bounds leave kinks open: what they prove is so, by brute force."""

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
from jensen.prover.signs import closed_neurons
from jensen.prover.walks.cells import can_walk_cells, walk_cells

SAMPLERS = tuple(fuzz.SAMPLERS)
DOMAINS = (Box(-1, 1), Everywhere(), Box(-100, 100))


def plain(seed: int, inputs: int = 3) -> tuple[str, ReluNetwork]:
    """Return a network of layers in a row, most often nearly convex, often degenerate."""
    rng = np.random.default_rng([seed, inputs])
    family = SAMPLERS[seed % len(SAMPLERS)]
    sizes = [inputs, *rng.integers(1, 5, rng.integers(1, 4)).tolist(), 1]
    weights, biases = [], []
    for level, (before, width) in enumerate(pairwise(sizes)):
        weight, bias = fuzz.SAMPLERS[family](rng, width, before)
        if level:
            weight = np.where(rng.random(weight.shape) < 0.15, weight, np.abs(weight))
        weights.append(weight)
        biases.append(bias)
    return family, ReluNetwork.from_layers(weights, biases)


def proved(network: ReluNetwork, domain: Domain, *, bounds: bool = False) -> bool:
    prepared = prepare(network, domain)
    closed = {name: low >= 0 for name, (low, _) in prepared.signs.items()}
    if bounds:
        closed = closed_neurons(prepared)
    with np.errstate(all="ignore"):
        return can_walk_cells(network, domain) and walk_cells(network, domain, closed)


def compare_with_brute_force(seeds: range, inputs: int) -> tuple[int, int]:
    found = convex = 0
    for seed in seeds:
        family, network = plain(seed, inputs)
        domain = DOMAINS[seed // len(SAMPLERS) % len(DOMAINS)]
        truth = oracle.is_convex(network, domain)
        shown = proved(network, domain, bounds=seed % 2 == 0)
        assert truth or not shown, (seed, family)
        convex, found = convex + truth, found + shown
    return found, convex


@pytest.mark.parametrize("inputs", [2, 3])
def test_what_is_proved_of_tiny_networks_is_convex_by_brute_force(inputs: int):
    found, convex = compare_with_brute_force(range(360), inputs)
    assert found > convex / 4


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [2, 3, 4])
def test_what_is_proved_of_two_thousand_tiny_networks_is_convex_by_brute_force(inputs: int):
    compare_with_brute_force(range(360, 2360), inputs)


def general(seed: int, inputs: int, levels: int = 2) -> ReluNetwork:
    """Return a network of weights without ties, nearly convex."""
    rng = np.random.default_rng([seed, inputs])
    sizes = [inputs, *rng.integers(inputs, 6, levels), 1]
    weights = [rng.normal(size=(b, a)) for a, b in pairwise(sizes)]
    weights[1:] = [np.where(rng.random(w.shape) < 0.9, abs(w), w) for w in weights[1:]]
    return ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])


@pytest.mark.parametrize("domain", [Box(-2, 2), Everywhere()])
@pytest.mark.parametrize("inputs", [2, 3, 4])
def test_all_that_is_convex_is_proved_in_general_position(inputs: int, domain: Domain):
    verdicts = []
    for seed in range(24):
        network = general(seed, inputs)
        truth = jensen.verify(network, domain).status == "convex"
        assert proved(network, domain) == truth, seed
        verdicts.append(truth)
    assert 2 < sum(verdicts) < 22


def test_needles_are_not_passed_over():
    """A bend of 2^-20 in a corner of a kink 2^-12 long."""
    tip = 2.0**-12
    weights = [np.eye(3), [[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]], [[2.0**-20, -(2.0**-19)]]]
    rows = [np.zeros(3), np.zeros(2), np.zeros(1)]
    plain_one = ReluNetwork.from_layers(weights, rows)
    assert not proved(plain_one, Box(-1, 1))
    high = ReluNetwork.from_layers(weights, [np.zeros(3), np.array([0.0, -2 + tip]), np.zeros(1)])
    truth = oracle.is_convex(high, Box(-1, 1))
    assert not truth
    assert not proved(high, Box(-1, 1))


@pytest.mark.parametrize("scale", [2.0**-40, 1e-6, 1e6, 2.0**40])
def test_scaled_inputs_make_no_difference(scale: float):
    for seed in range(12):
        network = general(seed, 3)
        first, *others = network.blocks
        weights = [first.weights["input"] / scale]
        weights += [next(iter(block.weights.values())) for block in others]
        scaled = ReluNetwork.from_layers(weights, [block.bias for block in network.blocks])
        assert proved(scaled, Box(-scale, scale)) == proved(network, Box(-1, 1)), seed


def test_what_it_does_not_take():
    network = general(0, 3)
    assert can_walk_cells(network, Box(-1, 1))
    assert not can_walk_cells(network, Box([-1, -1, 0], [1, 1, 0]))
    assert not can_walk_cells(network, Polyhedron([[1.0, 1, 1]], [1]))
    assert not can_walk_cells(general(0, 5), Box(-1, 1))
    wide = ReluNetwork.from_layers([np.ones((60, 3)), np.ones((1, 60))], [np.zeros(60), [0]])
    assert not can_walk_cells(wide, Box(-1, 1))


def test_weights_too_large_for_error_bounds_prove_nothing():
    network = ReluNetwork.from_layers([[[1e70, 1.0, 1.0]], [[-1.0]]], [[0], [0]])
    assert not proved(network, Box(-1, 1))


def test_verify_cuts_cells_in_four_inputs(monkeypatch: pytest.MonkeyPatch):
    proofs = []

    def noted(*arguments: object) -> bool:
        proofs.append(walk_cells(*arguments))
        return proofs[-1]

    monkeypatch.setattr("jensen.prover.walk.walk_cells", noted)
    for seed in range(50, 80):
        network = general(seed, 4, levels=3)  # of two, pieces of planes say as much
        status = jensen.verify(network, Box(-2, 2)).status
        assert status == jensen.verify(network, Box(-2, 2), engine="joint").status
    assert len(proofs) > 1
    assert any(proofs)
