"""Sums of functions of one affine number each, against exact values on a grid."""

from fractions import Fraction

import numpy as np
import pytest

import jensen
from jensen import Box, Function, FunctionGraph, GraphNode, Status
from jensen.arithmetic.rational import fraction
from jensen.composition.ridges import RidgeFunctions


def leaky_squares(slope, weights):
    """Return ``sum w_i leaky(z_i)^2`` of three affine functions of two inputs."""
    maps = np.array([[1.0, 2.0], [-1.0, 0.5], [0.25, 1.0]])
    return FunctionGraph(
        2,
        [
            GraphNode("relu", {"input": maps}, [0.5, -1.0, 0.0], Function.RELU),
            GraphNode(
                "square",
                {"input": slope * maps, "relu": (1 - slope) * np.eye(3)},
                slope * np.array([0.5, -1.0, 0.0]),
                Function.POWER,
                2.0,
            ),
            GraphNode("output", {"square": [weights]}, [0.0]),
        ],
    )


def huber(weight, limit=0.25, outer=0.5):
    """Return ``weight (z^2 / 2 - outer relu(|z| - limit)^2)`` of ``z = x - 2 y``."""
    z = np.array([[1.0, -2.0]])
    return FunctionGraph(
        2,
        [
            GraphNode("sides", {"input": np.vstack([z, -z])}, [0.0, 0.0], Function.RELU),
            GraphNode("beyond", {"sides": [[1.0, 1.0]]}, [-limit], Function.RELU),
            GraphNode("square", {"input": z}, [0.0], Function.POWER, 2.0),
            GraphNode("outside", {"beyond": [[1.0]]}, [0.0], Function.POWER, 2.0),
            GraphNode("output", {"square": [[weight / 2]], "outside": [[-weight * outer]]}, [0.0]),
        ],
    )


def test_squares_of_leaky_relus_are_convex_everywhere():
    # the first layer of Makkuva et al. (2020)
    verdict = jensen.verify(leaky_squares(0.25, [1.0, 2.0, 0.5]))
    assert verdict.status is Status.CONVEX
    assert "one affine number" in verdict.evidence[-1].label
    assert jensen.verify(leaky_squares(0.25, [1.0, -2.0, 0.5]), Box(-1, 1)).status is (
        Status.NONCONVEX
    )


@pytest.mark.parametrize(
    ("weight", "outer", "status"),
    [(1.0, 0.5, Status.CONVEX), (1.0, 0.51, Status.NONCONVEX), (-1.0, 0.5, Status.NONCONVEX)],
)
def test_huber_functions(weight, outer, status):
    assert jensen.verify(huber(weight, outer=outer)).status is status
    if status is Status.CONVEX:
        assert jensen.verify(huber(-weight, outer=outer), concave=True).status is status


def random_ridges(rng):
    """Return a graph in which every function reads one of two directions, with coincidences."""
    directions = np.array([[1.0, -2.0], [3.0, 1.0]])
    which = rng.integers(2, size=4)
    scale = rng.choice([-2.0, -1.0, 0.5, 1.0, 3.0], 4)
    maps = directions[which] * scale[:, None]
    bias = rng.integers(-2, 3, 4).astype(float)
    mix = rng.integers(-2, 3, (3, 4)).astype(float)
    keep = rng.integers(2, size=3)
    mix = mix * (which[None, :] == keep[:, None])
    straight = directions[keep] * rng.integers(-1, 2, (3, 1))
    last = str(rng.choice(["power", "relu", "identity"]))
    return FunctionGraph(
        2,
        [
            GraphNode("relu", {"input": maps}, bias, Function.RELU),
            GraphNode(
                "next",
                {"relu": mix, "input": straight},
                rng.integers(-1, 2, 3).astype(float),
                Function(last),
                2.0,
            ),
            GraphNode("square", {"input": directions}, [0.0, 1.0], Function.POWER, 2.0),
            GraphNode(
                "output",
                {
                    "next": rng.integers(-1, 3, (1, 3)).astype(float),
                    "relu": rng.integers(-1, 3, (1, 4)).astype(float),
                    "square": rng.integers(0, 3, (1, 2)).astype(float),
                },
                [0.0],
            ),
        ],
    )


def test_curves_have_the_exact_values_and_verdicts_of_their_graphs():
    proved = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        graph = random_ridges(rng)
        total = RidgeFunctions(graph)
        for name in ("relu", "next", "square"):
            for index in range(graph.size_of(name)):
                curve = total._value(name, index)
                if curve is None:
                    continue
                output = GraphNode("output", {name: _unit(graph, name, index)}, np.zeros(1))
                part = graph.with_output(output)
                for x in rng.integers(-9, 10, (6, 2)):
                    point = [Fraction(int(v), 4) for v in x]
                    steps = [fraction(f) * point[i] for i, f in curve.direction]
                    t = sum(steps, Fraction(0))
                    k = sum(fraction(at) <= t for at in curve.breaks)
                    a, b, c = map(fraction, curve.pieces[k])
                    assert a * t * t + b * t + c == part.exact(point)[0]
        verdict = jensen.verify(graph)
        proved += verdict.status is Status.CONVEX
        if verdict.status is Status.CONVEX:
            for x in rng.integers(-20, 21, (60, 4)):
                p, q = ([Fraction(int(v), 4) for v in x[i : i + 2]] for i in (0, 2))
                m = [(u + v) / 2 for u, v in zip(p, q, strict=True)]
                assert graph.exact(m)[0] <= (graph.exact(p)[0] + graph.exact(q)[0]) / 2, seed
    assert proved > 10


def _unit(graph, name, index):
    row = np.zeros((1, graph.size_of(name)))
    row[0, index] = 1.0
    return row


def test_deep_networks_are_not_followed():
    nodes = [GraphNode("n0", {"input": [[1.0]]}, [1.0], Function.RELU)]
    nodes += [
        GraphNode(f"n{k}", {f"n{k - 1}": [[1.0]]}, [-1.0], Function.RELU) for k in range(1, 1500)
    ]
    nodes.append(GraphNode("power", {"n1499": [[1.0]]}, [0.0], Function.POWER, 2.0))
    nodes.append(GraphNode("square", {"input": [[1.0]]}, [0.0], Function.POWER, 2.0))
    output = GraphNode("output", {"power": [[-1.0]], "square": [[1.0]]}, [0.0])
    ridges = RidgeFunctions(FunctionGraph(1, [*nodes, output]))
    assert ridges._value("n1499", 0) is None
