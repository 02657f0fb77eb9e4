"""Sums over scenarios: one proof, one batch, the optimum of the sum."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from oracle_convex import icnn
from test_potentials import potential, random_form

import jensen
from jensen import Box, ConvexFunction, Everywhere, Polyhedron, ReluNetwork, ScenarioSum
from jensen.errors import DomainError, NotConvexError, OptionError
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import Function
from jensen.graphs.node import GraphNode

# |x - p| - relu(p) is convex in x only
NEWSVENDOR = ReluNetwork.from_layers(
    [[[1.0, -1.0], [-1.0, 1.0], [0.0, 1.0]], [[1.0, 1.0, -1.0]]], [[0, 0, 0], [0]]
)


def contexts(count: int, seed: int = 0) -> list[dict[int, float]]:
    rng = np.random.default_rng(seed)
    return [{1: float(v), 3: float(w)} for v, w in rng.normal(size=(count, 2))]


def test_the_median_minimises_a_sum_of_distances():
    found = ScenarioSum(NEWSVENDOR, [{1: 2.0}, {1: 5.0}, {1: 6.0}], Box(0, 10)).minimise()
    assert found.x[0] == pytest.approx(5.0, abs=1e-9)
    assert found.value == pytest.approx((3 + 0 + 1 - 13) / 3)
    assert found.gap < 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_the_sum_of_scenarios_is_minimised_as_brute_force_does(seed):
    network, weights = icnn(4, (8, 6), seed), np.array([0.5, 0.25, 0.125, 0.125])
    scenarios = contexts(4, seed)
    F = ScenarioSum(network, scenarios, Box(-1, 1), weights=weights)
    found = F.minimise([0.1, -0.2])
    axis = np.linspace(-1, 1, 101)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    total = grid @ [0.1, -0.2]
    for weight, context in zip(weights, scenarios, strict=True):
        total = total + weight * network.fix_inputs(context)(grid)[:, 0]
    assert F.value(grid) + grid @ [0.1, -0.2] == pytest.approx(total, rel=1e-12)
    assert found.lower <= total.min() + 1e-12
    assert found.value <= total.min() + 1e-12
    assert found.gap <= 1e-9 * max(1, abs(found.value))
    exact = F._convex.exact(found.point)
    assert found.lower <= exact + sum(
        Fraction(c) * v for c, v in zip((0.1, -0.2), found.point, strict=True)
    )


@pytest.mark.parametrize(
    "domain", [Everywhere(), Polyhedron([[1, 1], [-1, 0], [0, -1]], [1, 1, 1])]
)
def test_sums_on_other_domains_agree_with_a_box_around_the_optimum(domain):
    network, scenarios = icnn(4, (6, 4), 7), contexts(3)
    F = ScenarioSum(network, scenarios, domain)
    slopes = F.subgradient(np.random.default_rng(0).uniform(-0.4, 0.4, (8, 2)))
    found = F.minimise(-slopes.mean(axis=0))
    assert found.gap <= 1e-8 * max(1, abs(found.value))
    if isinstance(domain, Everywhere):
        box = Box(found.x - 1, found.x + 1)
        same = ScenarioSum(network, scenarios, box).minimise(-slopes.mean(axis=0))
        assert same.lower <= found.value
        assert found.lower <= same.value


def test_one_proof_of_partial_convexity_serves_all_scenarios():
    F = ScenarioSum(NEWSVENDOR, [{1: float(v)} for v in range(20)], Box(0, 20))
    assert len(F.verdicts) == 1
    assert F.verdicts[0].claim == "convex in inputs 0"
    verdict = jensen.verify(NEWSVENDOR, Box([0, 0], [20, 30]), inputs=(0,))
    again = ScenarioSum(NEWSVENDOR, [{1: 25.0}], Box(0, 20), verdict=verdict)
    assert again.minimise().value == pytest.approx(5.0 - 25.0)
    with pytest.raises(OptionError, match="which does not cover"):
        ScenarioSum(NEWSVENDOR, [{1: 35.0}], Box(0, 20), verdict=verdict)


def test_scenarios_are_proved_alone_where_contexts_between_them_are_not_convex():
    # relu(x + p) - relu(x) + relu(x - p): only at p = 0 the kinks make up for one another
    bend = ReluNetwork.from_layers(
        [[[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, -1.0]], [[1.0, -1.0, 0.0, 1.0]]],
        [[0, 0, 0, 0], [0]],
    )
    F = ScenarioSum(bend, [{1: 0.0}], Box(-1, 1))
    assert len(F.verdicts) == 1
    with pytest.raises(NotConvexError):
        ScenarioSum(bend, [{1: 0.0}, {1: 0.5}], Box(-1, 1))


def test_conjugates_proximal_points_and_integers_work_on_sums():
    network, scenarios = icnn(4, (6, 4), 3), contexts(3)
    F = ScenarioSum(network, scenarios, Box(-2, 2))
    alone = [ConvexFunction(network.fix_inputs(c), Box(-2, 2)) for c in scenarios]
    star = F.conjugate([0.3, -0.1])
    assert star.gap < 1e-9
    near = F.prox([1.0, -1.0], 0.5)
    total = np.mean([f.value(near.x) for f in alone]) + ((near.x - [1, -1]) ** 2).sum()
    assert near.value == pytest.approx(total, rel=1e-9)
    assert near.gap < 1e-7
    whole = F.minimise(integers=(0, 1))
    tried = [F.value([a, b]) for a in range(-2, 3) for b in range(-2, 3)]
    assert whole.value == pytest.approx(min(tried), rel=1e-9)
    support = F.support([0.5, 0.5])
    assert support.gradient @ [0.5, 0.5] + support.offset == pytest.approx(F.value([0.5, 0.5]))


@pytest.mark.parametrize(
    ("scenarios", "arguments", "message"),
    [
        ([], {}, "at least one"),
        ([{}], {}, "at least one"),
        (3, {}, "a list of mappings"),
        ([3.0], {}, "a list of mappings"),
        ([{1: 0.0}, {0: 1.0}], {}, "scenario 1 fixes the inputs"),
        ([{1: 0.0}], {"weights": [-1.0]}, "positive"),
        ([{1: 0.0}], {"output": None, "two": True}, "2 outputs"),
    ],
)
def test_scenarios_that_make_no_sense_are_refused(scenarios, arguments, message):
    network = NEWSVENDOR
    if arguments.pop("two", False):
        network = ReluNetwork.from_layers([[[1.0, 0.0]], [[1.0], [2.0]]], [[0], [0, 0]])
    with pytest.raises(OptionError, match=message):
        ScenarioSum(network, scenarios, Box(-1, 1), **arguments)


def test_what_no_double_holds_is_refused_in_every_scenario():
    with pytest.raises(DomainError, match="input 1 of scenario 1: no double holds 1/3"):
        ScenarioSum(NEWSVENDOR, [{1: 2.0}, {1: Fraction(1, 3)}], Box(0, 10))


def test_weights_whose_products_leave_the_normal_doubles_prove_no_proximal_bound():
    pair = [{1: 2.0}, {1: 1.0}]
    heavy = ScenarioSum(NEWSVENDOR, pair, Box(0, 10), weights=[1.0, 2.0]).prox([0.5], 1e3)
    assert heavy.lower > -np.inf
    light = ScenarioSum(NEWSVENDOR, pair, Box(0, 10), weights=[1e-300, 2e-300]).prox([0.5], 1e300)
    assert light.lower == -np.inf


@pytest.mark.parametrize("seed", range(4))
def test_potentials_are_summed_with_their_quadratic_part(seed):
    rng = np.random.default_rng(seed)
    inputs, free = 4, 2
    graph = potential(icnn(inputs, (6, 4), seed, grid=8), *random_form(inputs, inputs, seed))
    scenarios = [
        dict(zip((2, 3), (rng.integers(-8, 9, 2) / 8.0).tolist(), strict=True)) for _ in range(3)
    ]
    weights = rng.integers(1, 9, 3) / 8.0
    F = ScenarioSum(graph, scenarios, Box(-2, 2), weights=weights)

    def exact(x):
        point = [*map(Fraction, x)]
        return sum(
            Fraction(float(w)) * graph.exact([*point, *map(Fraction, c.values())])[0]
            for w, c in zip(weights, scenarios, strict=True)
        )

    points = rng.uniform(-2, 2, (20, free))
    support, gradient = F.support([0.5, -0.25]), F.subgradient([0.5, -0.25])
    for y in points.tolist():
        height = Fraction(support.offset) + sum(
            Fraction(g) * Fraction(v) for g, v in zip(support.gradient.tolist(), y, strict=True)
        )
        assert height <= exact(y)
        slope = gradient @ (np.array(y) - [0.5, -0.25])
        assert float(exact(y)) >= float(exact([0.5, -0.25])) + slope - 1e-9
        assert F.value(y) == pytest.approx(float(exact(y)), rel=1e-12)
    for found in (F.minimise(), F.minimise(integers=(0,))):
        assert found.gap <= 1e-6 * (1 + abs(found.value))
        assert Fraction(found.lower) <= exact(found.point) <= Fraction(found.value)
        near = np.clip(found.x + rng.normal(size=(20, free)) * 0.01, -2, 2)
        near[:, 0] = found.x[0] if found.nodes else near[:, 0]
        assert all(Fraction(found.lower) <= exact(y) for y in near.tolist())
    assert F.prox([3.0, 0.0], 0.5).gap < 1e-6


def test_a_potential_that_is_convex_only_in_the_decision():
    # |x - p| + x^2 - 3 x p - p^2: the minimum of |x - p| + x^2 - 3 x p at p = 1 is at x = 1
    nodes = [
        GraphNode("bend", {"input": [[1.0, -1.0], [-1.0, 1.0]]}, [0, 0], Function.RELU),
        GraphNode("squares", {"input": np.eye(2)}, [0, 0], Function.POWER, 2.0),
        GraphNode("product", {"input": np.eye(2)}, [0, 0], Function.PRODUCT, 1.0, 2),
        GraphNode("output", {"bend": [[1, 1]], "squares": [[1, -1]], "product": [[-3]]}, [0]),
    ]
    F = ScenarioSum(FunctionGraph(2, nodes), [{1: 1.0}, {1: 1.0}], Box(-4, 4))
    found = F.minimise()
    assert found.x[0] == pytest.approx(1.0, abs=1e-6)
    assert found.value == pytest.approx(-3.0)
    assert found.gap < 1e-9
    assert len(F.verdicts) in {1, 2}
    weights = dict(nodes[-1].weights) | {"squares": [[-1, 1]]}
    falling = GraphNode("output", weights, [0])
    with pytest.raises(NotConvexError):
        ScenarioSum(FunctionGraph(2, [*nodes[:-1], falling]), [{1: 1.0}], Box(-4, 4))
