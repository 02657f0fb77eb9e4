"""How far from concave: what is proved of ``-f`` is said of f."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import jensen
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.errors import OptionError
from jensen.network.relu_network import ReluNetwork
from jensen.verdicts.counterexample import exact_violation
from jensen.violation.magnitude import magnitude

RIDGE = ReluNetwork.from_layers([[[1.0, 1.0]], [[3.0]]], [[0.0], [0.0]])  # 3 relu(x + y)


@pytest.mark.parametrize("inputs", [1, 2, 4])
@pytest.mark.parametrize("kind", ["box", "rows"])
def test_the_measures_of_concavity_are_those_of_minus_f(inputs: int, kind: str) -> None:
    rng = np.random.default_rng(inputs)
    shapes = (5, inputs), (4, 5), (1, 4)
    network = ReluNetwork.from_layers(
        [rng.normal(size=shape) for shape in shapes], [rng.normal(size=n) for n, _ in shapes]
    )
    domain: Domain = Box(-1, 1)
    if kind == "rows":
        rows = np.vstack([np.eye(inputs), -np.eye(inputs), np.ones((1, inputs))])
        domain = Polyhedron(rows, np.r_[np.ones(2 * inputs), 1.0])
    found = jensen.worst_violation(network, domain, concave=True)
    other = jensen.worst_violation(network.negated(), domain)
    assert (found.lower, found.upper) == (other.lower, other.upper)
    assert found.exact_lower == -exact_violation(network, found.x, found.y)
    assert found.concave
    assert not other.concave
    jump, mirror = (
        jensen.worst_jump(network, domain, concave=True),
        jensen.worst_jump(network.negated(), domain),
    )
    assert (jump.lower, jump.upper, jump.point) == (mirror.lower, mirror.upper, mirror.point)
    if jump.slopes is not None and mirror.slopes is not None:
        assert jump.slopes == (-mirror.slopes[0], -mirror.slopes[1])
        assert jump.slopes[0] < jump.slopes[1]


def test_a_convex_function_is_far_from_concave_and_a_concave_one_is_not() -> None:
    far = jensen.worst_violation(RIDGE, Box(-1, 1), concave=True)
    assert far.lower == pytest.approx(3.0)
    assert jensen.worst_violation(RIDGE, Box(-1, 1)).upper == 0
    assert jensen.worst_violation(RIDGE.negated(), Box(-1, 1), concave=True).upper == 0
    assert jensen.worst_jump(RIDGE, concave=True).lower == pytest.approx(3 * 2**0.5)
    assert jensen.worst_jump(RIDGE.negated(), concave=True).upper == 0


def test_what_is_said_names_concavity() -> None:
    found = jensen.worst_violation(RIDGE, Box(-1, 1), concave=True)
    assert "worst midpoint violation of concavity" in found.summary
    assert found.to_json()["concave"] is True
    jump = jensen.worst_jump(RIDGE, concave=True)
    assert "worst gradient jump upwards" in str(jump)
    assert jump.to_json()["concave"] is True
    everywhere = jensen.worst_violation(RIDGE, Everywhere(), concave=True)
    assert "violation of concavity is unbounded" in everywhere.summary


def test_a_violation_per_length_is_positive() -> None:
    found = jensen.worst_violation(RIDGE, Box(-1, 1), concave=True)
    scale = magnitude(RIDGE, Box(-1, 1), found.x, found.y, (found.lower, found.upper), concave=True)
    assert scale.per_distance is not None
    assert scale.per_distance > 0


def test_one_output_of_several_is_mirrored() -> None:
    both = ReluNetwork.from_layers([[[1.0]], [[1.0], [-2.0]]], [[0.0], [0.0, 0.0]])
    assert jensen.worst_violation(both, Box(-1, 1), output=1, concave=True).upper == 0
    assert jensen.worst_jump(both, output=0, concave=True).lower == 1
    with pytest.warns(UserWarning, match="the first is taken"):
        assert jensen.worst_jump(both, concave=True).lower == 1


def test_graphs_are_mirrored() -> None:
    square = jensen.GraphNode("s", {"input": [[1.0]]}, [0.0], jensen.Function.POWER, 2)
    graph = jensen.FunctionGraph(1, [square, jensen.GraphNode("output", {"s": [[1.0]]}, [0.0])])
    found = jensen.worst_violation(graph, Box(-1, 1), concave=True)
    assert found.concave
    assert Fraction(1) >= found.exact_lower > Fraction(9, 10)
    assert jensen.worst_jump(graph, Box(-1, 1), concave=True).upper == 0


@pytest.mark.parametrize("measure", [jensen.worst_violation, jensen.worst_jump])
def test_only_true_and_false_are_taken(measure) -> None:
    with pytest.raises(OptionError, match="concave 'no': True or False"):
        measure(RIDGE, Box(-1, 1), concave="no")
