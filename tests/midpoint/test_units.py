"""Units of powers of two: results do not depend on the sizes of inputs, neurons and outputs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp

import jensen
from jensen.domains.domain import Box, Polyhedron
from jensen.midpoint.feasible import Feasible
from jensen.midpoint.units import rescaled
from jensen.midpoint.worst_pair import worst_pair
from jensen.network.block import Activation, Block
from jensen.network.relu_network import ReluNetwork
from jensen.verdicts.counterexample import admits, exact_violation


def network(seed: int, sizes: tuple[float, float, float, float] = (1, 1, 1, 1)) -> ReluNetwork:
    """A network whose inputs, first and second layer and output are so much larger."""
    x, first, second, out = sizes
    rng = np.random.default_rng(seed)
    W = [rng.normal(size=(6, 3)), rng.normal(size=(6, 6)) / 2, rng.normal(size=(1, 6))]
    b = [rng.normal(size=6) / 2, rng.normal(size=6) / 2, rng.normal(size=1)]
    return ReluNetwork.from_layers(
        [W[0] * first / x, W[1] * second / first, W[2] * out / second],
        [b[0] * first, b[1] * second, b[2] * out],
    )


SIZES = [(1, 1, 1, 1e-6), (1e-6, 1, 1, 1), (1, 1e6, 1, 1), (1e6, 1, 1e-6, 1e6), (1, 1e-9, 1e9, 1)]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("seed", [1, 5])
def test_the_bounds_meet_whatever_the_sizes_are(seed: int, sizes: tuple[float, ...]) -> None:
    net, side, size = network(seed, sizes), sizes[0], sizes[3]
    found = jensen.worst_violation(net, Box(-side, side), threads=1)
    plain = jensen.worst_violation(network(seed), Box(-1, 1), threads=1)
    assert found.status == "optimal"
    assert found.lower / size == pytest.approx(plain.lower, rel=2e-4)
    assert found.upper / size == pytest.approx(plain.upper, rel=2e-4)
    assert admits(Box(-side, side), found.x, found.y)
    assert exact_violation(net, found.x, found.y) == found.exact_lower
    assert Fraction(found.lower) <= found.exact_lower <= Fraction(found.upper)


def test_rows_of_a_polyhedron_are_in_the_same_units() -> None:
    rows, sides = np.vstack([np.eye(3), -np.eye(3), np.ones((1, 3))]), np.array([1.0] * 6 + [0.5])
    plain = jensen.worst_violation(network(2), Polyhedron(rows, sides), threads=1)
    large = Polyhedron(rows * 1e-3, sides * 1e3)
    found = jensen.worst_violation(network(2, (1e6, 1, 1, 1)), large, threads=1)
    assert found.status == plain.status == "optimal"
    assert found.lower == pytest.approx(plain.lower, rel=2e-4)
    assert admits(large, found.x, found.y)


def test_every_number_is_what_it_was() -> None:
    net = network(0, (1e-6, 1e5, 1e-5, 1e8))
    net = ReluNetwork(
        3,
        [
            Block(b.name, {s: sp.csr_array(w) for s, w in b.weights.items()}, b.bias, b.activation)
            for b in net.blocks
        ],
    )
    sides = -1e-6 * np.ones(3), 1e-6 * np.ones(3)
    cut = Feasible(*sides, np.ones((1, 3)), np.array([1e-6]), np.zeros(3))
    other = rescaled(net, sides, cut)
    assert other is not None
    assert other.feasible is not None
    rng = np.random.default_rng(0)
    for _ in range(20):
        here = tuple(Fraction(float(v)) for v in rng.uniform(-1, 1, size=3))
        there = other.back(here)
        assert other.points((there, there)) == (here, here)
        assert other.exact(other.network.exact(here)[0]) == net.exact(there)[0]
    for block in other.network.blocks:
        assert 0.5 <= max(abs(w).max() for w in block.weights.values()) <= 4


def test_reports_are_in_the_users_units() -> None:
    seen = []
    found = worst_pair(network(5, (1, 1, 1, 1e6)), Box(-1, 1), threads=1, progress=seen.append)
    assert all(report.bound >= found.lower for report in seen)


def test_ordinary_networks_and_numbers_at_the_end_of_the_range_are_left_alone() -> None:
    one = np.ones(3)
    assert rescaled(network(0), (-one, one), None) is None
    tiny = ReluNetwork(
        1,
        [
            Block("relu", {"input": np.array([[5e-324], [1.0]])}, np.zeros(2)),
            Block("output", {"relu": np.ones((1, 2)) * 1e9}, np.zeros(1), Activation.IDENTITY),
        ],
    )
    assert rescaled(tiny, (-one[:1] * 1e-9, one[:1] * 1e-9), None) is None
