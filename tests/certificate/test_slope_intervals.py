"""Intervals of slopes in doubles enclose the checker's."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from fuzz import tiny_network
from test_certificate_joint import network_of, random_network

from jensen.certificate import checker
from jensen.certificate.float_units import FloatUnits
from jensen.certificate.slope_intervals import levels_within, slope_intervals
from jensen.domains.domain import Box, Everywhere


def count_enclosed(net: checker.Network, seed: int) -> int:
    """Compare slopes under random states of some units; return how many are not 0."""
    units, rng, several = FloatUnits(net), np.random.default_rng(seed), 8
    kinks, count = sorted(net.kinks), 0
    if not kinks:
        return 0
    groups = rng.choice(kinks, several)
    on, off = np.ones((2, several, len(net.units)), dtype=bool)
    states: list[dict[int, bool]] = []
    for row, group in enumerate(groups.tolist()):
        others = [k for k in range(net.inputs, net.output) if k != group and rng.random() < 0.4]
        states.append({k: bool(rng.random() < 0.5) for k in others})
        for k, state in states[row].items():
            (off if state else on)[row, k] = False
    low, high = slope_intervals(units, groups, on, off)
    for row, group in enumerate(groups.tolist()):
        exact = checker.spans(net, group, states[row] | {group: False})
        for k in range(net.inputs, len(net.units)):
            ratio = Fraction(units.size[group], units.size[k])
            least, most = (end * ratio for end in exact.get(k, (0, 0)))
            assert Fraction(float(low[row, k])) <= least <= most <= Fraction(float(high[row, k]))
            count += bool(least or most)
        reached = (low[row] != 0) | (high[row] != 0)
        one = slice(row, row + 1)
        within = levels_within(units, reached)
        again, _ = slope_intervals(units, groups[one], on[one], off[one], within)
        assert abs(again[0, net.output] - low[row, net.output]) < 1e-9 * (1 + abs(again[0]).max())
    return count


def test_intervals_enclose_the_checkers() -> None:
    seen = 0
    for seed in range(40):
        for domain in (Box(-1, 1), Everywhere()):
            network = random_network(seed, 1 + seed % 4, width=2 + seed % 5)
            seen += count_enclosed(network_of(network, domain), seed)
            seen += count_enclosed(network_of(tiny_network(seed)[1], domain), seed)
    assert seen > 1000
