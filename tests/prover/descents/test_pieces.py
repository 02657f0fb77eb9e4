"""Boxes that cover the working set, and with it every kink."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import oracle
import pytest
from fuzz import tiny_network
from lp_oracle import holds, vertices

from jensen.arithmetic.rational import floats
from jensen.decide import verify
from jensen.domains.domain import Box, Everywhere, Polyhedron
from jensen.network.relu_network import INPUT, ReluNetwork
from jensen.prover.descents.pieces import pieces_of
from jensen.verdicts.verdict import Status


def slice_of_simplex(inputs: int, weights: np.ndarray) -> Polyhedron:
    """x >= -1 and weights x = 1: no row bounds an input from above."""
    rows = np.vstack([-np.eye(inputs), weights, -weights])
    return Polyhedron(rows, [*[1.0] * inputs, 1.0, -1.0])


def moved(network: ReluNetwork, matrix: np.ndarray, offset: np.ndarray) -> ReluNetwork:
    """Return ``f(matrix y + offset)``."""
    blocks = []
    for block in network.blocks:
        weights, bias = dict(block.weights), block.bias
        if INPUT in weights:
            weight = oracle.dense(weights[INPUT])
            weights[INPUT], bias = weight @ matrix, bias + weight @ offset
        blocks.append(replace(block, weights=weights, bias=bias))
    return ReluNetwork(matrix.shape[1], blocks)


@pytest.mark.parametrize("inputs", [2, 3, 5])
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_a_simplex_in_its_plane_has_a_box_that_covers_it(inputs: int, scale: float) -> None:
    weights = np.arange(1.0, inputs + 1)
    domain = slice_of_simplex(inputs, weights)
    domain = Polyhedron(domain.A, scale * domain.b)
    working = domain.working_set(inputs)
    (piece,) = pieces_of(working)
    assert len(piece.lower) == working.dim == inputs - 1
    rows = [[Fraction(v) for v in row] for row in domain.A.tolist()]
    limits = [Fraction(v) for v in domain.b.tolist()]
    free = [False] * len(rows)
    corners = {tuple(v) for v in vertices(rows, limits, inputs) if holds(rows, limits, free, v)}
    assert len(corners) == inputs
    matrix, offset = floats(working.matrix)[:-1], floats(working.offset)[:-1]
    for corner in corners:
        y, *_ = np.linalg.lstsq(matrix, np.array(corner, dtype=float) - offset, rcond=None)
        room = 1e-9 * piece.reach
        assert (piece.lower <= y + room).all()
        assert (y - room <= piece.upper).all()


def test_on_a_slice_of_a_simplex_the_answer_is_that_of_the_oracle() -> None:
    """The slice, taken as a polyhedron of one input less, is decided by enumeration."""
    rng = np.random.default_rng(5)
    answers = set()
    for seed in range(150):
        _, network = tiny_network(seed)
        n = network.input_size
        if n == 1:
            continue
        weights = rng.integers(1, 4, n).astype(float)
        weights[0] = 1.0  # so that x_0 = 1 - weights x is a map of integers
        found = verify(network, slice_of_simplex(n, weights), time_limit=20).status
        matrix = np.vstack([-weights[1:], np.eye(n - 1)])
        offset = np.append(1.0, np.zeros(n - 1))
        shadow = Polyhedron(-matrix, 1.0 + offset)
        truth = oracle.is_convex(moved(network, matrix, offset), shadow)
        assert found is (Status.CONVEX if truth else Status.NONCONVEX), seed
        answers.add(truth)
    assert answers == {True, False}


def test_rays_from_the_origin_leave_a_box_through_its_sides() -> None:
    around = Box([-1, -2, 0], [3, 1, 1]).working_set(3)
    assert pieces_of(around)[0].face is None
    sides = {piece.face for piece in pieces_of(around, rays=True)}
    assert sides == {(0, 3.0), (0, -1.0), (1, 1.0), (1, -2.0), (2, 1.0)}
    for piece in pieces_of(around, rays=True):
        i, value = piece.face or (0, 0.0)
        assert piece.lower[i] == piece.upper[i] == value
    (line,) = pieces_of(Box(-1, 1).working_set(1), rays=True)
    assert line.face is None  # its only kink is the origin
    (many,) = pieces_of(Box([-1] * 99, 1).working_set(99), rays=True)
    assert many.face is None  # bounds of 198 sides cost more than they gain
    beside = Box([-1, 1], [3, 2]).working_set(2)
    assert [piece.face for piece in pieces_of(beside, rays=True)] == [None]


def test_rays_of_a_cone_need_no_face_where_t_is_1() -> None:
    everywhere = Everywhere().working_set(2)
    assert (2, 1.0) in {piece.face for piece in pieces_of(everywhere)}
    assert {piece.face for piece in pieces_of(everywhere, rays=True)} == {
        (i, value) for i in range(2) for value in (1.0, -1.0)
    }
    assert len(pieces_of(Everywhere().working_set(1), rays=True)) == 3
    # x + y <= 1 says more about large inputs than about small ones
    half = Polyhedron([[1, 1]], [1]).working_set(2)
    assert (2, 1.0) in {piece.face for piece in pieces_of(half, rays=True)}


def test_faces_around_the_tip_of_a_cone_suit_the_units_of_the_inputs() -> None:
    weights = np.array([[1.0, 40.0, 0.0, 2.0], [-1.0, 30.0, 0.0, 0.0]])
    pieces = pieces_of(Everywhere().working_set(3), weights=weights)
    half_sides = [1.0, 2**0.5 / 50, 1.0, 2**-0.5]
    faces = {(i, s * half_sides[i]) for i in range(4) for s in (1, -1) if (i, s) != (3, -1)}
    assert len(pieces) == len(faces)
    for piece in pieces:
        i, value = piece.face or (0, 0.0)
        assert any(i == k and value == pytest.approx(v) for k, v in faces)
        assert piece.lower[i] == piece.upper[i] == value
        assert piece.upper == pytest.approx([value if k == i else half_sides[k] for k in range(4)])
    assert len(pieces_of(Everywhere().working_set(3), weights=np.zeros((2, 4)))) == 7
