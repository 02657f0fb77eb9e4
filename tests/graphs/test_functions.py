"""Values, enclosures and shapes of the functions, against balls of 200 bits."""

from __future__ import annotations

from fractions import Fraction

import flint
import numpy as np
import pytest
from smooth_graphs import WILD, oracle, random_graph

from jensen.graphs.enclosures import affine_interval, enclose
from jensen.graphs.exact import ball_values
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import GROUPED, RULES, Function
from jensen.graphs.node import GraphNode
from jensen.graphs.valleys import GELU, SILU

ELEMENTWISE = [f for f in Function if f not in GROUPED]
POSITIVE = {Function.LOG, Function.SQRT, Function.RECIPROCAL}
PARAMETERS = {Function.POWER: (2, 3, 4, 7), Function.ELU: (0, 0.3, 1, 2.5), Function.CELU: (0.3, 3)}
SCALES = (1e-300, 1e-12, 1e-3, 1.0, 5.0, 40.0, 700.0)


def graph_of(function, parameter=1.0, group=1):
    node = GraphNode("f", {"input": np.eye(group)}, np.zeros(group), function, parameter, group)
    return FunctionGraph(group, [node, GraphNode("output", {"f": [[1.0]]}, [0.0])])


def points_of(function, rng, count=12):
    z = np.concatenate([[0.0], *(rng.normal(size=count) * s for s in SCALES)])
    return np.abs(z[z != 0]) if function in POSITIVE else z


CASES = [(f, float(p)) for f in ELEMENTWISE for p in PARAMETERS.get(f, (1.0,))]


@pytest.mark.parametrize(("function", "parameter"), CASES)
def test_enclosures_of_points_hold_the_true_value_and_are_narrow(function, parameter):
    rng = np.random.default_rng(1)
    graph = graph_of(function, parameter)
    for z in points_of(function, rng):
        point = np.array([z])
        low, high = RULES[function].enclosure(point, point, parameter)
        truth = oracle(graph, [Fraction(float(z))])
        assert not truth < flint.arb(float(low[0]))
        assert not truth > flint.arb(float(high[0]))
        if np.isfinite([low[0], high[0]]).all() and abs(z) < 600 and abs(low[0]) < 1e300:
            tail = min(z, 0.0) ** 2 if function in {Function.GELU, Function.SILU} else 0.0
            most = max(abs(low[0]), abs(high[0]))
            assert high[0] - low[0] <= 1e-12 * (1 + tail) * most + 1e-300


@pytest.mark.parametrize(("function", "parameter"), CASES)
def test_enclosures_of_intervals_hold_all_values_between(function, parameter):
    rng = np.random.default_rng(2)
    z = points_of(function, rng)
    ends = np.sort(rng.choice(z, (200, 2)), axis=1)
    low, high = RULES[function].enclosure(ends[:, 0], ends[:, 1], parameter)
    inside = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * rng.random((200, 9))
    inside = np.clip(inside, ends[:, :1], ends[:, 1:])
    with np.errstate(all="ignore"):
        values = RULES[function].values(inside, parameter)
        slack = 1e-14 * np.abs(values) + 1e-300
        ok = (values + slack >= low[:, None]) & (values - slack <= high[:, None])
    assert (ok | ~np.isfinite(values)).all()


@pytest.mark.parametrize(("function", "parameter"), CASES)
def test_shapes_hold_on_samples(function, parameter):
    rng = np.random.default_rng(3)
    z = points_of(function, rng)
    ends = np.sort(rng.choice(z[np.abs(z) < 30], (400, 2)), axis=1)
    shape = RULES[function].shape(ends[:, 0], ends[:, 1], parameter)
    a, b = np.sort(ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * rng.random((400, 2)), axis=1).T
    with np.errstate(all="ignore"):
        fa, fb, fm = (RULES[function].values(v, parameter) for v in (a, b, (a + b) / 2))
    noise = 1e-12 * np.maximum(np.maximum(abs(fa), abs(fb)), 1e-12)
    assert (fb >= fa - noise)[shape.nondecreasing].all()
    assert (fb <= fa + noise)[shape.nonincreasing].all()
    assert (fm <= (fa + fb) / 2 + noise)[shape.convex].all()
    assert (fm >= (fa + fb) / 2 - noise)[shape.concave].all()
    assert np.isfinite(fa[shape.defined]).all()


