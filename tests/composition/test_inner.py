"""Rows that are piecewise linear inside of smooth functions are decided exactly."""

from __future__ import annotations

import numpy as np
import pytest

import jensen
from jensen import Box, Everywhere, Function, FunctionGraph, GraphNode, Polyhedron, Status
from jensen.composition import engine

# the maximum of four affine functions: convex, and not by signs
ROWS = np.array([[1.0, 0], [0, 1], [-1, -1], [0.5, -2]])
FIRST = GraphNode("a", {"input": ROWS[[0, 2]] - ROWS[[1, 3]]}, [0, 0], Function.RELU)
SECOND = GraphNode("b", {"input": ROWS[[1]] - ROWS[[3]], "a": [[1, -1]]}, [0], Function.RELU)


def largest(sign=1.0):
    return {"input": ROWS[[3]], "a": [[0, 1]], "b": [[sign]]}


def softplus_of(weights, *more):
    soft = GraphNode("s", weights, [0.3], Function.SOFTPLUS)
    return FunctionGraph(2, [FIRST, SECOND, *more, soft, GraphNode("output", {"s": [[2]]}, [0])])


def plus_exp(weights):
    node = GraphNode("e", {"input": [[1, 1]]}, [0], Function.EXP)
    return FunctionGraph(
        2, [FIRST, SECOND, node, GraphNode("output", {**weights, "e": [[1]]}, [0])]
    )


DOMAINS = [Box(-1, 1), Everywhere(), Polyhedron([[1, 1], [-1, 2]], [1, 1])]


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("make", [softplus_of, plus_exp])
def test_a_piecewise_linear_part_is_asked_of_the_exact_prover(make, domain):
    verdict = jensen.verify(make(largest()), domain)
    assert verdict.status is Status.CONVEX, verdict.note
    assert "decided by the exact prover" in verdict.evidence[-1].label
    assert jensen.verify(make(largest(-1.0)), domain).status is Status.NONCONVEX


def test_a_quadratic_form_may_be_a_part_of_the_row():
    square = GraphNode("q", {"input": np.eye(2)}, [0, 0], Function.POWER, 2)
    for last, status in ((1.0, Status.CONVEX), (-1.0, Status.NONCONVEX)):
        graph = softplus_of({**largest(), "q": [[1.0, last]]}, square)
        assert jensen.verify(graph, Box(-1, 1)).status is status


def test_concavity_and_chosen_inputs_are_passed_on():
    graph = softplus_of(largest()).negated()
    assert jensen.verify(graph, Box(-1, 1), concave=True).status is Status.CONVEX
    wrong = softplus_of({"input": [[0, 0]], "a": [[1, -0.5]], "b": [[0]]})
    assert jensen.verify(wrong, Box([-1, -1], [1, 1]), inputs=[1]).status is not Status.CONVEX


def test_a_concave_row_serves_a_falling_function():
    # exp(-max): the row is concave as a sum with weights of both signs, and exp takes convex ones
    negative = {source: -np.asarray(w) for source, w in largest().items()}
    node = GraphNode("l", negative, [50.0], Function.LOG)
    graph = FunctionGraph(2, [FIRST, SECOND, node, GraphNode("output", {"l": [[-1]]}, [0])])
    assert jensen.verify(graph, Box(-1, 1)).status is Status.CONVEX


def test_what_is_not_proved_inside_stays_unknown(monkeypatch):
    monkeypatch.setattr(engine, "search_pair", lambda *_, **__: None)
    verdict = jensen.verify(softplus_of(largest(-1.0)), Box(-1, 1))
    assert verdict.status is Status.UNKNOWN
    assert "the rules of composition end at" in verdict.note


def test_what_the_provers_cannot_take_is_not_asked_again():
    # the square of a ReLU is no quadratic form
    square = GraphNode("q", {"b": [[1]]}, [-1], Function.POWER, 2)
    graph = softplus_of({**largest(), "q": [[-1.0]]}, square).negated()
    assert jensen.verify(graph, Box(-1, 1), time_limit=5).status is not Status.CONVEX
