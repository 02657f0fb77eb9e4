"""Regions against brute force: cells, facets, exact jumps; slices and refusals."""

from __future__ import annotations

import pickle
from fractions import Fraction

import fuzz
import jump_oracle
import numpy as np
import oracle
import pytest

import jensen
from jensen import Box, Everywhere, Polyhedron, ReluNetwork, regions


@pytest.mark.parametrize("family", list(fuzz.SAMPLERS))
def test_cells_and_the_worst_exact_jump_are_those_of_brute_force(family):
    for seed in range(list(fuzz.SAMPLERS).index(family), 180, len(fuzz.SAMPLERS)):
        _, network = fuzz.tiny_network(seed, max_inputs=2)
        domain = Box(-1, 1) if seed % 4 < 2 else Everywhere()
        found = regions(network, domain)
        if isinstance(domain, Box):
            assert len(found.cells) == oracle.region_count(network, domain)
        jumps = [found.exact_jump(i) for i in range(len(found.facets))]
        worst = max((square for square, sign in jumps if sign < 0), default=Fraction(0))
        assert worst == jump_oracle.worst_squared_jump(network, domain), seed


@pytest.mark.parametrize(
    "domain", [Box(-2, 2), Everywhere(), Polyhedron([[1, 1], [-1, 2]], [1, 3])]
)
def test_pieces_agree_with_the_network_inside_their_cells(domain):
    rng = np.random.default_rng(3)
    weights = [rng.normal(size=s) for s in ((7, 2), (6, 7), (5, 6), (1, 5))]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])
    found = regions(network, domain)
    values = network(found.inner_points)[:, 0]
    pieces = (found.pieces[:, :-1] * found.inner_points).sum(axis=1) + found.pieces[:, -1]
    np.testing.assert_allclose(pieces, values, rtol=1e-9, atol=1e-9)
    for cell in found.cells[::7]:
        point = [Fraction(float(v)) for v in found.inner_points[cell.index]]
        assert all(
            (cell.pattern[k] == v).all() for k, v in network.activation_pattern(point).items()
        )
        slope, offset = found.exact_piece(cell.index)
        assert (
            sum(a * b for a, b in zip(slope, point, strict=True)) + offset
            == network.exact(point)[0]
        )


def test_cells_edges_and_vertices_satisfy_euler():
    rng = np.random.default_rng(4)
    weights = [rng.normal(size=s) for s in ((9, 2), (9, 9), (1, 9))]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])
    found = regions(network, Box(-3, 3))
    assert len(found.vertices) - len(found.edges) + len(found.cells) == 1
    assert all(len(edge.cells) in (1, 2) for edge in found.edges)
    assert sum(len(edge.cells) == 2 for edge in found.edges) == len(found.facets)


def test_vertices_go_around_their_cell():
    found = regions(
        ReluNetwork.from_layers([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0]]], [[0, 0], [0]]), Box(-1, 1)
    )
    for cell in found.cells:
        corners = found.vertices[list(cell.vertices)]
        x, y = corners.T
        area = (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2
        assert area == pytest.approx(1.0)


def test_a_line_has_intervals_and_points():
    net = ReluNetwork.from_layers([[[1.0], [1.0], [1.0]], [[1.0, -3.0, 1.0]]], [[0, -1, 0], [0]])
    for domain, count in ((Box(-2, 2), 3), (Everywhere(), 3), (Box(0.5, 2), 2)):
        found = regions(net, domain)
        assert len(found.cells) == count
        assert len(found.facets) == count - 1
        worst = min(found.facets, key=lambda facet: facet.jump)
        assert worst.jump == -3.0
        assert worst.neurons == (("relu_1", 1),)
        assert found.exact_vertex(worst.vertices[0]) == (Fraction(1),)


@pytest.mark.parametrize(
    ("rows", "sides", "ends"),
    [
        ([[1.0], [-1.0]], [2.0, 2.0], {-2, 0, 1, 2}),
        ([[3.0]], [1.0], {0, Fraction(1, 3)}),
        ([[-2.0], [-4.0], [0.0]], [-1.0, 2.0, 1.0], {Fraction(1, 2), 1}),
        ([[0.0]], [0.0], {0, 1}),
    ],
)
def test_a_line_is_cut_by_rows(rows: list, sides: list, ends: set):
    net = ReluNetwork.from_layers([[[1.0], [1.0]], [[1.0, -3.0]]], [[0, -1], [0]])
    domain = Polyhedron(rows, sides)
    found = regions(net, domain)
    assert {found.exact_vertex(i)[0] for i in range(len(found.vertices))} == ends
    inside = {end for end in ends if end in (0, 1)}
    assert len(found.cells) == len(inside) + 1
    assert {found.exact_vertex(facet.vertices[0])[0] for facet in found.facets} == inside
    assert all(domain.contains([Fraction(x)]) for (x,) in found.inner_points.tolist())


def test_vertices_far_from_all_others_are_where_they_are():
    # the kink at 2^53 lies beyond what the others are measured by
    net = ReluNetwork.from_layers([[[1.0], [2.0**-53]], [[1.0, 1.0]]], [[-1.0, -1.0], [0.0]])
    far = ReluNetwork.from_layers([[[1.0], [1.0]], [[1.0, 1.0]]], [[0.0, -(2.0**53)], [0.0]])
    for network in (net, far):
        for domain in (Everywhere(), Polyhedron([[-1.0]], [5.0])):
            found = regions(network, domain)
            assert found.vertices.max() == pytest.approx(2.0**53)
            points = found.inner_points
            pieces = points[:, 0] * found.pieces[:, 0] + found.pieces[:, 1]
            np.testing.assert_allclose(pieces, network(points)[:, 0], rtol=1e-12)


def test_neurons_that_kink_together_share_a_facet():
    net = ReluNetwork.from_layers([[[1.0, 0.0], [-2.0, 0.0]], [[1.0, 1.0]]], [[0, 0], [0]])
    found = regions(net, Everywhere())
    assert len(found.cells) == 2
    (facet,) = found.facets
    assert facet.neurons == (("relu_1", 0), ("relu_1", 1))
    assert facet.jump == 3.0
    assert found.exact_jump(0) == (Fraction(9), 1)


def test_a_slice_of_more_inputs():
    rng = np.random.default_rng(5)
    weights = [rng.normal(size=s) for s in ((6, 5), (5, 6), (1, 5))]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])
    found = regions(network, Box(-1, 1), fixed={0: 0.5, 2: -0.25, 4: 0.125})
    points = np.tile([0.5, 0.0, -0.25, 0.0, 0.125], (len(found.cells), 1))
    points[:, [1, 3]] = found.inner_points
    pieces = (found.pieces[:, :-1] * found.inner_points).sum(axis=1) + found.pieces[:, -1]
    np.testing.assert_allclose(pieces, network(points)[:, 0], rtol=1e-9, atol=1e-9)


