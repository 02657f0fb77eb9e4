"""Complexes of three dimensions against brute force: cells, signs, Euler's formula."""

from __future__ import annotations

from itertools import pairwise
from math import comb

import fuzz
import numpy as np
import oracle
import pytest
from solids import euler, subdivided

from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.network.relu_network import ReluNetwork

SIMPLEX = Polyhedron([[1, 1, 1], [-1, 0, 0], [0, -1, 0], [0, 0, -1]], [1, 1, 1, 1])


def compare_with_brute_force(seeds: range) -> int:
    compared = 0
    for seed in seeds:
        family, network = fuzz.tiny_network(seed)
        if network.input_size == 3:
            division = subdivided(network, Box(-1, 1))
            cells = len(division.solid.cell_signs)
            assert cells == oracle.region_count(network, Box(-1, 1)), (seed, family)
            assert euler(division) == 1, (seed, family)
            compared += 1
    return compared


def test_cells_of_tiny_networks_are_those_of_brute_force():
    assert compare_with_brute_force(range(300)) >= 100


@pytest.mark.slow
def test_cells_of_two_thousand_tiny_networks_are_those_of_brute_force():
    assert compare_with_brute_force(range(300, 6600)) >= 2000


@pytest.mark.parametrize("domain", [Box(-1000, 1000), Everywhere()])
def test_planes_in_general_position_have_as_many_cells_as_they_should(domain):
    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 5, 9):
        weights = [rng.normal(size=(n, 3)), np.ones((1, n))]
        division = subdivided(ReluNetwork.from_layers(weights, [rng.normal(size=n), [0]]), domain)
        signs = np.unique(division.solid.cell_signs, axis=0)
        assert len(signs) == 1 + n + comb(n, 2) + comb(n, 3)
        assert euler(division) == 1


@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere(), SIMPLEX])
def test_patterns_of_points_are_those_of_cells_in_degenerate_networks(domain: Domain):
    for seed in range(60):
        rng = np.random.default_rng(seed)
        sizes = [3, *rng.integers(1, 5, rng.integers(1, 4)), 1]
        weights = [rng.integers(-1, 2, (b, a)).astype(float) for a, b in pairwise(sizes)]
        biases = [rng.integers(-1, 2, len(w)) * float(rng.integers(0, 2)) for w in weights]
        division = subdivided(ReluNetwork.from_layers(weights, biases), domain)
        # multiples of 2**-20: exact, and next to never on a kink
        points = rng.integers(-(2**20) + 1, 2**20, (2000, 3)) / 2**20
        if not isinstance(domain, Box):
            points *= 3
        A, b = domain.inequalities(3)
        h, patterns = points[(points @ A.T < b).all(axis=1)], []
        for w, v in zip(weights[:-1], biases[:-1], strict=True):
            z = h @ w.T + v
            patterns.append(z > 0)
            h = np.maximum(z, 0.0)
        rows = len(A) if domain.has_rows else 0
        found = {bytes(signs) for signs in division.solid.cell_signs[:, rows:] > 0}
        assert {bytes(pattern) for pattern in np.concatenate(patterns, axis=1)} <= found, seed
        assert euler(division) == 1, seed


def test_faces_lie_between_two_cells_or_on_the_boundary():
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=s) for s in ((6, 3), (6, 6), (1, 6))]
    division = subdivided(
        ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights]), Box(-2, 2)
    )
    cells, solid = division.cells, division.solid
    inner = solid.inner_faces(len(cells.face_signs))
    assert set(np.bincount(solid.at_face)) == {1, 2}
    # every face between two cells lies on one kink, whose sign differs between them
    assert (np.count_nonzero(cells.face_signs[inner] == 0, axis=1) == 1).all()
    one = solid.cell_signs[solid.at_cell[np.argsort(solid.at_face, kind="stable")]]
    first = np.searchsorted(np.sort(solid.at_face), np.flatnonzero(inner))
    assert (np.count_nonzero(one[first] != one[first + 1], axis=1) == 1).all()
