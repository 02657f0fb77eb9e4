"""Narrow levels walked in the plane, exactly: decided like brute force, with pairs that hold."""

from __future__ import annotations

from itertools import pairwise

import fuzz
import numpy as np
import oracle
import pytest
from certificate_tools import check

import jensen
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.network.relu_network import ReluNetwork
from jensen.network.stack import NetworkStack, by_architecture
from jensen.prover.walks import narrow as module
from jensen.prover.walks.narrow import (
    can_walk_narrow,
    is_narrow,
    narrow_bend_upwards,
    walk_narrow,
)
from jensen.prover.walks.plane import walk_kinks
from jensen.prover.walks.solid import walk_surfaces
from jensen_encodings.deadline import Deadline

SIDES = [-1.0, 0.5, -2.0], [1.0, 3.0, -0.25]


def domains_of(inputs: int) -> list[Domain]:
    return [Everywhere(), Box(-1, 1), Box(*(side[:inputs] for side in SIDES))]


def narrow(seed: int) -> ReluNetwork:
    """Three or four levels of a degenerate family, of two inputs or of two units behind three."""
    rng = np.random.default_rng([seed, 5])
    sample = list(fuzz.SAMPLERS.values())[seed % len(fuzz.SAMPLERS)]
    inputs = int(rng.integers(2, 4))
    widths = rng.integers(1, 4 if inputs == 2 else 3, rng.integers(3, 5)).tolist()
    if inputs == 3:
        widths[0] = 2
    sizes = [inputs, *widths, 1]
    layers = [sample(rng, b, a) for a, b in pairwise(sizes)]
    weights = [np.array(w, dtype=float) for w, _ in layers]
    for k in range(1, len(weights)):  # else nearly all bend down
        weights[k] = np.where(rng.random(weights[k].shape) < 0.2, weights[k], np.abs(weights[k]))
    return ReluNetwork.from_layers(weights, [np.array(b, dtype=float) for _, b in layers])


def independent(network: ReluNetwork) -> bool:
    rows = network.blocks[0].weights["input"]
    return network.input_size == 2 or np.linalg.matrix_rank(rows) == 2


@pytest.mark.parametrize("part", range(4))
def test_verdicts_are_those_of_brute_force_and_none_is_left_open(part):
    proved = refuted = 0
    for seed in range(part, 240, 4):
        network = narrow(seed)
        for domain in domains_of(network.input_size):
            assert is_narrow(network, domain), seed
            found = walk_narrow(network, domain)
            if found is None:
                assert not independent(network), seed
                continue
            truth = oracle.is_convex(network, domain)
            assert found.proved == truth, (seed, domain)
            assert (found.pair is None) == truth, (seed, domain)
            if found.pair is not None:
                assert found.pair.violation > 0
                assert domain.contains(found.pair.x)
                assert domain.contains(found.pair.y)
            proved += truth
            refuted += not truth
    assert min(proved, refuted) > 10


def test_a_stack_is_decided_like_its_networks():
    networks = [narrow(seed) for seed in range(240)]
    proved = 0
    for numbers, stack in by_architecture(networks):
        some = [networks[k] for k in numbers]
        asked = np.ones((len(stack), stack.relu_count), dtype=bool)
        for domain in domains_of(stack.input_size):
            assert can_walk_narrow(stack, domain)
            found = narrow_bend_upwards(stack, domain, asked)
            alone = [walk_narrow(network, domain) for network in some]
            assert found.tolist() == [one is not None and one.proved for one in alone]
            assert narrow_bend_upwards(stack, domain, ~asked).all()
            answers = [v.status == "convex" for v in jensen.verify_many(stack, domain)]
            assert answers == [oracle.is_convex(network, domain) for network in some]
            proved += int(found.sum())
    assert proved > 50


def test_stacks_on_flat_boxes_and_polyhedra_are_no_matter_of_this_walk():
    stack = NetworkStack.from_networks([narrow(0)])
    others = [1.0] * (stack.input_size - 1)
    assert not can_walk_narrow(stack, Box([0.0, *others], [0.0, *(2 * side for side in others)]))
    rows = np.concatenate([np.eye(stack.input_size), -np.eye(stack.input_size)])
    assert not can_walk_narrow(stack, Polyhedron(rows, np.ones(len(rows))))


