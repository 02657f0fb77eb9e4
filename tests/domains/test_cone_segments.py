"""Random segments lie in the domain, and vary what they may."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from jensen.domains.cone_segments import NEAREST, ConeSampler
from jensen.domains.domain import Box, Everywhere, Polyhedron
from jensen.errors import DomainError

SIMPLEX = Polyhedron([[-1.0, 0, 0], [0, -1, 0], [0, 0, -1], [1, 1, 1]], [0, 0, 0, 1])
FLAT = Polyhedron([[-1.0, 0], [0, -1], [1, 1], [-1, -1]], [0, 0, 1, -1])
WEDGE = Polyhedron([[-1.0, 0], [1, -2]], [1, 0])
DOMAINS = {
    "box": (Box([-1, 0, 2], [1, 0, 5]), 3),
    "everywhere": (Everywhere(), 3),
    "simplex": (SIMPLEX, 3),
    "flat polyhedron": (FLAT, 2),
    "unbounded polyhedron": (WEDGE, 2),
}


def inside(domain, points):
    x = points[:, :-1] / points[:, -1:]
    if isinstance(domain, Box):
        lower, upper = domain.bounds(x.shape[1])
        return (x >= lower - 1e-12).all() and (x <= upper + 1e-12).all()
    if isinstance(domain, Everywhere):
        return np.isfinite(x).all()
    slack = domain.b - x @ domain.A.T
    return (slack >= -1e-9 * (1 + np.abs(x).max(axis=1, keepdims=True))).all()


@pytest.mark.parametrize("name", DOMAINS)
def test_points_and_segments_lie_in_the_domain(name):
    domain, size = DOMAINS[name]
    sampler = ConeSampler(domain, size, seed=3)
    points = sampler.points(700)
    assert points.shape == (700, size + 1)
    assert inside(domain, points)
    middle = points[:50]
    for segments in (sampler.between(points), sampler.around(middle)):
        start, end = segments.points[segments.start], segments.points[segments.end]
        share = np.random.default_rng(0).random((len(start), 1))
        assert inside(domain, start + share * (end - start))


@pytest.mark.parametrize("name", ["box", "everywhere", "simplex", "unbounded polyhedron"])
def test_partial_segments_leave_the_other_inputs_alone(name):
    domain, size = DOMAINS[name]
    sampler = ConeSampler(domain, size, inputs=[0], seed=3)
    points = sampler.points(300)
    moved = 0
    for segments in (sampler.between(points), sampler.around(points)):
        start, end = (segments.points[i] for i in (segments.start, segments.end))
        x, y = start[:, :-1] / start[:, -1:], end[:, :-1] / end[:, -1:]
        np.testing.assert_allclose(x[:, 1:], y[:, 1:], rtol=1e-9, atol=1e-9)
        assert inside(domain, segments.points)
        moved += (np.abs(x[:, 0] - y[:, 0]) > 1e-9).sum()
    assert moved > 300


def test_points_reach_corners_sides_and_infinity():
    box = ConeSampler(Box(-1, 1), 3).points(900)[:, :-1]
    on_sides = (np.abs(box) == 1).sum(axis=1)
    assert (on_sides == 3).sum() > 200
    assert (on_sides == 0).sum() > 200
    t = ConeSampler(Everywhere(), 3).points(900)[:, -1]
    assert (t < 100 * NEAREST).sum() > 50
    assert (t == 1).sum() > 200
    walk = ConeSampler(SIMPLEX, 3).points(2000)[:, :-1]
    np.testing.assert_allclose(walk.min(axis=0), 0, atol=1e-2)
    np.testing.assert_allclose(walk.max(axis=0), 1, atol=0.2)


def test_segments_can_be_joined():
    sampler = ConeSampler(Box(0, 1), 2)
    first, second = sampler.between(sampler.points(4)), sampler.around(sampler.points(3))
    both = first.joined(second)
    assert len(both) == 7
    np.testing.assert_array_equal(both.points[both.end[4:]], second.points[second.end])


def test_the_same_seed_draws_the_same_points():
    assert (
        ConeSampler(FLAT, 2, seed=5).points(10) == ConeSampler(FLAT, 2, seed=5).points(10)
    ).all()


def test_an_empty_or_misfitting_domain_is_refused():
    with pytest.raises(DomainError, match="empty"):
        ConeSampler(Polyhedron([[1.0], [-1.0]], [0, -1]), 1)
    with pytest.raises(DomainError, match="dimensions"):
        ConeSampler(Box([0, 0], [1, 1]), 3)


def test_chains_stay_where_a_domain_is_a_point() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampler = ConeSampler(Box([1.0, 2.0], [1.0, 2.0]), 2, None, 0)
        assert np.isfinite(sampler.points(16)).all()
