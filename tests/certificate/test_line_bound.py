"""Multipliers by lines: no unit is above the bound, which is tighter than that of intervals."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from test_certificate_joint import network_of, random_network, trained, values_at

from jensen.certificate import checker
from jensen.certificate.leaf_proof import LeafProver
from jensen.certificate.line_bound import line_multipliers
from jensen.domains.domain import Box
from jensen_encodings.lp import LpSolver


def bound(net: checker.Network, unit: int) -> Fraction:
    node, form = checker.Node(net, checker.ONE, {}), net.units[unit].form
    entries = line_multipliers(net, LeafProver(net, LpSolver()).lead, form)
    total, factor = node.combine(entries, form)
    return factor * node.largest(total)


def test_no_value_is_above_the_bound() -> None:
    for seed in range(40):
        net, rng = (
            network_of(random_network(seed, 1 + seed % 3), Box(-1, 1)),
            np.random.default_rng(seed),
        )
        bounds = {unit: bound(net, unit) for unit in range(net.inputs, net.output)}
        for _ in range(20):
            x = [Fraction(int(rng.integers(u.low, u.high + 1))) for u in net.units[1 : net.inputs]]
            at = values_at(net, x)
            assert all(at[unit] <= most for unit, most in bounds.items())


def test_the_bound_is_tighter_than_that_of_intervals() -> None:
    net = network_of(trained("d5_48x48_lse_s0_r1"), Box(-1, 1))
    second = [unit for unit in range(net.inputs, net.output) if net.units[unit].reads]
    tighter = sum(bound(net, unit) < net.units[unit].high for unit in second)
    assert tighter > 0.9 * len(second)
