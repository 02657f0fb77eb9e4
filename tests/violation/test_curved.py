"""How far graphs with smooth functions are from convex: every bound is proved."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from smooth_graphs import oracle_violation, random_graph

import jensen
from jensen import Box, Everywhere, Function, FunctionGraph, GraphNode, OptionError, Polyhedron
from jensen.cli import main

KINKS = GraphNode("r", {"input": [[1, 0], [1, 0], [0, 1]]}, [0, -1, 0], Function.RELU)


def total(form, outer):
    """Return ``form_0 x^2 + form_1 (x + y)^2 + outer . relu(x, x - 1, y)``."""
    square = GraphNode("q", {"input": [[1, 0], [1, 1]]}, [0, 0], Function.POWER, 2)
    return FunctionGraph(2, [square, KINKS, GraphNode("output", {"q": [form], "r": [outer]}, [0])])


def violation(graph, x, y):
    middle = [(a + b) / 2 for a, b in zip(x, y, strict=True)]
    (fx,), (fy,), (fm,) = (graph.exact(p) for p in (x, y, middle))
    return fm - (fx + fy) / 2


def test_a_convex_graph_violates_nothing():
    found = jensen.worst_violation(total([1, 1], [1, 1, 1]), Box(-1, 2))
    assert (found.lower, found.upper, found.status) == (0.0, 0.0, "proved convex")
    assert jensen.worst_jump(total([1, 1], [1, 1, 1])).upper == 0


@pytest.mark.parametrize(
    ("form", "outer", "worst"),
    [
        # -x^2 on [-1, 2]: (3/2)^2
        ([-1, 0], [0, 0, 0], 2.25),
        # -relu(x): x = -1, y = 1, by 1/2
        ([0, 0], [-1, 0, 0], 0.5),
    ],
)
def test_the_bounds_meet_where_one_part_is_alone(form, outer, worst):
    found = jensen.worst_violation(total(form, outer), Box(-1, 2), gap=0.02)
    assert found.lower <= worst <= found.upper
    assert found.lower > 0.97 * worst
    assert found.upper < 1.01 * worst


@pytest.mark.parametrize("seed", range(25))
def test_bounds_hold_on_random_graphs(seed):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng)
    lower = rng.normal(size=graph.input_size)
    box = Box(lower, lower + rng.exponential(size=graph.input_size))
    found = jensen.worst_violation(graph, box)
    assert found.lower <= found.upper
    if found.exact_lower:
        assert box.contains(found.x)
        assert box.contains(found.y)
        assert not oracle_violation(graph, found.x, found.y) < found.lower
    x, y = rng.uniform(*box.bounds(graph.input_size), (2, 500, graph.input_size))
    with np.errstate(all="ignore"):
        fx, fy, fm = (graph(p)[:, 0] for p in (x, y, (x + y) / 2))
        rise = fm - fx / 2 - fy / 2
        noise = 1e-9 * (1 + np.abs(fx) + np.abs(fy))
    assert not (rise > found.upper + noise).any()


def test_elsewhere_there_may_be_no_upper_bound():
    found = jensen.worst_violation(total([-1, 0], [0, 0, 0]), Everywhere())
    assert found.status == "no upper bound"
    assert found.upper == np.inf
    assert found.lower > 0


def test_the_jump_of_a_sum_is_that_of_its_kinks():
    graph = total([3, 1], [1, -2, 1])
    found = jensen.worst_jump(graph, Box(-2, 2))
    assert found.lower <= 2 <= found.upper < 2.001
    assert found.point[0] == 1
    assert found.exact_violation == violation(graph, found.x, found.y) > 0
    before, behind = found.slopes
    gradient = 6 * 1 + 2 * (1 + found.point[1])
    expected = sorted([float(gradient + 1), float(gradient - 1)], reverse=True)
    if found.normal[0] < 0:
        expected = [-v for v in expected[::-1]]
    assert [before, behind] == pytest.approx(expected)


def test_what_cannot_be_measured_is_refused():
    soft = FunctionGraph(
        1,
        [
            GraphNode("s", {"input": [[1.0]]}, [0.0], Function.SOFTPLUS),
            GraphNode("output", {"s": [[-1.0]]}, [0.0]),
        ],
    )
    with pytest.raises(jensen.NetworkError, match="node 's' is softplus"):
        jensen.worst_jump(soft)
    with pytest.raises(OptionError, match="leave it out"):
        jensen.worst_violation(soft, Box(-1, 1), engine="milp")
    with pytest.raises(jensen.DomainError, match="empty"):
        jensen.worst_violation(soft, Polyhedron([[1], [-1]], [-1, -1]))


def test_the_command_measures_graphs(tmp_path, capsys):
    total([-1, 0], [0, 0, 0]).save(tmp_path / "g.npz")
    arguments = ["violation", str(tmp_path / "g.npz"), "--box", "-1", "2"]
    assert main(arguments) == 1
    assert "worst midpoint violation <= 2.25" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 1
    record = json.loads(capsys.readouterr().out)
    assert Fraction(record["exact_lower"]) > 2
    assert main([*arguments, "--measure", "jump"]) == 0
    assert "worst gradient jump <= 0" in capsys.readouterr().out
