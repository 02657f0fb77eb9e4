"""Complexes of the plane, against brute force in exact integers."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import fuzz
import numpy as np
import oracle
import pytest
import solids

from jensen.cells.complex import ExactVertices, TooDegenerateError
from jensen.cells.layers import layers_of_network
from jensen.cells.solid import SolidSubdivision
from jensen.cells.start import coordinate_scale, domain_rows, keep_inside, starting_complex
from jensen.cells.subdivide import Subdivision
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.errors import OutOfTimeError, UndecidedError
from jensen.linear_regions.regions import regions_of
from jensen.network.relu_network import ReluNetwork
from jensen.prover.walks.plane import walk_kinks
from jensen_encodings.deadline import NEVER, Deadline


def subdivided(
    network: ReluNetwork, domain: Domain, limit: int | None = None, deadline: Deadline = NEVER
) -> Subdivision:
    scale = coordinate_scale(network, domain)
    rows = domain_rows(domain, scale)
    layers = layers_of_network(network, scale, rows)
    cells = starting_complex(domain, scale, layers.width)
    division = Subdivision(layers, cells, ExactVertices(layers, cells.vertices, limit))
    division.keep_to(deadline)
    for level in layers.hidden:
        division.evaluate(level)
        division.split(level)
        division.forget(level)
        if rows is not None and level == 0:
            division.cells = keep_inside(division.cells, rows.size)
    return division


def test_a_cut_that_would_take_too_long_is_not_begun():
    rng = np.random.default_rng(0)
    network = ReluNetwork.from_layers(
        [rng.normal(size=(300, 2)), rng.normal(size=(1, 300))], [rng.normal(size=300), [0.0]]
    )
    assert len(subdivided(network, Box(-1, 1)).cells.face_signs) > 10_000
    with pytest.raises(OutOfTimeError, match="cuts of edges"):
        subdivided(network, Box(-1, 1), deadline=Deadline.after(1e-3))
    with pytest.raises(UndecidedError):
        regions_of(network, Box(-1, 1), Deadline.after(1e-3))
    closed = {"relu_1": np.zeros(300, dtype=bool), "relu_2": np.zeros(1, dtype=bool)}
    deep = ReluNetwork.from_layers(
        [network.blocks[0].weights["input"], rng.normal(size=(1, 300)), [[1.0]]],
        [network.blocks[0].bias, [0.0], [0.0]],
    )
    assert walk_kinks(deep, Box(-1, 1), closed, Deadline.after(1e-3)) is None


def euler_characteristic(division: Subdivision) -> int:
    cells = division.cells
    return len(np.unique(cells.edges)) - len(cells.edges) + len(cells.face_signs)


@pytest.mark.parametrize("family", list(fuzz.SAMPLERS))
def test_a_box_has_as_many_cells_as_brute_force_finds(family):
    seeds = range(list(fuzz.SAMPLERS).index(family), 600, len(fuzz.SAMPLERS))
    for seed in seeds:
        _, network = fuzz.tiny_network(seed, max_inputs=2)
        if network.input_size != 2:
            continue
        division = subdivided(network, Box(-1, 1))
        truth = oracle.region_count(network, Box(-1, 1))
        assert len(division.cells.face_signs) == truth, seed
        assert euler_characteristic(division) == 1, seed


def patterns_by_brute_force(network: ReluNetwork, domain: Domain) -> int:
    """Count cells that differ in the sign of some neuron: orthants do not count."""
    found = set()
    for cone, _ in oracle.regions(network, domain):
        inner = [sum(values) for values in zip(*cone.rays, strict=True)]
        point = [Fraction(v, inner[-1]) for v in inner[:-1]]
        signs = network.exact_pre_activations(point)
        found.add(
            tuple(
                bool(v > 0)
                for block in network.hidden
                if block.is_relu
                for v in signs[block.name].integers
            )
        )
    return len(found)


@pytest.mark.parametrize("family", list(fuzz.SAMPLERS))
def test_unbounded_domains_have_the_patterns_that_brute_force_finds(family):
    for seed in range(list(fuzz.SAMPLERS).index(family), 400, len(fuzz.SAMPLERS)):
        _, network = fuzz.tiny_network(seed, max_inputs=2)
        if network.input_size != 2:
            continue
        domain = Everywhere() if seed % 2 else Polyhedron([[1, 1], [-2, 1]], [1, 2])
        division = subdivided(network, domain)
        rows = 0 if seed % 2 else 2
        patterns = np.unique(division.cells.face_signs[:, rows:] > 0, axis=0)
        assert len(patterns) == patterns_by_brute_force(network, domain), seed


def test_vertices_lie_within_their_radius_of_the_exact_ones():
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape) for shape in ((9, 2), (9, 9), (1, 9))]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])
    for domain in (Box(-3, 3), Everywhere()):
        division = subdivided(network, domain)
        vertices = division.cells.vertices
        for v in range(vertices.count):
            entries = division.exact.point(v).entries()
            exact = np.array([float(as_fraction(e)) for e in entries])
            # a homogeneous point may be scaled: to the size of the computed one
            at = int(np.argmax(np.abs(exact)))
            exact *= vertices.points[v, at] / exact[at]
            assert np.abs(exact - vertices.points[v]).max() <= 4 * vertices.radius[v] + 1e-16


@pytest.mark.parametrize("inputs", [2, 3])
def test_vertices_of_deep_networks_stay_close_to_the_exact_ones(inputs):
    rng = np.random.default_rng(inputs)
    sizes = (inputs, *[4] * 8, 1)
    weights = [rng.uniform(-1, 1, (b, a)) / np.sqrt(a) for a, b in pairwise(sizes)]
    network = ReluNetwork.from_layers(weights, [rng.uniform(-1, 1, len(w)) / 2 for w in weights])
    for domain in (Box(-100, 100), Everywhere()):
        division = (solids.subdivided if inputs == 3 else subdivided)(network, domain)
        vertices = division.cells.vertices
        finite = np.flatnonzero(~vertices.infinite)
        assert len(finite) >= 40
        for v in finite.tolist():
            entries = division.exact.point(v).entries()
            exact = np.array([float(as_fraction(e)) for e in entries]) * vertices.points[v, -1]
            error = np.abs(exact - vertices.points[v]).max()
            assert error <= vertices.radius[v] * (1 + 1e-9) + 1e-15 * np.abs(exact).max()
        # of random kinks few meet at a flat angle; without recentring nearly all are far off
        if isinstance(domain, Box):
            assert np.median(vertices.radius[finite]) < 1e-8


@pytest.mark.parametrize("inputs", [2, 3])
@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere()])
def test_levels_that_are_passed_over_leave_the_signs_that_cutting_leaves(
    inputs, domain, monkeypatch
):
    # dead units in front: z of later levels is 0 on whole cells, and at infinity
    def found(seed: int) -> tuple[set[bytes], list[bytes], list[bytes]]:
        rng = np.random.default_rng(seed)
        sizes = (inputs, 2, 2, 2, 2, 1)
        weights = [rng.integers(-1, 2, (b, a)).astype(float) for a, b in pairwise(sizes)]
        network = ReluNetwork.from_layers(weights, [rng.integers(-1, 2, len(w)) for w in weights])
        division = (solids.subdivided if inputs == 3 else subdivided)(network, domain)
        cells = division.cells
        signs = division.solid.cell_signs if inputs == 3 else cells.face_signs
        rows = [sorted(map(bytes, rows)) for rows in (cells.edge_signs, cells.face_signs)]
        return {bytes(row) for row in signs}, *rows

    quick = [found(seed) for seed in range(30)]
    for kind in (Subdivision, SolidSubdivision):
        monkeypatch.setattr(kind, "_passed_over", lambda *_: False)
    assert quick == [found(seed) for seed in range(30)]


def as_fraction(value: object) -> Fraction:
    return Fraction(int(value.p), int(value.q))  # type: ignore[attr-defined]


def test_the_number_of_exact_evaluations_can_be_limited():
    network = ReluNetwork.from_layers(
        [[[1, 0], [0, 1], [1, 1]], [[1, 1, -1], [1, -1, 1]], [[1, 1]]], [[0] * 3, [0] * 2, [0]]
    )
    assert len(subdivided(network, Box(-1, 1)).cells.face_signs)
    with pytest.raises(TooDegenerateError):
        subdivided(network, Box(-1, 1), limit=3)
