"""Verdicts by bounds of the Hessian on boxes."""

import numpy as np
import pytest

import jensen
from jensen import Box, Function, FunctionGraph, GraphNode, Polyhedron, Status
from jensen.composition.boxes import Waiting
from jensen.composition.hessian import HessianBound
from jensen.verdicts.evidence import Reason


def graph_of(*nodes, inputs=1):
    return FunctionGraph(inputs, nodes)


def silu_plus_square(sign=1.0, square=1.0):
    """Return ``sign (z sigmoid(z) + square z^2)``."""
    return graph_of(
        GraphNode("silu", {"input": [[1.0]]}, [0.0], Function.SILU),
        GraphNode("square", {"input": [[1.0]]}, [0.0], Function.POWER, 2.0),
        GraphNode("output", {"silu": [[sign]], "square": [[sign * square]]}, [0.0]),
    )


def nearly_input_convex(slip, inputs=2):
    """Return layers of softplus with weights >= 0 but for one, as a penalty leaves them."""
    rng = np.random.default_rng(4)
    inner = rng.uniform(0.1, 1, (6, 6))
    inner[0, 0] = -slip
    return graph_of(
        GraphNode("h", {"input": rng.normal(size=(6, inputs))}, rng.normal(size=6), Function.CELU),
        GraphNode("g", {"h": inner}, rng.normal(size=6), Function.SOFTPLUS),
        GraphNode("square", {"input": np.eye(inputs)}, np.zeros(inputs), Function.POWER, 2.0),
        GraphNode("output", {"g": np.ones((1, 6)), "square": np.full((1, inputs), 0.1)}, [0.0]),
        inputs=inputs,
    )


def test_what_no_rule_of_composition_shows_is_proved_on_a_box():
    verdict = jensen.verify(silu_plus_square(), Box(-10, 10))
    assert verdict.status is Status.CONVEX
    assert verdict.evidence[0].reason is Reason.COMPOSITION
    assert "Hessian" in verdict.evidence[0].label
    assert jensen.verify(silu_plus_square(-1.0), Box(-10, 10), concave=True).status is Status.CONVEX


def test_an_unbounded_domain_is_left_to_the_rules():
    assert jensen.verify(silu_plus_square()).status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("square", "status"), [(0.0184, Status.NONCONVEX), (0.0185, Status.CONVEX)]
)
def test_both_verdicts_close_to_the_line(square, status):
    # the least second derivative of z sigmoid(z) is -0.03691
    assert jensen.verify(silu_plus_square(square=square), Box(-10, 10)).status is status


def test_weights_a_little_below_zero_are_proved_on_boxes_and_polyhedra():
    graph = nearly_input_convex(1e-3)
    assert jensen.verify(graph).status is not Status.CONVEX
    for domain in (Box(-3, 3), Polyhedron(np.vstack([np.eye(2), -np.ones((1, 2))]), [3, 3, 3])):
        assert jensen.verify(graph, domain).status is Status.CONVEX


def test_parts_of_the_box_around_a_polyhedron_do_not_count():
    # concave for x + y > 6.5, which only the box reaches
    nodes = [
        GraphNode("bump", {"input": [[1.0, 1.0]]}, [-6.5], Function.TANH),
        GraphNode("square", {"input": [[1.0, 1.0]]}, [0.0], Function.POWER, 2.0),
        GraphNode("output", {"bump": [[1.0]], "square": [[1e-3]]}, [0.0]),
    ]
    graph = graph_of(*nodes, inputs=2)
    simplex = Polyhedron(np.vstack([np.ones((1, 2)), -np.eye(2)]), [6, 0, 0])
    assert jensen.verify(graph, Box(0, 6)).status is Status.NONCONVEX
    assert jensen.verify(graph, simplex).status is Status.CONVEX


def test_convexity_in_some_inputs_only():
    # tanh(p) p^2 + softplus-like in x, whatever p: not convex in both
    nodes = [
        GraphNode("tanh", {"input": [[0.0, 2.0]]}, [0.0], Function.TANH),
        GraphNode("silu", {"input": [[1.0, 0.5]]}, [0.0], Function.SILU),
        GraphNode("output", {"tanh": [[1.0]], "silu": [[1.0]]}, [0.0]),
    ]
    graph, box = graph_of(*nodes, inputs=2), Box(-1.5, 1.5)
    assert jensen.verify(graph, box, inputs=(0,)).status is Status.CONVEX
    assert jensen.verify(graph, box).status is Status.NONCONVEX


def test_what_stays_open_says_how_much_is_proved(monkeypatch):
    graph = graph_of(
        GraphNode("silu", {"input": [[1.0], [1.0]]}, [0.05, -0.05], Function.SILU),
        GraphNode("square", {"input": [[1.0]]}, [0.0], Function.POWER, 2.0),
        GraphNode("output", {"silu": [[1.0, -1.0]], "square": [[0.1]]}, [0.0]),
    )
    assert jensen.verify(graph, Box(-10, 10)).status is Status.CONVEX
    monkeypatch.setattr("jensen.composition.boxes.LEAST_WIDTH", 1.0)
    verdict = jensen.verify(graph, Box(-10, 10))
    assert verdict.status is Status.UNKNOWN
    assert "bounds of the Hessian on 1 box prove 0.0% of the domain" in verdict.note


def test_a_time_limit_ends_the_search():
    verdict = jensen.verify(nearly_input_convex(1.0, inputs=6), Box(-30, 30), time_limit=0.3)
    assert verdict.status is not Status.CONVEX
    assert sum(verdict.times.values()) < 3


def sum_of_softplus(inner):
    """Return ``softplus(2 t) - 0.1 softplus(t)``, convex, of one number t."""
    return graph_of(
        GraphNode("h", {"input": np.outer([2.0, 1.0], inner)}, [0.0, 0.0], Function.SOFTPLUS),
        GraphNode("output", {"h": [[1.0, -0.1]]}, [0.0]),
        inputs=len(inner),
    )


def test_an_input_that_is_not_read_does_not_matter():
    assert jensen.verify(sum_of_softplus([1.0]), Box(-2, 2)).status is Status.CONVEX
    verdict = jensen.verify(sum_of_softplus([0.0, 1.0, 0.0]), Box(-2, 2))
    assert verdict.status is Status.CONVEX


def test_a_search_without_progress_or_a_time_limit_ends(monkeypatch):
    # no bound shows that a singular Hessian is semidefinite, on boxes of any size
    counted = []
    judge = HessianBound.judge
    monkeypatch.setattr(HessianBound, "judge", lambda *a: counted.append(len(a[1])) or judge(*a))
    verdict = jensen.verify(sum_of_softplus([1.0, 1.0]), Box(-1, 1))
    assert verdict.status is Status.UNKNOWN
    assert sum(counted) < 60_000


@pytest.mark.parametrize("most", [1, 3, 512, 2000])
def test_boxes_that_wait_are_neither_lost_nor_taken_twice(most):
    sides = np.zeros(1), np.ones(1)
    waiting = Waiting(sides)
    numbers = np.arange(1.0, 1501.0)[:, None]
    waiting.add(numbers, numbers + 0.5)
    found = []
    while waiting.count:
        low, high = waiting.taken(most)
        assert 1 <= len(low) <= most
        assert np.array_equal(high - low, np.where(low == 0, 1.0, 0.5))
        found += low[:, 0].tolist()
    assert sorted(found) == list(range(1501))
    assert found[0] > 1500 - most - 1
