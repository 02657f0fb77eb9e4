"""Graphs that are too large for balls: refuted by intervals of doubles."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from smooth_graphs import oracle_violation

import jensen
from jensen import Box, Function, FunctionGraph, GraphNode, Status
from jensen.composition import engine, pairs
from jensen.graphs.convolution import Convolution

PLACES = 6
WINDOWS = np.array([[i, i + 1, i + 2] for i in range(PLACES)])


def regulariser(wrong, channels=3):
    """Return a small one-dimensional convolutional network; one channel counts ``-wrong``."""
    rng = np.random.default_rng(0)
    filters = rng.normal(size=(channels, 1, 3))
    conv = Convolution(filters, WINDOWS, PLACES + 2)
    weights = np.full((channels, PLACES), 1.0)
    weights[1] = -wrong
    size = channels * PLACES
    first = GraphNode("r", {"input": conv}, rng.normal(size=size), Function.RELU)
    soft = GraphNode("s", {"input": np.eye(PLACES + 2)}, np.zeros(PLACES + 2), Function.SOFTPLUS)
    last = {"r": weights.reshape(1, -1), "s": np.full((1, PLACES + 2), 0.01)}
    return FunctionGraph(PLACES + 2, [first, soft, GraphNode("output", last, [0.0])])


@pytest.fixture
def everything_is_large(monkeypatch):
    for module in (engine, pairs):
        monkeypatch.setattr(module, "BALL_WORK", 0)


@pytest.mark.parametrize("wrong", [20.0, 0.2])
@pytest.mark.parametrize("inputs", [None, [2, 3]])
def test_one_wrong_channel_is_refuted_rigorously(wrong, inputs, everything_is_large):
    graph = regulariser(wrong)
    verdict = jensen.verify(graph, Box(-2, 2), inputs=inputs)
    assert verdict.status is Status.NONCONVEX, verdict.note
    pair = verdict.counterexample
    truth = oracle_violation(graph_of_matrices(graph), pair.x, pair.y)
    assert 0 < pair.violation <= Fraction(float(truth.upper()))
    assert jensen.verify(regulariser(-0.5), Box(-2, 2)).status is Status.CONVEX


def graph_of_matrices(graph):
    """Return the same with matrices for convolutions."""
    nodes = []
    for node in graph.nodes:
        dense = {
            s: w.to_csr() if isinstance(w, Convolution) else w for s, w in node.weights.items()
        }
        nodes.append(
            GraphNode(node.name, dense, node.bias, node.function, node.parameter, node.group)
        )
    return FunctionGraph(graph.input_size, nodes)


def test_intervals_prove_less_than_what_is_true(everything_is_large):
    graph = regulariser(20.0)
    rng = np.random.default_rng(1)
    proved = 0
    for _ in range(200):
        middle, half = np.round(rng.normal(size=(2, PLACES + 2)) * 2**20) / 2**20
        x, y = ([Fraction(float(v)) for v in middle + s * half] for s in (-1, 1))
        found = pairs.proved_violation(graph, x, y)
        truth = oracle_violation(graph_of_matrices(graph), x, y)
        if found is not None:
            proved += 1
            assert 0 < found <= Fraction(float(truth.upper()))
        assert found is not None or truth < 1e-9
    assert proved > 20


def test_points_that_are_no_doubles_prove_nothing_here(everything_is_large):
    x = [Fraction(1, 3)] * (PLACES + 2)
    assert pairs.proved_violation(regulariser(20.0), x, [-v for v in x]) is None
