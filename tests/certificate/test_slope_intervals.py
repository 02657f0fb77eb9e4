"""Intervals of slopes in doubles enclose the checker's."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from fuzz import tiny_network
from test_certificate_joint import network_of, random_network

from jensen.certificate import checker
from jensen.certificate.float_units import FloatUnits
from jensen.certificate.slope_intervals import JumpBound, slope_intervals
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
        node = checker.Node(net, group, {group: False})
        node.least_jump(states[row])
        exact = node.last_spans
        for k in range(net.inputs, len(net.units)):
            ratio = Fraction(units.size[group], units.size[k])
            least, most = (end * ratio for end in exact.get(k, (0, 0)))
            assert Fraction(float(low[row, k])) <= least <= most <= Fraction(float(high[row, k]))
            count += bool(least or most)
        # the same from a root where some of the states are fixed
        root = {k: states[row][k] for k in list(states[row])[::2]} | {group: False}
        free = [np.ones((1, len(net.units)), dtype=bool) for _ in range(2)]
        for k, state in root.items():
            free[state][0, k] = False
        spans = [side[0] for side in slope_intervals(units, groups[row : row + 1], *free)]
        jump = JumpBound(units, group, (spans[0], spans[1]), root).least(states[row])
        size = 1 + np.abs(spans).max()
        assert low[row, net.output] - 1e-9 * size < jump < low[row, net.output] + 1e-9 * size
        exact_jump = exact.get(net.output, (0, 0))[0] * Fraction(units.size[group])
        assert Fraction(jump) <= exact_jump / units.size[net.output]
    return count


def test_intervals_enclose_the_checkers() -> None:
    seen = 0
    for seed in range(40):
        for domain in (Box(-1, 1), Everywhere()):
            network = random_network(seed, 1 + seed % 4, width=2 + seed % 5)
            seen += count_enclosed(network_of(network, domain), seed)
            seen += count_enclosed(network_of(tiny_network(seed)[1], domain), seed)
    assert seen > 1000
