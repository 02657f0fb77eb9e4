"""Bounds on the kink hold at every point of it, and cut off what the box alone allows."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jensen.domains.domain import Box, Everywhere, Polyhedron
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.prover.descents.pieces import Piece, pieces_of
from jensen.prover.joint.dual_bound import LinearProgram
from jensen.prover.joint.kink_bounds import (
    Kink,
    KinkBounds,
    least_values,
    least_values_by_rows,
    ranges_of,
)

NUMBERS = st.one_of(st.integers(-3, 3).map(float), st.floats(-4, 4, allow_subnormal=False))


def vectors(size: int) -> st.SearchStrategy[np.ndarray]:
    return st.lists(NUMBERS, min_size=size, max_size=size).map(np.array)


def unit_box(dim: int) -> Piece:
    return Piece(np.full(dim, -1.0), np.ones(dim), np.zeros((0, dim)), np.zeros(0))


@given(vectors(3), NUMBERS, vectors(3), vectors(3))
@settings(max_examples=200, deadline=None)
def test_no_point_of_a_kink_is_below_its_bound(a, c, normal, point):
    y = np.clip(point, -1, 1)
    exact = [Fraction(v) for v in y]
    # the kink through a point of the box, its offset rounded both ways
    offset = -sum(Fraction(n) * v for n, v in zip(normal.tolist(), exact, strict=True))
    value = sum((Fraction(v) * w for v, w in zip(a.tolist(), exact, strict=True)), Fraction(c))
    if Fraction(float(offset)) == offset:
        bound = least_values(a[None], np.array([c]), unit_box(3), Kink(normal, float(offset)))
        assert Fraction(float(bound[0])) <= value
    above = Kink(normal, float(np.nextafter(float(offset), np.inf)), above=True)
    bound = least_values(a[None], np.array([c]), unit_box(3), above)
    assert Fraction(float(bound[0])) <= value


@given(vectors(3), NUMBERS, st.lists(vectors(3), max_size=5), vectors(3), st.integers(-40, 40))
@settings(max_examples=300, deadline=None)
def test_no_point_on_the_right_side_of_all_rows_is_below_its_bound(a, c, rows, point, size):
    y = np.clip(point, -1, 1)
    exact = [Fraction(v) for v in y]
    rows = [np.ldexp(row, size) for row in rows]
    limits = [
        float(sum(Fraction(n) * v for n, v in zip(row.tolist(), exact, strict=True)))
        for row in rows
    ]
    limits = np.nextafter(np.array(limits), np.inf)  # all rows hold, and nearly with equality
    piece = Piece(np.full(3, -1.0), np.ones(3), np.array(rows).reshape(-1, 3), limits)
    value = sum((Fraction(v) * w for v, w in zip(a.tolist(), exact, strict=True)), Fraction(c))
    A = np.array([a, -a])
    bound = least_values_by_rows(A, np.array([c, -c]), piece)
    assert Fraction(float(bound[0])) <= value <= -Fraction(float(bound[1]))
    assert (bound >= least_values(A, np.array([c, -c]), piece) - 1e-9).all()


def test_on_a_simplex_rows_bound_a_form_by_its_corners():
    rng = np.random.default_rng(3)
    piece = Piece(np.zeros(5), np.ones(5), np.ones((1, 5)), np.ones(1))
    A = rng.normal(size=(20, 5))
    found = least_values_by_rows(A, np.zeros(20), piece)
    assert found == pytest.approx(np.minimum(A.min(axis=1), 0.0), abs=1e-9)
    assert (least_values(A, np.zeros(20), piece) < found - 0.1).any()


@pytest.mark.parametrize("seed", range(10))
def test_points_of_a_polytope_are_within_ranges_that_rows_narrow(seed):
    rng = np.random.default_rng(seed)
    sizes = [3, 6, 5, 1]
    network = ReluNetwork.from_layers(
        [rng.normal(size=(n, m)) for m, n in pairwise(sizes)],
        [rng.normal(size=n) for n in sizes[1:]],
    )
    normals = rng.normal(size=(4, 3))
    A = np.vstack([normals, -normals, np.ones((seed % 2, 3)), -np.ones((seed % 2, 3))])
    domain = Polyhedron(A, [*[1.0] * 8, *[0.25, -0.25][: 2 * (seed % 2)]])
    net = prepare(network, domain).grouped
    (piece,) = pieces_of(net.working_set)
    bounds, ranges = KinkBounds(net, piece), ranges_of(net)
    assert bounds.rows_matter
    assert bounds.narrow(ranges)
    Y = rng.uniform(piece.lower, piece.upper, (20_000, net.working_set.dim))
    Y = Y[(piece.limits >= Y @ piece.rows.T).all(axis=1)]
    assert len(Y) > 100
    narrowed = 0
    for level, z in enumerate(net.pre_activations(Y)[: net.output_level]):
        assert (ranges.lower[level] - 1e-9 <= z).all()
        assert (z <= ranges.upper[level] + 1e-9).all()
        narrowed += (ranges.upper[level] < net.levels[level].upper - 1e-3).sum()
    assert narrowed


def test_a_kink_can_decide_a_sign_that_the_box_leaves_open():
    # on x + y = 1.5 in the unit box, x is at least 0.5
    low = least_values(
        np.array([[1.0, 0.0]]), np.zeros(1), unit_box(2), Kink(np.array([1.0, 1.0]), -1.5)
    )
    assert low[0] == pytest.approx(0.5, abs=1e-12)
    assert least_values(np.array([[1.0, 0.0]]), np.zeros(1), unit_box(2))[0] <= -1


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere()], ids=str)
def test_points_on_kinks_are_within_all_ranges(seed, domain):
    rng = np.random.default_rng(seed)
    sizes = [3, 6, 5, 4, 1]
    network = ReluNetwork.from_layers(
        [rng.normal(size=(n, m)) for m, n in pairwise(sizes)],
        [rng.normal(size=n) for n in sizes[1:]],
    )
    net = prepare(network, domain).grouped
    for piece in pieces_of(net.working_set):
        bounds = KinkBounds(net, piece)
        for group in net.groups():
            ranges = ranges_of(net).copy()
            met = bounds.narrow(ranges, group)
            points = _points_on_kink(net, group, piece, rng)
            assert met or not len(points)
            for low, high, z in zip(
                ranges.lower, ranges.upper, net.pre_activations(points), strict=True
            ):
                assert (low - 1e-9 <= z).all()
                assert (z <= high + 1e-9).all()


def _points_on_kink(net, group, piece, rng):
    """Bisect segments of the piece whose ends lie on different sides of the kink."""
    level, unit = group
    ends = piece.lower + rng.random((2, 40, len(piece.lower))) * (piece.upper - piece.lower)
    inside, outside = (net.pre_activations(Y)[level][:, unit] for Y in ends)
    crossing = inside * outside < 0
    (start, end), inside = ends[:, crossing], inside[crossing]
    low, high = np.zeros(len(start)), np.ones(len(start))
    for _ in range(60):
        share = (low + high) / 2
        z = net.pre_activations(start + share[:, None] * (end - start))[level][:, unit]
        before = z * inside > 0
        low, high = np.where(before, share, low), np.where(before, high, share)
    return start + low[:, None] * (end - start)


def test_the_faces_of_a_cone_cover_its_cube():
    rng = np.random.default_rng(0)
    network = ReluNetwork.from_layers(
        [rng.normal(size=(4, 2)), rng.normal(size=(1, 4))], [np.ones(4), [0]]
    )
    pieces = pieces_of(prepare(network, Everywhere()).working)
    assert sorted(piece.face for piece in pieces) == [(0, -1), (0, 1), (1, -1), (1, 1), (2, 1)]
    bounded = pieces_of(
        prepare(network, Polyhedron([[1.0, 1], [-1, 0], [0, -1]], [1.0, 1, 1])).working
    )
    assert [piece.face for piece in bounded] == [None]
    assert (bounded[0].upper >= 2).all()


@given(vectors(3), vectors(6), vectors(2), st.lists(NUMBERS, min_size=2, max_size=2), vectors(3))
@settings(max_examples=200, deadline=None)
def test_any_multipliers_give_a_true_bound_of_a_program(cost, rows, slack, multipliers, point):
    A = rows.reshape(2, 3)
    x = np.clip(point, -1, 1)
    exact = [sum(Fraction(v) * Fraction(w) for v, w in zip(row, x, strict=True)) for row in A]
    upper = np.array(
        [np.nextafter(float(v), np.inf) + abs(s) for v, s in zip(exact, slack, strict=True)]
    )
    program = LinearProgram(cost, 0.5, A, np.full(2, -np.inf), upper, np.full(3, -1.0), np.ones(3))
    value = sum((Fraction(c) * Fraction(v) for c, v in zip(cost, x, strict=True)), Fraction(1, 2))
    assert Fraction(program.least(np.array(multipliers))) <= value
    assert program.least(np.array(multipliers), with_cost=False) <= 0
