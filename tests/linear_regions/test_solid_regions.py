"""Regions of three inputs against brute force: cells, polygons, exact jumps, edges."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import fuzz
import jump_oracle
import numpy as np
import oracle
import pytest

import jensen
from jensen import Box, Everywhere, Polyhedron, ReluNetwork, regions

SIMPLEX = Polyhedron([[1, 1, 1], [-1, 0, 0], [0, -1, 0], [0, 0, -1]], [1, 1, 1, 1])


def random_network(seed: int, *sizes: int) -> ReluNetwork:
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(b, a)) for a, b in pairwise(sizes)]
    return ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])


def compare_with_brute_force(seeds: range) -> int:
    compared = 0
    for seed in seeds:
        family, network = fuzz.tiny_network(seed)
        if network.input_size != 3:
            continue
        compared += 1
        domain = Box(-1, 1) if seed % 4 < 2 else Everywhere()
        found = regions(network, domain)
        if isinstance(domain, Box):
            assert len(found.cells) == oracle.region_count(network, domain)
        jumps = [found.exact_jump(i) for i in range(len(found.facets))]
        worst = max((square for square, sign in jumps if sign < 0), default=Fraction(0))
        assert worst == jump_oracle.worst_squared_jump(network, domain), (seed, family)
        assert [np.sign(jump) for jump in found.jumps] == [
            sign if square else 0 for square, sign in jumps
        ]
    return compared


def test_cells_and_the_worst_exact_jump_are_those_of_brute_force():
    assert compare_with_brute_force(range(90)) >= 25


@pytest.mark.slow
def test_cells_and_jumps_of_many_tiny_networks_are_those_of_brute_force():
    assert compare_with_brute_force(range(90, 2400)) >= 700


@pytest.mark.parametrize("domain", [Box(-2, 2), Everywhere(), SIMPLEX])
def test_pieces_agree_with_the_network_inside_their_cells(domain):
    network = random_network(3, 3, 6, 5, 1)
    found = regions(network, domain)
    values = network(found.inner_points)[:, 0]
    pieces = (found.pieces[:, :-1] * found.inner_points).sum(axis=1) + found.pieces[:, -1]
    np.testing.assert_allclose(pieces, values, rtol=1e-9, atol=1e-9)
    assert len(np.unique(found.patterns, axis=0)) == len(found.cells)
    for cell in found.cells[::17]:
        point = [Fraction(float(v)) for v in found.inner_points[cell.index]]
        assert all(
            (cell.pattern[k] == v).all() for k, v in network.activation_pattern(point).items()
        )


@pytest.mark.parametrize("domain", [Box(-2, 2), SIMPLEX])
def test_a_bounded_domain_satisfies_euler(domain):
    found = regions(random_network(4, 3, 6, 6, 1), domain)
    walls = len(found._sides)  # facets, and polygons on the boundary
    assert len(found.vertices) - len(found.edges) + walls - len(found.cells) == 1
    assert not found.at_infinity.any()
    assert all(len(edge.vertices) == 2 and edge.cells for edge in found.edges)


def test_cells_of_all_of_space_are_those_of_a_large_box():
    network = random_network(5, 3, 5, 4, 1)
    everywhere, box = regions(network, Everywhere()), regions(network, Box(-1e4, 1e4))
    assert {bytes(p) for p in everywhere.patterns} == {bytes(p) for p in box.patterns}
    inside = (np.abs(box.vertices) < 0.999e4).all(axis=1)
    assert (~everywhere.at_infinity).sum() == inside.sum()
    assert len(everywhere.facets) == len(box.facets)


def test_facets_are_plane_polygons_in_order():
    network = random_network(6, 3, 5, 4, 1)
    found = regions(network, Box(-2, 2))
    for facet in found.facets[::5]:
        corners = found.vertices[list(facet.vertices)]
        assert len(corners) >= 3
        middle = corners.mean(axis=0)
        assert np.linalg.svd(corners - middle)[1][-1] < 1e-9
        sides = np.roll(corners, -1, axis=0) - corners
        turns = np.cross(sides, np.roll(sides, -1, axis=0))
        assert (turns @ turns[0] > 0).all()  # convex: always the same way around
        exact = found.exact_middle(facet.index)
        assert exact is not None
        (block, unit), *_ = facet.neurons
        assert len(facet.neurons) == 1
        assert network.exact_pre_activations(exact)[block].integers[unit] == 0
        bend = found.exact_bend(facet.index, facet.neurons[0])
        assert (bend < 0) == (facet.jump < 0)


def test_the_worst_jump_of_three_inputs_is_exact():
    network = random_network(7, 3, 6, 5, 1)
    worst = jensen.worst_jump(network, Box(-2, 2))
    assert worst.lower == pytest.approx(-regions(network, Box(-2, 2)).jumps.min(), rel=1e-12)
    assert worst.upper == pytest.approx(worst.lower, rel=1e-12)


def test_a_slice_of_more_inputs():
    network = random_network(8, 5, 6, 5, 1)
    found = regions(network, Box(-1, 1), fixed={0: 0.5, 2: -0.25})
    points = np.tile([0.5, 0.0, -0.25, 0.0, 0.0], (len(found.cells), 1))
    points[:, [1, 3, 4]] = found.inner_points
    pieces = (found.pieces[:, :-1] * found.inner_points).sum(axis=1) + found.pieces[:, -1]
    np.testing.assert_allclose(pieces, network(points)[:, 0], rtol=1e-9, atol=1e-9)


def test_planes_alone_have_no_vertices():
    network = ReluNetwork.from_layers(
        [[[1.0, 0.0, 0.0], [-2.0, 0.0, 0.0]], [[1.0, 1.0]]], [[0, 0], [0]]
    )
    found = regions(network, Everywhere())
    assert (len(found.cells), len(found.edges), len(found.vertices)) == (2, 0, 0)
    (facet,) = found.facets
    assert facet.vertices == ()
    assert facet.neurons == (("relu_1", 0), ("relu_1", 1))
    assert facet.jump == 3.0
    assert found.exact_middle(0)[0] == 0


def test_what_is_refused():
    plane = ReluNetwork.from_layers([np.ones((2, 3)), np.ones((1, 2))], [[0, 0], [0]])
    with pytest.raises(jensen.DomainError, match="width 0"):
        regions(plane, Box([0, 1, 0], 1))
    with pytest.raises(jensen.DomainError, match="interior"):
        regions(plane, Polyhedron([[1, 0, 0], [-1, 0, 0]], [0, 0]))
    with pytest.raises(jensen.NetworkError, match="reliably"):
        regions(ReluNetwork.from_layers([[[1e-70, 1.0, 1.0]], [[1.0]]], [[0], [0]]), Box(-1, 1))


def test_corners_that_the_fan_hides_in_rounding_errors_are_exact():
    # a kink 2e-19 beside the others: its corners were infinite, and their order an error
    hidden = [[1, 0, 0], [1, -1, -1], [1, 1, 0], [0, 1, 0], [0, 4, 0]]
    bias = [0, 0, 0, 0, 2.0**-60]
    network = ReluNetwork.from_layers([hidden, [[1, 0, -0.0625, 1, -0.25]]], [bias, [0]])
    rows = [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1], [-2, 0, 0]]
    domain = Polyhedron(rows, [2, 2, 2, 2, 2, 2, 0])
    found = regions(network, domain)
    assert np.abs(found.vertices).max() == 2.0
    assert all(len(set(facet.vertices)) >= 3 for facet in found.facets)
    worst = jensen.worst_jump(network, domain)
    assert worst.lower == worst.upper == 1.0  # of the last neuron, a quarter of 4
