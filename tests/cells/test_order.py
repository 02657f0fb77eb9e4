"""The order of cuts on an edge: shares, what they may be off by, and slopes instead of bounds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import solids
from test_subdivide import subdivided

from jensen.cells.complex import ExactVertices
from jensen.cells.layers import Layers
from jensen.cells.order import ranked, share_of, sorted_cuts
from jensen.cells.recentre import z_at
from jensen.domains.domain import Box, Everywhere
from jensen.network.relu_network import ReluNetwork


def deep_network(inputs: int, seed: int) -> ReluNetwork:
    rng = np.random.default_rng(seed)
    sizes = (inputs, *[3] * 7, 1)
    weights = [rng.uniform(-1, 1, (b, a)) / np.sqrt(a) for a, b in pairwise(sizes)]
    return ReluNetwork.from_layers(weights, [rng.uniform(-1, 1, len(w)) / 2 for w in weights])


def test_a_share_is_between_those_of_the_extremes():
    a, ea, b, eb = (np.array([v]) for v in (3.0, 0.5, 1.0, 0.25))
    share, spread = share_of((a, ea), (b, eb))
    for s, e in ((2.5, 1.25), (3.5, 0.75)):
        assert abs(s / (s + e) - share[0]) <= spread[0]


def test_cuts_that_are_closer_than_their_errors_are_named():
    edge = np.array([0, 0, 1, 1, 1])
    share = np.array([0.7, 0.2, 0.5, 0.1, 0.5 + 1e-12])
    rank, doubtful = ranked(edge, share, np.full(5, 1e-9))
    assert rank.tolist() == [1, 0, 1, 0, 2]
    assert doubtful.tolist() == [1]


def test_sorted_cuts_follow_ranks_and_keep_equal_ones_together():
    edge = np.array([0, 0, 1, 2, 2, 2])
    assert sorted_cuts(edge, np.array([1, 0, 0, 2, 0, 1]), 9).tolist() == [1, 0, 2, 4, 5, 3]
    assert sorted_cuts(edge, np.array([1, 0, 0, 1, 0, 1]), 9).tolist() == [1, 0, 2, 4, 3, 5]


@pytest.mark.parametrize("inputs", [2, 3])
def test_deep_networks_have_the_cells_that_rational_arithmetic_gives(inputs, monkeypatch):
    def found(seed: int) -> set[bytes]:
        division = (solids.subdivided if inputs == 3 else subdivided)(
            deep_network(inputs, seed), Box(-100, 100)
        )
        signs = division.solid.cell_signs if inputs == 3 else division.cells.face_signs
        return {bytes(row) for row in signs}

    quick = [found(seed) for seed in range(6)]
    # without recentring nearly all of the later levels are decided exactly
    monkeypatch.setattr(Layers, "keeps_signs", False)
    assert quick == [found(seed) for seed in range(6)]


def test_z_of_one_unit_is_within_its_error_of_the_exact_one():
    division = subdivided(deep_network(2, 1), Box(-100, 100))
    vertices, level = division.cells.vertices, 6
    vertex = np.arange(vertices.count)
    for unit in range(3):
        size, error = z_at(division.layers, vertices, level, vertex, np.full(len(vertex), unit))
        for v in vertex.tolist():
            exact = abs(division.exact.z(v, level, unit))
            assert abs(float(int(exact.p) / int(exact.q)) - size[v]) <= error[v] + 1e-15


def test_many_cuts_in_few_points_are_put_in_order_with_few_exact_evaluations(monkeypatch):
    """Every pair of cuts of an edge was compared once: 5 s for 200 integer lines on R^2."""
    rng = np.random.default_rng(72)
    units = 120
    rows = rng.integers(-3, 4, size=(units, 2)).astype(float)
    biases = rng.integers(-2, 3, size=units).astype(float)
    net = ReluNetwork.from_layers([rows, np.ones((1, units))], [biases, [0.0]])
    asked = []
    exact = ExactVertices.z
    monkeypatch.setattr(ExactVertices, "z", lambda *a: asked.append(1) or exact(*a))
    division = subdivided(net, Everywhere())
    assert division is not None
    assert len(asked) < 2 * units**2
