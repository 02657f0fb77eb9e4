"""Bounds of the Hessian on boxes: what is proved bends nowhere down, to 200 bits."""

from fractions import Fraction

import numpy as np
import pytest
from smooth_graphs import WILD, oracle_violation, random_graph

from jensen.composition.curvature import compose
from jensen.composition.hessian import HessianBound
from jensen.graphs.enclosures import enclose
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import Function
from jensen.graphs.node import GraphNode

BOXES = 24


def judged(graph, lower, upper, moving):
    sides = lower.min(axis=0), upper.max(axis=0)
    found = compose(graph, enclose(graph, *sides), moving)
    constant = {name: known.constant for name, known in found.pre_activations.items()}
    if found.undefined:
        return np.zeros(len(lower), dtype=bool)
    return HessianBound(graph, moving, constant).judge(lower, upper).proved


def look(seed):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, functions=WILD)
    n = graph.input_size
    moving = rng.random(n) < 0.7
    moving[rng.integers(n)] = True
    centre = rng.normal(size=(BOXES, n)) if rng.random() < 0.7 else rng.integers(-2, 3, (BOXES, n))
    half = 10.0 ** rng.uniform(-3, 0.3, (BOXES, 1)) * rng.choice([0, 1, 1, 1], (BOXES, n))
    lower, upper = centre - half, centre + half
    proved = judged(graph, lower, upper, moving)
    for k in np.flatnonzero(proved):
        for _ in range(4):
            x, y = rng.uniform(lower[k], upper[k], (2, n))
            y = np.where(moving, x + (y - x) * 10.0 ** rng.uniform(-4, 0), x)
            x, y = ([Fraction(float(v)) for v in p] for p in (x, y))
            assert not oracle_violation(graph, x, y) > 0, seed
    return int(proved.sum())


@pytest.mark.parametrize("block", range(8))
def test_what_is_proved_holds_on_random_pairs(block):
    assert sum(look(seed) for seed in range(40 * block, 40 * block + 40)) > 40


@pytest.mark.slow
def test_what_is_proved_holds_on_random_pairs_of_many_graphs():
    assert sum(look(seed) for seed in range(10**6, 10**6 + 5000)) > 10_000


def graph_of(*nodes, inputs=1):
    return FunctionGraph(inputs, nodes)


@pytest.mark.parametrize("side", [-1.0, 0.0])
def test_a_kink_on_the_side_that_two_boxes_share_counts_for_both(side):
    relu = GraphNode("relu", {"input": [[1.0]]}, [0.0], Function.RELU)
    output = GraphNode("output", {"relu": [[-1.0]]}, [0.0])
    lower, upper = np.array([[side]]), np.array([[side + 1.0]])
    assert not judged(graph_of(relu, output), lower, upper, np.ones(1, dtype=bool))[0]
    turned = GraphNode("output", {"relu": [[1.0]]}, [0.0])
    assert judged(graph_of(relu, turned), lower, upper, np.ones(1, dtype=bool))[0]


def test_a_product_of_one_moving_factor_does_not_bend():
    product = GraphNode("product", {"input": np.eye(2)}, [0.0, 0.0], Function.PRODUCT, 1.0, 2)
    graph = graph_of(product, GraphNode("output", {"product": [[1.0]]}, [0.0]), inputs=2)
    sides = np.array([[-1.0, -1.0]]), np.array([[1.0, 1.0]])
    assert judged(graph, *sides, np.array([True, False]))[0]
    assert not judged(graph, *sides, np.array([True, True]))[0]


def test_huge_weights_prove_nothing():
    node = GraphNode("exp", {"input": [[1e200]]}, [0.0], Function.EXP)
    again = GraphNode("square", {"exp": [[1e200]]}, [0.0], Function.POWER, 3.0)
    graph = graph_of(node, again, GraphNode("output", {"square": [[-1.0]]}, [0.0]))
    assert not judged(graph, np.array([[-1.0]]), np.array([[1.0]]), np.ones(1, dtype=bool))[0]


def test_large_matrices_do_not_fit(monkeypatch):
    graph = graph_of(GraphNode("output", {"input": [[1.0, 2.0]]}, [0.0]), inputs=2)
    assert HessianBound.fits(graph)
    monkeypatch.setattr("jensen.composition.hessian.MOST_PRODUCTS", 3)
    assert not HessianBound.fits(graph)