@pytest.mark.parametrize("power", [-300, -40, 40, 300])
def test_scales_of_any_size_change_no_verdict(power):
    for seed in range(0, 60, 3):
        network = narrow(seed)
        if not independent(network):
            continue
        weights = [next(iter(block.weights.values())) for block in network.blocks]
        biases = [block.bias for block in network.blocks]
        scaled = ReluNetwork.from_layers(
            [weights[0] * 2.0**power, *weights[1:]],
            [biases[0] * 2.0**power, *(b * 2.0**power for b in biases[1:])],
        )
        for domain in domains_of(network.input_size):
            one, other = walk_narrow(network, domain), walk_narrow(scaled, domain)
            assert one is not None
            assert other is not None
            assert one.proved == other.proved, seed


def deep(inputs: int, seed: int = 0, levels: int = 10) -> ReluNetwork:
    """Default-initialised levels of two units."""
    rng = np.random.default_rng(seed)
    sizes = [inputs, *[2] * levels, 1]
    return ReluNetwork.from_layers(
        [rng.uniform(-1, 1, (b, a)) / np.sqrt(a) for a, b in pairwise(sizes)],
        [rng.uniform(-1, 1, b) / np.sqrt(a) for a, b in pairwise(sizes)],
    )


@pytest.mark.parametrize("inputs", [2, 3])
def test_deep_networks_are_decided_as_by_walks_in_arrays(inputs):
    proved = compared = 0
    for seed in range(60):
        network = deep(inputs, seed)
        closed = {block.name: np.zeros(block.size, dtype=bool) for block in network.hidden}
        for domain in (Box(-100, 100), Everywhere()):
            found = walk_narrow(network, domain)
            other = (walk_kinks if inputs == 2 else walk_surfaces)(network, domain, closed)
            if found is not None and other is not None:
                compared += 1
                proved += other.proved
                assert found.proved == other.proved, seed
    assert proved > 10
    assert compared > 90


def test_a_proof_has_reasons_conditions_and_a_certificate(tmp_path):
    network = next(
        net
        for net in (deep(3, seed, levels=3) for seed in range(200))
        if jensen.verify(net).reasons.get("walk")
    )
    verdict = jensen.verify(network, certificate=True, time_limit=100)
    assert verdict.status == "convex"
    assert verdict.certificate is not None
    assert check(network, verdict.certificate, tmp_path) == 0
    assert len(verdict.evidence) == network.relu_count
    assert all(condition.value >= 0 for condition in verdict.conditions)


def test_rows_that_are_multiples_are_left_to_others():
    network = deep(3)
    weights = [next(iter(block.weights.values())).copy() for block in network.blocks]
    weights[0][1] = 2 * weights[0][0]
    dependent = ReluNetwork.from_layers(weights, [block.bias for block in network.blocks])
    assert walk_narrow(dependent, Everywhere()) is None


def test_many_cells_and_a_time_that_is_up_end_it(monkeypatch):
    network = deep(2)
    assert walk_narrow(network, Everywhere(), Deadline.after(1e-9)) is None
    monkeypatch.setattr(module, "CELLS", 3)
    assert walk_narrow(network, Everywhere()) is None


def test_wide_flat_short_and_skipping_networks_are_not_of_the_kind():
    network = deep(2)
    assert is_narrow(network, Everywhere())
    assert not is_narrow(deep(4), Everywhere())
    assert not is_narrow(deep(2, levels=2), Everywhere())
    assert not is_narrow(network, Box([0, 0], [0, 1]))
    assert not is_narrow(network, Polyhedron([[1.0, 1.0]], [1.0]))
    wide = ReluNetwork.from_layers(
        [np.ones((4, 2)), np.ones((2, 4)), np.ones((2, 2)), np.ones((1, 2))],
        [np.zeros(4), np.zeros(2), np.zeros(2), np.zeros(1)],
    )
    assert not is_narrow(wide, Everywhere())


def test_links_come_before_the_walk_where_signs_leave_few_kinks_open():
    # one negative weight in ten levels of two units, outweighed by a neuron that is always on
    weights = [np.array([[1.0, 0.5, 0.2], [0.3, 1.0, 0.4]])]
    weights += [np.array([[1.0, 0.5], [0.5, 1.0]]) for _ in range(9)]
    weights[1] = np.array([[1.0, -0.5], [0.5, 1.0]])
    weights[2] = np.array([[0.1, 1.0], [0.1, 1.0]])
    weights.append(np.array([[1.0, 1.0]]))
    biases = [np.array([0.2, -0.3]), np.array([-0.1, 0.3])]
    biases += [np.full(2, 0.2) for _ in range(8)] + [np.zeros(1)]
    network = ReluNetwork.from_layers(weights, biases)
    verdict = jensen.verify(network, Box(-1, 1))
    assert verdict.status == "convex"
    assert "walk" not in verdict.times
    with np.errstate(all="ignore"):
        assert walk_narrow(network, Box(-1, 1)).proved
