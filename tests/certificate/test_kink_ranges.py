"""Bounds on kinks in doubles enclose what the checker computes, and decide the same states."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from fuzz import tiny_network
from test_certificate_joint import network_of, random_network, trained

from jensen.certificate import checker
from jensen.certificate.float_units import FloatUnits
from jensen.certificate.kink_ranges import KinkRanges
from jensen.certificate.proof_node import ProofNode
from jensen.domains.domain import Box, Domain, Everywhere


def count_enclosed(net: checker.Network, seed: int, most: int = 6) -> int:
    """Compare all ranges on some kinks with the checker's; return how many were narrowed."""
    units, rng = FloatUnits(net), np.random.default_rng(seed)
    pairs = [(group, face) for group in sorted(net.kinks) for face in sorted(net.faces) or [0]]
    if not pairs:
        return 0
    pairs = [pairs[i] for i in rng.permutation(len(pairs))[:most]]
    found = KinkRanges(net, units, np.array([g for g, _ in pairs]), [f for _, f in pairs])
    wanted = np.ones((len(pairs), len(net.units)), dtype=bool)
    wanted[:, : net.inputs] = wanted[:, net.output] = False
    missed, lemmas = found.missed(), found.find(wanted)
    order = sorted(range(len(net.units)), key=lambda k: (units.level[k], k))
    for kink, (group, face) in enumerate(pairs):
        node = ProofNode(net, group, face)
        if missed[kink]:
            checker.rule_empty(node, [["facet", "1" if missed[kink] < 0 else "-1"]])
        for k in order:
            if lemmas.some[kink, k]:
                node.narrow(k, *found.sides(kink, np.array([k]), lemmas)[0])
        for k in range(net.inputs, net.output):
            low, high = node.bounds(k)
            ends = [
                Fraction(float(side[kink, k])) * units.size[k]
                for side in (
                    found.ranges.lower,
                    found.ranges.lower_in,
                    found.ranges.upper_in,
                    found.ranges.upper,
                )
            ]
            assert ends[0] <= low <= ends[1]
            assert ends[2] <= high <= ends[3]
            assert (ends[0] > 0) == (low > 0)
            assert (ends[3] < 0) == (high < 0)
            if lemmas.some[kink, k]:
                assert node.fixed.get(k) == (
                    True if ends[0] > 0 else False if ends[3] < 0 else None
                )
    return int(lemmas.some.sum())


@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere()], ids=str)
def test_small_integers_and_numbers_of_all_sizes(domain: Domain) -> None:
    """Ranges that end at 0, ties between the ends of a range, twins, tiny and huge weights."""
    narrowed = 0
    for seed in range(40):
        network = random_network(seed, 1 + seed % 4, width=2 + seed % 6)
        narrowed += count_enclosed(network_of(network, domain), seed)
        narrowed += count_enclosed(network_of(tiny_network(seed)[1], domain), seed)
    assert narrowed > 300


@pytest.mark.parametrize("name", ["d5_48x48_lse_s0_r1", "d3_12x12x12_s0_r1"])
def test_trained_networks(name: str) -> None:
    assert count_enclosed(network_of(trained(name), Box(-1, 1)), 0, most=3) > 50


@pytest.mark.slow
def test_many_networks() -> None:
    for seed in range(1000, 1400):
        network = random_network(seed, 1 + seed % 4, width=2 + seed % 6)
        for domain in (Box(-1, 1), Everywhere()):
            count_enclosed(network_of(network, domain), seed)
            count_enclosed(network_of(tiny_network(seed)[1], domain), seed)


def test_bounds_put_off_are_the_same_bounds() -> None:
    net = network_of(random_network(7, 2, width=5), Box(-1, 1))
    group = min(net.kinks)
    units = [k for k in range(group + 1, net.output) if net.units[k].low < 0 < net.units[k].high]
    now, later = ProofNode(net, group), ProofNode(net, group)
    for k in units:
        now.narrow(k, "1/3", "-1/2")
        later.narrow_later(k, "1/3", "-1/2", now.fixed.get(k))
    assert later.fixed == now.fixed
    later.fix(later.net.output, True)  # what is branched on meanwhile is no part of the bounds
    later.settle()
    later.fix(later.net.output, None)
    assert (later.ranges, later.fixed, later.root) == (now.ranges, now.fixed, now.root)
