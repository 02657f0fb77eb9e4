"""Bounds by lines: no unit is above the bound, which is tighter than that of intervals."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from test_certificate_joint import network_of, random_network, trained, values_at

from jensen.certificate import checker
from jensen.certificate.leaf_proof import LeafProver
from jensen.certificate.line_bound import line_multipliers
from jensen.domains.domain import Box
from jensen_encodings.lp import LpSolver

Bound = Callable[[checker.Network, int], checker.Number]


def by_multipliers(net: checker.Network, unit: int) -> checker.Number:
    node, form = checker.Node(net, checker.ONE, {}), net.units[unit].form
    entries = line_multipliers(net, LeafProver(net, LpSolver()).lead, form)
    total, factor = node.combine(entries, form)
    return factor * node.largest(total)


def by_the_rule(net: checker.Network, unit: int) -> checker.Number:
    node, form = checker.Node(net, checker.ONE, {}), net.units[unit].form
    return checker.rule_bound(node, form, 1, "0")


both = pytest.mark.parametrize("bound", [by_multipliers, by_the_rule])


@both
def test_no_value_is_above_the_bound(bound: Bound) -> None:
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


def test_no_value_is_below_the_bound_of_the_rule() -> None:
    for seed in range(40):
        net, rng = (
            network_of(random_network(seed, 1 + seed % 3), Box(-1, 1)),
            np.random.default_rng(seed),
        )
        node = checker.Node(net, checker.ONE, {})
        least = {
            unit: -checker.rule_bound(node, net.units[unit].form, -1, "0")
            for unit in range(net.inputs, net.output)
        }
        for _ in range(20):
            x = [Fraction(int(rng.integers(u.low, u.high + 1))) for u in net.units[1 : net.inputs]]
            at = values_at(net, x)
            assert all(at[unit] >= low for unit, low in least.items())


@both
def test_the_bound_is_tighter_than_that_of_intervals(bound: Bound) -> None:
    net = network_of(trained("d5_48x48_lse_s0_r1"), Box(-1, 1))
    second = [unit for unit in range(net.inputs, net.output) if net.units[unit].reads]
    tighter = sum(bound(net, unit) < net.units[unit].high for unit in second)
    assert tighter > 0.9 * len(second)
