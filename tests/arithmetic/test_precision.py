"""Measures at the edge of what doubles can tell: honest statuses, no pair lost, no overflow."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import jensen
from jensen.arithmetic.intervals import round_down
from jensen.domains.domain import Box, Everywhere, Polyhedron
from jensen.midpoint.pair_violation import Violation
from jensen.midpoint.worst_pair import concluded, with_pair, worst_pair
from jensen.network.relu_network import ReluNetwork
from jensen.violation import worst_violation as measure

FAULT = Path(__file__).resolve().parents[3] / "shared" / "cases" / "faults" / "d3_gap.npz"


def tiny_dent(size: float = 1e9, dent: float = 2.0**-26) -> ReluNetwork:
    """|x| of a huge size, and a dent at 1/2 that is far below its rounding."""
    return ReluNetwork.from_layers(
        [[[1.0], [-1.0], [1.0]], [[size, size, -dent]]], [[0.0, 0.0, -0.5], [0.0]]
    )


def claimed(lower: Fraction, upper: float, **others: object) -> Violation:
    point = (Fraction(0),)
    return Violation(round_down(lower), upper, point, point, lower, "optimal", **others)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (claimed(Fraction(0), 0.0), "optimal"),
        (claimed(Fraction(1), 1.00009), "optimal"),
        (claimed(Fraction(1), 1.00011), "precision limit"),
        (claimed(Fraction(0), 1e-300), "precision limit"),
        (claimed(Fraction(0), 1e-7, tolerance=1e-6), "optimal"),
        (claimed(Fraction(1), math.inf), "precision limit"),
        (claimed(Fraction(10**400), math.inf), "precision limit"),
        (claimed(Fraction(1, 10**400), 5e-324), "precision limit"),
        (replace(claimed(Fraction(1), 9.0), status="time limit"), "time limit"),
        (replace(claimed(Fraction(1), 1.0), status="precision limit"), "optimal"),
    ],
)
def test_optimal_stands_only_where_the_gap_holds(found, status):
    assert concluded(found, 1e-4).status == status


def test_a_gap_without_bounds_takes_everything_finite():
    assert concluded(claimed(Fraction(1), 1e300), math.inf).status == "optimal"


@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere()])
def test_a_violation_below_the_rounding_is_no_optimum(domain):
    found = jensen.worst_violation(tiny_dent(), domain)
    assert found.exact_lower > 0
    holds = Fraction(found.upper) - found.exact_lower <= found.exact_lower * Fraction(1e-4)
    assert (found.status == "optimal") == holds
    assert found.status in {"optimal", "precision limit"} or domain == Everywhere()


def test_the_tree_ends_at_the_precision_limit_of_the_fault_file():
    if not FAULT.exists():
        pytest.skip("the shared cases are not here")
    network, box = jensen.load(FAULT), Box(-1, 1)
    known = jensen.verify(network, box).counterexample
    assert known is not None
    found = worst_pair(network, box, start=(known.x, known.y))
    assert found.status == "precision limit"
    # what the search reaches depends on how the last digits of its sums round
    assert 3.2e-08 <= found.lower <= found.upper
    assert found.exact_lower >= known.violation
    exact = jensen.worst_violation(network, box)  # of one input
    assert exact.status == "optimal"
    assert found.exact_lower <= exact.exact_lower <= Fraction(found.upper)


@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere()])
@pytest.mark.parametrize("size", [1.0, 5e-324])
def test_of_one_input_optimal_stands_only_where_the_gap_holds(domain, size):
    # slopes 1, -1, 1, so that violations are bounded: the worst one is size / 4
    network = ReluNetwork.from_layers(
        [[[1.0], [-1.0], [1.0], [1.0]], [[1.0, -1.0, -2.0, 2.0]]], [[0, 0, 0.25, -0.25], [0.0]]
    )
    weights = {name: w * size for name, w in network.output.weights.items()}
    network = network.with_output(replace(network.output, weights=weights))
    found = jensen.worst_violation(network, domain)
    assert found.exact_lower > 0
    holds = Fraction(found.upper) - found.exact_lower <= found.exact_lower * Fraction(1e-4)
    assert found.status == ("optimal" if holds else "precision limit")
    assert holds == (size == 1.0)


def test_the_worse_pair_is_kept_exactly():
    network = ReluNetwork.from_layers([[[1.0]], [[-1.0]]], [[0.0], [0.0]])
    third = (Fraction(-1, 3),), (Fraction(1, 3),)
    kept = with_pair(claimed(Fraction(0), 0.125), network, Box(-1, 1), third)
    assert (kept.x, kept.y, kept.exact_lower) == (*third, Fraction(1, 6))
    assert Fraction(kept.lower) <= Fraction(1, 6) <= Fraction(kept.upper)
    assert with_pair(kept, network, Box(-1, 1), ((Fraction(0),), (Fraction(1),))) is kept
    assert with_pair(kept, network, Box(-0.25, 0.25), third) is kept  # outside


def test_the_pair_of_the_prover_survives_a_search_that_finds_nothing(monkeypatch):
    """Rounded to doubles the pair shows nothing any more; it was exact."""
    network = tiny_dent()
    known = jensen.verify(network, Box(-1, 1)).counterexample
    assert known is not None

    def nothing(*_: object, **__: object) -> Violation:
        return claimed(Fraction(0), 0.25)

    monkeypatch.setattr(measure, "box_violation", nothing)
    found = jensen.worst_violation(network, Box(-1, 1))
    assert found.exact_lower == known.violation
    assert (found.x, found.y) == (known.x, known.y)
    assert found.status == "precision limit"


def test_the_pair_of_the_prover_survives_values_beyond_the_doubles():
    network = ReluNetwork.from_layers([[[1e300]], [[-1e300]]], [[0.0], [0.0]])
    found = jensen.worst_violation(network, Box(-1, 1))
    assert (found.status, found.upper) == ("precision limit", math.inf)
    assert found.exact_lower > 10**300
    json.dumps(found.to_json())


SCALES = [(1e300, 1e-300), (1e308, 1.0), (5e-324, 1.0), (1e200,), (1e-200,), (1.7e308, 5e-324)]


def extreme(seed: int) -> ReluNetwork:
    """Return a small network whose weights are at the ends of the doubles."""
    rng = np.random.default_rng(seed)
    scales = np.array(SCALES[seed % len(SCALES)])
    width = int(rng.integers(1, 4))
    sizes = [int(rng.integers(1, 3)), *[width] * int(rng.integers(1, 3)), 1]
    weights, biases = [], []
    for columns, rows in pairwise(sizes):
        weights.append(
            rng.choice([-1, 0, 1], (rows, columns)) * rng.choice(scales, (rows, columns))
        )
        biases.append(rng.choice([-1, 0, 1], rows) * rng.choice(scales, rows))
    return ReluNetwork.from_layers(weights, biases)


def measures_at_the_ends(seeds: range) -> None:
    for seed in seeds:
        network = extreme(seed)
        size = network.input_size
        domains = [
            Box(-1, 1), Box(-1e308, 1e308), Box(-1e-300, 5e-324), Everywhere(),
            Polyhedron(np.full((1, size), 1e300), [1e-300]),
        ]  # fmt: skip
        for domain in domains:
            jump = jensen.worst_jump(network, domain, time_limit=0.5)
            assert 0 <= jump.lower <= jump.upper
            jump.to_json()
            certificate = jensen.verify(
                network, domain, certificate=True, time_limit=0.5
            ).certificate
            assert certificate is None or certificate.data
            if isinstance(domain, Polyhedron):
                continue
            try:
                found = jensen.worst_violation(network, domain, time_limit=0.5)
            except jensen.errors.SolverError as error:
                assert "beyond the range of doubles" in str(error)  # noqa: PT017
                continue
            assert 0 <= found.lower <= found.upper
            found.to_json()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_measures_and_certificates_at_the_ends_of_the_doubles():
    measures_at_the_ends(range(14))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_300_networks_at_the_ends_of_the_doubles():
    measures_at_the_ends(range(100, 400))


def test_long_sides_are_sampled_without_overflow():
    network = ReluNetwork.from_layers([[[1e-300]], [[-1.0]]], [[0.0], [0.0]])
    found = jensen.worst_violation(network, Box(-1.7e308, 1.7e308), time_limit=5)
    assert found.exact_lower > 0