def derivatives(known, z):
    """Return balls of the first and the second derivative of ``z Phi(z)`` or ``z sigmoid(z)``."""
    z = flint.arb(flint.fmpq(*Fraction(z).as_integer_ratio()))
    if known is GELU:
        density = (-z * z / 2).exp() / (2 * flint.arb.pi()).sqrt()
        return (-z / flint.arb(2).sqrt()).erfc() / 2 + z * density, density * (2 - z * z)
    s = 1 / (1 + (-z).exp())
    return s * (1 + z * (1 - s)), s * (1 - s) * (2 + z * (1 - 2 * s))


@pytest.mark.parametrize(
    ("known", "function"), [(GELU, Function.GELU), (SILU, Function.SILU)], ids=["gelu", "silu"]
)
def test_the_numbers_of_a_valley_hold_in_balls(known, function):
    """The derivatives change their signs once on each side of 0 (docs/smooth.md)."""
    assert derivatives(known, known.falls)[0] < 0 < derivatives(known, known.rises)[0]
    for side in (-1, 1):
        assert (
            derivatives(known, side * known.bowl)[1] > 0 > derivatives(known, side * known.flat)[1]
        )
    # convex between falls and rises, so above both tangents
    width = flint.arb(known.rises) - flint.arb(known.falls)
    (value,) = ball_values(1, graph_of(function).nodes, [Fraction(known.rises)], 200)
    assert value - width * derivatives(known, known.rises)[0] > flint.arb(known.least)


@pytest.mark.parametrize("function", sorted(GROUPED))
def test_enclosures_of_groups_hold_their_values(function):
    rng = np.random.default_rng(4)
    for group in (2,) if function is Function.PRODUCT else (1, 2, 5):
        graph = graph_of(function, group=group)
        for scale in SCALES:
            z = rng.normal(size=group) * scale
            low, high = RULES[function].enclosure(z[None], z[None], 1.0)
            truth = oracle(graph, [Fraction(float(v)) for v in z])
            assert not truth < flint.arb(float(low[0]))
            assert not truth > flint.arb(float(high[0]))


@pytest.mark.parametrize("function", WILD)
def test_balls_and_doubles_agree(function):
    rng = np.random.default_rng(5)
    group = 2 if function in GROUPED else 1
    parameter = 3.0 if function is Function.POWER else 1.0
    graph = graph_of(function, parameter, group)
    for _ in range(40):
        z = rng.normal(size=group) * rng.choice(SCALES[1:5])
        z = np.abs(z) if function in POSITIVE else z
        (ball,) = ball_values(group, graph.nodes, [Fraction(float(v)) for v in z], 100)
        value = graph(z[None])[0, 0]
        assert abs(value - float(ball.mid())) <= 1e-12 * max(abs(value), 1e-12)


def test_balls_have_no_value_where_the_function_has_none():
    for function, x in ((Function.LOG, 0), (Function.SQRT, -1), (Function.RECIPROCAL, 0)):
        graph = graph_of(function)
        (ball,) = ball_values(1, graph.nodes, [Fraction(x)], 100)
        assert not ball.is_finite()


def test_an_affine_map_of_unbounded_values_is_bounded_where_the_weights_are_zero():
    inf = np.array([np.inf, 1.0])
    low, high = affine_interval([(np.array([[0.0, 2.0], [-1.0, 0.0]]), (-inf, inf))], np.zeros(2))
    assert (low[0], high[0]) == (pytest.approx(-2), pytest.approx(2))
    assert (low[1], high[1]) == (-np.inf, np.inf)


def test_enclosures_of_a_graph_hold_sampled_values():
    rng = np.random.default_rng(6)
    for _ in range(60):
        graph = random_graph(rng)
        low, high = -np.ones(graph.input_size), np.ones(graph.input_size)
        bounds = enclose(graph, low, high)
        found = graph.pre_activations(rng.uniform(-1, 1, (200, graph.input_size)))
        for name, z in found.items():
            lower, upper = bounds.pre_activations[name]
            slack = 1e-9 * np.abs(z)
            ok = (z + slack >= lower) & (z - slack <= upper)
            assert (ok | ~np.isfinite(z)).all(), (name, graph)


@pytest.mark.parametrize("z", [5e-324, 1e-320, 2.0**-1060, 2.0**-1022])
@pytest.mark.parametrize("function", [Function.LOG, Function.SQRT, Function.EXP, Function.TANH])
def test_subnormal_arguments_are_enclosed(function, z):
    low, high = RULES[function].enclosure(np.array([z]), np.array([z]), 1.0)
    truth = oracle(graph_of(function), [Fraction(z)])
    assert not truth < flint.arb(float(low[0]))
    assert not truth > flint.arb(float(high[0]))
