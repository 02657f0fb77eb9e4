"""A ReLU network plus a quadratic form, decided exactly."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jensen
from jensen import Box, Everywhere, Function, FunctionGraph, GraphNode, Polyhedron, Status
from jensen.arithmetic.rational import rationals
from jensen.composition.piecewise_quadratic import (
    directions,
    falling_direction,
    pair_at_kink,
    split,
)
from jensen_encodings.deadline import Deadline


def quadratic(form, hidden=(), outer=(), linear=None):
    """Return ``x'Qx/2 + sum_i outer_i relu(hidden_i x + bias_i) + linear x``, Q as products."""
    form = np.atleast_2d(np.asarray(form, dtype=float))
    n = len(form)
    nodes, last = [], {}
    rows, columns = np.nonzero(form)
    if len(rows):
        picks = np.zeros((2 * len(rows), n))
        picks[np.arange(0, 2 * len(rows), 2), rows] = 1
        picks[np.arange(1, 2 * len(rows), 2), columns] = 1
        nodes.append(GraphNode("q", {"input": picks}, np.zeros(len(picks)), Function.PRODUCT, 1, 2))
        last["q"] = form[rows, columns][None] / 2
    if len(hidden):
        hidden = np.asarray(hidden, dtype=float)
        nodes.append(GraphNode("r", {"input": hidden[:, :n]}, hidden[:, n], Function.RELU))
        last["r"] = np.asarray(outer, dtype=float)[None]
    if linear is not None:
        last["input"] = np.asarray(linear, dtype=float)[None]
    return FunctionGraph(n, [*nodes, GraphNode("output", last, [0.0])])


# of both signs; the twins at x = 1 together do not bend
CONVEX = ([[1, 0, 0], [1, 0, -1], [2, 0, -2]], [1, -1, 0.5])
CEILING = ([[1, 0, 0], [1, 0, -1]], [1, -1])


@pytest.mark.parametrize(
    ("form", "network", "domain", "status"),
    [
        ([[1, 0], [0, 1]], CONVEX, Everywhere(), Status.CONVEX),
        ([[1, 1], [1, 1]], CONVEX, Box(-3, 3), Status.CONVEX),
        ([[1, 1], [1, 1 - 2.0**-40]], CONVEX, Box(-3, 3), Status.NONCONVEX),
        ([[1e6, 0], [0, 1e6]], CEILING, Box(-3, 3), Status.NONCONVEX),
        ([[1e6, 0], [0, 1e6]], CEILING, Everywhere(), Status.NONCONVEX),
        ([[1, 0], [0, 1]], CEILING, Box(-3, 1), Status.CONVEX),
        ([[1, 0], [0, -1]], CONVEX, Box([-1, 0.5], [2, 0.5]), Status.CONVEX),
        ([[1, 0], [0, -1]], CONVEX, Polyhedron([[1, 1], [-1, -1]], [1, -1]), Status.CONVEX),
        ([[1, 0], [0, -2]], CONVEX, Box(-1, 2), Status.NONCONVEX),
    ],
)
def test_both_parts_have_to_be_convex(form, network, domain, status):
    verdict = jensen.verify(quadratic(form, *network), domain)
    assert verdict.status is status, verdict
    if status is Status.NONCONVEX:
        pair = verdict.counterexample
        graph = quadratic(form, *network)
        fx, fy, fm = (graph.exact(p)[0] for p in (pair.x, pair.y, pair.midpoint))
        assert pair.violation == fm - (fx + fy) / 2 > 0
        assert domain.contains(pair.x)
        assert domain.contains(pair.y)


def test_partial_convexity_asks_about_the_directions_of_its_inputs():
    graph = quadratic([[1, 5], [5, -1]], *CONVEX)
    for domain in (Box(-1, 2), Everywhere()):
        assert jensen.verify(graph, domain, inputs=[0]).status is Status.CONVEX
        assert jensen.verify(graph, domain, inputs=[1]).status is Status.NONCONVEX
        assert jensen.verify(graph, domain, inputs=[1], concave=True).status is Status.CONVEX


def test_the_directions_of_a_flat_domain():
    plane = Polyhedron([[1, 1, 1], [-1, -1, -1]], [0, 0])
    basis = directions(plane, 3, None)
    assert basis.shape == (3, 2)
    assert (basis.sum(axis=0) == 0).all()
    assert directions(plane, 3, (0, 1)).shape == (3, 1)
    assert directions(plane, 3, (0,)).shape == (3, 0)
    assert directions(Box([0, 1], [0, 2]), 2, None).shape == (2, 1)
    assert directions(Everywhere(), 3, (0, 2)).shape == (3, 2)
    for last, falls in ((-0.25, False), (-0.5, False), (-0.75, True), (-3.0, True)):
        form = rationals(np.diag([1.0, 1.0, last]))
        assert (falling_direction(form, plane, None) is not None) == falls


