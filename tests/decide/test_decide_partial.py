"""Convexity in some of the inputs, against every gradient jump of the network."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from agreement import check_evidence
from fuzz import tiny_network, varied_network
from hypothesis import given
from hypothesis import strategies as st
from jump_oracle import worst_squared_jump
from questions import composed
from strategies import networks

import jensen
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.errors import OptionError
from jensen.network.relu_network import ReluNetwork
from jensen.verdicts.verdict import Status

LIMIT = 20.0


def check(network: ReluNetwork, domain: Domain, inputs: tuple[int, ...], label: object, **more):
    verdict = jensen.verify(network, domain, inputs=inputs, time_limit=LIMIT, **more)
    bends = worst_squared_jump(network, domain, inputs) > 0
    assert verdict.status is (Status.NONCONVEX if bends else Status.CONVEX), (label, inputs, domain)
    check_evidence(network, domain, verdict)
    if bends:
        pair = verdict.counterexample
        still = set(range(network.input_size)) - set(inputs)
        assert all(pair.x[i] == pair.y[i] for i in still)


@pytest.mark.parametrize("make", [tiny_network, varied_network])
def test_every_subset_of_the_inputs_is_decided_right(make):
    for seed in range(70):
        network = make(seed)[1]
        d = network.input_size
        square = Polyhedron(np.vstack([np.ones(d), -np.eye(d)]), [1.0, *[0.5] * d])
        domain = (Box(-1, 1), Everywhere(), square)[seed % 3]
        for size in range(1, d + 1):
            for inputs in combinations(range(d), size):
                check(network, domain, inputs, seed)


@given(networks(max_width=2), st.data())
def test_drawn_networks_are_decided_right(network, data):
    indices = st.integers(0, network.input_size - 1)
    inputs = tuple(sorted(data.draw(st.sets(indices, min_size=1))))
    check(network, Box(-1, 1), inputs, "drawn")


def test_all_inputs_are_plain_convexity():
    for seed in range(40):
        network = tiny_network(seed)[1]
        everything = tuple(range(network.input_size))
        statuses = {
            jensen.verify(network, Box(-1, 1), inputs=chosen, time_limit=LIMIT).status
            for chosen in (None, everything)
        }
        assert len(statuses) == 1


def ridge(first: float, second: float) -> ReluNetwork:
    """``relu(x) * first + relu(y) * second``."""
    return ReluNetwork.from_layers([np.eye(2), [[first, second]]], [[0.0, 0.0], [0.0]])


@pytest.mark.parametrize("domain", [Everywhere(), Box(-1, 1)])
def test_each_input_has_its_own_verdict(domain):
    network = ridge(1.0, -1.0)
    assert jensen.verify(network, domain, inputs=(0,)).status is Status.CONVEX
    assert jensen.verify(network, domain, inputs=(1,)).status is Status.NONCONVEX
    assert jensen.verify(network, domain, inputs=(0, 1)).status is Status.NONCONVEX
    assert jensen.verify(network, domain, inputs=(1,), concave=True).status is Status.CONVEX
    assert jensen.verify(network, domain, inputs=(0,), concave=True).status is Status.NONCONVEX


def test_a_facet_along_a_chosen_input_is_not_crossed_by_it():
    """-relu(y) kinks on y = 0 only: moving x never meets it, however the hull lies."""
    network = ridge(0.0, -1.0)
    slanted = Polyhedron([[1.0, 1.0], [-1.0, -1.0]], [1.0, 1.0])
    for domain in (Everywhere(), Box(-1, 1), slanted):
        assert jensen.verify(network, domain, inputs=(0,)).status is Status.CONVEX
    # on x = y nothing moves while y stands still
    diagonal = Polyhedron([[1.0, -1.0], [-1.0, 1.0]], [0.0, 0.0])
    assert jensen.verify(network, diagonal, inputs=(0,)).status is Status.CONVEX
    assert jensen.verify(network, diagonal, inputs=(0, 1)).status is Status.NONCONVEX


@pytest.mark.parametrize("inputs", [(0,), (1,), (2,), (0, 2)])
def test_a_fixed_side_of_the_box_among_the_chosen_inputs(inputs):
    for seed in range(90):
        network = tiny_network(seed)[1]
        if network.input_size != 3:
            continue
        box = Box([-1.0, 0.5, -1.0], [1.0, 0.5, 1.0])
        verdict = jensen.verify(network, box, inputs=inputs, time_limit=LIMIT)
        # with the side as a constant the network has two inputs
        matrix = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
        inner = composed(network, matrix, np.array([0.0, 0.5, 0.0]))
        left = [{0: 0, 2: 1}[i] for i in inputs if i != 1]
        if not left:
            assert verdict.status is Status.CONVEX
            continue
        bends = worst_squared_jump(inner, Box(-1, 1), left) > 0
        assert verdict.status is (Status.NONCONVEX if bends else Status.CONVEX), seed


@pytest.mark.parametrize("inputs", [(2,), (-1,), (0, 5), ()])
def test_inputs_that_do_not_exist_are_refused(inputs):
    with pytest.raises(OptionError, match="input"):
        jensen.verify(ridge(1.0, 1.0), inputs=inputs)


def test_the_facet_engine_agrees():
    for seed in range(0, 60, 3):
        network = tiny_network(seed, budget=5)[1]
        verdict = jensen.verify(network, Box(-1, 1), inputs=(0,), engine="milp", time_limit=LIMIT)
        bends = worst_squared_jump(network, Box(-1, 1), (0,)) > 0
        if verdict.tolerance is None and verdict.status is not Status.UNKNOWN:
            assert verdict.status is (Status.NONCONVEX if bends else Status.CONVEX), seed


def test_the_claim_names_the_inputs():
    assert "convex in inputs 0" in jensen.verify(ridge(1.0, -1.0), inputs=(0,)).summary
