"""Convex within a tolerance on gradient jumps, to the last bit; and concavity."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from fuzz import tiny_network, varied_network
from jump_oracle import worst_squared_jump

import jensen
from jensen.arithmetic.exact import root_to_double
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.errors import OptionError
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork
from jensen.verdicts.verdict import Status

LIMIT = 20.0


def check(network: ReluNetwork, domain: Domain, tolerance: float, squared: Fraction, label, **more):
    """``squared`` is the square of the worst gradient jump."""
    verdict = jensen.verify(network, domain, tolerance=tolerance, time_limit=LIMIT, **more)
    accepted = squared <= Fraction(tolerance) ** 2
    expected = Status.CONVEX if accepted else Status.NONCONVEX
    assert verdict.status is expected, (label, tolerance, math.sqrt(squared), verdict.summary)
    if accepted and squared:
        assert verdict.tolerance == tolerance
        assert f"within {tolerance:g}" in verdict.summary
    elif not accepted:
        assert verdict.counterexample.violation > 0


@pytest.mark.parametrize("make", [tiny_network, varied_network])
def test_the_worst_jump_is_what_is_compared(make):
    compared = 0
    for seed in range(48):
        network = make(seed)[1]
        d = network.input_size
        square = Polyhedron(np.vstack([np.ones(d), -np.eye(d)]), [1.0, *[0.5] * d])
        domain = (Box(-1, 1), Everywhere(), square)[seed % 3]
        squared = worst_squared_jump(network, domain)
        worst = root_to_double(squared)
        for tolerance in {worst / 2, worst * (1 - 1e-12), worst * (1 + 1e-12), 2 * worst, 1e-3}:
            if tolerance > 0:
                check(network, domain, tolerance, squared, (seed, str(domain)))
                compared += squared > 0
    assert compared > 30


def tent(*jumps: float, size: float = 1.0) -> ReluNetwork:
    """``-sum of jump_k relu(size x - k / 8)``: gradient jumps ``-size * jump_k``."""
    count = len(jumps)
    return ReluNetwork.from_layers(
        [[[size]] * count, [[-v for v in jumps]]], [[-k / 8 for k in range(count)], [0.0]]
    )


@pytest.mark.parametrize("jump", [1.0, 0.1, 1e-9, 1e-200, 5e-324, 1e200])
@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere()])
def test_one_ulp_decides(jump, domain):
    network = tent(jump)
    status = {
        t: jensen.verify(network, domain, tolerance=t).status
        for t in (jump, np.nextafter(jump, np.inf))
    }
    assert set(status.values()) == {Status.CONVEX}
    below = float(np.nextafter(jump, 0))
    assert jensen.verify(network, domain, tolerance=below).status is Status.NONCONVEX


def test_jumps_side_by_side_are_not_added_up():
    network = tent(0.5, 0.5, 0.5, 0.5)
    assert jensen.verify(network, Box(-1, 1), tolerance=0.5).status is Status.CONVEX
    assert jensen.verify(network, Box(-1, 1), tolerance=0.499).status is Status.NONCONVEX


def test_jumps_on_one_hyperplane_are_added_up():
    """Two blocks whose kinks coincide although no row is proportional to another."""
    network = ReluNetwork(
        1,
        [
            Block("a", {INPUT: [[1.0]]}, [0.0]),
            Block("b", {"a": [[1.0]], INPUT: [[1.0]]}, [0.0]),
            Block(OUTPUT, {"a": [[-0.5]], "b": [[-0.5]]}, [0.0], Activation.IDENTITY),
        ],
    )
    # the slope falls from 0 to -0.5 - 0.5 * 2
    for domain in (Box(-1, 1), Everywhere()):
        assert worst_squared_jump(network, domain) == Fraction(9, 4)
        assert jensen.verify(network, domain, tolerance=1.5).status is Status.CONVEX
        assert jensen.verify(network, domain, tolerance=1.49).status is Status.NONCONVEX


def test_the_jump_is_measured_at_right_angles_in_the_inputs():
    """-relu(3 x + 4 y): the gradient jumps by 5."""
    network = ReluNetwork.from_layers([[[3.0, 4.0]], [[-1.0]]], [[0.5], [0.0]])
    for domain in (Box(-1, 1), Everywhere(), Polyhedron([[1.0, 1.0]], [3.0])):
        assert jensen.verify(network, domain, tolerance=5.0).status is Status.CONVEX
        below = float(np.nextafter(5.0, 0))
        assert jensen.verify(network, domain, tolerance=below).status is Status.NONCONVEX
    # in one input, and where only one may move, the other part counts nothing
    for chosen, size in (((0,), 3.0), ((1,), 4.0)):
        verdict = jensen.verify(network, Box(-1, 1), inputs=chosen, tolerance=size)
        assert verdict.status is Status.CONVEX
        below = float(np.nextafter(size, 0))
        verdict = jensen.verify(network, Box(-1, 1), inputs=chosen, tolerance=below)
        assert verdict.status is Status.NONCONVEX


def test_on_a_flat_domain_only_jumps_in_it_count():
    """-relu(3 x + 4 y) on y = 0."""
    network = ReluNetwork.from_layers([[[3.0, 4.0]], [[-1.0]]], [[0.5], [0.0]])
    flat = Polyhedron([[0.0, 1.0], [0.0, -1.0]], [0.0, 0.0])
    for domain in (Box([-1.0, 0.0], [1.0, 0.0]), flat):
        assert jensen.verify(network, domain, tolerance=3.0).status is Status.CONVEX
        below = float(np.nextafter(3.0, 0))
        assert jensen.verify(network, domain, tolerance=below).status is Status.NONCONVEX


def test_concavity_has_a_tolerance_too():
    for seed in range(60):
        network = tiny_network(seed, budget=7)[1]
        squared = worst_squared_jump(network.negated(), Box(-1, 1))
        worst = root_to_double(squared)
        for tolerance in (worst / 2, 2 * worst):
            if tolerance > 0:
                check(network, Box(-1, 1), tolerance, squared, seed, concave=True)


def test_a_function_is_convex_and_concave_iff_it_has_no_kinks():
    for seed in range(60):
        network = tiny_network(seed, budget=7)[1]
        both = {
            jensen.verify(network, Box(-1, 1), concave=c, time_limit=LIMIT).status
            for c in (False, True)
        } == {Status.CONVEX}
        bends = [worst_squared_jump(f, Box(-1, 1)) > 0 for f in (network, network.negated())]
        assert both == (not any(bends)), seed


def test_the_facet_engine_accepts_what_the_tolerance_accepts():
    for seed in range(0, 60, 3):
        network = tiny_network(seed, budget=5)[1]
        squared = worst_squared_jump(network, Box(-1, 1))
        tolerance = 2 * root_to_double(squared) or 1e-3
        options = {"engine": "milp", "tolerance": tolerance, "time_limit": LIMIT}
        verdict = jensen.verify(network, Box(-1, 1), **options)
        assert verdict.status is Status.CONVEX, (seed, verdict.summary)
        assert verdict.tolerance is None or verdict.tolerance >= tolerance


@pytest.mark.parametrize("tolerance", [-1e-9, math.nan, math.inf])
def test_a_tolerance_that_is_no_length_is_refused(tolerance):
    with pytest.raises(OptionError, match="tolerance"):
        jensen.verify(tent(1.0), tolerance=tolerance)
