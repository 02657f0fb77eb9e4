"""Thousands of tiny networks, degenerate ones above all, against the exact oracle."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import product

import numpy as np
import oracle
import pytest
from agreement import (
    between_engines,
    check_evidence,
    disagreement,
    edge_network,
    odd_domains,
    some_domain,
)
from fuzz import tiny_network, varied_network
from hypothesis import given
from strategies import cases, networks

import jensen
from jensen.certificate.checker import run
from jensen.certificate.model_export import export_json
from jensen.domains.domain import Box
from jensen.network.relu_network import Activation, Block, ReluNetwork
from jensen.verdicts.verdict import Status

QUICK, THOROUGH = 240, 4000


def test_the_first_seeds_are_all_decided_right():
    failures = [line for seed in range(QUICK) for line in disagreement(seed)]
    assert not failures, "\n".join(failures)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(QUICK, THOROUGH, (THOROUGH - QUICK) // 8))
def test_thousands_of_seeds_are_all_decided_right(start):
    stop = start + (THOROUGH - QUICK) // 8
    failures = [line for seed in range(start, stop) for line in disagreement(seed)]
    assert not failures, "\n".join(failures)


def test_affine_and_leaky_blocks_on_odd_boxes_are_decided_right():
    failures = [
        line for seed in range(QUICK) for line in disagreement(seed, varied_network, odd_domains)
    ]
    assert not failures, "\n".join(failures)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(QUICK, THOROUGH, (THOROUGH - QUICK) // 8))
def test_thousands_of_affine_and_leaky_blocks_are_decided_right(start):
    failures = []
    for seed in range(start, start + (THOROUGH - QUICK) // 8):
        failures += disagreement(seed, varied_network, odd_domains)
    assert not failures, "\n".join(failures)


def test_engines_do_not_contradict_one_another_on_networks_at_the_edge_of_convexity():
    counts: Counter[str] = Counter()
    failures = [line for seed in range(12) for line in between_engines(seed, counts)]
    assert not failures, "\n".join(failures)
    assert 2 <= counts["convex"] <= 10  # both answers are asked for
    assert not counts["unknown to verify"]


@given(cases())
def test_drawn_networks_are_decided_right(case):
    network, domain = case
    verdict = jensen.verify(network, domain, time_limit=60.0)
    convex = oracle.is_convex(network, domain)
    assert verdict.status is (Status.CONVEX if convex else Status.NONCONVEX)
    check_evidence(network, domain, verdict)


@given(networks())
def test_a_network_is_concave_iff_its_negative_is_convex(network):
    verdict = jensen.verify(network, Box(-1, 1), concave=True)
    convex = oracle.is_convex(network.negated(), Box(-1, 1))
    assert verdict.status is (Status.CONVEX if convex else Status.NONCONVEX)


def fixed_inputs(network: ReluNetwork, free: int) -> set[tuple[Fraction, ...]]:
    """Values of the other inputs at which convexity in one input may change."""
    others = [i for i in range(network.input_size) if i != free]
    found = set(product((Fraction(-1), Fraction(1, 3), Fraction(1)), repeat=len(others)))
    for cone, _ in oracle.regions(network, Box(-1, 1)):
        inside = [sum(column) for column in zip(*cone.rays, strict=True)]
        for ray in (*cone.rays, inside):
            found.add(tuple(Fraction(ray[i], ray[-1]) for i in others))
    return found


@pytest.mark.parametrize("seed", range(0, 150, 5))
def test_partial_convexity_is_convexity_for_every_value_of_the_other_inputs(seed):
    network = tiny_network(seed, budget=7)[1]
    if network.input_size == 1:
        pytest.skip("one input has no others")
    free = seed % network.input_size
    others = [i for i in range(network.input_size) if i != free]
    verdict = jensen.verify(network, Box(-1, 1), inputs=(free,), time_limit=60.0)
    convex = True
    for values in fixed_inputs(network, free):
        lower, upper = -np.ones(network.input_size), np.ones(network.input_size)
        lower[others] = upper[others] = [float(v) for v in values]
        convex = convex and oracle.is_convex(network, Box(lower, upper))
    if verdict.status is Status.NONCONVEX:
        check_evidence(network, Box(-1, 1), verdict)
        assert all(verdict.counterexample.x[i] == verdict.counterexample.y[i] for i in others)
    else:
        assert verdict.status is Status.CONVEX
        assert convex


@pytest.mark.parametrize("engine", ["milp", "midpoint"])
def test_no_engine_contradicts_the_oracle(engine):
    contradictions = []
    for seed in range(0, 120, 4):
        network = tiny_network(seed, budget=6)[1]
        verdict = jensen.verify(network, Box(-1, 1), engine=engine, time_limit=20.0)
        convex = oracle.is_convex(network, Box(-1, 1))
        if verdict.status is Status.CONVEX:
            # bounds of a MILP solver hold up to a tolerance that the verdict names
            if not convex and verdict.tolerance is None:
                contradictions.append((seed, verdict.summary))
        elif verdict.status is Status.NONCONVEX:
            check_evidence(network, Box(-1, 1), verdict)
            if convex:
                contradictions.append((seed, verdict.summary))
    assert not contradictions


def test_a_tolerance_accepts_small_jumps_and_says_so():
    network = ReluNetwork.from_layers([[[1.0], [1.0]], [[1.0, -1e-6]]], [[0.0, -0.5], [0.0]])
    assert jensen.verify(network, Box(-1, 1)).status is Status.NONCONVEX
    within = jensen.verify(network, Box(-1, 1), tolerance=1e-3)
    assert within.status is Status.CONVEX
    assert within.tolerance == 1e-3
    assert "within 0.001" in within.summary
    assert jensen.verify(network, Box(-1, 1), tolerance=1e-7).status is Status.NONCONVEX


def test_the_seed_of_the_search_does_not_change_verdicts():
    for index in range(0, 60, 2):
        network = tiny_network(index)[1]
        verdicts = {jensen.verify(network, Box(-1, 1), seed=s).status for s in range(3)}
        assert len(verdicts) == 1


def test_a_kink_of_a_unit_a_thousand_million_times_as_small_as_others_is_met():
    # two of its units are of size 1e-6, which is what HiGHS takes for 0
    network, domain = edge_network(155)[1], some_domain(155, edge_network(155)[1])
    verdict = jensen.verify(network, domain, time_limit=60.0)
    assert verdict.status is jensen.Status.NONCONVEX
    check_evidence(network, domain, verdict)


@pytest.mark.parametrize("seed", range(0, 60, 6))
def test_units_scaled_by_powers_of_two_change_no_verdict_and_are_certified(seed, tmp_path):
    network = edge_network(seed)[1]
    first, second, output = network.blocks
    scale = 2.0 ** np.random.default_rng(seed).integers(-25, 2, first.size)
    blocks = [
        Block("relu_1", {"input": first.weights["input"] * scale[:, None]}, first.bias * scale),
        Block("relu_2", {"relu_1": second.weights["relu_1"] / scale}, second.bias),
        Block(
            "output",
            {"relu_1": output.weights["relu_1"] / scale, "relu_2": output.weights["relu_2"]},
            output.bias,
            Activation.IDENTITY,
        ),
    ]
    scaled, domain = ReluNetwork(network.input_size, blocks), some_domain(seed, network)
    options = {"engine": "joint", "certificate": True, "time_limit": 60.0}
    plain, verdict = (jensen.verify(net, domain, **options) for net in (network, scaled))
    assert verdict.status == plain.status != "unknown"
    check_evidence(scaled, domain, verdict)
    if verdict.certificate is not None:
        files = [str(tmp_path / name) for name in ("network.json", "proof.jsonl")]
        export_json(scaled, files[0])
        verdict.certificate.write(files[1])
        assert run(*files)[0] == 0
