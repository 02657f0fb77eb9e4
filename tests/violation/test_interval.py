"""The worst pair of an interval, from its kinks."""

import math
from fractions import Fraction

import numpy as np
import pytest
from midpoint_oracle import tiny_network, worst_in_one_dimension

import jensen.violation.interval as module
from jensen.domains.domain import Box, Everywhere
from jensen.midpoint.worst_pair import worst_pair
from jensen.network.relu_network import ReluNetwork
from jensen.verdicts.counterexample import exact_violation
from jensen.violation.interval import interval_violation
from jensen.violation.worst_violation import worst_violation
from jensen_encodings.deadline import NEVER, Deadline

# two caps: the worst pair is around neither of them
TABLE = ReluNetwork.from_layers([[[3.0], [3.0]], [[-1.0, -1.0]]], [[1.0, -1.0], [0.0]])


@pytest.mark.parametrize("seed", range(64))
def test_the_worst_of_all_vertices_is_found(seed):
    network = tiny_network(seed)
    found = interval_violation(network, Box([-1.0], [2.0]), NEVER)
    assert found.exact_lower == worst_in_one_dimension(network, -1, 2)
    assert found.exact_lower == exact_violation(network, found.x, found.y)
    assert Fraction(found.lower) <= found.exact_lower <= Fraction(found.upper)
    assert found.upper <= math.nextafter(found.lower, math.inf)


@pytest.mark.parametrize("seed", range(4))
def test_the_tree_agrees(seed):
    rng = np.random.default_rng(seed)
    layers = [rng.normal(size=(8, 1)), rng.normal(size=(8, 8)), rng.normal(size=(1, 8))]
    network = ReluNetwork.from_layers(layers, [rng.normal(size=len(w)) for w in layers])
    found, tree = worst_violation(network, Box(-1, 1)), worst_pair(network, Box(-1, 1))
    assert found.status == tree.status == "optimal"
    assert tree.exact_lower <= found.exact_lower <= Fraction(tree.upper)


def test_the_exact_pair_is_what_is_returned():
    found = worst_violation(TABLE, Box(-1, 1))
    assert found.exact_lower == 2
    assert found.lower == found.upper == 2
    assert "kinks" in found.times


@pytest.mark.parametrize("seed", range(8))
def test_on_all_of_r_nothing_is_worse_than_on_long_intervals(seed):
    rng = np.random.default_rng(seed)
    weights = rng.integers(-4, 5, size=6).astype(float)
    weights[0] = 1 - weights[1:].sum()  # slopes 0 and 1 far out
    kinks = rng.integers(-9, 10, size=6).astype(float)
    network = ReluNetwork.from_layers([np.ones((6, 1)), weights[None]], [-kinks, [0.0]])
    found = worst_violation(network, Everywhere())
    assert found.status in {"optimal", "proved convex"}
    assert found.exact_lower == worst_in_one_dimension(network, -200, 200)
    assert Fraction(found.upper) >= found.exact_lower


def test_a_point_has_no_violation():
    found = interval_violation(TABLE, Box([0.5], [0.5]), NEVER)
    assert found.exact_lower == 0
    assert found.x == found.y == (Fraction(1, 2),)


def test_without_time_nothing_is_said():
    assert interval_violation(TABLE, Box(-1, 1), Deadline.after(0.0)) is None


def test_the_search_goes_on_where_time_is_up(monkeypatch):
    monkeypatch.setattr(module, "interval_violation", lambda *_: None)
    found = worst_violation(TABLE, Box(-1, 1))
    assert found.lower == pytest.approx(2.0)
    assert "boxes" in found.times


def test_after_an_interrupt_what_is_known_at_once_is_returned(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "interval_violation", interrupted)
    found = worst_violation(TABLE, Box(-1, 1))
    assert found.status == "interrupted"
    assert found.exact_lower <= 2 <= found.upper
