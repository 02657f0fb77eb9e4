"""Verdicts do not depend on how a function is written, against the exact oracle."""

from __future__ import annotations

from collections import Counter

import pytest
from agreement import written_otherwise
from fuzz import tiny_network
from rewritten import REWRITES, rewritten

import jensen
from jensen.domains.domain import Box
from jensen.network.relu_network import ReluNetwork

BATCH = 10


@pytest.mark.parametrize("first", range(0, 8 * BATCH, BATCH))
def test_scaled_split_turned_and_embedded_networks_get_the_verdict_of_the_plain_one(first):
    counts: Counter[str] = Counter()
    for seed in range(first, first + BATCH):
        assert not written_otherwise(seed, counts), seed
    assert counts["questions"] > BATCH
    assert counts["convex"]
    assert not counts["unknown"]


@pytest.mark.parametrize("name", list(REWRITES))
def test_every_rewriting_makes_another_network_of_the_same_function(name):
    made = 0
    for seed in range(40):
        _, network = tiny_network(seed, budget=8)
        found = rewritten(seed, network)
        if found is not None and name in found[0]:
            again = found[1]
            made += len(again.blocks) > len(network.blocks) or any(
                again[block.name].size != block.size
                or any((again[block.name].bias != block.bias).reshape(-1))
                for block in network.blocks
            )
    assert made > 2


def test_bounds_of_the_worst_jump_and_violation_meet_those_of_the_plain_network():
    compared = 0
    for seed in range(0, 60, 5):
        _, network = tiny_network(seed, budget=6)
        found = rewritten(seed, network)
        if found is None:
            continue
        for measure in (jensen.worst_jump, jensen.worst_violation):
            one, two = (measure(net, Box(-1, 1), time_limit=20) for net in (network, found[1]))
            assert one.lower <= two.upper, (seed, found[0])
            assert two.lower <= one.upper, (seed, found[0])
            compared += 1
    assert compared > 8


def test_a_network_of_both_very_small_and_very_large_weights_is_decided():
    # |x| - c relu(x), the numbers of a neuron up to 2^600 apart
    large, small = 2.0**300, 2.0**-300
    for bend, status in ((1.5, "convex"), (2.0, "convex"), (2.5, "nonconvex")):
        weights = [[[large], [-small], [small]], [[small, large, -bend * large]]]
        network = ReluNetwork.from_layers(weights, [[0.0, 0.0, 0.0], [0.0]])
        assert jensen.verify(network, Box(-2, 2)).status == status