def test_what_is_refused():
    net = ReluNetwork.from_layers([np.ones((2, 4)), np.ones((1, 2))], [[0, 0], [0]])
    with pytest.raises(jensen.OptionError, match="3 can vary"):
        regions(net, Box(-1, 1))
    plane = ReluNetwork.from_layers([np.ones((2, 2)), np.ones((1, 2))], [[0, 0], [0]])
    with pytest.raises(jensen.DomainError, match="width 0"):
        regions(plane, Box([0, 1], 1))
    with pytest.raises(jensen.DomainError, match="interior"):
        regions(plane, Polyhedron([[1, 0], [-1, 0]], [0, 0]))
    with pytest.raises(jensen.NetworkError, match="reliably"):
        regions(ReluNetwork.from_layers([[[1e-70, 1.0]], [[1.0]]], [[0], [0]]), Box(-1, 1))


def test_it_says_what_it_holds():
    net = ReluNetwork.from_layers([[[1.0, 0.0]], [[1.0]]], [[0], [0]])
    assert repr(regions(net, Box(-1, 1))) == "Regions(2 cells, 1 facet, 6 vertices on box [-1, 1])"


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_they_are_pickled_and_found_again(inputs):
    rng = np.random.default_rng(inputs)
    weights = [rng.normal(size=(4, inputs)), rng.normal(size=(1, 4))]
    found = regions(ReluNetwork.from_layers(weights, [rng.normal(size=4), [0.0]]), Box(-2, 2))
    again = pickle.loads(pickle.dumps(found))
    assert type(again) is type(found)
    assert repr(again) == repr(found)
    assert (again.vertices == found.vertices).all()
    assert (again.patterns == found.patterns).all()
    assert [f.jump for f in again.facets] == [f.jump for f in found.facets]
    assert all(map(again.exact_jump, range(len(found.facets))))


def test_vertices_of_wide_layers_need_no_exact_values(monkeypatch):
    # bounds of rounding errors are sums over the layers: 1e-7 where points are off by 1e-14, and
    # with an exact value for each, a slice of 4,096 units of convolutions took 90 s in place of 1
    rng = np.random.default_rng(0)
    first = np.zeros((400, 2))
    first[:20] = rng.normal(size=(20, 2))
    near = np.abs(np.subtract.outer(np.arange(400), np.arange(400))) < 5
    deep = [np.where(near, rng.normal(size=(400, 400)) / 3, 0.0) for _ in range(2)]
    biases = [rng.normal(size=400), rng.normal(size=400), rng.normal(size=400), [0.0]]
    network = ReluNetwork.from_layers([first, *deep, np.ones((1, 400))], biases)
    asked = []
    kind = type(regions(network, Box(-1e-3, 1e-3)))
    exact = kind._exact_homogeneous
    with monkeypatch.context() as patch:
        patch.setattr(kind, "_exact_homogeneous", lambda *of: asked.append(of) or exact(*of))
        found = regions(network, Box(-1, 1))
        assert len(found.inner_points) == len(found.cells) > 20
    assert len(asked) < 0.05 * len(found.vertices)
    for index in range(0, len(found.vertices), len(found.vertices) // 5):
        point = [float(v) for v in found.exact_vertex(index)]
        assert found.vertices[index] == pytest.approx(point, abs=1e-12)
