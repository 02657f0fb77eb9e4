"""Bounds on pieces of first kinks: states that occur are among them, and J is not below them."""

from __future__ import annotations

from itertools import pairwise

import fuzz
import numpy as np
import oracle
import pytest

import jensen
from jensen.domains.domain import Box, Domain, Everywhere
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.network.stack import NetworkStack
from jensen.prover.closed import closed_neurons
from jensen.prover.walks.piece_bounds import jumps_behind, states_behind
from jensen.prover.walks.planes import can_walk_planes, planes_bend_upwards

SAMPLERS = tuple(fuzz.SAMPLERS)


def drawn(seed: int, sizes: list[int], family: str) -> ReluNetwork:
    rng = np.random.default_rng([seed, *sizes])
    weights, biases = [], []
    for level, (before, width) in enumerate(pairwise(sizes)):
        weight, bias = fuzz.SAMPLERS[family](rng, width, before)
        if level:
            negative = 0.3 if level == 1 else 0.1
            weight = np.where(rng.random(weight.shape) < negative, weight, np.abs(weight))
        weights.append(np.asarray(weight, dtype=float))
        biases.append(np.asarray(bias, dtype=float))
    return ReluNetwork.from_layers(weights, biases)


def shown(network: ReluNetwork, domain: Domain) -> bool | None:
    """Return what pieces of first kinks prove; None if others are open as well."""
    stack = NetworkStack.from_networks([network])
    with np.errstate(all="ignore"):
        closed = closed_neurons(prepare(network, domain))
    asked = ~np.concatenate([closed[block.name] for block in network.hidden])
    first = network.hidden[0].size
    if not can_walk_planes(stack, domain) or asked[first:].any() or not asked.any():
        return None
    return bool(planes_bend_upwards(stack, domain, asked[None])[0])


def compare_with_brute_force(seeds: range) -> tuple[int, int]:
    found = convex = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        family = SAMPLERS[seed % len(SAMPLERS)] if seed % 3 else "default"
        sizes = [3, int(rng.integers(1, 5)), *rng.integers(1, 4, rng.integers(2, 4)).tolist(), 1]
        network, domain = drawn(seed, sizes, family), (Box(-1, 1), Everywhere())[seed % 2]
        proved = shown(network, domain)
        if proved is None:
            continue
        truth = oracle.is_convex(network, domain)
        assert truth or not proved, seed
        convex, found = convex + truth, found + proved
    return found, convex


def test_what_is_proved_of_deep_networks_is_convex_by_brute_force():
    found, convex = compare_with_brute_force(range(1200))
    assert found > convex / 8


@pytest.mark.slow
def test_what_is_proved_of_many_deep_networks_is_convex_by_brute_force():
    compare_with_brute_force(range(1200, 12000))


def test_states_and_jumps_that_occur_are_within_the_bounds():
    rng = np.random.default_rng(3)
    inputs, first, widths = 3, 4, [5, 4, 3]
    for _ in range(40):
        # pieces are cones on which the second level is linear, as rows of three units in front
        count, each = 6, 4
        rows = rng.normal(size=(widths[0], inputs))
        rays = rng.normal(size=(inputs, count * each))
        place = np.ones(count * each)
        z = rows @ rays
        begin = np.arange(0, count * each + 1, each)
        bounds = z - 1e-12, z + 1e-12
        seen = tuple(
            np.logical_or.reduceat(side, begin[:-1], axis=1)
            for side in (bounds[1] >= 0, bounds[0] <= 0)
        )
        behind = [(rng.normal(size=(b, a)), rng.normal(size=b)) for a, b in pairwise(widths)]
        states = states_behind(bounds, seen, behind, (place, 0 * place), begin)
        weights = [rng.normal(size=(widths[0], first)), *(w for w, _ in behind)]
        weights.append(rng.normal(size=(1, widths[-1])))
        kink = rng.integers(first, size=count)
        low = jumps_behind(states, weights, kink)
        for piece in range(count):
            for _ in range(20):
                share = rng.random(each)
                at = slice(begin[piece], begin[piece + 1])
                value, t = z[:, at] @ share, place[at] @ share
                slope = weights[0][:, kink[piece]]
                for number, (on, off) in enumerate(states):
                    assert on[value > 1e-9, piece].all()
                    assert off[value < -1e-9, piece].all()
                    slope = slope * (value > 0)
                    if number < len(behind):
                        weight, bias = behind[number]
                        value = weight @ np.maximum(value, 0) + bias * t
                        slope = weight @ slope
                assert weights[-1] @ slope >= low[piece] - 1e-9


def test_three_levels_of_four_inputs_are_proved_by_pieces_of_first_kinks():
    proved = 0
    for seed in range(60):
        network = drawn(seed, [4, 5, 4, 3, 1], "default")
        found = shown(network, Box(-1, 1))
        if found:
            verdict = jensen.verify(network, Box(-1, 1))
            assert verdict.status == "convex"
            proved += "walk" in verdict.reasons
    assert proved