def test_what_is_no_such_sum_is_not_split():
    behind = FunctionGraph(
        1,
        [
            GraphNode("s", {"input": [[1.0]]}, [0.0], Function.POWER, 2),
            GraphNode("r", {"s": [[1.0]]}, [-1.0], Function.RELU),
            GraphNode("output", {"r": [[1.0]]}, [0.0]),
        ],
    )
    assert split(behind) is None
    soft = FunctionGraph(
        1,
        [
            GraphNode("s", {"input": [[1.0]]}, [0.0], Function.SOFTPLUS),
            GraphNode("output", {"s": [[1.0]]}, [0.0]),
        ],
    )
    assert split(soft) is None


def test_the_hessian_passes_through_affine_nodes():
    graph = FunctionGraph(
        2,
        [
            GraphNode("z", {"input": [[1.0, 2.0], [0.0, 1.0]]}, [1.0, 0.0]),
            GraphNode("s", {"z": np.eye(2)}, [0.0, 3.0], Function.POWER, 2),
            GraphNode("t", {"s": [[3.0, -1.0]]}, [0.0]),
            GraphNode("output", {"t": [[2.0]]}, [0.0]),
        ],
    )
    # 2 (3 (x + 2 y + 1)^2 - (y + 3)^2)
    found = split(graph).hessian(0)
    assert found.tolist() == rationals(np.array([[12.0, 24.0], [24.0, 44.0]])).tolist()


@given(st.integers(0, 10**6))
def test_random_sums_are_decided_and_samples_agree(seed):
    rng = np.random.default_rng(seed)
    n, units = int(rng.integers(1, 4)), int(rng.integers(1, 5))
    factor = rng.integers(-2, 3, (n, n)).astype(float)
    form = factor @ factor.T + rng.choice([0, 0, -1, 1]) * np.eye(n)
    hidden = rng.integers(-2, 3, (units, n + 1)).astype(float)
    outer = np.abs(rng.normal(size=units)) * rng.choice([1, 1, 1, -1], units)
    graph = quadratic(form, hidden, outer, rng.normal(size=n))
    domain = Box(-1, 1) if rng.random() < 0.6 else Everywhere()
    verdict = jensen.verify(graph, domain)
    assert verdict.status is not Status.UNKNOWN
    points = rng.uniform(-1, 1, (2, 400, n))
    points[1] = points[0] + (points[1] - points[0]) * 10.0 ** rng.uniform(-3, 0, (400, 1))
    fx, fy, fm = (graph(p)[:, 0] for p in (points[0], points[1], points.mean(axis=0)))
    if verdict.status is Status.CONVEX:
        assert (fm <= (fx + fy) / 2 + 1e-9).all()
    else:
        pair = verdict.counterexample
        fx, fy, fm = (graph.exact(p)[0] for p in (pair.x, pair.y, pair.midpoint))
        assert fm - (fx + fy) / 2 == pair.violation > Fraction(0)


SLICES = [
    Polyhedron([[1, 1, 1], [-1, -1, -1]], [1 / 3, -1 / 3]),
    Polyhedron(
        [[1, 3, 0], [-1, -3, 0], [0, 0, 1], [0, 0, -1], [1, 0, 0], [-1, 0, 0]],
        [0.1, -0.1, 0.2, 0.2, 1, 1],
    ),
]


@pytest.mark.parametrize("domain", SLICES)
@pytest.mark.parametrize(("last", "bends_down"), [(-0.4, False), (-12.0, True)])
def test_a_form_on_a_flat_polyhedron_that_no_double_meets(domain, last, bends_down):
    graph = quadratic(np.diag([1.0, 1.0, last]), [[1, 2, 3, -1 / 3]], [5.0])
    verdict = jensen.verify(graph, domain, certificate=True)
    flat_below = domain is SLICES[1] and last < 0
    assert verdict.status is (Status.NONCONVEX if bends_down or flat_below else Status.CONVEX)
    assert verdict.certificate is not None
    if verdict.counterexample is not None:
        assert domain.contains(verdict.counterexample.x)
        assert verdict.counterexample.violation > 0


@pytest.mark.parametrize("size", [2.0**300, 2.0**900])
def test_a_small_bend_in_a_large_form_is_found_however_short_the_pair(size):
    graph = quadratic([[size, 0], [0, size]], [[1, 1, -1]], [-1])
    verdict = jensen.verify(graph, Box(-1, 2))
    assert verdict.status is Status.NONCONVEX
    assert verdict.counterexample is not None
    assert verdict.counterexample.violation > 0
    assert jensen.worst_jump(graph, Box(-1, 2)).lower == pytest.approx(2**0.5)


def test_a_pair_is_not_shortened_after_the_deadline():
    size = 2.0**300
    graph = quadratic([[size, 0], [0, size]], [[1, 1, -1]], [-1])
    ends = [Fraction(0), Fraction(0)], [Fraction(1), Fraction(1)]
    assert pair_at_kink(graph, Box(-1, 2), *ends, None, Deadline.after(0.0)) is None
