"""Extreme rays of polyhedra: all rows hold on them, and they span what the rows allow."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.spatial import ConvexHull, HalfspaceIntersection

from jensen.cells.bit_sets import members
from jensen.cells.polyhedron_cone import polyhedron_cone

ONES = np.ones


def vertices(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    found = polyhedron_cone(A, b, ONES(A.shape[1]), np.zeros(3, dtype=bool))
    assert found is not None
    points = found[0].points
    assert (points[:, -1] == 1).all()
    return points[:, :-1]


@pytest.mark.parametrize("inputs", [2, 3, 4, 5])
def test_random_polytopes_have_the_vertices_that_qhull_finds(inputs: int):
    rng = np.random.default_rng(inputs)
    A = np.vstack([rng.normal(size=(2 * inputs, inputs)), np.eye(inputs), -np.eye(inputs)])
    b = rng.uniform(0.3, 1.0, len(A))
    mine = vertices(A, b)
    raw = HalfspaceIntersection(np.column_stack([A, -b]), np.zeros(inputs)).intersections
    other = raw[np.isfinite(raw).all(axis=1)]
    near = np.abs(mine[:, None] - other[None]).max(axis=2)
    assert near.min(axis=1).max() < 1e-9
    assert near.min(axis=0).max() < 1e-9
    assert ConvexHull(mine).volume == pytest.approx(ConvexHull(other).volume)


@pytest.mark.parametrize("inputs", [1, 2, 3, 4])
def test_degenerate_rows_do_not_matter(inputs: int):
    """A cube whose rows are there twice, cut off at its corners by a plane through them."""
    eye = np.eye(inputs)
    A = np.vstack([eye, -eye, eye, np.ones((1, inputs)), np.zeros((1, inputs))])
    b = np.concatenate([ONES(2 * inputs), 2 * ONES(inputs), [inputs], [1.0]])
    corners = {tuple(corner) for corner in vertices(A, b).tolist()}
    assert corners == set(product([-1.0, 1.0], repeat=inputs))


def test_the_rows_that_vanish_are_known():
    A, b = np.vstack([np.eye(3), -np.eye(3), [[1.0, 1, 1]]]), np.append(ONES(6), 2.0)
    found = polyhedron_cone(A, b, np.array([2.0, 1, 0.5]), np.zeros(5, dtype=bool))
    assert found is not None
    cone, forms = found
    known = members(cone.vanish, 5 + len(forms))[:, 5:]
    assert np.array_equal(known, np.abs(cone.points @ forms.T) < 1e-12)
    assert (cone.points @ forms.T > -1e-12).all()
    assert (np.count_nonzero(known, axis=1) >= 3).all()


def test_unbounded_polyhedra_have_rays_at_infinity():
    found = polyhedron_cone(-np.eye(2), np.zeros(2), ONES(2), np.zeros(1, dtype=bool))
    assert found is not None
    rays = {tuple(ray) for ray in found[0].points.tolist()}
    assert rays == {(0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)}


@pytest.mark.parametrize(
    ("A", "b"),
    [
        ([[1.0, 1.0]], [1.0]),  # holds lines
        ([[1.0, 0], [-1, 0], [0, 1], [0, -1]], [1.0, -1, 1, 1]),  # flat
        ([[1.0, 0], [-1, 0], [0, 1], [0, -1]], [1.0, -2, 1, 1]),  # empty
        ([[1.0, 0], [-1, 0], [0, 1], [0, -1], [0, 0]], [1.0, 1, 1, 1, -1]),  # empty
        ([[1.0, 0], [-1, 0], [0, 1], [0, -1]], [1e300, 1e300, 1e-300, 1.0]),
    ],
)
def test_what_has_no_such_cone(A: list[list[float]], b: list[float]):
    found = polyhedron_cone(np.array(A), np.array(b), ONES(2), np.zeros(1, dtype=bool))
    assert found is None or (found[0].points[:, -1] > 0).any()
    if b[0] < 1e300:
        assert found is None
