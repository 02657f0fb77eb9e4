"""From pairs in doubles to proved ones: in time, and without a word of what overflowed."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pytest

import jensen
from jensen import Function, FunctionGraph
from jensen.composition import pairs
from jensen.composition.pairs import proved_violation
from jensen.composition.search import search_pair
from jensen.graphs.node import GraphNode
from jensen_encodings.deadline import Deadline


def of_sum(function: Function, scale: float = 1.0) -> FunctionGraph:
    """Return ``f(x + y)`` of one smooth function."""
    return FunctionGraph(
        2,
        [
            GraphNode("a", {"input": np.full((1, 2), scale)}, np.zeros(1), function),
            GraphNode("output", {"a": np.ones((1, 1))}, np.zeros(1)),
        ],
    )


SMOOTH = [Function.TANH, Function.SIGMOID, Function.ERF, Function.LOG, Function.SQRT]


@pytest.mark.parametrize("function", SMOOTH, ids=str)
@pytest.mark.parametrize("side", [1.7e308, 1e200])
def test_boxes_at_the_end_of_the_doubles_are_searched_in_silence(function, side):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        verdict = jensen.verify(of_sum(function), jensen.Box(-side, side), time_limit=30)
    assert verdict.status == "nonconvex"
    pair = verdict.counterexample
    assert pair is not None
    assert pair.violation > 0
    assert jensen.Box(-side, side).contains(pair.x)


def test_balls_that_would_take_longer_than_there_is_time_are_intervals(monkeypatch):
    graph = of_sum(Function.TANH)
    x, y = (Fraction(0),) * 2, (Fraction(2),) * 2
    exact = proved_violation(graph, x, y)
    monkeypatch.setattr(pairs, "ball_values", lambda *_: pytest.fail("time is up"))
    found = proved_violation(graph, x, y, Deadline.after(-1.0))
    assert exact is not None
    assert found is not None
    assert 0 < found <= exact <= found + Fraction(1, 10**12)


def test_balls_of_more_bits_end_with_the_time(monkeypatch):
    asked = []

    def undecided(*arguments: object) -> list[object]:
        asked.append(arguments[-1])
        return ball_values(*arguments)

    ball_values = pairs.ball_values
    monkeypatch.setattr(pairs, "ball_values", undecided)
    graph = of_sum(Function.LOG)  # has no value there: balls of any number of bits say nothing
    x, y = (Fraction(-1),) * 2, (Fraction(-2),) * 2
    assert proved_violation(graph, x, y) is None
    assert len(set(asked)) > 3
    asked.clear()
    clock = iter([False, True, True, True])
    deadline = Deadline.after(1e9)
    monkeypatch.setattr(Deadline, "over", lambda _: next(clock))
    assert proved_violation(graph, x, y, deadline) is None
    assert len(set(asked)) == 1


def dipping_in_a_corner(inputs: int, steepness: float, seed: int) -> FunctionGraph:
    """A square, and a softplus subtracted that bends enough in one corner of the cube alone."""
    side = steepness * np.random.default_rng(seed).choice([-1.0, 1.0], inputs)
    size = 0.1 * steepness**2 * inputs  # less than half the bend of the softplus where it is most
    nodes = [
        GraphNode("square", {"input": np.eye(inputs)}, np.zeros(inputs), Function.POWER, 2),
        GraphNode("dip", {"input": side[None]}, [-0.7 * inputs * steepness], Function.SOFTPLUS),
        GraphNode("output", {"square": np.full((1, inputs), size), "dip": [[-1.0]]}, [0.0]),
    ]
    return FunctionGraph(inputs, nodes)


def test_curvature_that_falls_in_one_corner_is_followed_there():
    found = 0
    for seed in range(4):
        graph = dipping_in_a_corner(12, 3.0, seed)
        pair = search_pair(graph, jensen.Box(-1, 1), seed=seed)
        if pair is not None:
            assert proved_violation(graph, pair.x, pair.y) > 0
            found += 1
    assert found >= 3  # by random points alone: one
